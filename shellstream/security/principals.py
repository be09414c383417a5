"""Principals of the configuration, who authenticate by certificate or by a proxy."""

import pwd
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from attrs import frozen

from shellstream.model.checks import Check, check, list_of, matching, string
from shellstream.model.tables import Table, setting

from .authorization import Grant, Principal, is_reserved

#: In C{proxies}: every peer on a UNIX socket; with a colon and an account behind it,
#: the peers that run as that.
UNIX = "unix"

#: Begins the description of an endpoint whose peers are proxies that send a PROXY
#: header.
PROXIED = "haproxy:"

#: The entry for all users, named by a proxy, that have no entry of their own.
ANY_NAME = "*"

#: The names that a principal may have.
NAME = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)

Peer = IPv4Network | IPv6Network | str


_hosts = list_of(
    matching("[A-Za-z0-9.*:_-]{1,255}", "a name"),
    "a list of names without port, such as ['ci.example.org']",
).then(lambda names: tuple(map(str.lower, names)))

_certificates = list_of(
    matching("(email|DNS|URI):.+|.*=.+", "a name"),
    "a list of names in certificates: 'email:…', 'DNS:…', 'URI:…', or a whole subject "
    "such as 'CN=alice,O=Example' (RFC 4514)",
)

_header = matching("[A-Za-z0-9-]{1,64}", "a header's name, such as 'X-Remote-User'")


@check("an origin", {"type": "string", "pattern": "^https?://[^/?#]*$"})
def _origin(value: object) -> str | None:
    text = string(value)
    try:
        parts = urlsplit(text)
    except ValueError:  # such as half of an IPv6 address
        return None
    whole = text == f"{parts.scheme}://{parts.netloc}"
    return text if parts.scheme in ("http", "https") and whole else None


@check(
    "an address such as 'https://ci.example.org/shellstream'",
    {"type": "string", "pattern": "^https?://[^?# ]+$"},
)
def _address(value: object) -> str | None:
    text = string(value)
    origin = "/".join(text.split("/", 3)[:3])
    return text if re.fullmatch("[!-~]+", text) and _origin(origin) else None


def _proxy(value: object) -> Peer | None:
    text = string(value)
    if text == UNIX:
        return UNIX
    if text.startswith(f"{UNIX}:"):
        account = text.removeprefix(f"{UNIX}:")
        try:
            uid = int(account) if account.isdecimal() else pwd.getpwnam(account).pw_uid
        except KeyError:
            return None
        return f"{UNIX}:{uid}"
    try:
        return ip_network(text)
    except ValueError:
        return None


@frozen(kw_only=True)
class KnownPrincipal:
    """A table C{[principals.NAME]} of the configuration."""

    grant: Grant
    certificates: tuple[str, ...] = setting(
        "Names in the client certificates of this principal.", _certificates, ()
    )


@frozen(kw_only=True)
class AccessSettings:
    """
    The table C{[access]} of the configuration.

    @ivar known: the tables C{[principals.NAME]}, by their names.
    """

    hosts: tuple[str, ...] = setting(
        "Names of this daemon, beside `localhost` and, beyond loopback, this machine's "
        "own; `*` stands for other characters.",
        _hosts,
        (),
    )
    origins: tuple[str, ...] = setting(
        "Web sites whose pages may use this daemon.",
        list_of(_origin, "a list of origins, such as ['https://ci.example.org']"),
        (),
    )
    proxies: tuple[Peer, ...] = setting(
        "Addresses or networks of proxies, whose PROXY headers, `X-Forwarded-For`, "
        "`Forwarded` and `user_header` are believed, and who need a credential on "
        "loopback too; `unix:ACCOUNT` stands for what runs as this account and uses a "
        "UNIX socket, `unix` for all on UNIX sockets.",
        list_of(
            Check[Peer]("an address", string.schema, _proxy),
            "a list of addresses or networks, such as ['127.0.0.1', '10.0.0.0/8'], "
            f"'{UNIX}:ACCOUNT' for an account of this machine on UNIX sockets, or "
            f"'{UNIX}' for all accounts",
        ),
        (),
    )
    public_url: str | None = setting(
        "The address under which people reach the daemon, for links in notifications.",
        _address,
        None,
    )
    user_header: str | None = setting(
        "The header in which a proxy names the user; of `Forwarded` the parameter "
        "`remote_user`.",
        _header.then(str.lower),
        None,
    )
    known: Mapping[str, KnownPrincipal] = {}

    def is_proxy(self, peer: str) -> bool:
        """Whether a peer, an address or as L{UNIX} says, is a trusted proxy."""
        if not self.proxies:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return peer in self.proxies or (
                UNIX in self.proxies and peer.partition(":")[0] == UNIX
            )
        # A socket for both families shows IPv4 peers as ::ffff:192.0.2.1.
        mapped = getattr(address, "ipv4_mapped", None)
        networks = (each for each in self.proxies if not isinstance(each, str))
        return any((mapped or address) in each for each in networks)

    def by_proxy(self, name: str) -> Principal | None:
        """The principal with a name that a proxy sent; L{None} if it has no entry."""
        known = self.known.get(name) or self.known.get(ANY_NAME)
        # No user may pass for all others, or for clients without a credential.
        if known is None or name == ANY_NAME or is_reserved(name):
            return None
        return Principal(name=name, grant=known.grant, credential="proxy")

    def by_certificate(
        self, names: Iterable[str], expires: int | None = None
    ) -> Principal | None:
        """The principal whose certificate has one of these names; L{None}: unknown."""
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


def check_access(table: Table, access: AccessSettings) -> None:
    """Report a header that no peer may send."""
    if access.user_header and not access.proxies:
        allowed = "user_header only beside proxies: the peers that may send it"
        table.report("user_header", repr(access.user_header), allowed)


def read_principals(table: Table) -> dict[str, KnownPrincipal]:
    """The tables C{[principals.NAME]}."""
    return {each.name: _known(each) for each in table.tables("principals", NAME)}


def _known(table: Table) -> KnownPrincipal:
    known = table.read_settings(KnownPrincipal, grant=table.read_settings(Grant))
    if table.name == ANY_NAME and known.certificates:
        allowed = "certificates only beside the name of one principal"
        table.report("certificates", repr(list(known.certificates)), allowed)
    if is_reserved(table.name):
        table.report("commands", f"the name {table.name!r}", "another name")
    table.report_unknown()
    return known
