"""HTTP by treq: bring a reactor, or any agent."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import treq
from treq.client import HTTPClient
from twisted.internet import error as neterror
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IConsumer, IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.error import Error, SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
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

from .agent import ConnectionPerRequestAgent
from .fingerprint import UntrustedCertificate
from .tls_errors import tls_reason
from .wire import ALWAYS, READ_AHEAD


@implementer(IAgent)
class IdentityAgent:
    """Ask for bytes as they are: treq offers gzip, which holds output back."""

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # IAgent's name
    ) -> "Deferred[IResponse]":
        headers = Headers() if headers is None else headers.copy()
        for name, value in ALWAYS.items():
            headers.setRawHeaders(name, [value])
        return self._agent.request(method, uri, headers, bodyProducer)


@implementer(IBodyProducer)
class _Bytes:
    """
    A body that is there. (treq's for bytes is a file, which is read by the global
    reactor's leave.)
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written at once."""

    def resumeProducing(self) -> None:
        """It is written at once."""

    def stopProducing(self) -> None:
        """It is written at once."""


def http_client(reactor: Any, policy: IPolicyForHTTPS | None = None) -> HTTPClient:
    """
    A client that opens a connection for each request and offers no gzip.

    @param policy: the authorities to trust, if not those of the system:
        L{Trust.policy}'s, or any other.
    """
    agent = ConnectionPerRequestAgent(reactor, policy or BrowserLikePolicyForHTTPS())
    return HTTPClient(IdentityAgent(agent), data_to_body_producer=_Bytes)


class TreqWire:
    """
    A L{Wire} of Deferreds.

    @ivar reactor: tells the time, and makes connections unless C{http} does.
    @ivar http: L{http_client}'s if not given; one from L{treq.testing} will do, or
        one around an agent with a proxy, a pool, or certificates of its own.
    """

    def __init__(self, reactor: Any, http: HTTPClient | None = None) -> None:
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
            asked = self._http.request(
                method,
                url,
                headers=Headers({name: [value] for name, value in headers.items()}),
                data=body,
                unbuffered=True,
                allow_redirects=False,
                reactor=self._reactor,  # or treq would install the global one
            )
            if timeout is not None:
                asked.addTimeout(timeout, self._clock, onTimeoutCancel=_raise_timeout)
            response = await asked
        except Exception as error:
            raise request_error(url, error, timeout) from error
        return TreqResponse(url, response, self._clock)

    async def sleep(self, seconds: float) -> None:
        await deferLater(self._clock, seconds)

    def seconds(self) -> float:
        return self._clock.seconds()


class _Paced(proxyForInterface(IResponse, "response")):  # type: ignore[misc]
    """
    A response that can be made to wait.

    @ivar protocol: whom the body goes to; its transport is a push producer.
    """

    protocol: Protocol

    def deliverBody(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.response.deliverBody(protocol)


class TreqResponse:
    """An L{Response} that treq collects."""

    def __init__(self, url: str, response: Any, clock: IReactorTime) -> None:
        self.status: int = response.code
        self.phrase: str = response.phrase.decode("latin-1")
        self.headers: Mapping[str, str] = {
            name.decode("ascii").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        self._url = url
        self._clock = clock
        self._parts: deque[bytes] = deque()
        self._ahead = 0
        self._closed = self._paused = self._over = False
        self._error: CutShort | None = None
        self._news: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self._patience: float | None = None
        self._paced = _Paced(response)
        treq.collect(self._paced, self._collect).addCallbacks(self._end, self._cut)

    @property
    def ready(self) -> bool:
        """Whether L{read} need not wait."""
        return bool(self._parts) or self._over or self._error is not None

    async def read(self, timeout: float | None = None) -> bytes:
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._pause(False)
            self._expect(timeout)
            self._news = Deferred()
            try:
                await self._news
            finally:
                self._news = None
        data = b"".join(self._parts)
        self._parts.clear()
        self._ahead = 0
        return data

    def close(self) -> None:
        if not (self._closed or self._over):
            self._closed = True
            self._expect(None)
            transport: Any = self._paced.protocol.transport
            transport.loseConnection()

    def _expect(self, timeout: float | None) -> None:
        """Be told if nothing comes for so long."""
        # One timer for all reads: cancelled ones would be kept until they are due.
        self._patience = timeout
        timer = self._timer if self._timer and self._timer.active() else None
        if timeout is not None and timer is not None:
            timer.reset(timeout)
        elif timeout is not None:
            self._timer = self._clock.callLater(timeout, self._silent)
        elif timer is not None:
            timer.cancel()

    def _silent(self) -> None:
        if self._news is not None:  # else it is us who are slow
            why = f"silent for {self._patience:g} seconds"
            self._error = CutShort(self._url, why)
            self.close()
            self._tell()

    def _collect(self, data: bytes) -> None:
        self._parts.append(data)
        self._ahead += len(data)
        if self._ahead >= READ_AHEAD:
            self._pause(True)
        self._tell()

    def _pause(self, wanted: bool) -> None:
        if wanted != self._paused and not (self._closed or self._over):
            self._paused = wanted
            transport: Any = self._paced.protocol.transport
            (transport.pauseProducing if wanted else transport.resumeProducing)()

    def _end(self, result: None) -> None:
        self._over = True
        self._expect(None)
        self._tell()

    def _cut(self, reason: Failure) -> None:
        self._over = True
        self._expect(None)
        if self._error is None:
            self._error = CutShort(self._url, _describe(reason.value))
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.called:
            self._news.callback(None)


def _raise_timeout(result: object, timeout: float) -> None:
    """Whatever an agent makes of being cancelled."""
    raise DeferredTimeout(timeout)


def _describe(error: BaseException | None) -> str:
    """In few words; of several errors the first is what happened."""
    match error:
        case ResponseFailed() if error.reasons:
            return _describe(error.reasons[0].value)
        case neterror.ConnectionDone():
            return "the connection was closed"
        case neterror.ConnectionLost():
            return "the connection was lost"
    return str(error) or type(error).__name__


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
            return Usage(f"{url}: only http:// and https:// are spoken here")
        case ResponseFailed() | RequestTransmissionFailed():
            return connection_error(url, error.reasons)
        case Error():
            return NotHTTP(url, str(error))
        case ValueError():
            return Usage(f"{url}: not a URL: {error}")
    return error


def connection_error(url: str, reasons: Sequence[Failure]) -> ServerError:
    """Why a connection ended before its answer began."""
    values = [reason.value for reason in reasons]
    for error in values:
        if isinstance(error, UntrustedCertificate):
            return TLSFailed(url, str(error))
        # Named, not imported: a plain-HTTP client need not load OpenSSL.
        module = type(error).__module__
        if module.startswith("service_identity"):
            return TLSFailed(url, "the certificate is for another host")
        if module.startswith("OpenSSL"):
            return TLSFailed(url, tls_reason(error))
        if isinstance(error, ResponseFailed):
            return connection_error(url, error.reasons)
    lost = (neterror.ConnectionLost, neterror.ConnectionDone)
    kind = NoResponse if all(isinstance(each, lost) for each in values) else NotHTTP
    return kind(url, "; ".join(map(_describe, values)))
