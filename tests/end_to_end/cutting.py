"""A proxy that dies: it cuts each connection behind so many bytes of the answer."""

from collections.abc import Iterable
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.protocols import portforward
from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon


class _Upstream(portforward.ProxyClient):
    """The proxy's connection to the daemon."""

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
                self.peer.factory.cut()
                self.peer.transport.unregisterProducer()  # or it would wait for it
                self.peer.transport.loseConnection()
                self.transport.abortConnection()


class _UpstreamFactory(portforward.ProxyClientFactory):
    protocol = _Upstream


class _Downstream(portforward.ProxyServer):
    clientProtocolFactory = _UpstreamFactory


class Cutting(portforward.ProxyFactory):
    """
    Cuts connections behind the first of C{limits}, once one is cut behind the next;
    when they are used up, it cuts none any more.

    @ivar cuts: how many it has cut.
    """

    protocol = _Downstream

    def __init__(self, port: int, limits: Iterable[int]) -> None:
        super().__init__("127.0.0.1", port)
        self._limits = iter(limits)
        self.limit = next(self._limits, None)
        self.cuts = 0
        self.url = ""

    def cut(self) -> None:
        """One was cut."""
        self.cuts += 1
        self.limit = next(self._limits, None)


async def cutting(test: TestCase, daemon: Daemon, limits: Iterable[int]) -> Cutting:
    """Such a proxy before a daemon, for the time of a test."""
    proxy = Cutting(daemon.port, limits)
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    listening: Any = await endpoint.listen(proxy)
    test.addCleanup(listening.stopListening)
    proxy.url = f"http://127.0.0.1:{listening.getHost().port}"
    return proxy
