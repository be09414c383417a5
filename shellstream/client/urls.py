"""The URLs that a user may type."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from .errors import Usage


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
    A complete URL, from what a user typed: C{http://} may be left out.

    @param servers: the names of configured servers, for the error message.
    @raise Usage: if it is malformed, or not HTTP, or contains a password.
    """
    url = text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else f"http://{text}"
    try:
        parts = urlsplit(url)
        wrong = not parts.hostname or (parts.port is not None and parts.port == 0)
    except ValueError:
        wrong = True
    if wrong or not url.isascii() or not url.isprintable() or " " in url:
        known = f", or one of {', '.join(servers)}" if servers else ""
        raise Usage(f"{text!r} is not a URL; write http://HOST:PORT/stream{known}")
    if parts.scheme not in ("http", "https"):
        raise Usage(f"{text!r}: only http:// and https:// are supported")
    if parts.username is not None:
        raise Usage("do not put a password into a URL; use --token-file")
    return url
