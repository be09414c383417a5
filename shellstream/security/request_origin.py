"""
Which names this daemon goes by, and which web sites may use it.

A page of any site can make its reader's browser send requests to this machine, and by
DNS rebinding even read the answers as if they were its own: what a browser says of
a request decides, whatever credentials it carries.
"""

import re
from collections.abc import Callable, Collection
from enum import Enum
from fnmatch import fnmatchcase
from ipaddress import ip_address

from attrs import frozen

_HOST = re.compile(
    r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]*[A-Za-z0-9_-]\.?))(?::[0-9]{1,5})?"
)

_LOCAL = ("localhost", "*.localhost")  # never another machine's (RFC 6761, 6.3)


@frozen(kw_only=True)
class Names:
    """
    The names that a C{Host} header may have.

    An address of its own cannot be made to mean another by DNS: where others may
    connect, any is right, for they may know this machine by one that it does not
    know itself.

    @ivar patterns: names, in which C{*} stands for others.
    @ivar wide: whether others than this machine may connect.
    """

    patterns: Collection[str] = ()
    wide: bool = False

    def include(self, host: str) -> bool:
        """Whether a C{Host} header is right (RFC 9110, 7.2)."""
        name = host_of(host)
        if name is None:
            return False
        try:
            address = ip_address(name)
        except ValueError:
            known = (*_LOCAL, *self.patterns)
            return any(fnmatchcase(name, each.lower()) for each in known)
        if name in self.patterns:
            return True
        if address.is_unspecified or address.is_multicast:
            return False
        return address.is_loopback or self.wide


def host_of(header: str) -> str | None:
    """The host of a C{Host} header, without port, brackets and the root's dot."""
    match = _HOST.fullmatch(header)
    return None if match is None else (match[1] or match[2]).lower().removesuffix(".")


class Site(Enum):
    """
    Whose page made a browser send a request.

    C{LINK} is one that its reader followed from elsewhere, and that no script sees
    the answer of.
    """

    OWN = "own"
    LISTED = "listed"
    LINK = "link"
    OTHER = "other"


def site_of(header: Callable[[str], str | None], origins: Collection[str] = ()) -> Site:
    """
    Whose page made a browser send a request (Fetch Metadata; RFC 6454).

    @param header: a header of the request, by its name in lower case. Who has none
        of these is no browser, and asks by itself.
    @param origins: those that may do what a page of our own may.
    """
    origin, site = header("origin"), header("sec-fetch-site")
    if origin is not None and origin in origins:
        return Site.LISTED
    if site is not None:  # a browser knows best: proxies may rewrite Host
        if site == "none" or (site == "same-origin" and origin != "null"):
            return Site.OWN
        followed = header("sec-fetch-mode") == "navigate"
        shown = header("sec-fetch-dest") == "document"
        return Site.LINK if followed and shown and origin is None else Site.OTHER
    # Over plain HTTP browsers do not say more, and of a GET perhaps not even that.
    page = header("referer") if origin is None else origin
    if page is None or page.partition("://")[2].partition("/")[0] == header("host"):
        return Site.OWN
    return Site.LINK if origin is None else Site.OTHER
