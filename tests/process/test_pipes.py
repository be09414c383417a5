"""Tests for L{shellstream.process.pipes}, with real processes that read."""

import hashlib
import os
import signal
from random import Random

from twisted.trial.unittest import TestCase

from shellstream.config.command import Command
from shellstream.model.events import Stream
from shellstream.model.run_input import InputClosed, StdinChunk
from shellstream.process.child import ChildProcess
from shellstream.runs.stdin import Stdin
from tests.support.processes import Told, start, turn

DATA = Random(1).randbytes(3_000_000)


class InputTestCase(TestCase):
    """A process and its input."""

    timeout = 60

    def start(self, script: str) -> tuple[ChildProcess, Told, Stdin]:
        """A script whose input is open."""
        command = Command(name="c", shell=script, stdin=True)
        child, told = start(self, command, stdin=True)
        stdin = Stdin()
        stdin.connect(child)
        told.deaf.addCallback(lambda _: stdin.close())
        return child, told, stdin

    def out(self, told: Told) -> bytes:
        return told.output_.get(Stream.STDOUT, b"")


class InputTests(InputTestCase):
    """Input reaches the process whole and unchanged."""

    async def test_whole(self) -> None:
        """Every byte comes out that went in, and its end is the end."""
        _, told, stdin = self.start("exec cat")
        for at in range(0, len(DATA), 1 << 20):
            await stdin.feed(StdinChunk(DATA[at : at + (1 << 20)], at))
        self.assertFalse(told.ended.called)
        await stdin.feed(StdinChunk(b"", eof=True))
        self.assertEqual((await told.ended).code, 0)
        found = hashlib.sha256(self.out(told)).digest()
        self.assertEqual(found, hashlib.sha256(DATA).digest())
        self.assertEqual((stdin.offset, stdin.state.open), (len(DATA), False))

    async def test_open(self) -> None:
        """The pipe stays open between writes, and each write arrives at once."""
        child, told, stdin = self.start("head -c 1; cat")
        await turn()
        self.assertFalse(told.deaf.called)
        self.assertEqual(await stdin.feed(StdinChunk(b"a")), 1)
        await told.seen
        self.assertEqual(self.out(told), b"a")
        self.assertEqual(await stdin.feed(StdinChunk(b"b", eof=True)), 2)
        await told.ended
        self.assertEqual(self.out(told), b"ab")
        self.assertEqual(child.write(memoryview(b"x"), lambda: None), 0)

    async def test_by_name(self) -> None:
        """The pipe can be opened again by its name."""
        _, told, stdin = self.start("cat /dev/stdin")
        await stdin.feed(StdinChunk(b"hello", eof=True))
        await told.ended
        self.assertEqual(self.out(told), b"hello")

    async def test_both_ways(self) -> None:
        """Input and output do not block each other when both exceed a pipe."""
        child, told, stdin = self.start("head -c 2000000 /dev/zero; exec wc -c")
        child.pause()
        feeding = stdin.feed(StdinChunk(DATA[: 1 << 20], eof=True))
        await turn()
        self.assertFalse(feeding.called)
        child.resume()
        self.assertEqual(await feeding, 1 << 20)
        await told.ended
        self.assertEqual(self.out(told)[2_000_000:], b"1048576\n")

    async def test_no_input(self) -> None:
        """Without stdin, the child reads the end of file at once."""
        _, told = start(self, Command(name="c", shell="exec cat"))
        self.assertEqual((await told.ended).code, 0)
        self.assertFalse(told.deaf.called)

    async def test_waits(self) -> None:
        """Unread input is taken only up to a pipe's capacity."""
        child, told, stdin = self.start("echo; exec sleep 1000")
        await told.seen
        feeding = stdin.feed(StdinChunk(DATA[: 1 << 20]))
        await turn()
        self.assertFalse(feeding.called)
        self.assertEqual(stdin.offset, 1 << 16)
        child.signal(signal.SIGTERM)
        self.assertEqual((await told.ended).signal, signal.SIGTERM)
        with self.assertRaises(InputClosed):
            await feeding

    async def test_closed(self) -> None:
        """A process that closes its input is found out, also while it has enough."""
        for piece in (b"", DATA[: 1 << 20]):
            _, told, stdin = self.start("exec <&-; echo; sleep 1000")
            feeding = stdin.feed(StdinChunk(piece))
            feeding.addErrback(lambda failure: failure.trap(InputClosed))
            await told.deaf
            await feeding
            self.assertFalse(stdin.state.open)
            self.assertFalse(told.ended.called)

    async def test_closed_before(self) -> None:
        """The same for a child that closed its input before the daemon wrote to it."""
        child, told, _ = self.start("exec <&-; echo; sleep 1000")
        await told.seen
        self.assertEqual(child.write(memoryview(b"x"), lambda: None), 0)
        self.assertTrue(told.deaf.called)

    async def test_grandchild(self) -> None:
        """After the exit no input is taken, even if a grandchild could read it."""
        script = "exec 3<&0; sleep 1000 <&3 >&- 2>&- & exit 0"
        child, told, stdin = self.start(script)
        await told.deaf
        await told.ended
        self.assertRaises(InputClosed, stdin.feed, StdinChunk(b"x"))
        child.signal(signal.SIGKILL)

    async def test_descriptors(self) -> None:
        """All descriptors are closed."""
        counts = set()
        for script in ("exec cat", "exec true", "exec cat", "exec true"):
            _, told, stdin = self.start(script)
            stdin.feed(StdinChunk(b"x", eof=True)).addErrback(lambda _: None)
            await told.ended
            await turn()
            counts.add(len(os.listdir("/dev/fd")))
        self.assertEqual(len(counts), 1)
