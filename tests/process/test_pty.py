"""Tests for C{unbuffer = "pty"}: a terminal that hands on bytes as a pipe does."""

import contextlib
import errno
import hashlib
import os
import sys
from pathlib import Path
from random import Random
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command, Unbuffer
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import Stream
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.pty import PtyOutput, open_output_pty
from tests.support.processes import Told, kill_group, start

#: Outputs in which a terminal would find something to do.
OUTPUTS = {
    "every byte": bytes(range(256)) * 40,
    "controls": b"\x03\x04\x11\x13\x1a\x1c\x15\x17\x7f\0\xff" * 500,
    "line ends": b"a\r\nb\nc\rd\n\n\r\r\n\t\t e" * 500,
    "one byte": b"\x04",
    "nothing": b"",
    "no line end": b"x" * 4096,
    "one more": b"x" * 4097,
    "a long line": b"y" * 300_000,
    "random": Random(1).randbytes(1_000_000),
    "much": b"".join(b"%d\n" % n for n in range(1_300_000)),
}

#: Writes a file to standard output in pieces of as many bytes, and exits at once.
PIECES = """
import os, sys
data = open(sys.argv[1], "rb").read()
size = int(sys.argv[2])
for at in range(0, len(data), size):
    piece = data[at:at + size]
    while piece:
        piece = piece[os.write(1, piece):]
os._exit(7)
"""


def on_terminal(script: str) -> Command:
    """A script whose standard output is a terminal."""
    return Command(name="c", shell=script, unbuffer=Unbuffer.PTY)


class BytesTests(TestCase):
    """Output through a terminal is the same as through a pipe."""

    timeout = 120

    async def digest(self, how: Unbuffer, *argv: str) -> tuple[object, ...]:
        """
        Return the hash and length of a command's output, its other output, and its end.
        """
        _, told = start(self, Command(name="c", argv=argv, unbuffer=how))
        status = await told.ended
        out = told.output_.get(Stream.STDOUT, b"")
        found = hashlib.sha256(out).hexdigest(), len(out)
        return *found, told.output_.get(Stream.STDERR), status.code

    async def test_identical(self) -> None:
        """No byte is lost, added or changed, however a program writes."""
        path = Path(self.mktemp()).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, data in OUTPUTS.items():
            path.write_bytes(data)
            expected = hashlib.sha256(data).hexdigest(), len(data)
            for size in (1, 100, 65536) if len(data) < 20_000 else (4096, 1 << 20):
                argv = (sys.executable, "-c", PIECES, str(path), str(size))
                for how in (Unbuffer.OFF, Unbuffer.PTY):
                    found = await self.digest(how, *argv)
                    self.assertEqual(found, (*expected, None, 7), (name, size, how))

    async def test_streams(self) -> None:
        """Standard error stays separate, on a pipe."""
        script = "echo out; echo err >&2; test -t 1 && test ! -t 2 && exit 3"
        _, told = start(self, on_terminal(script))
        self.assertEqual((await told.ended).code, 3)
        expected = {Stream.STDOUT: b"out\n", Stream.STDERR: b"err\n"}
        self.assertEqual(told.output_, expected)

    async def test_by_name(self) -> None:
        """Both streams can be opened again by their names."""
        _, told = start(self, on_terminal("echo o > /dev/stdout; echo e > /dev/stderr"))
        self.assertEqual((await told.ended).code, 0)
        self.assertEqual(told.output_, {Stream.STDOUT: b"o\n", Stream.STDERR: b"e\n"})

    async def test_password(self) -> None:
        """A program that asks for a password fails at once, however it asks."""
        script = "read a < /dev/tty; read b; read c <&1; read d <&2; echo $?"
        _, told = start(self, on_terminal(f"bash -c '{script}'"))
        self.assertEqual((await told.ended).code, 0)
        self.assertEqual(told.output_[Stream.STDOUT], b"1\n")
        self.assertIn(b"/dev/tty", told.output_[Stream.STDERR])

    async def test_size(self) -> None:
        """The terminal has the usual size, and a program that sees no colors."""
        script = (
            "import os; print(*os.get_terminal_size(1), os.environ['TERM'], "
            "os.environ['NO_COLOR'], os.environ['PAGER'])"
        )
        command = Command(
            name="c", argv=(sys.executable, "-c", script), unbuffer=Unbuffer.PTY
        )
        _, told = start(self, command)
        await told.ended
        self.assertEqual(told.output_, {Stream.STDOUT: b"80 24 dumb 1 cat\n"})


