"""A proxy that cuts: after a time in all, as Envoy does, or after a silence."""

from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyServer
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon


class _Server(ProxyClient):
    """The way to the server."""

    peer: "_Cutting"

    def dataReceived(self, data: bytes) -> None:
        self.peer.passed()
        super().dataReceived(data)


class _ServerFactory(ProxyClientFactory):
    protocol = _Server
    noisy = False


class _Cutting(ProxyServer):
    """The way to the client, and the time that it has."""

    clientProtocolFactory = _ServerFactory
    factory: "_CuttingFactory"  # type: ignore[assignment]  # it has all that is used
    _cut: IDelayedCall

    def connectionMade(self) -> None:
        super().connectionMade()
        abort = self.transport.abortConnection
        self._cut = reactor.callLater(self.factory.seconds, abort)

    def passed(self) -> None:
        """Something came from the server."""
        if self.factory.idle and self._cut.active():
            self._cut.reset(self.factory.seconds)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cut.active():
            self._cut.cancel()
        super().connectionLost(reason)


class _CuttingFactory(ServerFactory):
    protocol = _Cutting  # type: ignore[assignment]
    noisy = False
    host = "127.0.0.1"

    def __init__(self, port: int, seconds: float, *, idle: bool) -> None:
        self.port = port
        self.seconds = seconds
        self.idle = idle


def cutting(
    test: TestCase, daemon: Daemon, seconds: float, *, idle: bool = False
) -> str:
    """Open a way through a proxy that cuts; gives the URL to ask."""
    factory = _CuttingFactory(daemon.port, seconds, idle=idle)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    test.addCleanup(port.stopListening)
    return f"http://127.0.0.1:{port.getHost().port}"
