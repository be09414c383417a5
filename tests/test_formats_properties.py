"""Tests for L{shellstream.output.formats}.

What no output and no cut can do, by hypothesis.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk, Stream, rfc3339
from shellstream.output.formats import FORMATS, Format, Ndjson
from tests.decoders import DECODERS, Told, ndjson

#: Whole characters, pieces of them, and what is none.
DATA = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.text(min_size=1, max_size=6).map(str.encode),
    st.sampled_from(
        [b"\xe2", b"\x82", b"\xac", b"\xf0\x9f", b"\x98\x80", b"\n", b"\r"]
    ),
)
PARTS = st.lists(st.tuples(st.sampled_from(Stream), DATA), max_size=12)
#: How many bytes more there are each time that a viewer looks.
STEPS = st.lists(st.integers(1, 12), min_size=1, max_size=5)
ONLY = st.none() | st.sampled_from(Stream)
#: Any but the halves of surrogate pairs, and more often of several bytes.
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("é€😀"), min_size=1)


def laid_out(parts: Sequence[tuple[Stream, bytes]]) -> list[Chunk]:
    """Contiguous chunks, a microsecond apart."""
    chunks: list[Chunk] = []
    for time, (stream, data) in enumerate(parts):
        chunks.append(Chunk(chunks[-1].end if chunks else 0, stream, time, data))
    return chunks


def between(chunks: Sequence[Chunk], start: int, end: int) -> Iterator[Chunk]:
    """What lies between two offsets, as a log would give it."""
    for chunk in chunks:
        if chunk.offset < end and chunk.end > start:
            since = chunk.since(max(start, chunk.offset))
            data = since.data[: end - since.offset]
            yield Chunk(since.offset, since.stream, since.time, data)


def viewed(
    format_: Format,
    chunks: Sequence[Chunk],
    steps: Sequence[int],
    start: int = 0,
    only: Stream | None = None,
) -> bytes:
    """All that a viewer is sent of output that comes by such steps, then ends."""
    total = chunks[-1].end if chunks else 0
    wire, offset, reach = format_.begin("r", "c", start), start, start
    for step in cycle(steps):
        reach = min(total, max(reach, offset) + step)
        given_now = list(between(chunks, offset, reach))
        data, after = format_.output(given_now, offset, final=reach == total, only=only)
        assert offset <= after <= reach
        assert after > offset or reach - offset <= 3, "no way on"
        wire, offset = wire + data, after
        if offset == total:
            return wire
    raise AssertionError("steps do not end")


def each(chunks: Sequence[Chunk]) -> list[tuple[int, str, int]]:
    """Every byte: where, on which stream, and what."""
    return [
        (offset, chunk.stream.value, byte)
        for chunk in chunks
        for offset, byte in enumerate(chunk.data, chunk.offset)
    ]


def each_told(told: Sequence[object]) -> list[tuple[int, str, int]]:
    """Every byte that a reader was told of."""
    return [
        (offset, one.stream, byte)
        for one in told
        if isinstance(one, Told)
        for offset, byte in enumerate(one.data, one.offset)
    ]


class RoundTripProperties(SynchronousTestCase):
    """What was written is read, in every format."""

    @given(PARTS, STEPS, ONLY, st.data())
    def test_decoded(self, parts, steps, only, data) -> None:
        """A reader gets exactly the bytes, at their offsets, on their streams."""
        chunks = laid_out(parts)
        start = data.draw(st.integers(0, chunks[-1].end if chunks else 0))
        left = list(between(chunks, start, chunks[-1].end)) if chunks else []
        expected = each([c for c in left if only in (None, c.stream)])
        for one in FORMATS:
            wire = viewed(one, chunks, steps, start, only)
            if one.name == "plain":
                self.assertEqual(wire, bytes(byte for _, _, byte in expected))
            else:
                told = DECODERS[one.name](wire)
                self.assertEqual(each_told(told), expected, one.name)

    @given(PARTS, STEPS, ONLY)
    def test_times(self, parts, steps, only) -> None:
        """A record's time is when its last byte arrived."""
        chunks = laid_out(parts)
        for one in ndjson(viewed(Ndjson(), chunks, steps, only=only)):
            last = one.offset + len(one.data) - 1
            (chunk,) = between(chunks, last, last + 1)
            self.assertEqual(one.time, rfc3339(chunk.time))

    @given(TEXTS, STEPS, STEPS)
    def test_text_stays_text(self, text, sizes, steps) -> None:
        """Of valid UTF-8 nothing is told as bytes, however it arrives and is read."""
        data = text.encode()
        parts = []
        for size in cycle(sizes):
            parts.append((Stream.STDOUT, data[:size]))
            data = data[size:]
            if not data:
                break
        told = ndjson(viewed(Ndjson(), laid_out(parts), steps))
        self.assertTrue(all(one.text for one in told))
        self.assertEqual("".join(one.data.decode() for one in told), text)

    @given(PARTS, STEPS)
    def test_text_is_whole(self, parts, steps) -> None:
        """Where nothing is left out, text is cut only where characters begin."""
        for one in ndjson(viewed(Ndjson(), laid_out(parts), steps)):
            self.assertTrue(one.data)
            if not one.text:
                self.assertRaises(UnicodeDecodeError, one.data.decode)
