"""Tests for the command line's output."""

import errno
import json
import os
import pty
import socket
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.client.cli.messages import Messages
from shellstream.client.cli.render import NdjsonRenderer, PlainRenderer
from shellstream.client.cli.stdout import OutputWriter
from shellstream.client.errors import CannotWrite, CutShort
from shellstream.client.events import Begun, End, Event, Gap, Output, Ping
from tests.support.processes import turn


class WriterTests(TestCase):
    """L{OutputWriter} writes everything, or raises the reason."""

    timeout = 30

    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.open = {self.reader, self.writer}

    def tearDown(self) -> None:
        for fd in self.open:
            os.close(fd)

    def close(self, fd: int) -> None:
        self.open.remove(fd)
        os.close(fd)

    async def write(self, fd: int, *pieces: bytes) -> None:
        """Write, and return the seconds of that."""
        out = OutputWriter(reactor, fd, "standard output")
        try:
            for data in pieces:
                await out.write(data)
        finally:
            out.close()

    def read(self, fd: int, size: int) -> tuple[threading.Thread, list[bytes]]:
        """A reader that takes so much, bit by bit."""
        found: list[bytes] = []

        def read() -> None:
            while sum(map(len, found)) < size:
                found.append(os.read(fd, 1000))

        thread = threading.Thread(target=read)
        thread.start()
        return thread, found

    async def test_writes(self) -> None:
        """The writer writes each piece at once."""
        await self.write(self.writer, b"one", b"", b"\0\xfftwo\n")
        self.assertEqual(os.read(self.reader, 100), b"one\0\xfftwo\n")

    async def test_in_parts(self) -> None:
        """A partial write of the system is continued until all is written."""
        write = os.write
        self.patch(os, "write", lambda fd, data: write(fd, data[:3]))
        await self.write(self.writer, b"0123456789")
        self.assertEqual(os.read(self.reader, 100), b"0123456789")

    async def test_slow(self) -> None:
        """Slow readers are waited for: pipes, sockets, terminals, blocking or not."""
        data = bytes(range(256)).replace(b"\n", b" ") * 1200
        near, far = socket.socketpair()
        self.open |= {near.detach(), far.detach()}
        master, slave = pty.openpty()
        self.open |= {master, slave}
        near_fd, far_fd = sorted(self.open - {self.reader, self.writer, master, slave})
        for reading, writing in ((self.reader, self.writer), (near_fd, far_fd)):
            for blocking in (True, False):
                os.set_blocking(writing, blocking)
                thread, found = self.read(reading, len(data))
                await self.write(writing, data)
                await deferToThread(thread.join)
                self.assertEqual(b"".join(found), data)
                # It is not ours alone.
                self.assertEqual(os.get_blocking(writing), blocking)
        thread, found = self.read(master, 100_000)
        await self.write(slave, b"x" * 100_000)
        await deferToThread(thread.join)
        self.assertEqual(b"".join(found), b"x" * 100_000)

    async def test_others_go_on(self) -> None:
        """A slow reader does not block the reactor."""
        out = OutputWriter(reactor, self.writer, "standard output")
        self.addCleanup(out.close)
        writing = Deferred.fromCoroutine(out.write(b"x" * (1 << 20)))
        await turn()
        self.assertNoResult(writing)
        thread, found = self.read(self.reader, 1 << 20)
        await writing
        await deferToThread(thread.join)
        self.assertEqual(sum(map(len, found)), 1 << 20)

    async def test_blocks(self) -> None:
        """If a descriptor cannot be reopened, a thread may block."""
        open_ = os.open

        def refuse(path: str, *args: int, **more: int) -> int:
            if str(path).startswith("/proc/self/fd"):
                raise PermissionError
            return open_(path, *args, **more)

        self.patch(os, "open", refuse)
        for blocking in (True, False):
            os.set_blocking(self.writer, blocking)
            thread, found = self.read(self.reader, 300_000)
            await self.write(self.writer, b"x" * 300_000)
            await deferToThread(thread.join)
            self.assertEqual(b"".join(found), b"x" * 300_000)

    async def test_reader_gone(self) -> None:
        """A closed reader is not reported as an error."""
        self.close(self.reader)
        with self.assertRaises(BrokenPipeError):
            await self.write(self.writer, b"x")
        near, far = socket.socketpair()
        near.close()
        self.open.add(fd := far.detach())
        with self.assertRaises(BrokenPipeError):
            await self.write(fd, b"x")

    async def test_cannot_write(self) -> None:
        """Another write error is reported in the system's words."""
        path = Path(self.mktemp())
        path.touch()
        self.open.add(fd := os.open(path, os.O_RDONLY))
        for number, code in ((fd, errno.EBADF), (-1, errno.EBADF)):
            with self.assertRaises(CannotWrite) as raised:
                await self.write(number, b"x")
            why = os.strerror(code)
            self.assertEqual(str(raised.exception), f"standard output: {why}")

    async def test_full(self) -> None:
        """A full disk is reported as that."""
        self.open.add(fd := os.open("/dev/full", os.O_WRONLY))
        with self.assertRaises(CannotWrite) as raised:
            await self.write(fd, b"x")
        why = os.strerror(errno.ENOSPC)
        self.assertEqual(str(raised.exception), f"standard output: {why}")

    async def watched(self, fd: int) -> bool:
        """
        Return whether the writer notices, without a write, that its reader has closed.
        """
        gone: Deferred[None] = Deferred()
        out = OutputWriter(reactor, fd, "standard output")
        out.watch_reader(lambda: gone.callback(None))
        if self.reader in self.open:
            self.close(self.reader)
        try:
            await gone.addTimeout(0.2, reactor)
        except DeferredTimeout:
            return False
        finally:
            out.close()
        return True

    async def test_watched(self) -> None:
        """A pipe is watched for the end of its reader; anything else is not."""
        self.assertTrue(await self.watched(self.writer))
        path = Path(self.mktemp())
        self.open.add(fd := os.open(path, os.O_WRONLY | os.O_CREAT))
        self.assertFalse(await self.watched(fd))
        os.mkfifo(f"{path}.fifo")
        self.open.add(fd := os.open(f"{path}.fifo", os.O_RDWR))
        self.assertFalse(await self.watched(fd))

    if not sys.platform.startswith("linux"):
        test_watched.skip = "only Linux tells"  # type: ignore[attr-defined]
        test_full.skip = "only Linux has /dev/full"  # type: ignore[attr-defined]


