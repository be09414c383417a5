"""A proxy that cuts each connection after a certain number of response bytes."""

from collections.abc import Iterable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols import portforward
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon

P = TypeVar("P", bound="CuttingProxy")


class _Upstream(portforward.ProxyClient):
    """The connection to the daemon."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self._left = self.peer.factory.limit

    def dataReceived(self, data: bytes) -> None:
        if self._left is None:
            super().dataReceived(data)
        elif self._left > 0:
            super().dataReceived(data[: self._left])
            self._left -= len(data)
            if self._left <= 0:
                self.peer.factory.count_cut()
                # As long as there is a producer, loseConnection() waits for it.
                self.peer.transport.unregisterProducer()
                self.peer.transport.loseConnection()
                self.transport.abortConnection()


class _UpstreamFactory(portforward.ProxyClientFactory):
    protocol = _Upstream


class _Downstream(portforward.ProxyServer):
    clientProtocolFactory = _UpstreamFactory


class CuttingProxy(portforward.ProxyFactory):
    """
    Cuts connections after the first of C{limits} bytes until it has cut one, then after
    the next limit; when there are no more limits, connections live.

    @ivar cuts: how many connections it has cut.
    @ivar url: where it listens.
    """

    protocol = _Downstream

    def __init__(self, port: int, limits: Iterable[int]) -> None:
        super().__init__("127.0.0.1", port)
        self._limits = iter(limits)
        self.limit = next(self._limits, None)
        self.cuts = 0
        self.url = ""

    def count_cut(self) -> None:
        """Go on to the next limit."""
        self.cuts += 1
        self.limit = next(self._limits, None)


async def start_cutting_proxy(
    test: TestCase, daemon: Daemon, limits: Iterable[int]
) -> CuttingProxy:
    """Put the proxy before a daemon until the test ends."""
    return await listen(test, CuttingProxy(daemon.port, limits))


async def listen(test: TestCase, proxy: P) -> P:
    """Open a proxy until the test ends."""
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    listening: Any = await endpoint.listen(proxy)
    test.addCleanup(listening.stopListening)
    proxy.url = f"http://127.0.0.1:{listening.getHost().port}"
    return proxy


class _Switched(_Downstream):
    """A client's connection."""

    def connectionMade(self) -> None:
        if self.factory.is_cut:
            self.transport.abortConnection()
            return
        self.factory.connections.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.discard(self)
        super().connectionLost(reason)


class SwitchedProxy(CuttingProxy):
    """Cuts all connections, and takes no new ones, from L{cut} until L{mend}."""

    protocol = _Switched

    def __init__(self, port: int) -> None:
        super().__init__(port, ())
        self.connections = set[_Switched]()
        self.is_cut = False

    def cut(self) -> None:
        """Break all connections."""
        self.is_cut = True
        for each in tuple(self.connections):
            each.transport.unregisterProducer()
            each.transport.abortConnection()

    def mend(self) -> None:
        """Let connections live again."""
        self.is_cut = False
