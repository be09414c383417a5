"""
Proxies that cut streams at a certain age, as Envoy does, or after a silence; and one
that delays what a server sends.
"""

from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyServer
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon


class _Upstream(ProxyClient):
    """The connection to the server."""

    peer: "_TimedProxy"

    def dataReceived(self, data: bytes) -> None:
        self.peer.restart_timer()
        super().dataReceived(data)


class _UpstreamFactory(ProxyClientFactory):
    protocol = _Upstream
    noisy = False


class _TimedProxy(ProxyServer):
    """The connection to the client, and the timer that ends it."""

    clientProtocolFactory = _UpstreamFactory
    factory: "_TimedProxyFactory"  # type: ignore[assignment]  # it has all that is used
    _cut: IDelayedCall

    def connectionMade(self) -> None:
        super().connectionMade()
        abort = self.transport.abortConnection
        self._cut = reactor.callLater(self.factory.seconds, abort)

    def restart_timer(self) -> None:
        """Take note that something came from the server: that ends a silence."""
        if self.factory.idle and self._cut.active():
            self._cut.reset(self.factory.seconds)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cut.active():
            self._cut.cancel()
        super().connectionLost(reason)


class _TimedProxyFactory(ServerFactory):
    protocol = _TimedProxy  # type: ignore[assignment]
    noisy = False
    host = "127.0.0.1"

    def __init__(self, port: int, seconds: float, *, idle: bool) -> None:
        self.port = port
        self.seconds = seconds
        self.idle = idle


def start_timed_proxy(
    test: TestCase, daemon: Daemon, seconds: float, *, idle: bool = False
) -> str:
    """
    Put the proxy before a daemon; returns its URL.

    @param seconds: the age at which it cuts, or with C{idle} the length of silence.
    """
    factory = _TimedProxyFactory(daemon.port, seconds, idle=idle)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    test.addCleanup(port.stopListening)
    return f"http://127.0.0.1:{port.getHost().port}"


class _DelayingUpstream(ProxyClient):
    """The connection to the server, whose bytes and end arrive later."""

    def dataReceived(self, data: bytes) -> None:
        self.factory.later(super().dataReceived, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.later(super().connectionLost, reason)


class _DelayingProxy(ProxyServer):
    factory: "_DelayingFactory"  # type: ignore[assignment]  # it has all that is used

    def clientProtocolFactory(self) -> ProxyClientFactory:  # type: ignore[override]
        made = ProxyClientFactory()
        made.protocol, made.noisy = _DelayingUpstream, False
        made.later = self.factory.later
        return made


class _DelayingFactory(ServerFactory):
    protocol = _DelayingProxy  # type: ignore[assignment]
    noisy = False
    host = "127.0.0.1"

    def __init__(self, port: int, delay: float) -> None:
        self.port = port
        self.delay = delay
        self.waiting: set[IDelayedCall] = set()

    def later(self, call: Callable[..., None], argument: object) -> None:
        """Make a call after the delay."""

        def make() -> None:
            self.waiting.remove(waiting)
            call(argument)

        waiting = reactor.callLater(self.delay, make)
        self.waiting.add(waiting)

    def forget(self) -> None:
        """Make none of the calls that wait."""
        for each in self.waiting:
            each.cancel()


def start_delaying_proxy(test: TestCase, daemon: Daemon, delay: float) -> str:
    """Put a proxy before a daemon that delays all of its output; returns its URL."""
    factory = _DelayingFactory(daemon.port, delay)
    test.addCleanup(factory.forget)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    test.addCleanup(port.stopListening)
    return f"http://127.0.0.1:{port.getHost().port}"
