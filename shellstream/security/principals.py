"""Who is known by name, and how they show who they are, if not by a token."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from attrs import frozen

from shellstream.model.tables import NotAllowed, Table, strings

from .authorization import ANONYMOUS, Grant, Principal, read_grant

#: A peer that comes by a UNIX socket, as one of C{proxies}.
UNIX = "unix"

#: Whoever has no entry of their own.
OTHERS = "*"

_NAME = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)

Peer = IPv4Network | IPv6Network | str


@frozen(kw_only=True)
class Known:
    """
    Somebody who is known.

    @ivar certificates: names in client certificates that are theirs, such as
        C{email:alice@example.org}, C{DNS:ci.example.org} or C{CN=alice}.
    """

    grant: Grant
    certificates: tuple[str, ...] = ()


@frozen(kw_only=True)
class Access:
    """
    How people reach this daemon, and are known.

    @ivar hosts: names that it goes by, in which C{*} stands for others.
    @ivar origins: web sites whose pages may use it.
    @ivar proxies: peers that are believed when they say who asks, and where from.
    @ivar user_header: the header in which they say who.
    """

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[Peer, ...] = ()
    user_header: str | None = None
    known: Mapping[str, Known] = {}

    def trusts(self, peer: str) -> bool:
        """Whether an address, or C{UNIX}, is a proxy's."""
        if not self.proxies:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return peer in self.proxies
        mapped = getattr(address, "ipv4_mapped", None)
        networks = (each for each in self.proxies if not isinstance(each, str))
        return any((mapped or address) in each for each in networks)

    def by_proxy(self, name: str) -> Principal | None:
        """Who a proxy says it is; L{None} if there is no grant for them."""
        known = self.known.get(name) or self.known.get(OTHERS)
        if known is None or name == OTHERS or name == ANONYMOUS.name:
            return None
        return Principal(name=name, grant=known.grant, credential="proxy")

    def by_certificate(
        self, names: Iterable[str], expires: int | None = None
    ) -> Principal | None:
        """Who a client certificate with these names is, if anybody."""
        there = set(names)
        for name, known in self.known.items():
            if not there.isdisjoint(known.certificates):
                return Principal(
                    name=name,
                    grant=known.grant,
                    credential="certificate",
                    expires=expires,
                )
        return None


#: Whoever can connect.
EVERYBODY = Access()


def read_access(table: Table) -> Access:
    """The tables C{[access]} and C{[principals.NAME]} of a configuration."""
    found = table.table("access")
    known = {each.name: _known(each) for each in table.tables("principals", _NAME)}
    access = Access(
        hosts=found.read("hosts", _hosts, ()),
        origins=found.read("origins", _origins, ()),
        proxies=found.read("proxies", _proxies, ()),
        user_header=found.read("user_header", _header, None),
        known=known,
    )
    if access.user_header and not access.proxies:
        allowed = "user_header only beside proxies: the peers that may send it"
        found.report("user_header", repr(access.user_header), allowed)
    found.report_unknown()
    return access


def _known(table: Table) -> Known:
    known = Known(
        grant=read_grant(table),
        certificates=table.read("certificates", _certificates, ()),
    )
    if table.name == OTHERS and known.certificates:
        allowed = "certificates of somebody with a name"
        table.report("certificates", repr(list(known.certificates)), allowed)
    if table.name == ANONYMOUS.name:
        table.report("commands", "the name 'anonymous'", "the name of somebody")
    table.report_unknown()
    return known


def _hosts(value: object) -> tuple[str, ...]:
    try:
        found = strings(value)
    except NotAllowed:
        found = ("/",)
    if not all(re.fullmatch(r"[A-Za-z0-9.*:_-]{1,255}", each) for each in found):
        raise NotAllowed("a list of names without port, such as ['ci.example.org']")
    return tuple(each.lower() for each in found)


def _origins(value: object) -> tuple[str, ...]:
    found = strings(value)
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in ("http", "https") or each != f"{parts.scheme}://" + (
            parts.netloc
        ):
            raise NotAllowed("a list of origins, such as ['https://ci.example.org']")
    return found


def _proxies(value: object) -> tuple[Peer, ...]:
    try:
        return tuple(
            each if each == UNIX else ip_network(each) for each in strings(value)
        )
    except (NotAllowed, ValueError):
        raise NotAllowed(
            "a list of addresses or networks, such as ['127.0.0.1', '10.0.0.0/8'], or "
            f"'{UNIX}' for UNIX sockets"
        ) from None


def _header(value: object) -> str:
    text = value if isinstance(value, str) else ""
    if re.fullmatch(r"[A-Za-z0-9-]{1,64}", text) is None:
        raise NotAllowed("a header's name, such as 'X-Remote-User'")
    return text.lower()


def _certificates(value: object) -> tuple[str, ...]:
    found = strings(value)
    for each in found:
        if re.fullmatch(r"(email|DNS|URI):.+|.*=.+", each) is None:
            raise NotAllowed(
                "a list of names in certificates: 'email:…', 'DNS:…', 'URI:…', or a "
                "whole subject such as 'CN=alice,O=Example' (RFC 4514)"
            )
    return found
