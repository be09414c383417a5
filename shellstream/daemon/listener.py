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
    IProtocolNegotiationFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import ServerFactory
from twisted.internet.tcp import Port
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.web import Site

from .banner import ListenAddress
from .service import DaemonCannotStart
from .tls_service import Encryption

#: What stands before an endpoint that is to speak TLS.
TLS_PREFIX = "tls:"

#: When to doubt that a silent client is still there, in seconds (tcp(7)).
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@implementer(IProtocolNegotiationFactory)
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

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN). Twisted offers h2 where that is installed."""
        return [b"http/1.1"]


@define(eq=False)
class Listener(Service):
    """
    Listen on an endpoint, or stop the daemon and say why it cannot.

    L{strports.service} would do so with a traceback, and tells nobody where it
    came to listen.
    """

    _description: str
    _endpoint: IStreamServerEndpoint
    _factory: IProtocolFactory
    _encryption: Encryption | None = None
    port: IListeningPort | None = field(default=None, init=False)

    def privilegedStartService(self) -> None:
        Service.privilegedStartService(self)
        failed: list[Failure] = []
        listening = self._endpoint.listen(self._factory)
        listening.addCallbacks(self._listening, failed.append)
        if failed:
            raise DaemonCannotStart(
                f"shellstream: {_why(self._description, failed[0])}"
            )

    @property
    def place(self) -> ListenAddress | None:
        """Where it listens, once it does."""
        if self.port is None:
            return None
        secure = self._description.startswith(("ssl:", TLS_PREFIX))
        pin = None
        if self._encryption is not None and self._description.startswith(TLS_PREFIX):
            pin = self._encryption.fingerprint
        return ListenAddress(self.port.getHost(), "https" if secure else "http", pin)

    def stopService(self) -> "Deferred[None] | None":
        Service.stopService(self)
        return None if self.port is None else self.port.stopListening()

    def _listening(self, port: IListeningPort) -> None:
        self.port = port
        if isinstance(port, Port):
            _keep_alive(port.socket)


def _why(description: str, failure: Failure) -> str:
    error = failure.value
    if not isinstance(error, CannotListenError):
        return f"cannot listen on {description}: {error}"
    where = f"{error.interface}:{error.port}" if error.interface else error.port
    why = getattr(error.socketError, "strerror", None) or error.socketError
    return f"cannot listen on {where}: {why}; choose another --port or --interface"


def _keep_alive(listening: socket.socket) -> None:
    """Have the connections accepted here notice a peer that vanished silently."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # macOS: it has no TCP_KEEPIDLE
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
