"""
The names of this daemon, and the web sites that may use it.

A page of any site can make its reader's browser send requests to this machine, and by
DNS rebinding it can even read the answers. Therefore C{Host} and the origin of a
request are checked, whatever credentials it carries.
"""

import re
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from attrs import frozen

#: Some clients send the zone of a link-local address too (RFC 6874).
_HOST = re.compile(
    r"(?:\[([0-9a-fA-F:.]+)(?:%[A-Za-z0-9._~-]+)?\]|([A-Za-z0-9._-]*[A-Za-z0-9_-]\.?))"
    r"(?::[0-9]{0,5})?"  # the port may be empty (RFC 3986, 3.2.3)
)

#: The headers of L{origin_of}; a request of a browser has some, and each once.
ORIGIN_HEADERS = frozenset(
    ("origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "referer")
)

_LOCAL = ("localhost", "*.localhost")  # never another machine's (RFC 6761, 6.3)


@frozen(kw_only=True)
class HostNames:
    """
    The names that a C{Host} header may have.

    DNS rebinding needs a name. So where other machines may connect, any IP address is
    allowed: they may reach this one by an address that it does not know, behind NAT.

    @ivar patterns: names, in which C{*} stands for other characters.
    @ivar exposed: whether other machines may connect.
    """

    patterns: Collection[str] = ()
    exposed: bool = False

    def allow(self, host: str) -> bool:
        """Whether a C{Host} header names this daemon (RFC 9110, 7.2)."""
        name = host_name(host)
        if name is None:
            return False
        address = _address(name)
        if address is None:
            known = (*_LOCAL, *self.patterns)
            return any(fnmatchcase(name, each.lower()) for each in known)
        if name in self.patterns:
            return True
        # 0.0.0.0 reaches loopback on Linux, and pages of other sites have used that.
        if address.is_unspecified or address.is_multicast:
            return False
        return address.is_loopback or self.exposed


def is_loopback_name(header: str) -> bool:
    """Whether a C{Host} header names the machine on which it was sent."""
    name = host_name(header) or ""
    address = _address(name)
    if address is None:
        return any(fnmatchcase(name, each) for each in _LOCAL)
    return address.is_loopback


@lru_cache(64)  # most clients use the same name
def _address(name: str) -> IPv4Address | IPv6Address | None:
    """The address that a name is; IPv4 also where it is mapped into IPv6."""
    try:
        address = ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def host_name(header: str) -> str | None:
    """The host of a C{Host} header, without port, brackets and the root's dot."""
    match = _HOST.fullmatch(header)
    return None if match is None else (match[1] or match[2]).lower().removesuffix(".")


class RequestOrigin(Enum):
    """
    The kind of page that made a browser send a request.

    C{OWN} is a page of this daemon, or no page at all; C{LISTED} one of a configured
    origin. C{LINK} is a link that the reader followed on a page of another site, whose
    scripts cannot see the answer. C{OTHER} is everything else.
    """

    OWN = "own"
    LISTED = "listed"
    LINK = "link"
    OTHER = "other"


def origin_of(
    headers: Callable[[str], Sequence[str]], origins: Collection[str] = ()
) -> RequestOrigin:
    """
    The kind of page that made a browser send a request (Fetch Metadata; RFC 6454).

    @param headers: returns all headers of a name in lower case. Programs other than
        browsers send none of these.
    @param origins: the origins that may do what pages of this daemon may.
    """
    if any(len(headers(name)) > 1 for name in ORIGIN_HEADERS):
        return RequestOrigin.OTHER  # no browser sends two; a proxy may read the other

    def header(name: str) -> str | None:
        return next(iter(headers(name)), None)

    origin, site = header("origin"), header("sec-fetch-site")
    if origin is not None and origin in origins:
        return RequestOrigin.LISTED
    if site is not None:  # better than comparing with Host, which proxies rewrite
        if site == "same-origin" and origin != "null":
            return RequestOrigin.OWN
        # An address that was typed has no page, and so no Origin.
        if site == "none" and (origin is None or _netloc(origin) == header("host")):
            return RequestOrigin.OWN
        followed = header("sec-fetch-mode") == "navigate"
        shown = header("sec-fetch-dest") == "document"
        if followed and shown and origin is None:
            return RequestOrigin.LINK
        return RequestOrigin.OTHER
    # Over plain HTTP browsers send no Fetch Metadata, and with GET no Origin.
    # Programs other than browsers send neither.
    page = header("referer") if origin is None else origin
    if page is None or _netloc(page) == header("host"):
        return RequestOrigin.OWN
    return RequestOrigin.LINK if origin is None else RequestOrigin.OTHER


def _netloc(url: str) -> str:
    """The host and port of a URL, as C{Host} has them."""
    return url.partition("://")[2].partition("/")[0]
