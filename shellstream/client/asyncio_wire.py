"""HTTP/1.1 by asyncio and llhttp: loads in a third of the time of a reactor."""

import asyncio
import errno
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools

from .errors import (
    CannotConnect,
    ClientError,
    CutShort,
    NoSuchHost,
    NotHTTP,
    TLSFailed,
    Unanswered,
    Usage,
)
from .wire import ALWAYS, CONNECT_TIMEOUT, READ_AHEAD

if TYPE_CHECKING:
    import ssl

#: What is read at once, in bytes: little enough to stay in a processor's cache.
_AT_ONCE = 1 << 17

#: The most that is read of an answer's head, in bytes.
_MAX_HEAD = 1 << 16


class AsyncioWire:
    """
    A connection for each request, on the loop that runs.

    @ivar tls: how C{https://} is spoken. If not given: as the system trusts,
        certificates and names checked. There is no way to leave that out.
    """

    def __init__(self, tls: "ssl.SSLContext | None" = None) -> None:
        self._tls = tls

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float | None = None,  # the wire's contract
    ) -> "AsyncioAnswer":
        host, port, target, named = _parts(url)
        sent = {"host": named, **ALWAYS, "connection": "close", **headers}
        if body or method == "POST":
            sent["content-length"] = str(len(body))
        try:
            wire = _request(method, target, sent, body)
        except ValueError as error:
            raise Usage(f"{url}: cannot be asked for: {error}") from None
        connection = await self._connect(url, host, port)
        try:
            connection.send(wire)
            async with asyncio.timeout(timeout):
                await _headed(url, connection)
        except TimeoutError:
            connection.close()
            raise Unanswered(url, f"silent for {timeout:g} seconds") from None
        except BaseException:  # a cancelled task wants its connection closed too
            connection.close()
            raise
        return AsyncioAnswer(url, connection)

    async def _connect(self, url: str, host: str, port: int) -> "_Connection":
        tls = None
        if url.startswith("https:"):
            if self._tls is None:
                import ssl

                self._tls = ssl.create_default_context()
            tls = self._tls
        loop, connection = asyncio.get_running_loop(), _Connection()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(
                    lambda: connection, host, port, ssl=tls, happy_eyeballs_delay=0.25
                )
        except (OSError, UnicodeError) as error:
            raise _unconnected(url, error) from None
        return connection

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()


