"""Tests for the client of the benchmarks: a wrong byte does not pass."""

import atexit
import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.client import SOURCE, Client, Get, Pipe, Socket, Source
from tests.benchmarks.content import Content
from tests.benchmarks.errors import Cut, Differs, Failed, Refused
from tests.benchmarks.workloads import build
from tests.support.programs import needs

#: Sizes of a server's writes: pieces of what it sends.
PIECES = st.lists(st.integers(1, 40), min_size=1, max_size=6)

BLOCK = bytes(range(251))
CONTENT = Content(BLOCK, 5 * len(BLOCK), b"head")
EXPECTED = b"head" + BLOCK * 5


def pieces(wire: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The wire, cut into pieces of these sizes in turn."""
    start = number = 0
    while start < len(wire):
        size = sizes[number % len(sizes)]
        yield wire[start : start + size]
        start, number = start + size, number + 1


def chunked(data: bytes, sizes: Sequence[int] = (100,)) -> bytes:
    """A chunked response."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces(data, sizes))
    return head + body + b"0\r\nA: b\r\n\r\n"


def frame(data: bytes, first: int = 0x82) -> bytes:
    """A frame of WebSocket, from a server."""
    if len(data) < 126:
        return bytes([first, len(data)]) + data
    return bytes([first, 126]) + len(data).to_bytes(2) + data


UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@contextmanager
def serving(wires: Sequence[bytes], sizes: Sequence[int]) -> Iterator[int]:
    """A server that answers each connection with one of these; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(
                OSError
            ):  # the client need not read all of it, or come
                for wire in wires:
                    answer(wire)

        def answer(wire: bytes) -> None:
            connection, _ = listening.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(65536)
                for piece in pieces(wire, sizes):
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@cache
def program() -> Path:
    """The client, built for these tests."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    return build(SOURCE, Path(folder))


class ClientTestCase(SynchronousTestCase):
    """Tests with a client."""

    skip = needs("cc")

    def drain(self, source: Source, content: Content) -> tuple[float, ...]:
        """Read one stream: bytes, bytes that were lost."""
        with Client(program()) as client:
            client.reads(source, content)
            return client.drain()[1:]

    def take(
        self, wire: bytes, content: Content = CONTENT, sizes: Sequence[int] = (1 << 20,)
    ) -> tuple[float, ...]:
        """Read this answer."""
        with serving([wire], sizes) as port:
            return self.drain(Get(port, "/"), content)


class DecoderTests(ClientTestCase):
    """Streams are decoded, however they are cut."""

    @settings(max_examples=20, deadline=None)
    @given(PIECES, PIECES)
    def test_chunked(self, chunks: list[int], sizes: list[int]) -> None:
        """A chunked response holds the output."""
        got = self.take(chunked(EXPECTED, chunks), sizes=sizes)
        self.assertEqual(got, (len(EXPECTED), 0))

    @settings(max_examples=20, deadline=None)
    @given(PIECES)
    def test_until_close(self, sizes: list[int]) -> None:
        """
        The same for a response that ends with the connection, or after its length.
        """
        for line in (b"", b"\r\nContent-Length: %d" % len(EXPECTED)):
            wire = b"HTTP/1.0 200 OK%b\r\n\r\n%b" % (line, EXPECTED)
            self.assertEqual(self.take(wire, sizes=sizes), (len(EXPECTED), 0))

    def test_program(self) -> None:
        """The output of a program holds nothing else, and its failure is one."""
        content = Content(b"one\n", 8)
        got = self.drain(Pipe(("printf", r"one\none\n")), content)
        self.assertEqual(got, (8, 0))
        wrong = Pipe(("sh", "-c", r"printf 'one\none\n'; exit 3"))
        error = self.assertRaises(Failed, self.drain, wrong, content)
        self.assertIn("sh exited with 3", str(error))

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(1, 200), min_size=1), PIECES, st.booleans())
    def test_web_socket(
        self, messages: list[int], sizes: list[int], newline: bool
    ) -> None:
        """The messages of a WebSocket are joined, or are lines."""
        said = list(pieces(BLOCK, messages))
        frames = b"".join(map(frame, said))
        block = b"".join(each + b"\n" * newline for each in said)
        for close in (b"", frame(b"", 0x88)):
            with serving([UPGRADED + frames + close], sizes) as port:
                source = Socket(port, "/", newline)
                got = self.drain(source, Content(block, len(block)))
            self.assertEqual(got, (len(block), 0))

    def test_cut(self) -> None:
        """A stream that ends before its end is an error."""
        whole = chunked(EXPECTED)
        sized = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhea"
        for wire in (b"", b"HTTP/1.1 200 O", whole[: whole.index(b"0\r\nA")], sized):
            with self.subTest(wire=wire):
                self.assertRaises(Cut, self.take, wire)
        with serving([UPGRADED + frame(BLOCK)[:-1]], (1000,)) as port:
            source = Socket(port, "/", newline=False)
            self.assertRaises(Cut, self.drain, source, Content(BLOCK, 251))

    def test_refused(self) -> None:
        """An error status is not output."""
        wire = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nwhy"
        with serving([wire, wire], (1000,)) as port:
            for source in (Get(port, "/"), Socket(port, "/", newline=True)):
                with self.subTest(source=source):
                    error = self.assertRaises(Refused, self.drain, source, CONTENT)
                    self.assertIn("503 Busy: why", str(error))

    def test_kept(self) -> None:
        """A connection serves many runs where the server leaves it open."""
        counted: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                connection, _ = listening.accept()
                with connection:
                    while request := connection.recv(65536):
                        counted.append(request)
                        connection.sendall(chunked(EXPECTED))

            thread = threading.Thread(target=serve)
            thread.start()
            with Client(program()) as client:
                client.reads(Get(listening.getsockname()[1], "/x"), CONTENT)
                count, _ = client.ask("runs", 1, 0.5, 1)
            thread.join()
        self.assertEqual(len(counted), count)
        self.assertGreater(count, 1)


