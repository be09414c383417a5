"""A port that the daemon listens on."""

import socket
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.python.failure import Failure

from shellstream.web import Site

from .errors import DaemonCannotStart
from .listen_address import ListenAddress
from .tls_service import TLSService

#: The prefix of endpoints that speak TLS.
TLS_PREFIX = "tls:"

#: When the kernel gives up on a silent peer: after so many idle seconds it probes,
#: every so many seconds, so many times (tcp(7)).
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 3,
}


class SiteFactory(ServerFactory):
    """
    Gives new connections to the daemon's site.

    Listening comes first, while the daemon may still open a port below 1024; its site
    comes last, when the state is open. The reactor accepts nothing before that.
    """

    noisy = False

    def __init__(self, site: Callable[[], Site]) -> None:
        self._site = site

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._site().buildProtocol(addr)


@define(eq=False)
class Listener(Service):
    """
    Listens on an endpoint, or stops the daemon with the reason why it cannot.

    L{strports.service} would print a traceback, and does not tell the address.
    """

    _description: str
    _endpoint: IStreamServerEndpoint
    _factory: IProtocolFactory
    _tls: TLSService | None = None
    port: IListeningPort | None = field(default=None, init=False)

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        failed: list[Failure] = []
        listening = self._endpoint.listen(self._factory)
        # Endpoints of servers fire at once, though they return a Deferred.
        listening.addCallbacks(self._listening, failed.append)
        if failed:
            reason = _reason(self._description, failed[0])
            raise DaemonCannotStart(f"shellstream: {reason}")

    def address(self) -> ListenAddress | None:
        """The address that it listens on; L{None} if it does not listen yet."""
        if self.port is None:
            return None
        ours = self._description.startswith(TLS_PREFIX)
        secure = ours or self._description.startswith("ssl:")
        pin = self._tls.fingerprint if ours and self._tls is not None else None
        return ListenAddress(self.port.getHost(), "https" if secure else "http", pin)

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        return None if self.port is None else self.port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        if isinstance(port, Port):
            # The connections that it accepts inherit these options.
            port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                port.socket.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(description: str, failure: Failure) -> str:
    error = failure.value
    if not isinstance(error, CannotListenError):
        return f"cannot listen on {description}: {error}"
    where = f"{error.interface}:{error.port}" if error.interface else error.port
    why = getattr(error.socketError, "strerror", None) or error.socketError
    advice = "choose another --port or --interface"
    if isinstance(error.socketError, socket.gaierror):
        advice = "--interface takes an address, such as 0.0.0.0 for all"
    return f"cannot listen on {where}: {why}; {advice}"
