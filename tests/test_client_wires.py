"""
Both wires of the client against the contract, and what only one of them does; on
loopback, since sockets are what they are about.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from shellstream.client import AsyncioWire, TreqWire
from shellstream.client.errors import CutShort, NotHTTP, Usage
from shellstream.client.wire import Wire
from tests.wire_contract import OK, WireContract


class AsyncioTests(WireContract, TestCase):
    """On asyncio."""

    def wire(self) -> Wire:
        return AsyncioWire()

    def on_loop(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(test())

    def test_no_length(self) -> None:
        """Where nothing tells the end but the connection's, a reset is no end."""

        async def test() -> None:
            answer = await self.ask(OK + b"\r\n", "reset")
            await self.raises(CutShort, answer.read())

        self.on_loop(test)

    def test_no_injection(self) -> None:
        """Nothing that is given becomes a line of its own in the request."""

        async def test() -> None:
            for url, headers in (
                ("http://127.0.0.1:1/a b", {}),
                ("http://127.0.0.1:1/\u00e9", {}),
                ("http://127.0.0.1:1/", {"accept": "x\r\ny: z"}),
            ):
                request = self.wire().request("GET", url, headers)
                error = await self.raises(Usage, request)
                self.assertIn("cannot be asked for", str(error))

        self.on_loop(test)

    def test_endless_head(self) -> None:
        """Headers without end are given up."""

        async def test() -> None:
            wire = OK + b"X: y\r\n" * 50_000
            error = await self.raises(NotHTTP, self.ask(wire))
            self.assertIn("headers", str(error).lower())

        self.on_loop(test)

    def test_behind_the_end(self) -> None:
        """What comes behind an answer is nobody's."""

        async def test() -> None:
            wire = OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nxyz"
            self.assertEqual(await self.whole(await self.ask(wire)), b"x")

        self.on_loop(test)


class TreqTests(WireContract, TestCase):
    """On Twisted's reactor."""

    def wire(self) -> Wire:
        return TreqWire(reactor)

    def on_loop(self, test: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        return Deferred.fromCoroutine(test())