class EndTests(TestCase):
    """A run on a terminal ends as one on a pipe does."""

    timeout = 60

    async def paused_until_exit(self, script: str) -> tuple[ChildProcess, Told]:
        """Return a child that has exited, and whose output is unread."""
        child, told = start(self, on_terminal(script))
        child.pause()
        exited: Deferred[None] = Deferred()
        original = child.protocol.processExited

        def processExited(reason: Failure) -> None:
            original(reason)
            exited.callback(None)

        self.patch(child.protocol, "processExited", processExited)
        await exited
        return child, told

    async def test_paused(self) -> None:
        """Output of a child that was paused when it exited is not lost."""
        child, told = await self.paused_until_exit("head -c 8000 /dev/zero")
        child.loseConnection()  # as after the linger time
        self.assertNoResult(told.ended)
        child.resume()
        self.assertEqual((await told.ended).code, 0)
        self.assertEqual(told.output_, {Stream.STDOUT: bytes(8000)})

    async def test_paused_with_grandchild(self) -> None:
        """The same if a grandchild keeps the terminal."""
        script = "head -c 8000 /dev/zero; sleep 1000 2> /dev/null & exit 5"
        child, told = await self.paused_until_exit(script)
        child.loseConnection()
        self.assertNoResult(told.ended)
        child.resume()
        self.assertEqual((await told.ended).code, 5)
        self.assertEqual(told.output_, {Stream.STDOUT: bytes(8000)})
        kill_group(child)

    async def test_grandchild(self) -> None:
        """A silent grandchild that has the terminal does not keep the run."""
        child, told = start(self, on_terminal("echo here; sleep 1000 & exit 5"))
        with patch.object(ChildProtocol, "LINGER", 0.1):
            self.assertEqual((await told.ended).code, 5)
        self.assertEqual(told.output_, {Stream.STDOUT: b"here\n"})
        kill_group(child)

    async def test_grandchild_writes_on(self) -> None:
        """A grandchild that never stops writing does not delay the end."""
        child, told = start(self, on_terminal("yes & exit 0"))
        with patch.object(ChildProtocol, "LINGER", 0.1):
            self.assertEqual((await told.ended).code, 0)
        kill_group(child)

    async def test_closed_early(self) -> None:
        """A child may close its output and go on."""
        _, told = start(self, on_terminal("echo here; exec >&-; echo on >&2; exit 4"))
        self.assertEqual((await told.ended).code, 4)
        expected = {Stream.STDOUT: b"here\n", Stream.STDERR: b"on\n"}
        self.assertEqual(told.output_, expected)

    def test_holds(self) -> None:
        """The kernel buffers less of a terminal than is read after a child's end."""
        reading, writing = open_output_pty()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        os.set_blocking(writing, False)
        held = 0
        with contextlib.suppress(BlockingIOError):
            while held < 1 << 24:
                held += os.write(writing, bytes(1 << 10))
        self.assertGreater(held, 0)
        self.assertLess(held, PtyOutput.MOST_HELD)


class NoTerminalTests(SynchronousTestCase):
    """A missing terminal is an error that names no path."""

    def test_no_more(self) -> None:
        """The machine is busy if all terminals are taken, not if it has none."""
        for number, error, why in (
            (errno.ENOSPC, Busy, "no room for a terminal"),
            (errno.EMFILE, Busy, "no room for a terminal"),
            (errno.ENOENT, CannotStart, "its terminal was not found"),
        ):
            before = len(os.listdir("/proc/self/fd"))
            full = OSError(number, os.strerror(number))
            with patch.object(os, "openpty", side_effect=full):
                raised = self.assertRaises(error, start, self, on_terminal("true"))
            self.assertIn(why, str(raised))
            self.assertNotIn("/", str(raised))
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_half(self) -> None:
        """A terminal that cannot be used is closed."""
        before = len(os.listdir("/proc/self/fd"))
        error = OSError(errno.EACCES, os.strerror(errno.EACCES))
        with patch.object(os, "ttyname", side_effect=error):
            raised = self.assertRaises(OSError, open_output_pty)
        self.assertEqual(raised.errno, errno.EACCES)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
