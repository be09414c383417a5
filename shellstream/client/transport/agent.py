"""
An agent that tells a broken connection from the end of a response.

Twisted's Agent reports both as C{PotentialDataLoss} where a response has neither a
length nor chunks; only its connection knows whether it was reset.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from shellstream.client.urls import host_header

from .happy_eyeballs import HappyEyeballsEndpoint
from .trust import Trust
from .wire import ALWAYS

#: Bytes to read at once, twice Twisted's default; more would not stay in the cache of a
#: small processor.
_READ_SIZE = 1 << 17

#: The largest head of a response, in bytes.
_MAX_HEAD = 1 << 16


#: How TLS reports that what came is not TLS: an alert record (RFC 8446, section 5.1).
_ALERT = b"\x15\x03"


class HeadTooLong(Exception):
    """The headers of a response are too long."""


class Compressed(Exception):
    """A response is compressed, though every request asks that it is not."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"it is compressed with {encoding[:20]}, which was not asked for; a proxy "
            "before the server may do that"
        )


class SpeaksTLS(Exception):
    """A server expects TLS where none was asked for."""


class _Connection(ProtocolWrapper):
    """
    A connection that limits the size of a response's head, and keeps its error.

    @ivar head_received: whether the head of the response is complete.
    @ivar lost: why the connection broke; L{None} if it was closed in good order.
    """

    head_received = False
    lost: Failure | None = None
    _received = 0

    def makeConnection(self, transport: Any) -> None:
        transport.bufferSize = _READ_SIZE
        # Tells of a server that vanished while we only wait for it.
        transport.setTcpKeepAlive(True)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        if not self._received and data.startswith(_ALERT):
            self.lost = Failure(SpeaksTLS("it expects TLS at this port; try https://"))
            self.abortConnection()
            return
        super().dataReceived(data)
        self._received += len(data)
        if self.head_received or self.lost is not None:
            return
        # For a line that is too long Twisted closes the connection without an error.
        if self.disconnecting or self._received > _MAX_HEAD:
            why = f"its headers are longer than {_MAX_HEAD} bytes, or a line of them"
            self.lost = Failure(HeadTooLong(f"{why} than {LineReceiver.MAX_LENGTH}"))
            self.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.lost is None and not reason.check(ConnectionDone):
            self.lost = reason
        super().connectionLost(self.lost or reason)


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Endpoint:
    """The endpoint of one request, which remembers its connection."""

    connection: _Connection

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None) -> None:
        self._reactor = reactor
        self._policy = policy
        self._creator: IOpenSSLClientConnectionCreator | None = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        if not uri.host:
            raise ValueError("it names no host")
        if uri.scheme == b"https":
            policy = self._policy or Trust().policy()
            self._creator = policy.creatorForNetloc(uri.host, uri.port)
        host = uri.host.decode("ascii")
        self._tcp = HappyEyeballsEndpoint(self._reactor, host, uri.port)
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":  # noqa: N803  # the interface's name
        wrapping = WrappingFactory(protocolFactory)
        wrapping.protocol = _Connection
        wrapping.noisy = False
        if self._creator is None:
            return self._tcp.connect(wrapping).addCallback(self._connected)
        # Late, since it loads OpenSSL, which plain HTTP does without.
        from twisted.protocols.tls import TLSMemoryBIOFactory

        # Not wrapClientTLS(), which would use the global reactor to send.
        tls = TLSMemoryBIOFactory(self._creator, True, wrapping, self._reactor)
        return self._tcp.connect(tls).addCallback(self._connected_over_tls)

    def _connected(self, connection: Any) -> IProtocol:
        self.connection = connection
        return connection.wrappedProtocol  # type: ignore[no-any-return]

    def _connected_over_tls(self, tls: Any) -> IProtocol:
        return self._connected(tls.wrappedProtocol)


class _Body(proxyForInterface(IProtocol, "original")):  # type: ignore[misc]
    """Corrects the reason with which a body ends."""

    def __init__(self, original: IProtocol, connection: _Connection) -> None:
        super().__init__(original)
        self._connection = connection

    def connectionLost(self, reason: Failure) -> None:
        # Without a length, only an orderly close is the end of the body.
        if reason.check(PotentialDataLoss) and self._connection.lost is not None:
            reason = Failure(ResponseFailed([self._connection.lost]))
        self.original.connectionLost(reason)


class _Response(proxyForInterface(IResponse, "original")):  # type: ignore[misc]
    """Delivers its body through L{_Body}."""

    def __init__(self, original: IResponse, connection: _Connection) -> None:
        super().__init__(original)
        self._connection = connection

    def deliverBody(self, protocol: IProtocol) -> None:
        self.original.deliverBody(_Body(protocol, self._connection))


@implementer(IAgent)
class ConnectionPerRequestAgent:
    """Opens a connection for each request: a stream occupies one anyway."""

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None) -> None:
        """@param policy: by default the system's authorities are trusted."""
        self._reactor = reactor
        self._policy = policy

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # IAgent's name
    ) -> "Deferred[IResponse]":
        headers = Headers() if headers is None else headers.copy()
        for name, value in ALWAYS.items():  # in place of treq's offer of gzip
            headers.setRawHeaders(name, [value])
        netloc = URI.fromBytes(uri).netloc.decode("ascii")
        headers.setRawHeaders("host", [host_header(netloc)])
        endpoint = _Endpoint(self._reactor, self._policy)

        def wrap(response: IResponse) -> IResponse:
            endpoint.connection.head_received = True
            # treq would keep cookies without a bound, and send them back.
            response.headers.removeHeader("set-cookie")
            for encoding in response.headers.getRawHeaders("content-encoding", []):
                # treq would unpack any amount, and take a damaged body for a whole one.
                if encoding.lower() not in ("", "identity"):
                    endpoint.connection.abortConnection()
                    raise ResponseFailed([Failure(Compressed(encoding))])
            return _Response(response, endpoint.connection)

        agent = Agent.usingEndpointFactory(self._reactor, endpoint)
        requested = agent.request(method, uri, headers, bodyProducer)
        return requested.addCallback(wrap)  # type: ignore[no-any-return]
