"""Tests for the command line's input: standard input, and keys."""

import os
import socket
import termios
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.client.cli.local_terminal import EscapeDetector, LocalTerminal
from shellstream.client.cli.stdin import StdinReader, is_redirected
from shellstream.client.commands.run import until_done
from shellstream.client.errors import CannotRead, Usage
from shellstream.client.feed import CHUNK_SIZE, Tty
from tests.support.processes import turn


class DescriptorTestCase(TestCase):
    """Descriptors of all kinds."""

    timeout = 30

    def own(self, fd: int) -> int:
        """Close a descriptor after the test."""
        self.addCleanup(os.close, fd)
        return fd

    def pipe(self) -> tuple[int, int]:
        """Open a pipe and return its two ends; the test closes the writing end."""
        reader, writer = os.pipe()
        return self.own(reader), writer

    def terminal(self) -> tuple[int, int]:
        """Its two ends."""
        master, slave = os.openpty()
        return self.own(master), self.own(slave)


class ReaderTests(DescriptorTestCase):
    """L{StdinReader} returns bytes as soon as they arrive."""

    def reader(self, fd: int, **more: Callable[..., bytes]) -> StdinReader:
        """Return a reader of a descriptor that is closed when the test ends."""
        reader = StdinReader(reactor, fd, "standard input", **more)
        self.addCleanup(reader.close)
        return reader

    async def whole(self, reader: StdinReader) -> bytes:
        """Read everything up to the end."""
        return b"".join([data async for data in reader])

    async def test_live(self) -> None:
        """Each piece arrives when it is written; then comes the end."""
        fd, writer = self.pipe()
        reader = self.reader(fd)
        for data in (b"one", b"two"):
            os.write(writer, data)
            self.assertEqual(await anext(reader), data)
        os.close(writer)
        self.assertEqual(await self.whole(reader), b"")

    async def test_kinds(self) -> None:
        """Files, sockets and devices are read to their ends."""
        path = Path(self.mktemp())
        data = os.urandom(CHUNK_SIZE * 2 + 1)
        path.write_bytes(data)
        fd = self.own(os.open(path, os.O_RDONLY))
        self.assertEqual(await self.whole(self.reader(fd)), data)
        fd = self.own(os.open(os.devnull, os.O_RDONLY))
        self.assertEqual(await self.whole(self.reader(fd)), b"")
        ours, theirs = socket.socketpair()
        theirs.sendall(b"hi")
        theirs.close()
        self.addCleanup(ours.close)
        self.assertEqual(await self.whole(self.reader(ours.fileno())), b"hi")

    async def test_gathers(self) -> None:
        """Data that comes between two reads is one chunk, of limited size."""
        fd, writer = self.pipe()
        os.set_blocking(writer, False)
        reader = self.reader(fd)
        written = idle = 0
        while idle < 10:
            try:
                written += os.write(writer, bytes(4096))
                idle = 0
            except BlockingIOError:
                idle += 1
            await turn()
        self.assertGreaterEqual(written, CHUNK_SIZE)
        first = await anext(reader)
        self.assertEqual(len(first), CHUNK_SIZE)
        os.close(writer)
        rest = await self.whole(reader)
        self.assertEqual(len(first + rest), written)
        self.assertLessEqual(len(rest), CHUNK_SIZE)

    async def test_shared(self) -> None:
        """A pipe that other processes have open stays blocking."""
        fd, writer = self.pipe()
        os.close(writer)
        self.assertEqual(await self.whole(self.reader(fd)), b"")
        self.assertTrue(os.get_blocking(fd))

    async def test_next_writer(self) -> None:
        """A named pipe ends with its last writer; one that comes at once is heard."""
        path = self.mktemp()
        os.mkfifo(path)
        fd = self.own(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writer = os.open(path, os.O_WRONLY)
        reader = self.reader(fd)
        os.close(writer)
        writer = os.open(path, os.O_WRONLY)
        reader.connectionLost(Failure(ConnectionDone()))
        os.write(writer, b"hi")
        self.assertEqual(await anext(reader), b"hi")
        os.close(writer)
        self.assertEqual(await self.whole(reader), b"")

    async def test_cannot_read(self) -> None:
        """An unreadable standard input is an error that says why."""
        for path, why in (("/", "Is a directory"), (os.devnull, "Bad file")):
            flags = os.O_RDONLY if path == "/" else os.O_WRONLY
            fd = self.own(os.open(path, flags))
            with self.assertRaises(CannotRead) as raised:
                await self.whole(self.reader(fd))
            self.assertIn(f"standard input: {why}", str(raised.exception))

    async def test_filtered(self) -> None:
        """Data is filtered at once, even while no caller asks for it."""
        fd, writer = self.pipe()
        seen = []

        def shout(data: bytes) -> bytes:
            seen.append(data)
            return data.upper()

        reader = self.reader(fd, filter_data=shout)
        os.write(writer, b"abc")
        while not seen:
            await turn()
        os.close(writer)
        self.assertEqual(await self.whole(reader), b"ABC")
        self.assertEqual(seen, [b"abc"])

    def test_given(self) -> None:
        """Pipes, files and sockets are given; terminals and /dev/null are not."""
        reader, writer = self.pipe()
        self.own(writer)
        path = Path(self.mktemp())
        path.write_bytes(b"")
        file = self.own(os.open(path, os.O_RDONLY))
        null = self.own(os.open(os.devnull, os.O_RDWR))
        for fd in (reader, file):
            self.assertTrue(is_redirected(fd))
        for fd in (null, self.terminal()[1]):
            self.assertFalse(is_redirected(fd))


class TerminalTests(DescriptorTestCase):
    """L{LocalTerminal} is as it was, in the end."""

    def test_raw(self) -> None:
        """Raw mode can be set and reset repeatedly."""
        _, slave = self.terminal()
        found = termios.tcgetattr(slave)
        terminal = LocalTerminal(slave)
        for _ in range(2):
            terminal.set_raw()
            self.assertFalse(
                termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ISIG)
            )
            terminal.restore()
            terminal.restore()
            self.assertEqual(termios.tcgetattr(slave), found)

    def test_gone(self) -> None:
        """A terminal that was closed needs no restoring."""
        master, slave = os.openpty()
        terminal = LocalTerminal(slave)
        os.close(slave)
        os.close(master)
        terminal.restore()

    def test_no_terminal(self) -> None:
        """A session needs a terminal."""
        reader, writer = self.pipe()
        os.close(writer)
        self.assertIn("--tty", str(self.assertRaises(Usage, LocalTerminal, reader)))

    def test_describe(self) -> None:
        """The run gets this terminal's size and type, as far as they are known."""
        _, slave = self.terminal()
        terminal = LocalTerminal(slave)
        usual = Tty()
        self.assertEqual(terminal.describe({}), usual)
        self.assertIsNone(terminal.size())
        termios.tcsetwinsize(slave, (50, 9999))
        expected = Tty(50, 4096, "screen-256color")
        self.assertEqual(terminal.describe({"TERM": "screen-256color"}), expected)
        for odd in ("", "../x", "a b", "x" * 65):
            self.assertEqual(terminal.describe({"TERM": odd}).term, usual.term)


