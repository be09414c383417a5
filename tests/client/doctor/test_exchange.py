"""Tests for L{shellstream.client.doctor.exchange}: bytes and times in, facts out."""

import gzip
import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import (
    MAX_ARRIVALS,
    MAX_HEAD,
    MAX_SAMPLE,
    Arrival,
    Ending,
    Exchange,
    Framing,
    ResponseRecorder,
    bursts,
)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def record(*pieces: bytes, orderly: bool | None = None) -> ResponseRecorder:
    """These came at 1, 2, 3 …; then the connection ended, if C{orderly} says how."""
    recorder = ResponseRecorder(0.5)
    for index, piece in enumerate(pieces, 1):
        recorder.receive(index, piece)
    if orderly is not None:
        recorder.connection_lost(len(pieces) + 1, orderly=orderly)
    return recorder


def exchange(*pieces: bytes, orderly: bool | None = None) -> Exchange:
    recorder = record(*pieces, orderly=orderly)
    assert recorder.exchange.problem is None, recorder.exchange.problem
    return recorder.exchange


class RecorderTests(SynchronousTestCase):
    """A response is recorded with the time at which each part came."""

    def test_chunked(self) -> None:
        """Each part has the time at which it came; the last chunk is the end."""
        found = exchange(CHUNKED + chunk(b"one"), chunk(b"two"), LAST)
        self.assertEqual(found.arrivals, [Arrival(1, b"one"), Arrival(2, b"two")])
        self.assertEqual((found.requested, found.answered, found.ended), (0.5, 1, 3))
        self.assertEqual((found.framing, found.ending), (Framing.CHUNKED, Ending.WHOLE))
        self.assertEqual((found.status, found.version, found.size), (200, "1.1", 6))

    def test_length(self) -> None:
        """A response of a known length ends with its last byte."""
        found = exchange(HEAD + b"Content-Length: 3\r\n\r\n", b"one")
        self.assertEqual((found.framing, found.ending), (Framing.LENGTH, Ending.WHOLE))
        self.assertEqual(found.arrivals, [Arrival(2, b"one")])

    def test_close(self) -> None:
        """A response without framing ends with the connection."""
        found = exchange(b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n", b"one", orderly=True)
        self.assertEqual((found.framing, found.ending), (Framing.CLOSE, Ending.CLOSED))
        self.assertEqual((found.version, found.sample, found.ended), ("1.0", b"one", 3))

    def test_cut(self) -> None:
        """An end before the last chunk or byte is a cut; so is any reset."""
        for orderly in (False, True):
            found = exchange(CHUNKED + chunk(b"one"), orderly=orderly)
            self.assertEqual(found.ending, Ending.CUT)
        length = exchange(HEAD + b"Content-Length: 4\r\n\r\n", b"one", orderly=True)
        self.assertEqual(length.ending, Ending.CUT)
        self.assertEqual(exchange(HEAD + b"\r\none", orderly=False).ending, Ending.CUT)

    def test_stopped(self) -> None:
        """The recorder ignores everything after it was stopped."""
        recorder = record(CHUNKED)
        recorder.end(5, Ending.OVERDUE)
        recorder.receive(6, chunk(b"one"))
        recorder.connection_lost(7, orderly=False)
        found = recorder.exchange
        self.assertEqual((found.ending, found.ended), (Ending.OVERDUE, 5))
        self.assertEqual((found.size, found.duration), (0, 4.5))

    def test_no_answer(self) -> None:
        """Part of a head is no answer, nor is silence."""
        recorder = ResponseRecorder(0)
        recorder.end(9, Ending.OVERDUE)
        found = recorder.exchange
        self.assertEqual((found.answered, found.ending), (None, Ending.OVERDUE))
        for pieces in ((), (HEAD,)):
            found = exchange(*pieces, orderly=True)
            self.assertEqual((found.answered, found.ending), (None, Ending.CUT))

    def test_no_http(self) -> None:
        """Bytes that are not HTTP are an error, and reading stops."""
        upgrade = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        for wire in (b"SSH-2.0-OpenSSH\r\n", CHUNKED + b"xyz\r\n", upgrade):
            recorder = record(wire, b"more")
            self.assertEqual(recorder.exchange.ending, Ending.MALFORMED)
            self.assertTrue(recorder.exchange.problem)
        endless = HEAD + b"A: " + b"x" * MAX_HEAD
        for pieces in ((endless,), (endless[:99], endless[99:])):
            self.assertIn("no end", record(*pieces).exchange.problem or "")

    def test_large_read(self) -> None:
        """A first read that brings much of the body is not a head without end."""
        body = b"x" * (2 * MAX_HEAD)
        found = exchange(CHUNKED + chunk(body) + LAST)
        self.assertEqual((found.ending, found.sample), (Ending.WHOLE, body))

    def test_several(self) -> None:
        """
        Of several lines of a header the first counts; a list is joined (RFC 9110, 5.3).
        """
        lines = b"Server: Caddy\r\nServer: x\r\nVia: 1.1 a\r\nVia: 1.1 b\r\n\r\n"
        headers = exchange(HEAD + lines).headers
        self.assertEqual(headers, {"server": "Caddy", "via": "1.1 a, 1.1 b"})

    def test_interim(self) -> None:
        """An interim answer is not the answer (RFC 9110, 15.2)."""
        early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        found = exchange(early, CHUNKED + chunk(b"one") + LAST)
        self.assertEqual((found.status, found.sample), (200, b"one"))
        self.assertNotIn("link", found.headers)

    def test_trailers(self) -> None:
        """Fields after the body are not headers."""
        found = exchange(CHUNKED + b"0\r\nShellstream-State: exited\r\n\r\n")
        self.assertEqual(found.ending, Ending.WHOLE)
        self.assertEqual(list(found.headers), ["transfer-encoding"])

    def test_compressed(self) -> None:
        """A compressed part arrives when it can be read, not when its bytes came."""
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
        expected = [Arrival(2, b"one "), Arrival(3, b"two three")]
        self.assertEqual(found.arrivals, expected)
        wrong = record(head, chunk(b"not gzip"))
        self.assertIn("not compressed as it says", wrong.exchange.problem or "")

    def test_encoding(self) -> None:
        """The encoding is that of the header; C{identity} means no encoding."""
        for value, expected in (("identity", None), (" BR", "br"), (None, None)):
            headers = {} if value is None else {"content-encoding": value}
            self.assertEqual(Exchange(0, headers=headers).encoding, expected)

    def test_bounds(self) -> None:
        """The recorded part of an endless response is limited."""
        found = record(HEAD + b"\r\n", *[b"x" * 100_000] * 4).exchange
        self.assertEqual((found.ending, len(found.sample)), (Ending.ENOUGH, MAX_SAMPLE))
        found = record(HEAD + b"\r\n", *[b"x"] * (MAX_ARRIVALS + 5)).exchange
        self.assertEqual(len(found.arrivals), MAX_ARRIVALS)

    def test_bomb(self) -> None:
        """A small body that unpacks to a large one is not unpacked whole."""
        head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
        found = exchange(head + gzip.compress(bytes(1 << 26)))
        self.assertEqual((found.ending, found.size), (Ending.ENOUGH, MAX_SAMPLE))

    @given(st.lists(st.binary(min_size=1, max_size=30)), st.data())
    def test_any_cuts(self, chunks, data) -> None:
        """However the network cuts it, the exchange is the same."""
        wire = CHUNKED + b"".join(map(chunk, chunks)) + LAST
        places = data.draw(st.lists(st.integers(0, len(wire)), unique=True))
        cuts = [0, *sorted(places), len(wire)]
        pieces = [wire[a:b] for a, b in pairwise(cuts) if a < b]
        found = exchange(*pieces)
        self.assertEqual(found.sample, b"".join(chunks))
        self.assertEqual((found.ending, found.ended), (Ending.WHOLE, len(pieces)))


class BurstTests(SynchronousTestCase):
    """Parts that arrive together are one burst."""

    def test_bursts(self) -> None:
        """A burst lasts for 50 ms from its first part on, not from its last."""
        arrivals = [Arrival(t / 100, b"xy") for t in (0, 3, 6, 50, 51)]
        self.assertEqual(bursts(arrivals), [(0.0, 4), (0.06, 2), (0.5, 4)])
        self.assertEqual(bursts([]), [])
