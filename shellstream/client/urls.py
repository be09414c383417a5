"""The URLs that a user may type."""

import re
import socket
from collections.abc import Mapping
from ipaddress import IPv6Address
from urllib.parse import quote, urlsplit, urlunsplit

from .errors import Usage

#: The ports that a URL leaves out (RFC 9110, section 4.2).
_DEFAULT_PORTS = {"http": 80, "https": 443}

#: A name as getaddrinfo(3) looks it up. DNS has more names than IDNA allows, such as
#: C{my_pi} and C{ab--cd}, so only what cannot be in a host is refused.
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_MOST_OF_NAME = 253

#: Every ASCII character: C{quote} shall only escape the others.
_ASCII = "".join(map(chr, range(0x80)))

#: A URL that lacks a slash is not one of a machine called http.
_ONE_SLASH = re.compile(r"http://https?:(/|$)", re.IGNORECASE)

_ZONE = re.compile(r"%[^]]*")


def server_of(url: str) -> str | None:
    """The server of a C{/stream} URL; L{None} for any other URL."""
    parts = urlsplit(url)
    ours = re.fullmatch(r"(.*)/stream(/[^/]+)?/?", parts.path)
    if ours is None:
        return None
    server: str = urlunsplit((parts.scheme, parts.netloc, ours[1], "", ""))
    return server


def stream_of_root(url: str) -> str | None:
    """The C{/stream} of the server at this root; L{None} for a URL with a path."""
    parts = urlsplit(url)
    if parts.path not in ("", "/"):
        return None
    stream: str = urlunsplit(parts._replace(path="/stream"))
    return stream


def http_url(text: str, servers: Mapping[str, object] = {}) -> str:
    """
    The URL to ask for, from what a user typed: C{http://} may be left out.

    @param servers: the names of configured servers, for the error message.
    @return: the URL in ASCII, with the host's name as DNS has it, and without the port
        that its scheme implies. A URL that has this form stays as it is.
    @raise Usage: if it is malformed, or not HTTP, or contains a password.
    """
    if text.startswith("unix:"):
        how = "use curl -N --unix-socket PATH http://localhost/stream"
        raise Usage(f"{text!r}: this client does not speak to UNIX sockets; {how}")
    url = text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"http://{text}"
    try:
        return _ascii_url(url)
    except ValueError:
        known = f", or one of {', '.join(servers)}" if servers else ""
        why = f"is not a URL; write http://HOST:PORT/stream{known}"
        raise Usage(f"{text!r} {why}") from None


def host_header(netloc: str) -> str:
    """
    The C{Host} for this part of a URL: without the zone of a link-local address, which
    means something on this machine only (RFC 6874, section 4).
    """
    return _ZONE.sub("", netloc)


def _ascii_url(url: str) -> str:
    # urlsplit() would drop line ends and tabs.
    if not url.isprintable() or " " in url or _ONE_SLASH.match(url):
        raise ValueError(url)
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise Usage(f"{url!r}: only http:// and https:// are supported")
    if parts.username is not None:
        raise Usage("do not put a password into a URL; use --token-file")
    port = parts.port
    if port == 0:
        raise ValueError(url)
    bracketed = re.fullmatch(r"\[[^]]*\](:[0-9]*)?", parts.netloc) is not None
    netloc = _ascii_host(parts.hostname or "", bracketed)
    if port not in (None, _DEFAULT_PORTS[parts.scheme]):
        netloc += f":{port}"
    rest = (quote(each, safe=_ASCII) for each in parts[2:])
    found: str = urlunsplit((parts.scheme, netloc, *rest))
    return found


def _ascii_host(host: str, bracketed: bool) -> str:
    """@raise ValueError: if no machine can have this name or address."""
    if bracketed:
        # RFC 6874 writes the % before a zone as %25; ping(8), ssh(1) and people do not.
        host = re.sub("%25(?=.)", "%", host)
        IPv6Address(host)
        return f"[{host}]"
    if not host.isascii():
        host = _punycode(host)
    *labels, last = host.removesuffix(".").split(".")
    if re.fullmatch("[0-9]+|0x[0-9a-f]*", last):
        # 127.1 and the like; a server knows its address only in the usual form.
        return socket.inet_ntoa(_inet_aton(host.removesuffix(".")))
    if len(host) > _MOST_OF_NAME or not all(map(_LABEL.fullmatch, [*labels, last])):
        raise ValueError(host)
    return host


def _inet_aton(host: str) -> bytes:
    try:
        return socket.inet_aton(host)
    except OSError as error:
        raise ValueError(host) from error


def _punycode(host: str) -> str:
    """
    A name in the form that DNS has (UTS 46, nontransitional), as browsers and curl make
    it: IDNA 2008 alone refuses names that exist, such as those with an emoji.

    @raise ValueError: if it contains a character that no name can have.
    """
    from idna import uts46_remap  # late: a table of all characters

    labels = uts46_remap(host, std3_rules=False).split(".")
    return ".".join(
        each if each.isascii() else f"xn--{each.encode('punycode').decode('ascii')}"
        for each in labels
    )