class EscapeTests(SynchronousTestCase):
    """C{~.} at the beginning of a line leaves; other bytes are unchanged."""

    def feed(self, *parts: bytes) -> tuple[bytes, bool]:
        """
        Return the bytes that are sent for these keys, and whether the escape was found.
        """
        escape = EscapeDetector()
        sent = b"".join(map(escape.feed, parts))
        return sent, escape.found

    def test_rules(self) -> None:
        """The escape works as in ssh(1)."""
        for typed, expected in {
            b"~.": (b"", True),
            b"ls\r~.more": (b"ls\r", True),
            b"ls\n~.": (b"ls\n", True),
            b"ls~.": (b"ls~.", False),
            b"~~.": (b"~.", False),
            b"~~\r~.": (b"~\r", True),
            b"~x.": (b"~x.", False),
            b"~\r~.": (b"~\r", True),
            b"a\r~": (b"a\r", False),
        }.items():
            self.assertEqual(self.feed(typed), expected, typed)

    @given(st.lists(st.text("~.\rx").map(str.encode)))
    def test_in_parts(self, parts) -> None:
        """Keys are recognized however they are split."""
        self.assertEqual(self.feed(*parts), self.feed(b"".join(parts)))

    @given(st.binary())
    def test_other_bytes(self, data) -> None:
        """Input without a line that begins with C{~} is sent unchanged."""
        data = data.replace(b"~", b"x~")
        self.assertEqual(self.feed(data), (data, False))


class UntilDoneTests(SynchronousTestCase):
    """Side tasks run while a run is shown."""

    def run_all(
        self, main: Coroutine[Any, Any, int], *others: Coroutine[Any, Any, object]
    ) -> "Deferred[int]":
        return Deferred.fromCoroutine(until_done(main, *others))

    def test_ends(self) -> None:
        """The result of the main task counts, and earlier ends are ignored."""
        shown: Deferred[int] = Deferred()
        cancelled: list[object] = []

        async def show() -> int:
            return await shown

        async def at_once() -> None:
            return

        async def never() -> None:
            await Deferred(cancelled.append)

        done = self.run_all(show(), at_once(), never())
        self.assertNoResult(done)
        shown.callback(7)
        self.assertEqual(self.successResultOf(done), 7)
        self.assertEqual(len(cancelled), 1)

    def test_fails(self) -> None:
        """A failing side task fails everything."""
        cancelled = []

        async def never() -> int:
            try:
                await Deferred()
            except CancelledError:
                cancelled.append(1)
                raise
            return 0

        async def fails() -> None:
            raise CannotRead("standard input: broken")

        self.failureResultOf(self.run_all(never(), fails()), CannotRead)
        self.assertEqual(cancelled, [1])
