"""An HTTP client that records when each part of a response arrived."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from shellstream import __version__
from shellstream.client.errors import CannotConnect
from shellstream.client.transport.happy_eyeballs import HappyEyeballsEndpoint
from shellstream.client.transport.tls_errors import UntrustedCertificate, tls_reason
from shellstream.client.transport.treq_wire import connection_error, request_error
from shellstream.client.transport.trust_policy import CertificateVerifier
from shellstream.client.transport.wire import CONNECT_TIMEOUT
from shellstream.client.urls import host_header

from .exchange import Certificate, Ending, Exchange, ResponseRecorder

#: What OpenSSL says of every certificate that it refuses.
_VERIFY_FAILED = "certificate verify failed"


class ProbeClient:
    """
    Asks for each exchange on a connection of its own.

    It does not use treq, as the rest of the client does: treq itself handles the
    details under examination, such as framing, compression and untrusted certificates.
    """

    def __init__(
        self,
        reactor: Any,
        policy: IPolicyForHTTPS | None = None,
        secrets: Mapping[str, str] = {},
    ) -> None:
        """
        @param policy: the trusted authorities; those of the system if not given.
        @param secrets: headers for trusted servers only. A server whose certificate is
            not trusted is examined without them.
        """
        self._reactor = reactor
        self._policy = policy or BrowserLikePolicyForHTTPS()
        self._secrets = secrets

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        """
        Send a GET request, and record the response.

        @param timeout: seconds after which recording ends, if the response does not.
        @param query: a query to add to the URL.
        @param gzip: whether to offer compression.
        @raise ClientError: if the server cannot be reached.
        """
        connection, certificate = await self._connect(url)
        trusted = certificate is None or certificate.problem is None
        url_asked = f"{url}?{query}" if query else url
        request = _request(url_asked, gzip, self._secrets if trusted else {})
        recorder = connection.send(request)
        try:
            await connection.recorded.addTimeout(timeout, self._reactor)
        except DeferredTimeout:
            recorder.end(time.monotonic(), Ending.OVERDUE)
        finally:
            connection.abort()
        recorder.exchange.certificate = certificate
        recorder.exchange.connected = connection.connect_time
        return recorder.exchange

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self._reactor, seconds)

    async def _connect(self, url: str) -> tuple["_Connection", Certificate | None]:
        """A connection, and the certificate of the server; L{None} without TLS."""
        if not url.startswith("https:"):
            return await self._open(url), None
        host = (urlsplit(url).hostname or "").encode("ascii")
        creator = self._policy.creatorForNetloc(host, urlsplit(url).port or 443)
        connection = await self._open(url, creator)
        problem = await self._handshake(url, connection)
        if problem is not None:
            # OpenSSL has ended this connection, and did not show the certificate.
            connection = await self._open(url, _accept_any(host))
            await self._handshake(url, connection)
        issuer = _issuer(connection.tls)
        return connection, Certificate(issuer, problem)

    async def _open(
        self, url: str, creator: IOpenSSLClientConnectionCreator | None = None
    ) -> "_Connection":
        """
        Connect.

        @param creator: begins a TLS handshake; there is none if not given.
        """
        secure = creator is not None
        factory: Any = Factory.forProtocol(partial(_Connection, secure))
        factory.noisy = False
        parts = urlsplit(url)
        port = parts.port or (443 if secure else 80)
        endpoint: Any = HappyEyeballsEndpoint(self._reactor, parts.hostname or "", port)
        if creator is not None:
            endpoint = wrapClientTLS(creator, endpoint, self._reactor)
        began = time.monotonic()
        try:
            connection: _Connection = await endpoint.connect(factory)
        except Exception as error:
            raise request_error(url, error) from error
        connection.connect_time = time.monotonic() - began
        return connection

    async def _handshake(self, url: str, connection: "_Connection") -> str | None:
        """
        Wait until TLS is set up.

        @return: why the certificate is not trusted; L{None} if it is.
        @raise ClientError: if it fails for any other reason.
        """
        try:
            await connection.secured.addTimeout(CONNECT_TIMEOUT, self._reactor)
        except DeferredTimeout:
            connection.abort()
            raise CannotConnect(url, "no answer to the TLS handshake") from None
        except Exception as error:
            failed = connection_error(url, [Failure()])
            if not _is_refusal(error):
                raise failed from error
            return failed.why
        return None


@implementer(IHandshakeListener)
class _Connection(Protocol):
    """
    One request and its response.

    @ivar secured: fires after the TLS handshake, or fails as that does.
    @ivar recorded: fires when the recorder is done.
    @ivar connect_time: seconds that it took to connect.
    """

    connect_time = 0.0

    def __init__(self, secure: bool) -> None:
        self._secure = secure
        self.secured: Deferred[None] = Deferred()
        self.recorded: Deferred[None] = Deferred()
        self._recorder: ResponseRecorder | None = None
        self._lost: Failure | None = None

    @property
    def tls(self) -> Any:
        """pyOpenSSL's connection."""
        transport: Any = self.transport
        return transport.getHandle()

    def send(self, request: bytes) -> ResponseRecorder:
        """Send the request; what comes from now on is the response."""
        transport: Any = self.transport
        self._recorder = ResponseRecorder(time.monotonic())
        transport.write(request)
        # A server may have closed before; then nothing more would be reported.
        if self._lost is not None:
            self.connectionLost(self._lost)
        return self._recorder

    def abort(self) -> None:
        """Close the connection now."""
        transport: Any = self.transport
        transport.abortConnection()

    def handshakeCompleted(self) -> None:
        self.secured.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._recorder is not None:
            self._recorder.receive(time.monotonic(), data)
            self._check_done(self._recorder)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost = reason
        if self._secure and not self.secured.called:
            self.secured.errback(reason)
        if self._recorder is not None:
            # Over TLS Twisted tells a reset and an end without close_notify as one, and
            # many servers leave close_notify out. So neither counts as a cut.
            orderly = self._secure or reason.check(ConnectionDone) is not None
            self._recorder.connection_lost(time.monotonic(), orderly=orderly)
            self._check_done(self._recorder)

    def _check_done(self, recorder: ResponseRecorder) -> None:
        if recorder.done and not self.recorded.called:
            self.recorded.callback(None)


def _request(url: str, gzip: bool, secrets: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": host_header(parts.netloc),
        "User-Agent": f"shellstream/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip" if gzip else "identity",
        **secrets,
    }
    lines = [f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"


def _is_refusal(error: Exception) -> bool:
    """Whether a handshake failed because we do not trust the certificate."""
    if isinstance(error, SSL.Error):
        return tls_reason(error) == _VERIFY_FAILED
    return isinstance(error, UntrustedCertificate)


def _accept_any(host: bytes) -> IOpenSSLClientConnectionCreator:
    """Makes connections that accept any certificate, for examination only."""
    context = CertificateOptions().getContext()
    return CertificateVerifier(context, host.decode("ascii"), lambda *found: True)


def _issuer(connection: SSL.Connection) -> str:
    """Who issued the server's certificate, whether it is trusted or not."""
    certificate: Any = connection.get_peer_certificate()
    if certificate is None:
        return "unknown"
    try:
        return str(certificate.to_cryptography().issuer.rfc4514_string())
    except ValueError as error:
        return f"unreadable: {error}"
