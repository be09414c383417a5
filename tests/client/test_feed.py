"""Tests for the client's input to a run: each byte arrives once, whatever breaks."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client import Client, Tty
from shellstream.client.errors import (
    CannotConnect,
    ClientError,
    ContractViolation,
    CutShort,
    NoResponse,
    Refused,
    ServerFailed,
)
from shellstream.client.events import End
from shellstream.client.feed import CHUNK_SIZE
from shellstream.client.retry import MAX_DELAY
from tests.support.client_wires import (
    Asked,
    FakeAnswer,
    FakeWire,
    begun,
    document,
    ended,
    finish,
    stream,
    whole,
)

CUT = NoResponse("h", "cut")


async def pieces(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A source that has all at once."""
    for part in parts:
        yield part


@define
class Pipe(FakeWire):
    """
    A server whose run reads, over a network that breaks as the test says.

    @ivar breaks: of each chunk, how much is taken before its response is lost;
        L{None}: all goes well.
    @ivar got: what the run has read.
    @ivar closes: after how many bytes it reads no more.
    """

    answers: Any = ()
    breaks: Iterable[int | None] = ()
    got: bytes = b""
    open: bool = True
    closes: int | None = None
    seconds_each: float = 0.0
    _breaks: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._breaks = iter(self.breaks)

    async def request(
        self,
        method: str,
        url: str,
        headers: Any,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> FakeAnswer:
        self.asked.append(Asked(method, url, headers, body))
        if method == "GET":
            stdin = {"offset": len(self.got), "open": self.open}
            return document({"ended": None, "stdin": stdin})
        self.now += self.seconds_each
        query = url.partition("?")[2]
        offset = int(query.removeprefix("offset=").partition("&")[0])
        rest = body[len(self.got) - offset :]
        broken = next(self._breaks, None)
        if self.open and offset <= len(self.got):
            self.got += rest if broken is None else rest[:broken]
            whole = broken is None or broken >= len(rest)
            if whole and query.endswith("eof=true"):
                self.open = False
            elif self.closes is not None and len(self.got) >= self.closes:
                self.got, self.open = self.got[: self.closes], False
                return document({"stdin_offset": len(self.got)}, 409)
        elif rest:
            return document({"stdin_offset": len(self.got)}, 409)
        if broken is not None:
            raise CUT
        headers = {"shellstream-stdin-offset": str(len(self.got))}
        return FakeAnswer([], 204, "No Content", headers)


class FeedTests(SynchronousTestCase):
    """L{Client.feed}"""

    def feed(self, wire: FakeWire, *parts: bytes, retry_for: float = 60.0) -> int:
        """Feed all of that; returns how much was taken."""
        client = Client("http://h", wire, retry_for=retry_for)
        taken: int = finish(client.feed("r", pieces(parts)))
        return taken

    def fails(self, wire: FakeWire, kind: type[ClientError]) -> str:
        """Check that the input fails, and return the error."""
        return str(self.assertRaises(kind, self.feed, wire, b"abc"))

    def test_plain(self) -> None:
        """Each piece is sent at its offset; then comes the end."""
        wire = Pipe()
        self.assertEqual(self.feed(wire, b"abc", b"", b"de"), 5)
        expected = [
            "POST /runs/r/stdin?offset=0&eof=false",
            "POST /runs/r/stdin?offset=3&eof=false",
            "POST /runs/r/stdin?offset=5&eof=true",
        ]
        self.assertEqual(wire.lines, expected)
        self.assertEqual((wire.got, wire.open), (b"abcde", False))

    def test_large(self) -> None:
        """Large input is sent in pieces that a slow network can carry."""
        wire = Pipe()
        data = bytes(range(256)) * (CHUNK_SIZE // 100)
        self.assertEqual(self.feed(wire, data), len(data))
        self.assertEqual(wire.got, data)
        self.assertEqual(max(len(each.body) for each in wire.asked), CHUNK_SIZE)

    def test_one_at_a_time(self) -> None:
        """The next is asked for when the last was taken."""
        wire = Pipe()
        seen = []

        async def source() -> AsyncIterator[bytes]:
            for _ in range(3):
                seen.append(len(wire.got))
                yield b"x"

        finish(Client("http://h", wire).feed("r", source()))
        self.assertEqual(seen, [0, 1, 2])

    @given(
        st.lists(st.binary(max_size=9), max_size=5),
        st.lists(st.none() | st.integers(0, 9), max_size=20),
    )
    def test_broken(self, parts, breaks) -> None:
        """Wherever it breaks, every byte goes in once, and its end."""
        wire = Pipe(breaks=breaks)
        self.assertEqual(self.feed(wire, *parts, retry_for=1e6), len(b"".join(parts)))
        self.assertEqual((wire.got, wire.open), (b"".join(parts), False))

    @given(st.lists(st.binary(max_size=9), max_size=5), st.integers(0, 9))
    def test_closed(self, parts, closes) -> None:
        """A run that closes its input ends it, without an error."""
        wire = Pipe(closes=closes)
        taken = self.feed(wire, *parts)
        self.assertEqual(taken, len(wire.got))
        self.assertEqual(wire.got, b"".join(parts)[: max(taken, 0)])
        self.assertFalse(wire.open)

    def test_ended(self) -> None:
        """
        The same for a run that has ended, and one whose daemon has forgotten the rest.
        """
        for stdin in ({"offset": 1, "open": True}, {"offset": None, "open": False}):
            for error in (document({}, 409), CUT, CannotConnect("h")):
                run = document({"ended": "2020-01-01T00:00:00Z", "stdin": stdin})
                self.feed(FakeWire([error, run]), b"abc")

    def test_does_not_read(self) -> None:
        """A run that does not read for hours is waited for as long, without pause."""
        wire = Pipe(breaks=[0] * 200, seconds_each=60.0)
        self.assertEqual(self.feed(wire, b"abc"), 3)
        self.assertEqual(wire.slept, [])

    def test_always_broken(self) -> None:
        """A way that breaks at once each time is tried ever later."""
        wire = Pipe(breaks=[0] * 50)
        self.assertEqual(self.feed(wire, b"abc"), 3)
        self.assertGreater(wire.slept[-1], MAX_DELAY / 3)

    def test_given_up(self) -> None:
        """A server that cannot be reached any more is given up."""
        for error in (CUT, CannotConnect("h"), ServerFailed("h", 503, "busy")):
            wire = FakeWire([error])
            self.assertIn("not resumed for 60 s", self.fails(wire, CutShort))
            self.assertGreater(wire.now, 50)

    def test_refused(self) -> None:
        """A final refusal is not retried."""
        for status in (401, 404, 413):
            wire = FakeWire([document({"detail": "no"}, status)])
            self.fails(wire, Refused)
            self.assertEqual(len(wire.asked), 1)
        wire = FakeWire([document({"detail": "no"}, 500)])
        self.fails(wire, ServerFailed)
        wire = FakeWire([CUT, document({"detail": "no"}, 404)])
        self.fails(wire, Refused)

    def test_another_client(self) -> None:
        """A second client that feeds the same run is an error: bytes would be lost."""
        taken = FakeAnswer([], 204, "", {"shellstream-stdin-offset": "7"})
        self.assertIn(
            "another client", self.fails(FakeWire([taken]), ContractViolation)
        )
        run = document({"ended": None, "stdin": {"offset": 7, "open": True}})
        self.assertIn(
            "another client", self.fails(FakeWire([CUT, run]), ContractViolation)
        )

    def test_no_offset(self) -> None:
        """A response that does not say how much was taken is refused."""
        for said in ({}, {"shellstream-stdin-offset": "x"}):
            self.fails(FakeWire([FakeAnswer([], 200, "", said)]), ContractViolation)


class OrderTests(SynchronousTestCase):
    """The start request of a run with input."""

    def test_start(self) -> None:
        """The start request asks for input, or for a terminal."""
        wire = FakeWire([CUT, *[document({"id": "r"}, 201) for _ in range(2)]])
        client = Client("http://h", wire)
        finish(client.start("c", stdin=True, on_disconnect="cancel"))
        first, again = wire.asked
        self.assertEqual(first, again)
        expected = {"command": "c", "params": {}, "stdin": True}
        expected["on_disconnect"] = "cancel"
        self.assertEqual(json.loads(first.body), expected)
        finish(client.start(tty=Tty(50, 132)))
        tty = {"rows": 50, "columns": 132, "term": "xterm"}
        self.assertEqual(json.loads(wire.asked[-1].body), {"params": {}, "tty": tty})

    def test_resize(self) -> None:
        """A size is sent until it was heard."""
        wire = FakeWire([CUT, CUT, FakeAnswer([], 204)])
        finish(Client("http://h", wire).resize("r", 5, 6))
        self.assertEqual(wire.lines, ["POST /runs/r/resize"] * 3)
        self.assertEqual(json.loads(wire.asked[0].body), {"rows": 5, "columns": 6})

    def test_never_there(self) -> None:
        """The client does not wait for a server that was never there."""
        wire = FakeWire([CannotConnect("h")])
        self.assertRaises(CannotConnect, finish, Client("http://h", wire).start("c"))
        self.assertEqual(len(wire.asked), 1)

    def test_there(self) -> None:
        """A server that has begun a run is waited for when the run is followed."""
        output = stream(begun() + ended(0))
        wire = FakeWire([document({"id": "r"}, 201), CannotConnect("h"), output])
        client = Client("http://h", wire)
        finish(client.start("c"))
        *_, end = finish(whole(client.attach("r")))
        self.assertIsInstance(end, End)

    def test_start_given_up(self) -> None:
        """A request without a response is given up: its effect is unknown."""
        client = Client("http://h", FakeWire([CUT]))
        error = self.assertRaises(CutShort, finish, client.start("c"))
        self.assertIn("it is unknown whether the server carried it out", str(error))

    def test_command(self) -> None:
        """A command is described by its name; without one it is the default."""
        wire = FakeWire([document({"name": "a/b"})])
        found = finish(Client("http://h", wire).command("a/b"))
        self.assertEqual(
            (found, wire.lines), ({"name": "a/b"}, ["GET /commands/a%2Fb"])
        )
        commands = [{"name": "a"}, {"name": "b"}]
        for default, expected in (("b", {"name": "b"}), (None, None)):
            wire = FakeWire([document({"default": default, "commands": commands})])
            self.assertEqual(finish(Client("http://h", wire).command()), expected)
