"""Tests for L{shellstream.client.doctor.exchange}: bytes and moments in, facts out."""

import gzip
import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import (
    MAX_HEAD,
    MAX_PIECES,
    MAX_SAMPLE,
    Ending,
    Exchange,
    Framing,
    Piece,
    ResponseRecorder,
    moments,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def read(*pieces: bytes, broken: bool | None = None) -> ResponseRecorder:
    """These came at 1, 2, 3 …; then the connection ended, if C{broken} says how."""
    reading = ResponseRecorder(0.5)
    for index, piece in enumerate(pieces, 1):
        reading.feed(index, piece)
    if broken is not None:
        reading.lost(len(pieces) + 1, broken=broken)
    return reading


def exchange(*pieces: bytes, broken: bool | None = None) -> Exchange:
    reading = read(*pieces, broken=broken)
    assert reading.nonsense is None, reading.nonsense
    return reading.exchange()


class ReadingTests(SynchronousTestCase):
    """An answer is told from the moments at which its bytes came."""

    def test_chunked(self) -> None:
        """Each piece has the time at which it came; the last chunk is the end."""
        found = exchange(CHUNKED + chunk(b"one"), chunk(b"two"), LAST)
        self.assertEqual(found.pieces, (Piece(1, b"one"), Piece(2, b"two")))
        self.assertEqual((found.asked, found.answered, found.ended), (0.5, 1, 3))
        self.assertEqual((found.framing, found.ending), (Framing.CHUNKED, Ending.WHOLE))
        self.assertEqual((found.status, found.version, found.size), (200, "1.1", 6))

    def test_length(self) -> None:
        """An answer of a known length ends with its last byte."""
        found = exchange(HEAD + b"Content-Length: 3\r\n\r\n", b"one")
        self.assertEqual((found.framing, found.ending), (Framing.LENGTH, Ending.WHOLE))
        self.assertEqual(found.pieces, (Piece(2, b"one"),))

    def test_close(self) -> None:
        """One without framing ends with the connection, and might go on for ever."""
        found = exchange(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", b"one", broken=False)
        self.assertEqual((found.framing, found.ending), (Framing.CLOSE, Ending.CLOSED))
        self.assertEqual((found.version, found.sample, found.ended), ("1.0", b"one", 3))

    def test_cut(self) -> None:
        """An end before the end is a cut; so is a reset, whatever the framing."""
        for broken in (False, True):
            found = exchange(CHUNKED + chunk(b"one"), broken=broken)
            self.assertEqual(found.ending, Ending.CUT)
        length = exchange(HEAD + b"Content-Length: 4\r\n\r\n", b"one", broken=False)
        self.assertEqual(length.ending, Ending.CUT)
        self.assertEqual(exchange(HEAD + b"\r\none", broken=True).ending, Ending.CUT)

    def test_left(self) -> None:
        """Whoever leaves says whether it was for lateness; what comes then is late."""
        for overdue, ending in ((True, Ending.OVERDUE), (False, Ending.ENOUGH)):
            reading = read(CHUNKED)
            reading.leave(5, overdue=overdue)
            reading.feed(6, chunk(b"one"))
            reading.lost(7, broken=True)
            found = reading.exchange()
            self.assertEqual((found.ending, found.ended, found.size), (ending, 5, 0))

    def test_no_answer(self) -> None:
        """No answer is told as none, whoever left, whatever came of its head."""
        reading = ResponseRecorder(0)
        reading.leave(9, overdue=True)
        found = reading.exchange()
        self.assertEqual((found.answered, found.ending), (None, Ending.OVERDUE))
        for pieces in ((), (HEAD,)):
            found = exchange(*pieces, broken=False)
            self.assertEqual((found.answered, found.ending), (None, Ending.CUT))

    def test_nonsense(self) -> None:
        """What is no HTTP is said to be none, and nothing more is read of it."""
        upgrade = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        for wire in (b"SSH-2.0-OpenSSH\r\n", CHUNKED + b"xyz\r\n", upgrade):
            reading = read(wire, b"more")
            self.assertTrue(reading.over)
            self.assertTrue(reading.nonsense)
        endless = HEAD + b"A: " + b"x" * MAX_HEAD
        self.assertIn("no end", read(endless).nonsense or "")

    def test_interim(self) -> None:
        """An interim answer is not the answer (RFC 9110, 15.2)."""
        early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        found = exchange(early, CHUNKED + chunk(b"one") + LAST)
        self.assertEqual((found.status, found.sample), (200, b"one"))
        self.assertNotIn("link", found.headers)

    def test_trailers(self) -> None:
        """What follows the body is no header."""
        found = exchange(CHUNKED + b"0\r\nShellstream-State: exited\r\n\r\n")
        self.assertEqual(found.ending, Ending.WHOLE)
        self.assertEqual(list(found.headers), ["transfer-encoding"])

    def test_compressed(self) -> None:
        """A compressed piece is there when it can be read, not when its bytes came."""
        packer = zlib.compressobj(wbits=31)
        wires = [
            packer.compress(b"one ") + packer.flush(zlib.Z_SYNC_FLUSH),
            packer.compress(b"two "),
            packer.compress(b"three") + packer.flush(),
        ]
        self.assertEqual(wires[1], b"")
        head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
        found = exchange(head, chunk(wires[0]), chunk(wires[2]) + LAST)
        self.assertEqual(found.encoding, "gzip")
        self.assertEqual(found.pieces, (Piece(2, b"one "), Piece(3, b"two three")))
        wrong = read(head, chunk(b"not gzip"))
        self.assertIn("not compressed as it says", wrong.nonsense or "")

    def test_encoding(self) -> None:
        """Identity is no compression."""
        for value, expected in (("identity", None), (" BR", "br"), (None, None)):
            headers = {} if value is None else {"content-encoding": value}
            found = Exchange(0, 0, 0, "1.1", 200, headers, (), 0, Ending.WHOLE)
            self.assertEqual(found.encoding, expected)

    def test_bounds(self) -> None:
        """Of an answer without end enough is seen at some point."""
        reading = read(HEAD + b"\r\n", *[b"x" * 100_000] * 4)
        found = reading.exchange()
        self.assertEqual((found.ending, len(found.sample)), (Ending.ENOUGH, MAX_SAMPLE))
        reading = read(HEAD + b"\r\n", *[b"x"] * (MAX_PIECES + 5))
        self.assertEqual(len(reading.exchange().pieces), MAX_PIECES)

    def test_bomb(self) -> None:
        """Little that becomes much when it is unpacked is not unpacked whole."""
        head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
        found = exchange(head + gzip.compress(bytes(1 << 26)))
        self.assertEqual((found.ending, found.size), (Ending.ENOUGH, MAX_SAMPLE))

    @given(st.lists(st.binary(min_size=1, max_size=30)), st.data())
    def test_any_cuts(self, chunks, data) -> None:
        """However the network cuts it, the answer is the same."""
        wire = CHUNKED + b"".join(map(chunk, chunks)) + LAST
        places = data.draw(st.lists(st.integers(0, len(wire)), unique=True))
        cuts = [0, *sorted(places), len(wire)]
        pieces = [wire[a:b] for a, b in pairwise(cuts) if a < b]
        found = exchange(*pieces)
        self.assertEqual(found.sample, b"".join(chunks))
        self.assertEqual((found.ending, found.ended), (Ending.WHOLE, len(pieces)))


class MomentTests(SynchronousTestCase):
    """What comes together is one go."""

    def test_moments(self) -> None:
        """A go lasts for so long from its first piece on, not from its last."""
        pieces = [Piece(t / 100, b"xy") for t in (0, 3, 6, 50, 51)]
        self.assertEqual(moments(pieces, 0.05), [(0.0, 4), (0.06, 2), (0.5, 4)])
        self.assertEqual(moments([], 0.05), [])