class FakeOut:
    """An output that keeps everything."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        self.data += data


class PrintingTests(SynchronousTestCase):
    """Events as they are shown."""

    def shown(
        self, *events: Event, timestamps: bool = False, prefix: str = ""
    ) -> tuple[bytes, bytes]:
        """Return what is printed to stdout and to stderr."""
        out, err = FakeOut(), FakeOut()
        plain = PlainRenderer(out, err, timestamps=timestamps, prefix=prefix)  # type: ignore[arg-type]
        for event in events:
            self.run_through(plain.show(event))
        return out.data, err.data

    def run_through(self, coroutine: Awaitable[None]) -> None:
        self.assertRaises(StopIteration, coroutine.__await__().__next__)

    def test_plain(self) -> None:
        """Every byte goes to its stream; a gap is reported at its place."""
        shown = self.shown(
            Begun("r", "c", 0),
            Output(0, "stdout", b"\0a"),
            Output(2, "stderr", b"b\n"),
            Gap(4, 9),
            Ping(9),
            Output(9, "stdout", b"c"),
            End("exited", 0, None, None, 10),
        )
        gap = b"shellstream: 5 bytes are missing here: not kept any more\n"
        self.assertEqual(shown, (b"\0ac", b"b\n" + gap))

    def test_labels(self) -> None:
        """Each line has one label, however it is split."""
        events = (
            Output(0, "stdout", b"on", "T1"),
            Output(2, "stderr", b"x\n", "T2"),
            Output(4, "stdout", b"e\n\ntwo\r\nth", "T3"),
            Output(13, "stdout", b"ree", "T4"),
        )
        expected = b"[c/stdout] one\n[c/stdout] \n[c/stdout] two\r\n[c/stdout] three"
        shown = self.shown(*events, prefix="c")
        self.assertEqual(shown, (expected, b"[c/stderr] x\n"))
        expected = b"T1 one\nT3 \nT3 two\r\nT3 three"
        shown = self.shown(*events, timestamps=True)
        self.assertEqual(shown, (expected, b"T2 x\n"))
        self.assertEqual(
            self.shown(*events, timestamps=True, prefix="c")[1], b"T2 [c/stderr] x\n"
        )

    @given(st.lists(st.binary(max_size=8)))
    def test_labels_apart(self, pieces) -> None:
        """Without its labels, the output is unchanged."""
        data = b"".join(pieces).replace(b"[", b"(")
        events = [Output(0, "stdout", each.replace(b"[", b"(")) for each in pieces]
        out, _ = self.shown(*events, prefix="c")
        self.assertEqual(out.replace(b"[c/stdout] ", b""), data)
        lines = data.split(b"\n")
        full = len(lines) - (not lines[-1])
        self.assertEqual(out.count(b"["), full)

    def test_harmless(self) -> None:
        """Text from a server beside the output cannot control the terminal."""
        event = Output(0, "stdout", b"\x1b[2J\n", "T\x1b[2J\n")
        out, _ = self.shown(event, timestamps=True, prefix="c\x9b\u202e")
        label = rb"T\x1b[2J\n [c\x9b\u202e/stdout] "
        self.assertEqual(out, label + b"\x1b[2J\n")
        written = FakeOut()
        begun = Begun("r\x7f\x9b", "\u2028\ud800\U000e0041é\\", 0)
        self.run_through(NdjsonRenderer(written).show(begun))  # type: ignore[arg-type]
        self.assertTrue(written.data.decode().rstrip("\n").isprintable())
        expected = {"type": "run", **begun._asdict()}
        self.assertEqual(json.loads(written.data), expected)

    def test_ndjson(self) -> None:
        """Objects as the server writes them, with the end, without pings."""
        out = FakeOut()
        for event in (
            Output(0, "stdout", "é\n".encode(), "T"),
            Output(3, "stderr", b"\xff", "T"),
            Ping(4),
            Gap(4, 6),
            Begun("r", "c", 6),
            End("signaled", None, "TERM", "timeout", 6),
        ):
            self.run_through(NdjsonRenderer(out).show(event))  # type: ignore[arg-type]
        end = {"type": "end", "state": "signaled", "code": None, "signal": "TERM"}
        self.assertEqual(
            [json.loads(line) for line in out.data.splitlines()],
            [
                {"offset": 0, "time": "T", "stream": "stdout", "text": "é\n"},
                {"offset": 3, "time": "T", "stream": "stderr", "base64": "/w=="},
                {"type": "gap", "offset": 4, "end": 6, "bytes": 2},
                {"type": "run", "run": "r", "command": "c", "offset": 6},
                {**end, "reason": "timeout", "offset": 6},
            ],
        )

    def test_messages(self) -> None:
        """C{quiet} and C{verbose} select the messages."""
        reader, writer = os.pipe()
        kept = os.dup(2)
        os.dup2(writer, 2)
        try:
            for quiet, verbose in ((True, False), (False, False), (False, True)):
                messages = Messages(quiet=quiet, verbose=verbose)
                messages.info("info")
                messages.retrying(CutShort("h", "gone"), 0.25)
                messages.retrying(CutShort("h", "gone"), 0)
                messages.detail("\x1b[2J\nshellstream: \udc9b")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(writer)
        with os.fdopen(reader) as said:
            lines = [line.removeprefix("shellstream: ") for line in said]
        cut = "cut (gone); reconnecting"
        expected = ["info\n", "info\n", f"{cut} in 0.2 s\n", f"{cut}\n"]
        expected += [r"\x1b[2J\nshellstream: \udc9b" + "\n"]
        self.assertEqual(lines, expected)
