"""Tests for the benchmarks: a wrong byte does not pass."""

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks.content import Content, Ticks, Whole
from tests.benchmarks.decode import Decoder, Http, Raw, WebSocket
from tests.benchmarks.errors import Cut, Differs, Refused

#: Sizes of a server's writes.
WRITES = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
#: Sizes of a client's reads.
READS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


class Kept:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, piece: memoryview, now: float) -> None:
        self.data += piece

    def ended(self) -> None:
        """Ignore the end: this sink compares nothing."""


def feed(decoder: Decoder, wire: bytes, reads: Sequence[int] = (1 << 20,)) -> bytes:
    """Decode bytes in these pieces, followed by a close."""
    sink, rest = Kept(), b""
    for piece in pieces(wire, reads):
        buffer = bytearray(rest + piece)
        start = decoder.decode(memoryview(buffer), 0, len(buffer), sink, 0.0)
        rest = bytes(buffer[start:])
    if not decoder.ended:
        decoder.eof()
    return sink.data


def pieces(wire: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """The wire, cut into pieces of these sizes in turn."""
    start = number = 0
    while start < len(wire):
        size = sizes[number % len(sizes)]
        yield wire[start : start + size]
        start, number = start + size, number + 1


def chunked(writes: Sequence[bytes]) -> bytes:
    """A chunked response."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n"
    body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in writes)
    return head + body + b"0\r\nA: b\r\n\r\n"


def frame(data: bytes, first: int) -> bytes:
    """A frame of WebSocket, from a server."""
    if len(data) < 126:
        return bytes([first, len(data)]) + data
    return bytes([first, 126]) + len(data).to_bytes(2) + data


class DecoderTests(SynchronousTestCase):
    """Streams are decoded, however they are cut."""

    @given(WRITES, READS)
    def test_chunked(self, writes: list[bytes], reads: list[int]) -> None:
        """A chunked response holds the output."""
        self.assertEqual(feed(Http(), chunked(writes), reads), b"".join(writes))

    @given(WRITES, READS)
    def test_until_close(self, writes: list[bytes], reads: list[int]) -> None:
        """
        The same for a response that ends with the connection, or after its length.
        """
        body = b"".join(writes)
        for line in (b"", b"\r\nContent-Length: %d" % len(body)):
            wire = b"HTTP/1.0 200 OK%b\r\n\r\n%b" % (line, body)
            self.assertEqual(feed(Http(), wire, reads), body)

    @given(WRITES, READS)
    def test_pipe(self, writes: list[bytes], reads: list[int]) -> None:
        """A pipe holds nothing but output."""
        self.assertEqual(feed(Raw(), b"".join(writes), reads), b"".join(writes))

    @given(WRITES, READS, st.booleans())
    def test_web_socket(
        self, writes: list[bytes], reads: list[int], newline: bool
    ) -> None:
        """The messages of a WebSocket are joined, or are lines."""
        frames = b"".join(frame(each, 0x82) for each in writes)
        wire = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + frames
        expected = b"".join(each + b"\n" * newline for each in writes)
        for close in (b"", frame(b"", 0x88)):
            self.assertEqual(feed(WebSocket(newline), wire + close, reads), expected)

    def test_cut(self) -> None:
        """A stream that ends before its end is an error."""
        whole = chunked([b"one", b"two"])
        sized = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n123"
        message = b"HTTP/1.1 101 Yes\r\n\r\n" + frame(b"message", 0x81)[:-1]
        for decoder, wire in (
            (Http(), b""),
            (Http(), b"HTTP/1.1 200 O"),
            (Http(), whole[: whole.index(b"0\r\nA")]),
            (Http(), sized),
            (WebSocket(newline=True), message),
        ):
            with self.subTest(wire=wire):
                self.assertRaises(Cut, feed, decoder, wire)

    def test_refused(self) -> None:
        """An error status is not output."""
        wire = b"HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nwhy"
        for decoder in (Http(), WebSocket(newline=True)):
            with self.subTest(decoder=decoder):
                error = self.assertRaises(Refused, feed, decoder, wire)
                self.assertIn("503 Busy", str(error))


BLOCK = bytes(range(251))
CONTENT = Content(BLOCK, 5 * len(BLOCK), b"head")
EXPECTED = b"head" + BLOCK * 5


def take(content: Content, data: bytes, reads: Sequence[int] = (1 << 20,)) -> Whole:
    """Feed all of it to a sink, and then the end."""
    whole = Whole(content)
    for piece in pieces(data, reads):
        whole(memoryview(piece), 0.0)
    whole.ended()
    return whole


class WholeTests(SynchronousTestCase):
    """Every byte is compared."""

    @given(READS)
    def test_right(self, reads: list[int]) -> None:
        """The right content passes, however it is cut."""
        self.assertEqual(take(CONTENT, EXPECTED, reads).got, len(EXPECTED))

    @given(st.integers(0, len(EXPECTED) - 1), st.integers(1, 255), READS)
    def test_changed(self, offset: int, change: int, reads: list[int]) -> None:
        """A single wrong byte is found, wherever it is."""
        data = bytearray(EXPECTED)
        data[offset] ^= change
        self.assertRaises(Differs, take, CONTENT, bytes(data), reads)

    @given(st.integers(0, len(EXPECTED)), st.integers(1, 200), READS)
    def test_lost_or_doubled(self, offset: int, size: int, reads: list[int]) -> None:
        """Missing and doubled bytes are found."""
        before, after = EXPECTED[:offset], EXPECTED[offset:]
        doubled = before + (after[:size] or EXPECTED[-size:]) + after
        self.assertRaises(Differs, take, CONTENT, doubled, reads)
        if after:
            self.assertRaises(Differs, take, CONTENT, before + after[size:], reads)

    @given(st.integers(0, 60), st.integers(0, 3), READS)
    def test_lossy(self, lost: int, empty: int, reads: list[int]) -> None:
        """A server may lose the end and add empty lines; the rest is compared."""
        lines = Content(b"one\ntwo\n", 80)
        content = lines.altered(lambda block: block.replace(b"\n", b"\n\r\n"))
        sent = b"one\n\r\ntwo\n\r\n" * 10
        sent = sent[: sent.rindex(b"\r\n", 0, len(sent) - lost) + 2]
        whole = take(content, sent + b"\r\n" * empty, reads)
        self.assertGreaterEqual(whole.lost, content.total - len(sent))
        self.assertRaises(Differs, take, content, sent + b"\r\nthree\n", reads)


class TicksTests(SynchronousTestCase):
    """A tick says when it was written."""

    def test_delays(self) -> None:
        """The delay of each tick is found, in however many pieces it comes."""
        ticks = Ticks(2)
        ticks(memoryview(b"1.500\n2."), 2.0)
        ticks(memoryview(b"250\n"), 3.0)
        ticks.ended()
        self.assertEqual(ticks.delays, [0.5, 0.75])

    def test_wrong(self) -> None:
        """A missing, malformed or misplaced tick is found."""
        missing = Ticks(2)
        missing(memoryview(b"1.500\n"), 2.0)
        self.assertRaises(Differs, missing.ended)
        for data in (b"soon\n", b"2.0\n1.0\n", b"9.0\n"):
            with self.subTest(data=data):
                self.assertRaises(Differs, Ticks(), memoryview(data), 3.0)
