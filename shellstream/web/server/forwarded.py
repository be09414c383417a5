"""The addresses that proxies write into C{Forwarded} and C{X-Forwarded-For}."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

#: The most hops that are looked at: those that proxies near the daemon have written.
MAX_HOPS = 32

#: An address with a port, as nginx, Azure and others write it; IPv6 in brackets.
_ADDRESS = re.compile(r"\[([^]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")

# Up to a comma, or a semicolon, outside of quotation marks (RFC 7239, 4).
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})++')
_PAIR = re.compile(rf'(?:[^;"]|{_QUOTED})++')


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
    pairs = (each.partition("=") for each in _PAIR.findall(element))
    found = [value for name, _, value in pairs if name.strip().lower() == "for"]
    return _address(found[0]) if len(found) == 1 else None


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