class _Connection(asyncio.BufferedProtocol):
    """
    One answer on its way through the parser, read no further ahead than allowed.

    @ivar over: whether the answer has ended as it should.
    @ivar lost: why nothing more will come, if so.
    """

    def __init__(self) -> None:
        self.status = 0
        self.phrase = b""
        self.headers: dict[str, str] = {}
        self.headed = False
        self.over = False
        self.lost: str | None = None
        self.nonsense: str | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._view = memoryview(bytearray(_AT_ONCE))
        self._head = 0  # bytes
        self._parts: list[bytes] = []
        self._ahead = 0
        self._news: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, wire: bytes) -> None:
        assert self._transport is not None
        self._transport.write(wire)

    async def news(self) -> None:
        """Wait until there is something to take, or nothing more will come."""
        assert self._transport is not None
        if self.lost is None:
            self._transport.resume_reading()
            self._news = asyncio.get_running_loop().create_future()
            try:
                await self._news
            finally:
                self._news = None

    def take(self) -> bytes:
        """What there is of the body."""
        parts, self._parts, self._ahead = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Where nothing else tells that the other side is gone.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self.over or self.nonsense is not None:
            return
        if not self.headed:
            self._head += nbytes
        try:
            self._parser.feed_data(self._view[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.over:  # what comes behind an answer is nobody's
                self.nonsense = str(error)
        if not self.headed and self._head > _MAX_HEAD:
            self.nonsense = f"its headers are longer than {_MAX_HEAD} bytes"
        if self._ahead >= READ_AHEAD:
            assert self._transport is not None
            self._transport.pause_reading()
        if self.over or self.nonsense is not None:
            self.close()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = str(exc) if exc else "the connection was closed"
        # Only an orderly end can be the end of an answer that tells no length.
        lengths = {"content-length", "transfer-encoding"} & set(self.headers)
        if exc is None and self.headed and not lengths and self.nonsense is None:
            self.over = True
        self._tell()

    # What the parser calls

    def on_status(self, status: bytes) -> None:
        self.phrase = status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.headed:  # else it is a trailer
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # RFC 9110, 15.2: the answer is still to come
            self.headers.clear()
        else:
            self.headed = True

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._ahead += len(body)

    def on_message_complete(self) -> None:
        self.over = self.headed

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class AsyncioAnswer:
    """An L{Answer<shellstream.client.wire.Answer>} that comes by a connection."""

    def __init__(self, url: str, connection: _Connection) -> None:
        self.status = connection.status
        self.phrase = connection.phrase.decode("latin-1")
        self.headers: Mapping[str, str] = connection.headers
        self._url = url
        self._connection = connection

    async def read(self, timeout: float | None = None) -> bytes:
        connection = self._connection
        try:
            async with asyncio.timeout(timeout):
                while not (data := connection.take()):
                    if connection.over:
                        return b""
                    if connection.nonsense or connection.lost:
                        why = connection.nonsense or connection.lost or ""
                        raise CutShort(self._url, why)
                    await connection.news()
                return data
        except TimeoutError:
            self.close()
            why = f"silent for {timeout:g} seconds"
            raise CutShort(self._url, why) from None

    def close(self) -> None:
        self._connection.close()


async def _headed(url: str, connection: _Connection) -> None:
    """Wait for the head of an answer."""
    while not connection.headed:
        if connection.nonsense is not None:
            raise NotHTTP(url, connection.nonsense)
        if connection.lost is not None:
            raise Unanswered(url, connection.lost)
        await connection.news()


def _request(
    method: str, target: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """
    A request as it goes over the wire (RFC 9112, 3).

    @raise ValueError: if it would be another one there.
    """
    if " " in target:
        raise ValueError(f"there is a space in {target!r}")
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    for line in lines:
        if not (line.isascii() and line.isprintable()):
            raise ValueError(f"{line!r} is no line of a request")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _parts(url: str) -> tuple[str, int, str, str]:
    """Host and port to connect to, the target to ask for, and what C{Host} says."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Usage(f"{url}: not a URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise Usage(f"{url}: only http:// and https:// are spoken here")
    if not host:
        raise Usage(f"{url}: not a URL: it names no host")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = parts.netloc.rpartition("@")[2]
    default = 443 if parts.scheme == "https" else 80
    return host, default if port is None else port, target, named


def _unconnected(url: str, error: Exception) -> ClientError:
    # Named, not imported: a plain-HTTP client need not know of TLS.
    if type(error).__module__ == "ssl":
        return TLSFailed(url, _tls_reason(error))
    if isinstance(error, socket.gaierror | UnicodeError):
        return NoSuchHost(url)
    if isinstance(error, TimeoutError):
        return CannotConnect(url, "no answer to the connection attempt")
    refused = f"[Errno {errno.ECONNREFUSED}]"
    # Several addresses make one error, whose number is lost.
    if isinstance(error, ConnectionRefusedError) or refused in str(error):
        return CannotConnect(url, "connection refused; is the daemon running?")
    return CannotConnect(url, getattr(error, "strerror", None) or str(error))


def _tls_reason(error: Exception) -> str:
    verified = getattr(error, "verify_message", "")
    if verified:
        if "mismatch" in verified:
            return f"the certificate is for another host: {verified}"
        return f"certificate verify failed: {verified}"
    reason = getattr(error, "reason", None)
    return reason.lower().replace("_", " ") if reason else str(error)
