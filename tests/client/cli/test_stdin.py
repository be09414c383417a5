"""Tests for what the client's command line reads: standard input, and keys."""

import asyncio
import os
import socket
import termios
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.local_terminal import Escape, Terminal
from shellstream.client.cli.run import beside
from shellstream.client.cli.stdin import StdinReader, is_given
from shellstream.client.errors import CannotRead, Usage
from shellstream.client.feed import PIECE, Tty

T = TypeVar("T")


class DescriptorTestCase(SynchronousTestCase):
    """Descriptors of all kinds."""

    def own(self, fd: int) -> int:
        """To be closed after the test."""
        self.addCleanup(os.close, fd)
        return fd

    def pipe(self) -> tuple[int, int]:
        """Where to read, and where to write; the test closes the latter."""
        reader, writer = os.pipe()
        return self.own(reader), writer

    def terminal(self) -> tuple[int, int]:
        """Its two ends."""
        master, slave = os.openpty()
        return self.own(master), self.own(slave)


class IntoTests(DescriptorTestCase):
    """L{StdinReader} gives what there is, the moment that it is there."""

    def read(
        self,
        fd: int,
        use: Callable[[StdinReader], Awaitable[T]],
        **more: Callable[..., bytes],
    ) -> T:
        """Read, on a loop of its own."""

        async def read() -> T:
            into = StdinReader(fd, "standard input", **more)
            try:
                return await use(into)
            finally:
                into.close()

        return asyncio.run(read())

    async def whole(self, into: StdinReader) -> bytes:
        """All that comes."""
        return b"".join([data async for data in into])

    def test_live(self) -> None:
        """Each piece is there when it was written; then the end."""
        reader, writer = self.pipe()

        async def alternately(into: StdinReader) -> list[bytes]:
            found = []
            for data in (b"one", b"two"):
                os.write(writer, data)
                found.append(await anext(into))
            os.close(writer)
            return found + [data async for data in into]

        self.assertEqual(self.read(reader, alternately), [b"one", b"two"])

    def test_kinds(self) -> None:
        """Files, sockets and devices are read to their ends."""
        path = Path(self.mktemp())
        data = os.urandom(PIECE * 2 + 1)
        path.write_bytes(data)
        fd = self.own(os.open(path, os.O_RDONLY))
        self.assertEqual(self.read(fd, self.whole), data)
        fd = self.own(os.open(os.devnull, os.O_RDONLY))
        self.assertEqual(self.read(fd, self.whole), b"")
        ours, theirs = socket.socketpair()
        theirs.sendall(b"hi")
        theirs.close()
        with ours:
            self.assertEqual(self.read(ours.fileno(), self.whole), b"hi")

    def test_gathers(self) -> None:
        """What comes while nobody takes it is one piece, and no more than that."""
        reader, writer = self.pipe()
        os.set_blocking(writer, False)

        async def gather(into: StdinReader) -> bytes:
            written = idle = 0
            while idle < 10:
                try:
                    written += os.write(writer, bytes(4096))
                    idle = 0
                except BlockingIOError:
                    idle += 1
                await asyncio.sleep(0)
            self.assertGreaterEqual(written, PIECE)
            first = await anext(into)
            self.assertEqual(len(first), PIECE)
            os.close(writer)
            rest = await self.whole(into)
            self.assertEqual(len(first + rest), written)
            return rest

        self.assertLessEqual(len(self.read(reader, gather)), PIECE)

    def test_shared(self) -> None:
        """That others have the pipe open, too, does not make it non-blocking."""
        reader, writer = self.pipe()
        os.close(writer)
        self.assertEqual(self.read(reader, self.whole), b"")
        self.assertTrue(os.get_blocking(reader))

    def test_cannot_read(self) -> None:
        """What cannot be read is an error that says so."""
        for path, why in (("/", "Is a directory"), (os.devnull, "Bad file")):
            flags = os.O_RDONLY if path == "/" else os.O_WRONLY
            fd = self.own(os.open(path, flags))
            error = self.assertRaises(CannotRead, self.read, fd, self.whole)
            self.assertIn(f"standard input: {why}", str(error))

    def test_heeded(self) -> None:
        """What comes is seen at once, though nobody takes it."""
        reader, writer = self.pipe()
        seen = []

        def heed(data: bytes) -> bytes:
            seen.append(data)
            return data.upper()

        async def wait(into: StdinReader) -> bytes:
            os.write(writer, b"abc")
            while not seen:
                await asyncio.sleep(0)
            os.close(writer)
            return await self.whole(into)

        self.assertEqual(self.read(reader, wait, heed=heed), b"ABC")
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
            self.assertTrue(is_given(fd))
        for fd in (null, self.terminal()[1]):
            self.assertFalse(is_given(fd))


