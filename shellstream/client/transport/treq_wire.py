"""The client's HTTP for Twisted programs, by treq."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet import error as neterror
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import Error, SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from shellstream.client.errors import (
    CannotConnect,
    CutShort,
    NoResponse,
    NoSuchHost,
    NotHTTP,
    ServerError,
    TLSFailed,
    Usage,
)
from shellstream.client.urls import http_url

from .agent import ConnectionPerRequestAgent
from .tls_errors import UntrustedCertificate, explain
from .wire import READ_AHEAD


@implementer(IBodyProducer)
class _Bytes:
    """
    Produces a request's body at once. treq's own producer for bytes reads them like a
    file, with the cooperator of the global reactor.
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


class _LiteralURL(EncodedURL):
    """
    A URL that is sent as it is. treq asks its URL for the form to send, and hyperlink
    has none for an IPv6 address, for a zone, and for the names that IDNA refuses.
    """

    def __init__(self, url: str) -> None:
        super().__init__("http", "unused")
        self._text = url

    def to_uri(self) -> "_LiteralURL":
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._text


#: The most characters of a reason, of which a server may have chosen some.
_MOST_REASON = 300

#: For a Deferred, what a coroutine of some event loop can await.
ToAwaitable = Callable[["Deferred[Any]"], Awaitable[Any]]


def http_client(reactor: Any, policy: IPolicyForHTTPS | None = None) -> HTTPClient:
    """
    A client that opens a connection for each request and offers no gzip.

    @param policy: which certificates to accept, such as L{Trust.policy}'s; by default
        those of the system's authorities.
    """
    agent = ConnectionPerRequestAgent(reactor, policy)
    return HTTPClient(agent, data_to_body_producer=_Bytes)


class TreqWire:
    """
    A L{Wire} of Deferreds.

    @ivar to_awaitable: makes a Deferred something that the caller's loop can await.
    """

    to_awaitable: ToAwaitable = staticmethod(lambda waiting: waiting)

    def __init__(self, reactor: Any, http: HTTPClient | None = None) -> None:
        """
        @param reactor: tells the time, and connects unless C{http} does.
        @param http: by default L{http_client}'s. Another one may have a proxy, a pool,
            or be one of L{treq.testing}.
        """
        self._reactor = reactor
        self._clock: IReactorTime = reactor
        self._http = http_client(reactor) if http is None else http

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,  # the wire's contract
    ) -> "TreqResponse":
        try:
            requested = self._http.request(
                method,
                _LiteralURL(http_url(url)),
                headers=Headers({name: [value] for name, value in headers.items()}),
                data=body,
                unbuffered=True,  # or treq would keep the whole body in memory
                allow_redirects=False,  # they could send the token to another server
                reactor=self._reactor,  # or treq would install the global one
            )
            if timeout is not None:
                requested.addTimeout(
                    timeout, self._clock, onTimeoutCancel=_raise_timeout
                )
            response = await self.to_awaitable(requested)
        except Exception as error:
            raise request_error(url, error, timeout) from error
        return TreqResponse(url, response, self._clock, self.to_awaitable)

    async def sleep(self, seconds: float) -> None:
        await deferLater(self._clock, seconds)

    def seconds(self) -> float:
        return self._clock.seconds()


