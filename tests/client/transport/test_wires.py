"""Tests of the client's wire on both kinds of loop; on loopback, with real sockets."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from shellstream.client import AsyncioWire, Client, TreqWire
from shellstream.client.transport.wire import Wire
from tests.support.wire_contract import CHUNKED, OK, RawServer, WireContract

EMPTY = OK + b"Content-Length: 0\r\n\r\n"


class AsyncioTests(WireContract, TestCase):
    """The wire on asyncio."""

    def wire(self) -> Wire:
        return AsyncioWire()

    def on_loop(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(test())

    def test_loops(self) -> None:
        """One wire serves two loops in turn, and leaves nothing open."""
        wire, opened = self.wire(), []

        async def test() -> None:
            answer = await wire.request("GET", server.url, {})
            self.assertEqual(await answer.read(), b"")

        for _ in range(4):
            server = RawServer(EMPTY)
            self.on_loop(test)
            server.close()
            opened.append(len(os.listdir("/dev/fd")))
        self.assertLessEqual(opened[-1], opened[0])

    def test_no_loop(self) -> None:
        """Without a loop of asyncio the error says what a Twisted program needs."""
        asking = Deferred.fromCoroutine(Client("http://h").show("r"))
        error = self.failureResultOf(asking, RuntimeError).value
        self.assertIn("Client(URL, TreqWire(reactor))", str(error))

    def test_name(self) -> None:
        """A name is looked up, and each of its addresses is tried."""

        async def test() -> None:
            url = self.serve(EMPTY).url.replace("127.0.0.1", "localhost")
            self.assertEqual((await self.wire().request("GET", url, {})).status, 200)

        self.on_loop(test)

    def test_cancelled(self) -> None:
        """A request that is cancelled closes its connection."""

        async def test() -> None:
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.ask("wait")
            answer = await self.ask(CHUNKED, "wait")
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await answer.read()
            answer.close()

        self.on_loop(test)


class TreqTests(WireContract, TestCase):
    """The wire on Twisted's reactor."""

    def wire(self) -> Wire:
        return TreqWire(reactor)

    def on_loop(self, test: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        return Deferred.fromCoroutine(test())
