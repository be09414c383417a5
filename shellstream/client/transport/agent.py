"""An agent that knows how its connections ended, which Twisted's forgets."""

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

from .happy_eyeballs import HappyEyeballsEndpoint

#: What is read of a connection at once, in bytes, twice what Twisted does: little
#: enough to stay in a processor's cache.
_AT_ONCE = 1 << 17

#: The most that is read of an answer's head, in bytes.
_MAX_HEAD = 1 << 16


class HeadTooLong(Exception):
    """The headers of an answer have no end."""


class _Connection(ProtocolWrapper):
    """
    @ivar headed: whether the headers of the answer have come.
    @ivar lost: why it ended, unless in good order.
    """

    headed = False
    lost: Failure | None = None
    _head = 0

    def makeConnection(self, transport: Any) -> None:
        transport.bufferSize = _AT_ONCE
        # Where nothing else tells that the other side is gone.
        transport.setTcpKeepAlive(True)
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._head += len(data)
        if self.headed or self.lost is not None:
            return
        # A line that is too long has Twisted close the connection without a word.
        if self.disconnecting or self._head > _MAX_HEAD:
            why = f"its headers are longer than {_MAX_HEAD} bytes, or a line of them"
            self.lost = Failure(HeadTooLong(f"{why} than {LineReceiver.MAX_LENGTH}"))
            self.abortConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if self.lost is None and not reason.check(ConnectionDone):
            self.lost = reason
        super().connectionLost(self.lost or reason)


@implementer(IStreamClientEndpoint)
class _Watched:
    """
    An endpoint that remembers the connection that it made.

    @ivar tcp: the same without TLS.
    """

    connection: _Connection

    def __init__(
        self, reactor: Any, uri: URI, creator: IOpenSSLClientConnectionCreator | None
    ) -> None:
        self.host = uri.host.decode("ascii")
        self.tcp = HappyEyeballsEndpoint(reactor, self.host, uri.port)
        self._reactor = reactor
        self._creator = creator

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":  # noqa: N803  # the interface's name
        wrapping = WrappingFactory(protocolFactory)
        wrapping.protocol = _Connection
        wrapping.noisy = False
        if self._creator is None:
            return self.tcp.connect(wrapping).addCallback(self._connected)
        from twisted.protocols.tls import TLSMemoryBIOFactory

        # Not wrapClientTLS(), which would have the global reactor send what is sent.
        tls = TLSMemoryBIOFactory(self._creator, True, wrapping, self._reactor)
        return self.tcp.connect(tls).addCallback(self._connected_over_tls)

    def _connected(self, connection: Any) -> IProtocol:
        self.connection = connection
        return connection.wrappedProtocol  # type: ignore[no-any-return]

    def _connected_over_tls(self, tls: Any) -> IProtocol:
        return self._connected(tls.wrappedProtocol)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Makes the endpoint of one request."""

    watched: _Watched

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported(f"Unsupported scheme: {uri.scheme!r}")
        if not uri.host:
            raise ValueError("it names no host")
        creator = None
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
        self.watched = _Watched(self._reactor, uri, creator)
        return self.watched


class _Body(proxyForInterface(IProtocol, "original")):  # type: ignore[misc]
    """Takes a body, and is told of its end what the connection knows of it."""

    def __init__(self, original: IProtocol, connection: _Connection) -> None:
        super().__init__(original)
        self._connection = connection

    def connectionLost(self, reason: Failure) -> None:
        # Only an orderly end can be the end of an answer that tells no length.
        if reason.check(PotentialDataLoss) and self._connection.lost is not None:
            reason = Failure(ResponseFailed([self._connection.lost]))
        self.original.connectionLost(reason)


class _Response(proxyForInterface(IResponse, "original")):  # type: ignore[misc]
    def __init__(self, original: IResponse, connection: _Connection) -> None:
        super().__init__(original)
        self._connection = connection

    def deliverBody(self, protocol: IProtocol) -> None:
        self.original.deliverBody(_Body(protocol, self._connection))


@implementer(IAgent)
class ConnectionPerRequestAgent:
    """Opens a connection for each request."""

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._policy = policy

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # IAgent's name
    ) -> "Deferred[IResponse]":
        endpoints = _Endpoints(self._reactor, self._policy)
        agent = Agent.usingEndpointFactory(self._reactor, endpoints)

        def answered(response: IResponse) -> IResponse:
            connection = endpoints.watched.connection
            connection.headed = True
            return _Response(response, connection)

        asked = agent.request(method, uri, headers, bodyProducer)
        if uri.startswith(b"https:"):
            asked.addErrback(self._explained, endpoints)
        return asked.addCallback(answered)  # type: ignore[no-any-return]

    def _explained(
        self, failure: Failure, endpoints: _Endpoints
    ) -> "Failure | Deferred[Failure]":
        from .pinned_openssl import explain_refusal

        watched = endpoints.watched
        return explain_refusal(failure, watched.host, watched.tcp, self._reactor)