class TerminalTests(DescriptorTestCase):
    """L{Terminal} is as it was, in the end."""

    def test_raw(self) -> None:
        """It is raw for a time, as often as one likes."""
        _, slave = self.terminal()
        found = termios.tcgetattr(slave)
        terminal = Terminal(slave)
        for _ in range(2):
            terminal.raw()
            self.assertFalse(
                termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ISIG)
            )
            terminal.restore()
            terminal.restore()
            self.assertEqual(termios.tcgetattr(slave), found)

    def test_gone(self) -> None:
        """One that was closed needs no more."""
        master, slave = os.openpty()
        terminal = Terminal(slave)
        os.close(slave)
        os.close(master)
        terminal.restore()

    def test_none(self) -> None:
        """What is no terminal cannot be sat at."""
        reader, writer = self.pipe()
        os.close(writer)
        self.assertIn("--tty", str(self.assertRaises(Usage, Terminal, reader)))

    def test_like(self) -> None:
        """Another is to have its size and type, as far as it knows them."""
        _, slave = self.terminal()
        terminal = Terminal(slave)
        usual = Tty()
        self.assertEqual(terminal.like({}), usual)
        self.assertIsNone(terminal.size())
        termios.tcsetwinsize(slave, (50, 9999))
        expected = Tty(50, 4096, "screen-256color")
        self.assertEqual(terminal.like({"TERM": "screen-256color"}), expected)
        for odd in ("", "../x", "a b", "x" * 65):
            self.assertEqual(terminal.like({"TERM": odd}).term, usual.term)


class EscapeTests(SynchronousTestCase):
    """C{~.} at the beginning of a line leaves; nothing else is touched."""

    def feed(self, *parts: bytes) -> tuple[bytes, bool]:
        """What is sent of such keys, and whether it was found."""
        escape = Escape()
        sent = b"".join(map(escape.feed, parts))
        return sent, escape.typed

    def test_rules(self) -> None:
        """As ssh(1) has it."""
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
        """It matters not how keys are put into pieces."""
        self.assertEqual(self.feed(*parts), self.feed(b"".join(parts)))

    @given(st.binary())
    def test_other_bytes(self, data) -> None:
        """Where no line begins with C{~}, all is sent as it is."""
        data = data.replace(b"~", b"x~")
        self.assertEqual(self.feed(data), (data, False))


class BesideTests(SynchronousTestCase):
    """What is done beside showing a run."""

    def run_beside(self, shown: Awaitable[int], *others: Awaitable[object]) -> int:
        async def both() -> int:
            async def main() -> int:
                return await shown

            return await beside(main(), *others)

        return asyncio.run(both())

    def test_ends(self) -> None:
        """When it is shown, nothing else matters; what ended before did no harm."""

        async def soon() -> int:
            for _ in range(5):
                await asyncio.sleep(0)
            return 7

        async def at_once() -> None:
            return

        async def never() -> None:
            await asyncio.Event().wait()

        self.assertEqual(self.run_beside(soon(), at_once(), never()), 7)

    def test_fails(self) -> None:
        """If anything beside it fails, so does all."""
        cancelled = []

        async def never() -> int:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(1)
                raise
            return 0

        async def fails() -> None:
            raise CannotRead("standard input: broken")

        self.assertRaises(CannotRead, self.run_beside, never(), fails())
        self.assertEqual(cancelled, [1])
