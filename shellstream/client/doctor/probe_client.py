"""An HTTP client that records when each part of a response arrived."""

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from shellstream import __version__
from shellstream.client.errors import CannotConnect, NoSuchHost, NotHTTP, TLSFailed

from .exchange import Certificate, Ending, Exchange, ResponseRecorder

#: Seconds until a server that does not take our connection counts as away.
CONNECT_TIMEOUT = 15.0


class ProbeClient:
    """
    Asks, on the event loop that runs.

    Who has no trusted certificate is asked nevertheless, to be examined; but is told
    no secrets.

    @ivar secrets: headers that only who is trusted may see.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        secrets: Mapping[str, str] = {},
    ) -> None:
        self._tls = tls
        self._secrets = secrets

    async def ask(
        self, url: str, timeout: float, *, query: str = "", gzip: bool = False
    ) -> Exchange:
        """
        GET, and watch the answer until it ends, or for so many seconds.

        @raise ClientError: if there was no answer that HTTP knows.
        """
        loop = asyncio.get_running_loop()
        connection, certificate = await self._connect(url)
        asked = f"{url}?{query}" if query else url
        secrets = self._secrets
        if certificate is not None and certificate.problem is not None:
            secrets = {}
        recorder = connection.ask(loop.time(), _request(asked, gzip, secrets))
        try:
            async with asyncio.timeout(timeout):
                await connection.over
        except TimeoutError:
            recorder.stop(loop.time(), Ending.OVERDUE)
        finally:
            connection.close()
        if recorder.error is not None:
            raise NotHTTP(url, recorder.error)
        recorder.exchange.certificate = certificate
        return recorder.exchange

    async def _connect(self, url: str) -> tuple["_Connection", Certificate | None]:
        if not url.startswith("https:"):
            return await _connected(url, None), None
        trusting = self._tls or ssl.create_default_context()
        try:
            connection = await _connected(url, trusting)
        except ssl.SSLCertVerificationError as error:
            any_ = ssl.create_default_context()
            any_.check_hostname = False
            any_.verify_mode = ssl.CERT_NONE
            try:
                connection = await _connected(url, any_)
            except ssl.SSLError as again:
                raise TLSFailed(url, again.reason or str(again)) from None
            return connection, connection.certificate(error.verify_message)
        except ssl.SSLError as error:
            raise TLSFailed(url, error.reason or str(error)) from None
        return connection, connection.certificate()


class _Connection(asyncio.Protocol):
    """One answer, and its moments."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._recorder: ResponseRecorder | None = None
        self._transport: asyncio.Transport | None = None

    def ask(self, now: float, request: bytes) -> ResponseRecorder:
        assert self._transport is not None
        self._recorder = ResponseRecorder(now)
        if self._transport.is_closing():
            self.connection_lost(None)
        self._transport.write(request)
        return self._recorder

    def certificate(self, trouble: str | None = None) -> Certificate:
        assert self._transport is not None
        tls: ssl.SSLObject = self._transport.get_extra_info("ssl_object")
        return Certificate(_issuer(tls.getpeercert(binary_form=True)), trouble)

    def close(self) -> None:
        assert self._transport is not None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._recorder is not None:
            self._recorder.receive(self._loop.time(), data)
            self._check_done()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._recorder is not None:
            self._recorder.connection_lost(self._loop.time(), orderly=exc is None)
            self._check_done()

    def _check_done(self) -> None:
        assert self._recorder is not None
        if self._recorder.done and not self.over.done():
            self.over.set_result(None)


async def _connected(url: str, tls: ssl.SSLContext | None) -> _Connection:
    parts = urlsplit(url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    loop, connection = asyncio.get_running_loop(), _Connection()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await loop.create_connection(
                lambda: connection, parts.hostname, port, ssl=tls
            )
    except TimeoutError:
        why = "no answer to the connection attempt"
        raise CannotConnect(url, why) from None
    except ssl.SSLError:  # it is an OSError
        raise
    except (socket.gaierror, UnicodeError):
        raise NoSuchHost(url) from None
    except ConnectionRefusedError:
        raise CannotConnect(url, "connection refused; does it run?") from None
    except OSError as error:
        # asyncio has words of its own for it, and several for several addresses.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CannotConnect(url, why) from None
    return connection


def _issuer(der: bytes | None) -> str:
    """Who issued a certificate, whether it is trusted or not."""
    from cryptography import x509

    if der is None:
        return "unknown"
    try:
        return x509.load_der_x509_certificate(der).issuer.rfc4514_string()
    except ValueError as error:
        return f"unreadable: {error}"


def _request(url: str, gzip: bool, secrets: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc.rpartition("@")[2],
        "User-Agent": f"shellstream/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "gzip" if gzip else "identity",
        **secrets,
    }
    lines = [f"GET {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