class ContentTests(ClientTestCase):
    """Every byte is compared."""

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, len(EXPECTED) - 1), st.integers(1, 255), PIECES)
    def test_changed(self, offset: int, change: int, sizes: list[int]) -> None:
        """A single wrong byte is found, wherever it is."""
        data = bytearray(EXPECTED)
        data[offset] ^= change
        self.assertRaises(Differs, self.take, chunked(bytes(data)), CONTENT, sizes)

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, len(EXPECTED)), st.integers(1, 200))
    def test_lost_or_doubled(self, offset: int, size: int) -> None:
        """Missing and doubled bytes are found."""
        before, after = EXPECTED[:offset], EXPECTED[offset:]
        doubled = before + (after[:size] or EXPECTED[-size:]) + after
        self.assertRaises(Differs, self.take, chunked(doubled))
        if after:
            self.assertRaises(Differs, self.take, chunked(before + after[size:]))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 60), st.integers(0, 3), PIECES)
    def test_lossy(self, lost: int, empty: int, sizes: list[int]) -> None:
        """A server may lose the end and add empty lines; the rest is compared."""
        lines = Content(b"one\ntwo\n", 80)
        content = lines.altered(lambda block: block.replace(b"\n", b"\n\r\n"))
        sent = b"one\n\r\ntwo\n\r\n" * 10
        sent = sent[: sent.rindex(b"\r\n", 0, len(sent) - lost) + 2]
        got, missing = self.take(chunked(sent + b"\r\n" * empty), content, sizes)
        self.assertGreaterEqual(missing, content.total - len(sent))
        self.assertEqual(got + missing, content.total)
        wrong = chunked(sent + b"\r\nthree\n")
        self.assertRaises(Differs, self.take, wrong, content, sizes)


class TicksTests(ClientTestCase):
    """A tick says when it was written."""

    def delays(self, *ticks: bytes, count: int = 0) -> list[float]:
        """The delays of ticks that a program writes."""
        with Client(program()) as client:
            script = "".join(f"printf '{tick.decode()}'; sleep 0.01;" for tick in ticks)
            client.reads_ticks(Pipe(("sh", "-c", script)), count)
            client.drain()
            return client.ask("delays")

    def test_delays(self) -> None:
        """The delay of each tick is found, in however many pieces it comes."""
        now = monotonic()
        found = self.delays(b"%.3f\\n%.3f" % (now - 2, now - 1), b"\\n", count=2)
        self.assertEqual(len(found), 2)
        self.assertTrue(2 <= found[0] < 62, found)
        self.assertTrue(1 <= found[1] < found[0], found)

    def test_wrong(self) -> None:
        """A missing, malformed or misplaced tick is found."""
        later = b"%.1f\\n" % (monotonic() + 1000)
        for ticks in (b"1.5\\n", b"soon\\n1\\n", b"2.0\\n1.0\\n", b"1\\n" + later):
            with self.subTest(ticks=ticks):
                self.assertRaises(Differs, self.delays, ticks, count=2)


class ManyTests(ClientTestCase):
    """Many streams are read together."""

    def test_mark(self) -> None:
        """The first and the last stream that have so many bytes are told."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            begun: list[socket.socket] = []

            def begin() -> None:
                for _ in range(3):
                    connection, _ = listening.accept()
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + EXPECTED[:100])
                    begun.append(connection)

            thread = threading.Thread(target=begin)
            thread.start()
            with Client(program()) as client:
                client.reads(Get(listening.getsockname()[1], "/"), CONTENT)
                client.ask("open", 3, 2)
                thread.join()
                before = monotonic()
                client.order("mark", CONTENT.total)
                for connection in begun:
                    connection.sendall(EXPECTED[100:])
                first, last = client.answer()
                for connection in begun:
                    connection.close()
                client.ask("finish")
        self.assertTrue(before < first < last < monotonic())
