"""What the operator is told at the start: where to look, and what to type."""

import os
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from attrs import define, frozen
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from .auth_policy import is_wide
from .service import Daemon

_log = Logger(namespace="shellstream")


@frozen
class ListenAddress:
    """
    Where a daemon listens, and what a URL for it begins with.

    @ivar pin: what a client has to know, as no authority vouches for us.
    """

    address: IAddress
    scheme: str = "http"
    pin: str | None = None

    @property
    def wide(self) -> bool:
        """Whether other machines may reach it."""
        return is_wide(self.address)

    @property
    def path(self) -> str | None:
        """Of a UNIX socket."""
        if not isinstance(self.address, UNIXAddress):
            return None
        return (self.address.name or b"").decode(errors="replace")

    @property
    def host(self) -> str | None:
        """By what others most likely reach it, if by an address."""
        if not isinstance(self.address, IPv4Address | IPv6Address):
            return None
        everywhere = ip_address(self.address.host).is_unspecified
        return _own_address(self.address) if everywhere else self.address.host

    @property
    def netloc(self) -> str | None:
        """How a URL names it, if one can, from as far away as it can be reached."""
        host = self.host
        if host is None:
            return None
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def port(self) -> int | None:
        """Of TCP."""
        return getattr(self.address, "port", None)

    @property
    def client(self) -> str:
        """Our client, as it is typed elsewhere."""
        pin = f" --pin {self.pin}" if self.pin else ""
        return f"shellstream {self.scheme}://{self}/stream{pin}"

    def __str__(self) -> str:
        return self.path or self.netloc or str(self.address)


def announcement(place: ListenAddress, *, required: bool = False) -> list[str]:
    """
    Where to look, and what to type elsewhere.

    @param required: whether who asks has to say who they are.
    """
    curl, run = (" -u :TOKEN", "SHELLSTREAM_TOKEN=TOKEN ") if required else ("", "")
    if place.path is not None:
        url = f"{place.scheme}://localhost/stream"
        return [f"type: curl -N --unix-socket {place} {url}{curl}"]
    if place.netloc is None:
        return [f"listening on {place}"]
    url = f"{place.scheme}://{place}"
    line = f"curl -N {url}/stream{curl}"
    if place.pin:  # curl would not know the certificate
        line = f"{run}{place.client}"
    here = f"open {url}/ or type: {line}"
    if place.wide and place.pin:
        return [f"{here} (so on another machine, too)"]
    if place.wide:
        return [f"{here} -- on another machine, type: {run}{place.client}"]
    tunnel = f"ssh -NL {place.port}:{place} {socket.gethostname()}"
    return [
        f"{here} -- on another machine, first type: {tunnel}",
        "only this machine can connect; --interface 0.0.0.0 lets those in who have a "
        "token",
    ]


def invitation(place: ListenAddress, token: str) -> str:
    """What to paste on another machine; it is to be shown once, and kept nowhere."""
    if place.netloc is None:
        return f"\nThe token that lets you in, which is shown only now: {token}\n\n"
    lines = [f"SHELLSTREAM_TOKEN={token} {place.client}"]
    if not place.pin:
        lines.append(f"curl -N {place.scheme}://{place}/stream -u :{token}")
    return (
        "\nTo get in, paste this on the other machine. The token in it is shown only "
        "now.\n  " + "\n  ".join(lines) + "\n"
        "A browser asks for it as a password.\n\n"
    )


class Terminal:
    """
    Shows what no log is to keep to whoever starts the daemon.

    It is to be made before the daemon goes into the background, where it has no
    standard output any more; and to be closed then, for somebody may wait for that.
    """

    def __init__(self) -> None:
        try:
            self._fd: int | None = os.dup(1)
        except OSError:  # it was started without any
            self._fd = None

    def show(self, text: str) -> None:
        """Write this, or say that it could not be."""
        why = "no standard output"
        if self._fd is not None:
            try:
                with open(self._fd, "w", closefd=False) as stream:
                    stream.write(text)
            except OSError as error:
                why = os.strerror(error.errno or 0)
            else:
                return
        _log.warn("the new token cannot be shown: {why}; make another", why=why)

    def close(self) -> None:
        """Nothing more is shown."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@define(eq=False)
class StartupBanner(Service):
    """
    Says where the daemon listens, who gets in, and what to type: last of all
    services, when nothing can stop the daemon any more.
    """

    _daemon: Daemon
    _places: Callable[[], Iterable[ListenAddress]]
    _terminal: Terminal

    def startService(self) -> None:
        super().startService()
        door = self._daemon.door
        for place in self._places():
            for line in announcement(place, required=door.required):
                _log.info("{line}", line=line)
            if door.insecure:
                _log.warn(
                    "--insecure: anyone who can reach {place} may run these commands",
                    place=place,
                )
            if door.first is not None and place.wide:
                self._terminal.show(invitation(place, door.first))
                door.first = None
        self._terminal.close()


def _own_address(address: IPv4Address | IPv6Address) -> str:
    """The address by which others on the network most likely reach this machine."""
    v6 = isinstance(address, IPv6Address)
    family = socket.AF_INET6 if v6 else socket.AF_INET
    # Connecting a datagram socket sends nothing; it only picks the interface.
    elsewhere = "2001:db8::1" if v6 else "192.0.2.1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
