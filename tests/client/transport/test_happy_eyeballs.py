"""Tests for L{shellstream.client.transport.happy_eyeballs}.

Which address of a host is taken.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet import error as neterror
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.client.transport.happy_eyeballs import HappyEyeballsEndpoint
from shellstream.client.transport.wire import CONNECT_TIMEOUT
from tests.support.resolvers import FakeResolver


class AddressTests(SynchronousTestCase):
    """The first address that answers is taken."""

    def connect(self, host: str, found: Sequence[str] | None) -> "Deferred[IProtocol]":
        """Connect to a host whose addresses are these."""
        self.reactor: Any = MemoryReactorClock()
        self.resolver = self.reactor.nameResolver = FakeResolver(found)
        endpoint = HappyEyeballsEndpoint(self.reactor, host, 80)
        verifyObject(IStreamClientEndpoint, endpoint)
        verifyObject(IHostnameResolver, self.resolver)
        verifyObject(IHostResolution, self.resolver.resolution)
        return endpoint.connect(Factory.forProtocol(Protocol))

    @property
    def tried(self) -> list[str]:
        """The addresses that were tried until now."""
        return [host for host, *_ in self.reactor.tcpClients]

    def failed(self, index: int, error: Exception) -> None:
        """An attempt fails."""
        factory = self.reactor.tcpClients[index][2]
        factory.clientConnectionFailed(None, Failure(error))
        self.reactor.advance(0)

    def answer(self, index: int) -> Any:
        """An attempt succeeds."""
        protocol = self.reactor.tcpClients[index][2].buildProtocol(None)
        protocol.makeConnection(StringTransport())
        return protocol

    def test_numbers(self) -> None:
        """A number is not looked up."""
        for host in ("127.0.0.1", "::1", "fe80::1%eth0"):
            done = self.connect(host, None)
            ((tried, port, _, timeout, _),) = self.reactor.tcpClients
            self.assertEqual((tried, port, timeout), (host, 80, CONNECT_TIMEOUT))
            self.answer(0)
            self.assertIsInstance(self.successResultOf(done), Protocol)

    def test_zone(self) -> None:
        """The link-local address of a name is reached by the interface it is at."""
        self.connect("pi.local", ["fe80::1%3"])
        self.assertEqual(self.tried, ["fe80::1%3"])

    def test_refused(self) -> None:
        """After a refusal the next address is tried at once."""
        done = self.connect("h", ["::1", "127.0.0.1"])
        self.assertEqual(self.tried, ["::1"])
        self.failed(0, neterror.ConnectionRefusedError())
        self.assertEqual(self.tried, ["::1", "127.0.0.1"])
        self.answer(1)
        self.assertIsInstance(self.successResultOf(done), Protocol)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_slow(self) -> None:
        """Beside one that is slow the next is tried soon; the others are left."""
        done = self.connect("h", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        self.reactor.advance(0.2)
        self.assertEqual(self.tried, ["10.0.0.1"])
        self.reactor.advance(0.1)
        self.assertEqual(self.tried, ["10.0.0.1", "10.0.0.2"])
        self.answer(1)
        self.assertIsInstance(self.successResultOf(done), Protocol)
        self.reactor.advance(60)
        self.assertEqual(self.tried, ["10.0.0.1", "10.0.0.2"])

    def test_none(self) -> None:
        """
        If no address answers, the first error is raised; no address is an unknown host.
        """
        done = self.connect("h", ["10.0.0.1", "10.0.0.2"])
        self.failed(0, neterror.ConnectionRefusedError())
        self.failed(1, neterror.TimeoutError())
        self.failureResultOf(done, neterror.ConnectionRefusedError)
        self.failureResultOf(self.connect("h", []), neterror.DNSLookupError)

    def test_cancelled(self) -> None:
        """Cancelling ends the lookup and all attempts."""
        done = self.connect("h", None)
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.resolver.resolution.cancelled)
