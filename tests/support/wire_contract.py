"""
What every wire of a client does, asked of real connections.

The server has a thread of its own, so that it needs neither loop.
"""

import socket
import struct
import threading
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    CutShort,
    NoResponse,
    NoSuchHost,
    NotHTTP,
    Usage,
)
from shellstream.client.transport.wire import Response, Wire

if TYPE_CHECKING:
    _Base = TestCase
else:
    _Base = object  # or trial would run it by itself

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

#: Far more than systems keep for a connection.
MUCH = 64 << 20


class RawServer:
    """Answers one connection with bytes, and ends it in one way or another."""

    def __init__(self, *steps: bytes | str, much: int = 0) -> None:
        """
        @param steps: bytes to send; C{"ask"}: wait for a request; C{"reset"}: end
            it as a machine does that knows of no connection; C{"wait"}: until the
            client has gone.
        @param much: so many bytes more, before the end.
        """
        self.asked = b""
        self.sent = 0
        self._left_alone = False
        self._steps = steps
        self._much = much
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x?y=1"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait until the connection is closed."""
        self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._thread.join()
        self._socket.close()
        assert not self._left_alone, "the client did not close its connection"

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # no client came
            return
        connection.settimeout(20)
        with connection:
            self.asked = connection.recv(65536)
            try:
                for step in self._steps:
                    self._do(connection, step)
                while self.sent < self._much:
                    self.sent += connection.send(bytes(1 << 16))
            except TimeoutError:
                self._left_alone = True
            except OSError:  # the client has gone
                return

    def _do(self, connection: socket.socket, step: bytes | str) -> None:
        if isinstance(step, bytes):
            connection.sendall(step)
        elif step == "reset":
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            connection.recv(1)


