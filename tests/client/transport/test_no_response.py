"""Tests for L{shellstream.client.transport.treq_wire}.

What keeps an answer from coming.
"""

from typing import Any

from attrs import define, field
from treq.client import HTTPClient
from twisted.internet import error as neterror
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.internet.testing import (
    MemoryReactorClock,
    StringTransportWithDisconnection,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ParseError
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import Error, SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer
from zope.interface.verify import verifyObject

from shellstream import __version__
from shellstream.client import TreqWire
from shellstream.client.errors import (
    CannotConnect,
    NoResponse,
    NoSuchHost,
    NotHTTP,
    TLSFailed,
    Usage,
)
from shellstream.client.transport.agent import ConnectionPerRequestAgent
from shellstream.client.transport.wire import CONNECT_TIMEOUT
from tests.support.resolvers import FakeResolver

URL = "http://localhost/stream"


@implementer(IAgent)
@define
class FakeAgent:
    """An agent that fails as told, and remembers its requests."""

    error: Exception = field(factory=neterror.ConnectionRefusedError)
    asked: list[tuple[bytes, bytes, Headers | None]] = field(factory=list, init=False)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803
    ) -> "Deferred[IResponse]":
        self.asked.append((method, uri, headers))
        return fail(self.error)


# As pyOpenSSL's error, by which alone it is known here.
OpenSSLError = type("Error", (Exception,), {"__module__": "OpenSSL.SSL"})


def never(error: Exception) -> ResponseNeverReceived:
    """Return an agent's error for a connection that ended with this one."""
    return ResponseNeverReceived([Failure(error)])


class UnansweredTests(SynchronousTestCase):
    """Each cause of a missing response has its own error and words."""

    def assert_error(self, error: Exception, kind: type[Exception], words: str) -> None:
        """Check that the agent's error becomes this error of ours."""
        wire = TreqWire(Clock(), HTTPClient(FakeAgent(error)))
        done = Deferred.fromCoroutine(wire.request("GET", URL, {}))
        found = self.failureResultOf(done).value
        with self.subTest(error=error):
            self.assertIs(type(found), kind)
            self.assertIn(words, str(found))
            self.assertNotIn("Traceback", str(found))

    def test_network(self) -> None:
        """Errors of the network."""
        self.assert_error(neterror.DNSLookupError("x"), NoSuchHost, "no such host")
        refused = neterror.ConnectionRefusedError()
        self.assert_error(refused, CannotConnect, "is the daemon running?")
        self.assert_error(neterror.TimeoutError(), CannotConnect, "no answer to")
        for error in (neterror.NoRouteError(), neterror.ConnectError(string="x")):
            self.assert_error(error, CannotConnect, "cannot connect")

    def test_no_http(self) -> None:
        """The errors of a server that does not speak HTTP."""
        lost = neterror.ConnectionLost()
        self.assert_error(never(lost), NoResponse, "no HTTP response")
        cut = RequestTransmissionFailed([Failure(lost)])
        self.assert_error(cut, NoResponse, "no HTTP response")
        nonsense = ResponseFailed([Failure(ValueError("bad status line"))])
        self.assert_error(nonsense, NotHTTP, "bad status line")
        self.assert_error(never(nonsense), NotHTTP, "bad status line")
        self.assert_error(Error(b"302", b"Found"), NotHTTP, "302")
        self.assert_error(ValueError("odd"), NotHTTP, f"{URL}: no HTTP response: odd")
        unparsed = ResponseFailed([Failure(ParseError("odd", b"x" * 999))])
        self.assert_error(unparsed, NotHTTP, f"odd: {b'x' * 80!r}")
        long = ResponseFailed([Failure(ValueError("y" * 9999))])
        wire = TreqWire(Clock(), HTTPClient(FakeAgent(long)))
        done = Deferred.fromCoroutine(wire.request("GET", URL, {}))
        self.assertLess(len(str(self.failureResultOf(done).value)), 400)

    def test_tls(self) -> None:
        """TLS errors are reported in their own words, however they are wrapped."""
        refused = OpenSSLError([("SSL routines", "", "certificate verify failed")])
        self.assert_error(never(refused), TLSFailed, "certificate verify failed")
        self.assert_error(never(never(refused)), TLSFailed, "certificate verify failed")
        self.assert_error(never(OpenSSLError(["odd"])), TLSFailed, "TLS failed: odd")
        self.assert_error(never(OpenSSLError([])), TLSFailed, "TLS failed")
        self.assert_error(never(OpenSSLError()), TLSFailed, "TLS failed: Error")

    def test_usage(self) -> None:
        """The errors of a bad request."""
        self.assert_error(SchemeNotSupported("x"), Usage, "only http:// and https://")

    def test_unforeseen(self) -> None:
        """An unforeseen error is raised as it is."""
        self.assert_error(ZeroDivisionError("x"), ZeroDivisionError, "x")


