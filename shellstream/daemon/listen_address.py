"""The addresses and names of this machine, as clients may use them."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import ifaddr
from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress


def own_names() -> list[str]:
    """This machine's names: by its own account, and on the local network (mDNS)."""
    host = socket.gethostname().lower()
    short = host.partition(".")[0]
    return list(dict.fromkeys([host, short, f"{short}.local"]))


def _routed(v6: bool) -> str | None:
    """The address that this machine would use to others; L{None} without a route."""
    family = socket.AF_INET6 if v6 else socket.AF_INET
    # Connecting a datagram socket sends nothing; it only picks an interface. The
    # addresses are for documentation (RFC 5737, RFC 3849): nobody has them.
    elsewhere = "2001:db8::1" if v6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _of_interfaces(v6: bool) -> Iterator[str]:
    """The addresses of this machine's interfaces that other machines may use."""
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            # A socket for :: takes IPv4, too (ipv6(7), IPV6_V6ONLY).
            if each.is_IPv6 and not v6:
                continue
            text = each.ip[0] if isinstance(each.ip, tuple) else each.ip
            # A link-local address needs the name of the caller's own interface.
            if not (ip_address(text).is_loopback or ip_address(text).is_link_local):
                yield text


@frozen
class ListenAddress:
    """
    An address on which the daemon listens.

    @ivar pin: the fingerprint that clients need, if no authority signed the
        certificate.
    """

    address: IAddress
    scheme: str = "http"
    pin: str | None = None

    @property
    def is_exposed(self) -> bool:
        """Whether other machines may reach it; they may if its kind is unknown."""
        if isinstance(self.address, UNIXAddress):
            return False
        if isinstance(self.address, IPv4Address | IPv6Address):
            return not ip_address(self.address.host).is_loopback
        return True

    @property
    def path(self) -> str | None:
        """The path of a UNIX socket."""
        if not isinstance(self.address, UNIXAddress):
            return None
        return (self.address.name or b"").decode(errors="replace")

    @property
    def port(self) -> int | None:
        """The TCP port."""
        return getattr(self.address, "port", None)

    def host(self) -> str | None:
        """
        The IP address, or host name, by which other machines most likely reach it;
        L{None} if it is not a TCP address.
        """
        return next(iter(self.hosts()), None)

    def hosts(self) -> list[str]:
        """
        Every IP address, or the host name, by which other machines may reach it, the
        likeliest first; empty if it is not a TCP address.
        """
        if not isinstance(self.address, IPv4Address | IPv6Address):
            return []
        if not ip_address(self.address.host).is_unspecified:
            return [self.address.host]
        v6 = isinstance(self.address, IPv6Address)
        routed = _routed(v6) or socket.gethostname()
        return list(dict.fromkeys([routed, *_of_interfaces(v6)]))

    def __str__(self) -> str:
        """The host and port of a URL, or else whatever names it."""
        host = self.host()
        if host is None:
            return self.path or str(self.address)
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
