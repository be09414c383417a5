"""Notifications by HTTP, with treq."""

from email.utils import parsedate_to_datetime
from typing import Any

from attrs import define
from treq.client import HTTPClient
from twisted.internet import error as neterror
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from shellstream import __version__
from shellstream.config.notification import Notification
from shellstream.model.events import WallClock

from .attempt import Attempt, Result
from .message import Message

#: How much of an answer is kept, and how much a server may send at all, in bytes.
KEPT, MOST = 4096, 1 << 16

#: The longest time that a server may ask us to wait, in seconds.
MOST_WAIT = 6 * 3600.0

#: Answers after which the same request may succeed: a server that is busy, or whose
#: own server is away. All others of 400 and above would only be repeated.
_TEMPORARY = {408, 421, 423, 425, 429}


@define(eq=False)
class HttpSender:
    """
    Sends requests.

    @ivar _client: see L{http_client}.
    """

    _client: HTTPClient
    _reactor: Any
    _wall: WallClock

    async def send(self, to: Notification, message: Message) -> Attempt:
        """Send a request. What fails is in the result; cancel it to end it early."""
        text, kind = message.text_for(to)
        headers = Headers({"User-Agent": [f"shellstream/{__version__}"]})
        headers.setRawHeaders("Shellstream-Delivery", [message.delivery])
        has_body = to.method not in ("GET", "HEAD")
        if has_body:
            headers.setRawHeaders("Content-Type", [kind])
        for name, value in message.headers_for(to).items():
            headers.setRawHeaders(name, [value.encode()])
        try:
            response = await self._client.request(
                to.method,
                message.url_for(to),
                headers=headers,
                data=text.encode("utf-8", "replace") if has_body else None,
                unbuffered=True,
                allow_redirects=False,  # they could send the headers to another host
                reactor=self._reactor,  # or treq would install the global one
            )
            answer = await _Reader.read(response)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # a later attempt may work
            return Attempt(Result.LATER, _describe(error))
        return self._judge(response, answer)

    def _judge(self, response: Any, answer: bytes) -> Attempt:
        code: int = response.code
        detail = f"HTTP {code}"
        if 200 <= code < 300:
            return Attempt(Result.DELIVERED, detail, answer)
        if 300 <= code < 400:
            detail += ": it redirects, which is not followed; put that address into url"
            return Attempt(Result.NEVER, detail, answer)
        if code < 500 and code not in _TEMPORARY:
            return Attempt(Result.NEVER, detail, answer)
        wait = self._retry_after(response.headers.getRawHeaders("retry-after", [""])[0])
        return Attempt(Result.LATER, detail, answer, wait)

    def _retry_after(self, text: str) -> float:
        """The seconds that a C{Retry-After} asks for; 0 if it is malformed."""
        try:
            seconds = float(text) if text.isascii() and text.isdigit() else None
            if seconds is None:
                seconds = parsedate_to_datetime(text).timestamp() - self._wall() / 1e6
        except (ValueError, OverflowError):
            return 0.0
        return min(max(0.0, seconds), MOST_WAIT)


def http_client(reactor: Any, agent: IAgent | None = None) -> HTTPClient:
    """
    A client that verifies certificates, opens a connection for each request, and reads
    no more than L{MOST} bytes of an answer.

    @param agent: by default one that connects.
    """
    if agent is None:
        endpoints = _Endpoints(reactor, BrowserLikePolicyForHTTPS())
        agent = Agent.usingEndpointFactory(reactor, endpoints)
    return HTTPClient(_PlainAgent(agent), data_to_body_producer=_Bytes)


@implementer(IAgent)
@define(eq=False)
class _PlainAgent:
    """Accepts no compression: treq would unpack any amount."""

    _agent: IAgent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # IAgent's name
    ) -> "Deferred[IResponse]":
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("accept-encoding", ["identity"])
        asked = self._agent.request(method, uri, headers, bodyProducer)
        return asked.addCallback(_without_encoding)


def _without_encoding(response: IResponse) -> IResponse:
    for name in ("content-encoding", "set-cookie"):
        response.headers.removeHeader(name)
    return response


@implementer(IBodyProducer)
class _Bytes:
    """
    Produces a body at once. treq's own producer would use the cooperator of the global
    reactor.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Everything was written at the start."""

    def resumeProducing(self) -> None:
        """Everything was written at the start."""

    def stopProducing(self) -> None:
        """Everything was written at the start."""


class _Reader(Protocol):
    """Reads the beginning of a body, and closes the connection behind it."""

    transport: Any

    def __init__(self) -> None:
        self._data = b""
        self._done: Deferred[bytes] = Deferred(lambda _: self._stop())

    @classmethod
    def read(cls, response: IResponse) -> "Deferred[bytes]":
        """Fires with what there is, also of an answer that is cut: its code counts."""
        reader = cls()
        response.deliverBody(reader)
        return reader._done  # its own

    def dataReceived(self, data: bytes) -> None:
        self._data = (self._data + data)[:KEPT]
        if len(self._data) == KEPT:
            self._stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._done.called:
            self._done.callback(self._data)

    def _stop(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        (abort or self.transport.loseConnection)()


class _Bounded(ProtocolWrapper):
    """A connection that ends when the other side has sent too much."""

    _received = 0

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MOST:
            self.abortConnection()
        else:
            super().dataReceived(data)


@implementer(IAgentEndpointFactory)
@define(eq=False)
class _Endpoints:
    """Makes the endpoint of a request."""

    _reactor: Any
    _policy: IPolicyForHTTPS

    def endpointForURI(self, uri: URI) -> Any:
        return _Endpoint(self._reactor, uri, self._policy)


@define(eq=False)
class _Endpoint:
    """Connects to a host, by TLS for C{https}."""

    _reactor: Any
    _uri: URI
    _policy: IPolicyForHTTPS

    def connect(self, factory: IProtocolFactory) -> "Deferred[Any]":
        from twisted.internet.endpoints import HostnameEndpoint

        made: Any = factory
        made.noisy = False  # it would log all that it is made of
        wrapping: Any = WrappingFactory(factory)
        wrapping.protocol, wrapping.noisy = _Bounded, False
        uri = self._uri
        tcp = HostnameEndpoint(self._reactor, uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"http":
            return tcp.connect(wrapping).addCallback(_inner)
        # Late: it loads OpenSSL, which plain HTTP does without.
        from twisted.protocols.tls import TLSMemoryBIOFactory

        creator = self._policy.creatorForNetloc(uri.host, uri.port)
        tls = TLSMemoryBIOFactory(creator, True, wrapping, self._reactor)
        return tcp.connect(tls).addCallback(_inner).addCallback(_inner)


def _inner(connection: Any) -> Any:
    return connection.wrappedProtocol


def _describe(error: BaseException | None) -> str:
    """An error in few words, none of which the server has chosen."""
    match error:
        case ResponseFailed() | RequestTransmissionFailed() if error.reasons:
            return _describe(error.reasons[0].value)
        case neterror.DNSLookupError():
            return "its host has no address"
        case neterror.ConnectionRefusedError():
            return "the connection was refused"
        case neterror.TimeoutError():
            return "no answer to the connection attempt"
        case neterror.ConnectionDone() | neterror.ConnectionLost():
            return "the connection was closed without an answer"
    # By name: to import their classes would load OpenSSL for plain HTTP.
    module = type(error).__module__
    if module.startswith("OpenSSL"):
        return "TLS failed: its certificate is not trusted, or it speaks no TLS"
    if module.startswith("service_identity"):
        return "TLS failed: its certificate is for another host"
    return type(error).__name__