def connect(factory: Any) -> tuple[Any, bytes]:
    """Let a client connect; returns its connection, and its request in lower case."""
    connection = factory.buildProtocol(None)
    transport = StringTransportWithDisconnection()
    transport.protocol = connection
    transport.bufferSize, transport.setTcpKeepAlive = 0, lambda enabled: None
    connection.makeConnection(transport)
    return connection, transport.value().lower()


class AgentTests(SynchronousTestCase):
    """Requests ask for bytes as they are."""

    def test_verified(self) -> None:
        """The agent provides the interface that treq needs, and so does the fake."""
        verifyObject(IAgent, FakeAgent())
        verifyObject(IAgent, ConnectionPerRequestAgent(MemoryReactorClock()))

    def test_headers(self) -> None:
        """The client offers no compression, whatever the agent's default."""
        sent = Headers({"accept-encoding": ["gzip"], "x-other": ["1"]})
        for headers in (None, sent):
            reactor: Any = MemoryReactorClock()
            agent = ConnectionPerRequestAgent(reactor)
            asked = agent.request(b"GET", b"http://127.0.0.1/", headers)
            ((_, _, factory, _, _),) = reactor.tcpClients
            connection, found = connect(factory)
            self.assertIn(b"accept-encoding: identity\r\n", found)
            self.assertIn(b"user-agent: shellstream/%s" % __version__.encode(), found)
            self.assertNotIn(b"gzip", found)
            connection.connectionLost(Failure(neterror.ConnectionDone()))
            self.failureResultOf(asked, ResponseNeverReceived)
        self.assertIn(b"x-other: 1\r\n", found)
        self.assertEqual(sent.getRawHeaders("accept-encoding"), ["gzip"])

    def test_connects(self) -> None:
        """A client connects where the URL says, and does not wait for ever."""
        reactor: Any = MemoryReactorClock()
        url = "http://127.0.0.1:8001/stream"
        done = Deferred.fromCoroutine(TreqWire(reactor).request("GET", url, {}))
        ((host, port, factory, timeout, _),) = reactor.tcpClients
        self.assertEqual((host, port, timeout), ("127.0.0.1", 8001, CONNECT_TIMEOUT))
        refused = neterror.ConnectionRefusedError()
        factory.clientConnectionFailed(None, Failure(refused))
        reactor.advance(CONNECT_TIMEOUT)
        error = self.failureResultOf(done, CannotConnect).value
        self.assertEqual(error.url, url)

    def test_hosts(self) -> None:
        """The host is asked for as the URL has it; a zone is for this machine only."""
        for netloc, connected, host in (
            ("127.0.0.1", "127.0.0.1:80", b"127.0.0.1"),
            ("[::1]:8000", "::1:8000", b"[::1]:8000"),
            ("[fe80::1%eth0]", "fe80::1%eth0:80", b"[fe80::1]"),
            ("my_pi:8000", "192.0.2.1:8000", b"my_pi:8000"),
            ("ab--cd.local.", "192.0.2.1:80", b"ab--cd.local."),
        ):
            reactor: Any = MemoryReactorClock()
            reactor.nameResolver = FakeResolver(["192.0.2.1"])
            wire = TreqWire(reactor)
            path = "/a//b;c/%zz?d[]=%20"
            wire.request("GET", f"http://{netloc}{path}", {}).send(None)
            ((to, port, factory, *_),) = reactor.tcpClients
            self.assertEqual(f"{to}:{port}", connected)
            _, sent = connect(factory)
            self.assertIn(b"host: %s\r\n" % host, sent)
            self.assertTrue(sent.startswith(b"get %s http/1.1\r\n" % path.encode()))