class WireContract(_Base):
    """A wire, and the loop that it runs on."""

    timeout = 30

    @abstractmethod
    def wire(self) -> Wire:
        """The wire."""

    @abstractmethod
    def on_loop(self, test: Callable[[], Coroutine[Any, Any, None]]) -> Any:
        """Run a test where the wire can wait."""

    def serve(self, *steps: bytes | str, much: int = 0) -> RawServer:
        """A server for one connection."""
        server = RawServer(*steps, much=much)
        self.addCleanup(deferToThread, server.close)  # the reactor may have to close it
        return server

    async def ask(self, *steps: bytes | str, timeout: float | None = None) -> Response:
        """Return the response of this server."""
        server = self.serve(*steps)
        return await self.wire().request("GET", server.url, {}, b"", timeout)

    async def whole(self, answer: Response) -> bytes:
        """Read the whole body."""
        parts = []
        while data := await answer.read():
            parts.append(data)
        self.assertEqual(await answer.read(), b"")
        return b"".join(parts)

    async def raises(
        self, kind: type[ClientError], coroutine: Coroutine[Any, Any, object]
    ) -> ClientError:
        """The error that a coroutine ends with, of exactly this kind."""
        try:
            await coroutine
        except ClientError as error:
            self.assertIs(type(error), kind, repr(error))
            return error
        raise AssertionError(f"no {kind}")

    def test_request(self) -> None:
        """A request arrives as given, without other headers."""

        async def test() -> None:
            server = self.serve(OK + b"Content-Length: 0\r\n\r\n")
            headers = {"accept": "a/b", "idempotency-key": "k"}
            answer = await self.wire().request("POST", server.url, headers, b"body")
            self.assertEqual(await answer.read(), b"")
            head, _, body = server.asked.partition(b"\r\n\r\n")
            line, *lines = head.split(b"\r\n")
            self.assertEqual((line, body), (b"POST /x?y=1 HTTP/1.1", b"body"))
            sent = {each.lower() for each in lines}
            for expected in (
                b"accept: a/b",
                b"idempotency-key: k",
                b"content-length: 4",
                b"accept-encoding: identity",
                b"connection: close",
                b"host: " + server.url.split("/")[2].encode(),
            ):
                self.assertIn(expected, sent)

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_answer(self) -> None:
        """Status and headers are there before the body."""

        async def test() -> None:
            answer = await self.ask(
                b"HTTP/1.1 404 Not  Here\r\nX-One: a\r\nx-ONE: b\r\n"
                b"Content-Length: 5\r\n\r\n",
                b"hello",
            )
            self.assertEqual(answer.status, 404)
            self.assertEqual(answer.headers["x-one"], "b")
            self.assertEqual(await self.whole(answer), b"hello")

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_ends(self) -> None:
        """An answer ends by its length, its chunks, or its connection."""

        async def test() -> None:
            for wire in (
                CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
                OK + b"Content-Length: 5\r\n\r\nhello",
                OK + b"\r\nhello",
                b"HTTP/1.0 200 OK\r\n\r\nhello",
                b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhello",
            ):
                self.assertEqual(await self.whole(await self.ask(wire)), b"hello")
            answer = await self.ask(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.assertEqual((answer.status, await self.whole(answer)), (204, b""))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_compressed(self) -> None:
        """A response that is compressed, though not asked to be, is an error."""

        async def test() -> None:
            for encoding in (b"gzip", b"br", b"x" * 999):
                head = OK + b"Content-Encoding: " + encoding + b"\r\n\r\n"
                error = await self.raises(NotHTTP, self.ask(head, b"x", "wait"))
                self.assertIn("which was not asked for", str(error))
                self.assertLess(len(str(error)), 300)
            head = OK + b"Content-Encoding: identity\r\n\r\n"
            self.assertEqual(await self.whole(await self.ask(head + b"hi")), b"hi")

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_cookies(self) -> None:
        """Cookies are neither kept nor sent, whatever is in them."""

        async def test() -> None:
            wire = self.wire()
            for cookie in (b"a=b", b"a=b; Domain=\xff; Max-Age=" + b"9" * 5000):
                answer = (
                    OK + b"Set-Cookie: " + cookie + b"\r\nContent-Length: 0\r\n\r\n"
                )
                server = self.serve(answer)
                response = await wire.request("GET", server.url, {})
                self.assertEqual(await response.read(), b"")
                self.assertNotIn(b"cookie", server.asked.lower())
                self.assertNotIn("set-cookie", response.headers)

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_live(self) -> None:
        """Arrived bytes can be read before the rest."""

        async def test() -> None:
            answer = await self.ask(CHUNKED + b"2\r\nhe\r\n", "wait")
            self.assertEqual(await answer.read(), b"he")
            answer.close()
            answer.close()

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_cut(self) -> None:
        """A truncated response is an error, after its output."""

        async def test() -> None:
            for steps in (
                (CHUNKED + b"5\r\nhe",),
                (CHUNKED + b"2\r\nhe\r\n",),
                (OK + b"Content-Length: 5\r\n\r\nhe",),
                (OK + b"Content-Length: 5\r\n\r\n", "reset"),
                (CHUNKED + b"what\r\n",),
            ):
                answer = await self.ask(*steps)
                await self.raises(CutShort, self.whole(answer))
                await self.raises(CutShort, answer.read())

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_no_length(self) -> None:
        """If only the connection's end marks the body's end, a reset is a cut."""

        async def test() -> None:
            answer = await self.ask(OK + b"\r\nhe", "reset")
            await self.raises(CutShort, self.whole(answer))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_behind_the_end(self) -> None:
        """Bytes after a response are ignored."""

        async def test() -> None:
            wire = OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nxyz"
            self.assertEqual(await self.whole(await self.ask(wire)), b"x")

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_endless_head(self) -> None:
        """Endless headers are given up, many as well as long ones."""

        async def test() -> None:
            for head in (b"X: y\r\n" * 50_000, b"X: " + b"y" * 300_000):
                await self.raises(NotHTTP, self.ask(OK + head))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_no_injection(self) -> None:
        """No argument can add a line to the request."""

        async def test() -> None:
            server = self.serve(OK + b"Content-Length: 0\r\n\r\n")
            url = f"{server.url}/a b\u00e9 HTTP/1.1\r\nx: 1"
            headers = {"accept": "x\r\ny: z"}
            try:
                await self.wire().request("GET", url, headers)
            except Usage:  # it was not sent at all
                return
            line, *lines = server.asked.strip().split(b"\r\n")
            self.assertEqual(line.count(b" "), 2)
            named = {each.partition(b":")[0].lower() for each in lines}
            self.assertFalse({b"x", b"y"} & named)

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_unanswered(self) -> None:
        """After a connection that ends before an answer the result is unknown."""

        async def test() -> None:
            for steps in ((), ("reset",), (OK,), (b"HTTP/1.1 100 Continue\r\n\r\n",)):
                await self.raises(NoResponse, self.ask(*steps))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_no_http(self) -> None:
        """A server that does not speak HTTP is reported as that."""

        async def test() -> None:
            for wire in (b"SSH-2.0-OpenSSH\r\n", b"\0\0\0\0\r\n\r\n", b"<html>\r\n"):
                await self.raises(NotHTTP, self.ask(wire))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_silent(self) -> None:
        """Silence that exceeds the timeout is an error."""

        async def test() -> None:
            error = await self.raises(NoResponse, self.ask("wait", timeout=0.01))
            self.assertIn("silent for 0.01 seconds", str(error))
            answer = await self.ask(CHUNKED + b"1\r\nx\r\n", "wait")
            self.assertEqual(await answer.read(30), b"x")
            error = await self.raises(CutShort, answer.read(0.01))
            self.assertIn("silent for 0.01 seconds", str(error))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_slow_reader(self) -> None:
        """While the caller does not read, the server waits; then everything comes."""

        async def test() -> None:
            server = self.serve(OK + b"Content-Length: %d\r\n\r\n" % MUCH, much=MUCH)
            wire = self.wire()
            answer = await wire.request("GET", server.url, {})
            size = len(await answer.read())
            await wire.sleep(0.2)
            self.assertLess(server.sent, MUCH)
            while data := await answer.read():
                self.assertLess(len(data), 1 << 20)
                size += len(data)
            self.assertEqual(size, MUCH)

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_unreachable(self) -> None:
        """A closed port and an unknown host are different errors."""

        async def test() -> None:
            request = self.wire().request
            with socket.create_server(("127.0.0.1", 0)) as bound:
                url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
            error = await self.raises(CannotConnect, request("GET", url, {}))
            self.assertIn("is the daemon running?", str(error))
            url = "http://nowhere.invalid/"
            await self.raises(NoSuchHost, request("GET", url, {}))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_usage(self) -> None:
        """A malformed request is not sent."""

        async def test() -> None:
            for url in ("ftp://h/", "http://h:x/", "http:///"):
                await self.raises(Usage, self.wire().request("GET", url, {}))

        return self.on_loop(test)  # type: ignore[no-any-return]

    def test_time(self) -> None:
        """A wire's clock goes on while it sleeps."""

        async def test() -> None:
            wire = self.wire()
            before = wire.seconds()
            await wire.sleep(0.01)
            self.assertGreater(wire.seconds(), before)

        return self.on_loop(test)  # type: ignore[no-any-return]
