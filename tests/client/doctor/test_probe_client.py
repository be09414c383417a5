"""Tests for L{shellstream.client.doctor.probe_client}, by a server in the same loop."""

import asyncio
import contextlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from shellstream import __version__
from shellstream.client.doctor.exchange import Ending, Exchange
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.errors import CannotConnect, NoSuchHost, NotHTTP, TLSFailed

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class AskTests(SynchronousTestCase):
    """A server that answers piece by piece is asked."""

    heard = b""

    def ask(
        self,
        *pieces: bytes,
        scheme: str = "http",
        timeout: float = 60,
        secrets: dict[str, str] = {},
        **given: Any,
    ) -> Exchange:
        """Ask a server that sends these, and then closes unless we do."""

        served = asyncio.Event()

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            self.heard = await reader.readuntil(b"\n")
            if self.heard.startswith(b"GET"):
                self.heard += await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if timeout < 1:
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
            writer.close()
            served.set()

        async def asked() -> Exchange:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                url = f"{scheme}://127.0.0.1:{port}/a/b"
                try:
                    return await ProbeClient(secrets=secrets).ask(url, timeout, **given)
                finally:
                    await served.wait()

        return asyncio.run(asked())

    def test_request(self) -> None:
        """The request is that of a client, with a query and the offered coding."""
        secrets = {"Authorization": "Bearer x"}
        self.ask(CHUNKED + b"0\r\n\r\n", query="count=1", secrets=secrets)
        first, *lines = self.heard.decode().split("\r\n")
        self.assertEqual(first, "GET /a/b?count=1 HTTP/1.1")
        headers = dict(line.split(": ") for line in lines if line)
        self.assertTrue(headers.pop("Host").startswith("127.0.0.1:"))
        expected = {
            "User-Agent": f"shellstream/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Authorization": "Bearer x",
        }
        self.assertEqual(headers, expected)
        self.ask(CHUNKED + b"0\r\n\r\n", gzip=True)
        self.assertIn(b"\r\nAccept-Encoding: gzip\r\n", self.heard)

    def test_whole(self) -> None:
        """An exchange ends with its response, before the connection does."""
        found = self.ask(CHUNKED, b"3\r\none\r\n", b"0\r\n\r\n")
        self.assertEqual((found.sample, found.ending), (b"one", Ending.WHOLE))
        self.assertLessEqual(found.requested, found.ended)
        self.assertIsNone(found.certificate)

    def test_endings(self) -> None:
        """A close is the end or a cut; a response that takes too long is overdue."""
        found = self.ask(b"HTTP/1.0 200 OK\r\n\r\n", b"one")
        self.assertEqual((found.sample, found.ending), (b"one", Ending.CLOSED))
        self.assertEqual(self.ask(CHUNKED).ending, Ending.CUT)
        found = self.ask(CHUNKED, timeout=0.05)
        self.assertEqual(found.ending, Ending.OVERDUE)
        found = self.ask()
        self.assertEqual((found.answered, found.ending), (None, Ending.CUT))

    def test_no_http(self) -> None:
        """A server that speaks another protocol is an error."""
        error = self.assertRaises(NotHTTP, self.ask, b"SSH-2.0-OpenSSH_9\r\n")
        self.assertIn("/a/b: no HTTP answer", str(error))

    def test_no_tls(self) -> None:
        """A server that does not speak TLS is an error."""
        answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        self.assertRaises(TLSFailed, self.ask, answer, scheme="https")

    def test_not_there(self) -> None:
        """An unknown host and a closed port are errors."""
        for url, kind in (
            ("http://nobody.invalid/", NoSuchHost),
            ("http://127.0.0.1:1/", CannotConnect),
        ):
            self.assertRaises(kind, asyncio.run, ProbeClient().ask(url, 5))
