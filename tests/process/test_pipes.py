"""Tests for L{shellstream.process.pipes}, with real processes that read."""

import errno
import hashlib
import os
import signal
from collections.abc import Callable
from random import Random
from unittest.mock import patch

from attrs import define, field
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command
from shellstream.model.events import Stream
from shellstream.model.run_input import InputClosed, StdinChunk
from shellstream.process.child import ChildProcess
from shellstream.process.pipes import OutputPipe, StdinPipe
from shellstream.process.pty import PtyOutput, open_output_pty
from shellstream.runs.stdin import Stdin
from tests.support.processes import Told, kill_group, start, turn

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
        kill_group(child)

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


@define(eq=False)
class Owner(ProcessProtocol):
    """The owner of a pipe, and the protocol that gets what is read from it."""

    read: bytes = b""
    lost: list[int] = field(factory=list)
    cut: bool = False
    paused_by_output: Callable[[], None] = lambda: None

    @property
    def protocol(self) -> ProcessProtocol:
        return self

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N803
        self.read += data
        self.paused_by_output()

    def pipe_lost(self, number: int) -> None:
        self.lost.append(number)

    def output_cut(self) -> None:
        self.cut = True


class LastBytesTests(SynchronousTestCase):
    """
    No byte is lost, whatever the kernel says of the end, and whenever it fails.

    What the kernel does by chance and under load is done here on purpose.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.owner = Owner()

    def pipe(self, kind: type[OutputPipe]) -> OutputPipe:
        """Return a pipe or terminal whose only writer wrote, and is gone."""
        ends = os.pipe() if kind is OutputPipe else open_output_pty()
        os.write(ends[1], b"last words")
        os.close(ends[1])
        pipe = kind(self.reactor, self.owner, 1, ends[0])
        pipe.startReading()
        return pipe

    def hang_up(self, pipe: OutputPipe) -> None:
        """Do what the reactor does when epoll(7) says HUP without IN."""
        self.reactor.removeReader(pipe)
        pipe.connectionLost(Failure(CONNECTION_DONE))

    def test_hang_up(self) -> None:
        """A hang-up that is reported without the bytes before it is not the end."""
        for kind in (OutputPipe, PtyOutput):
            self.owner = Owner()
            pipe = self.pipe(kind)
            self.hang_up(pipe)
            self.assertEqual((self.owner.read, self.owner.lost), (b"last words", []))
            self.assertIn(pipe, self.reactor.getReaders())
            self.hang_up(pipe)
            self.assertEqual((self.owner.read, self.owner.lost), (b"last words", [1]))
            self.assertNotIn(pipe, self.reactor.getReaders())

    def test_hang_up_then_paused(self) -> None:
        """Bytes read after a hang-up may pause the pipe, which then stays unread."""
        pipe = self.pipe(OutputPipe)
        self.owner.paused_by_output = pipe.stopReading
        self.hang_up(pipe)
        self.assertNotIn(pipe, self.reactor.getReaders())
        self.assertEqual(self.owner.lost, [])
        pipe.doRead()
        self.assertEqual(self.owner.lost, [1])

    def failing(self, *errors: BaseException) -> Callable[[int, int], bytes]:
        """Return a read(2) that fails with these first."""
        left, read = [*errors], os.read

        def fail(fd: int, size: int) -> bytes:
            if left:
                raise left.pop(0)
            return read(fd, size)

        return fail

    def test_early_end(self) -> None:
        """An end that the kernel reports before a terminal's last bytes is not one."""
        pipe = self.pipe(PtyOutput)
        early = self.failing(OSError(errno.EIO, ""))
        with patch("os.read", side_effect=early):
            pipe.doRead()
        self.assertEqual((self.owner.read, self.owner.lost), (b"last words", []))
        pipe.doRead()
        self.assertEqual(self.owner.lost, [1])

    def test_try_again(self) -> None:
        """A read that fails is tried again."""
        for kind in (OutputPipe, PtyOutput):
            for error in (OSError(errno.ENOMEM, ""), MemoryError()):
                self.owner = Owner()
                pipe = self.pipe(kind)
                with patch("os.read", side_effect=self.failing(error)):
                    pipe.doRead()
                    self.assertEqual((self.owner.read, self.owner.lost), (b"", []))
                    self.assertNotIn(pipe, self.reactor.getReaders())
                    self.reactor.advance(OutputPipe.RETRY)
                    self.assertIn(pipe, self.reactor.getReaders())
                    pipe.doRead()
                self.assertEqual(self.owner.read, b"last words")
                pipe.doRead()
                self.assertEqual((self.owner.lost, self.owner.cut), ([1], False))

    def test_paused_meanwhile(self) -> None:
        """A pipe that is paused between two attempts stays unread until resumed."""
        pipe = self.pipe(OutputPipe)
        with patch("os.read", side_effect=self.failing(OSError(errno.EIO, ""))):
            pipe.doRead()
        pipe.stopReading()
        self.reactor.advance(OutputPipe.RETRY)
        self.assertNotIn(pipe, self.reactor.getReaders())
        pipe.startReading()
        self.assertIn(pipe, self.reactor.getReaders())
        pipe.close()

    def test_given_up(self) -> None:
        """When the child is gone, reading is given up in the end, and that is told."""
        pipe = self.pipe(OutputPipe)
        pipe.child_exited()
        pipe.close()
        with patch("os.read", side_effect=OSError(errno.EIO, "")):
            for _ in range(OutputPipe.MOST_FAILURES):
                pipe.doRead()
                self.assertEqual(self.owner.lost, [])
                self.reactor.advance(OutputPipe.RETRY)
            pipe.doRead()
        self.assertEqual((self.owner.lost, self.owner.cut), ([1], True))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_size_unknown(self) -> None:
        """Where the kernel does not tell how much is left, all of it is read."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)  # by a grandchild, say
        os.write(writing, b"last words")
        pipe = OutputPipe(self.reactor, self.owner, 1, reading)
        with patch("shellstream.process.pipes.ioctl", side_effect=OSError):
            pipe.child_exited()
        pipe.close()
        pipe.doRead()
        self.assertEqual((self.owner.read, self.owner.lost), (b"last words", []))
        pipe.doRead()
        self.assertEqual(self.owner.lost, [1])

    def test_input(self) -> None:
        """Input that cannot be written for want of memory is written later."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        pipe = StdinPipe(self.reactor, self.owner, writing)
        ready: list[None] = []
        with patch("os.write", side_effect=OSError(errno.ENOMEM, "")):
            size = pipe.offer(memoryview(b"words"), lambda: ready.append(None))
        self.assertEqual((size, self.owner.lost, ready), (0, [], []))
        self.reactor.advance(OutputPipe.RETRY)
        self.assertEqual(ready, [None])
        self.assertEqual(pipe.offer(memoryview(b"words"), lambda: None), 5)
        with patch("os.write", side_effect=OSError(errno.ENOMEM, "")):
            pipe.offer(memoryview(b"words"), lambda: None)
        pipe.send_eof()
        self.assertEqual(self.owner.lost, [0])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