class TreqResponse(Protocol):
    """
    A L{Response}, which is the protocol that its body is delivered to: the transport
    of that is a push producer, so the body can be paused. treq's C{collect} does not
    show its transport.
    """

    transport: Any

    def __init__(
        self, url: str, response: Any, clock: IReactorTime, to_awaitable: ToAwaitable
    ) -> None:
        self.status: int = response.code
        self.phrase: str = response.phrase.decode("latin-1")
        self.headers: Mapping[str, str] = {
            name.decode("ascii").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        self._url = url
        self._clock = clock
        self._to_awaitable = to_awaitable
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._closed = self._paused = self._ended = False
        self._error: CutShort | None = None
        self._waiting: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._timeout: float | None = None
        response.deliverBody(self)

    async def read(self, timeout: float | None = None) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._set_paused(False)
            self._set_timeout(timeout)
            self._waiting = Deferred()
            try:
                await self._to_awaitable(self._waiting)
            finally:
                self._waiting = None
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        return data

    def close(self) -> None:
        if not (self._closed or self._ended):
            self._closed = True
            self._set_timeout(None)
            self.transport.loseConnection()

    def _set_timeout(self, timeout: float | None) -> None:
        """Have L{_time_out} called after so many seconds of silence, or never."""
        # One timer for all reads: the reactor keeps cancelled ones until they are due.
        self._timeout = timeout
        timer = self._timer if self._timer and self._timer.active() else None
        if timeout is not None and timer is not None:
            timer.reset(timeout)
        elif timeout is not None:
            self._timer = self._clock.callLater(timeout, self._time_out)
        elif timer is not None:
            timer.cancel()

    def _time_out(self) -> None:
        if self._waiting is not None:  # or else it is the caller who is slow
            why = f"silent for {self._timeout:g} seconds"
            self._error = CutShort(self._url, why)
            self.close()
            self._wake()

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered >= READ_AHEAD:
            self._set_paused(True)
        self._wake()

    def _set_paused(self, paused: bool) -> None:
        if paused != self._paused and not (self._closed or self._ended):
            self._paused = paused
            transport = self.transport
            (transport.pauseProducing if paused else transport.resumeProducing)()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended = True
        self._set_timeout(None)
        # Without a length or chunks, an orderly close is the end of the body.
        whole = reason.check(ResponseDone, PotentialDataLoss)
        if not whole and self._error is None:
            self._error = CutShort(self._url, _describe(reason.value))
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.called:
            self._waiting.callback(None)


def _raise_timeout(result: object, timeout: float) -> None:
    """Replace the errors that agents make of being cancelled."""
    raise DeferredTimeout(timeout)


def _describe(error: BaseException | None) -> str:
    """An error in few words. Of several reasons the first is the cause."""
    match error:
        case ResponseFailed() if error.reasons:
            return _describe(error.reasons[0].value)
        case neterror.ConnectionDone():
            return "the connection was closed"
        case neterror.ConnectionLost():
            return "the connection was lost"
        # Twisted's parser tells the bytes that it did not understand.
        case Exception(args=(str(reason), bytes(data))):
            return f"{reason}: {data[:80]!r}"
    return str(error)[:_MOST_REASON] or type(error).__name__


def request_error(
    url: str, error: Exception, timeout: float | None = None
) -> Exception:
    """
    The L{ClientError} for an error of a request; any other error as it is.

    @param timeout: the seconds that the request was given.
    """
    match error:
        case neterror.DNSLookupError():
            return NoSuchHost(url)
        case neterror.ConnectionRefusedError():
            return CannotConnect(url, "connection refused; is the daemon running?")
        case neterror.TimeoutError():
            return CannotConnect(url, "no answer to the connection attempt")
        case neterror.ConnectError():
            return CannotConnect(url, str(error))
        case DeferredTimeout():
            return NoResponse(url, f"silent for {timeout:g} seconds")
        case SchemeNotSupported():
            return Usage(f"{url}: only http:// and https:// are supported")
        case ResponseFailed() | RequestTransmissionFailed():
            return connection_error(url, error.reasons)
        case Error():
            return NotHTTP(url, _describe(error))
        case ValueError():  # of what the server sent: the URL was checked before
            return NotHTTP(url, _describe(error))
    return error


def connection_error(url: str, reasons: Sequence[Failure]) -> ServerError:
    """The error for a connection that ended before the response began."""
    values = [reason.value for reason in reasons]
    for error in values:
        if isinstance(error, UntrustedCertificate):
            return TLSFailed(url, str(error), error.fingerprint)
        # By name: to import their classes would load OpenSSL for plain HTTP.
        module = type(error).__module__
        if module.startswith("OpenSSL"):
            return TLSFailed(url, explain(error))
        if isinstance(error, ResponseFailed):
            return connection_error(url, error.reasons)
    lost = (neterror.ConnectionLost, neterror.ConnectionDone)
    kind = NoResponse if all(isinstance(each, lost) for each in values) else NotHTTP
    return kind(url, "; ".join(map(_describe, values)))
