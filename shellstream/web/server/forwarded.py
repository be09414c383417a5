"""What proxies write into the requests that they pass on: for whom, and which user."""

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

#: The most hops that are looked at: those that proxies near the daemon have written.
MAX_HOPS = 32

#: An address with a port, as nginx, Azure and others write it; IPv6 in brackets.
_ADDRESS = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")

# Up to a comma, or a semicolon, outside of quotation marks (RFC 7239, 4).
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++')
_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})++')
_QUOTED_PAIR = re.compile(r"\\(.)")


#: Headers that proxies add to what they pass on, and hardly any client sends; beside
#: those that begin with L{_PREFIX}.
_MARKS = frozenset(
    {
        *("forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip"),
        *("x-original-for", "x-original-host", "x-original-proto", "x-host"),
        *("x-proxyuser-ip", "x-envoy-external-address", "x-request-start"),
        *("true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-ray"),
        *("cdn-loop", "fastly-client-ip", "fly-client-ip", "x-azure-clientip"),
        *("x-amzn-trace-id", "x-arr-log-id", "x-appengine-user-ip"),
        *("tailscale-user-login", "remote-user", "x-remote-user"),
    }
)
_PREFIX = "x-forwarded-"


def mark_of_proxy(headers: Mapping[str, Sequence[str]], version: bytes) -> str:
    """
    Say by which of its headers a request came through a proxy; empty if none shows it.

    @param headers: by their names in lower case.
    """
    if not _MARKS.isdisjoint(headers):
        return next(name for name in headers if name in _MARKS)
    if _PREFIX in "\n".join(headers):
        for name in headers:
            if name.startswith(_PREFIX):
                return name
    # In HTTP/1.0 a connection closes anyway, so that hardly any client says so. nginx
    # does, which by default adds no header of its own, nor need its client send any.
    closing = version == b"HTTP/1.0" and headers.get("connection") == ["close"]
    return "connection" if closing else ""


def forwarded_user(lines: Iterable[str]) -> Sequence[str]:
    """
    The user in the last element of C{Forwarded}, which the nearest proxy wrote, by the
    parameter C{remote_user} of lighttpd; all of them if there are several.
    """
    elements = [each for line in lines for each in _ELEMENT.findall(line)]
    return _values(elements[-1], "remote_user") if elements else []


def x_forwarded_for(lines: Iterable[str]) -> Sequence[str | None]:
    """
    The hops of C{X-Forwarded-For}, the nearest last; L{None} stands for one without an
    address.
    """
    hops = [each for line in lines for each in line.split(",")]
    return [_address(each) for each in hops[-MAX_HOPS:]]


def forwarded_for(lines: Iterable[str]) -> Sequence[str | None]:
    """The same for C{Forwarded} (RFC 7239)."""
    elements = [each for line in lines for each in _ELEMENT.findall(line)]
    return [_node(each) for each in elements[-MAX_HOPS:]]


def _node(element: str) -> str | None:
    found = _values(element, "for")
    return _address(found[0]) if len(found) == 1 else None


def _values(element: str, wanted: str) -> list[str]:
    pairs = (each.partition("=") for each in _PAIR.findall(element))
    found = (value for name, _, value in pairs if name.strip().lower() == wanted)
    return [_QUOTED_PAIR.sub(r"\1", each.strip().strip('"')) for each in found]


def _address(text: str) -> str | None:
    text = text.strip().strip('"').strip()
    match = _ADDRESS.fullmatch(text)
    if match is not None:
        text = match[2] if match[1] is None else match[1]
    try:
        # A zone means something on the proxy only, and may be any text.
        return str(ip_address(text.partition("%")[0]))
    except ValueError:  # such as unknown, or _hidden (RFC 7239, 6)
        return None
