"""Chunks of output, by example and by hypothesis, and viewers of them."""

from collections.abc import Iterator, Sequence
from itertools import cycle

from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from shellstream.model.events import Chunk, Stream
from shellstream.output.fair_turns import FairTurns
from shellstream.output.formats import Format
from shellstream.output.log import OutputLog
from shellstream.output.tail import tail
from tests.support.decoders import Told

OUT, ERR = Stream.STDOUT, Stream.STDERR


#: A moment in microseconds, and as RFC 3339 has it.
TIME, WRITTEN = 1_700_000_000_000_001, "2023-11-14T22:13:20.000001Z"


def chunks_of(*parts: tuple[Stream, bytes] | bytes, start: int = 0) -> list[Chunk]:
    """Return contiguous chunks, of stdout by default, a microsecond apart."""
    found = []
    for index, part in enumerate(parts):
        stream, data = (OUT, part) if isinstance(part, bytes) else part
        found.append(Chunk(start, stream, TIME + index, data))
        start += len(data)
    return found


#: Whole characters, pieces of characters, and other bytes.
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


def laid_out(parts: Sequence[tuple[Stream, bytes]]) -> list[Chunk]:
    """Contiguous chunks, a microsecond apart."""
    chunks: list[Chunk] = []
    for time, (stream, data) in enumerate(parts):
        chunks.append(Chunk(chunks[-1].end if chunks else 0, stream, time, data))
    return chunks


def between(chunks: Sequence[Chunk], start: int, end: int) -> Iterator[Chunk]:
    """Return the output between two offsets, as a log would."""
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
    """Return a viewer's bytes for output that arrives in these steps."""
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
    """Return every byte with its offset, stream and value."""
    return [
        (offset, chunk.stream.value, byte)
        for chunk in chunks
        for offset, byte in enumerate(chunk.data, chunk.offset)
    ]


def each_told(told: Sequence[object]) -> list[tuple[int, str, int]]:
    """Every byte that a reader got."""
    return [
        (offset, one.stream, byte)
        for one in told
        if isinstance(one, Told)
        for offset, byte in enumerate(one.data, one.offset)
    ]


def tail_of(log: OutputLog, lines: int, only: Stream | None = None) -> int:
    """The result of L{tail}, after all turns that it takes."""
    clock, found = Clock(), list[int]()
    finding = Deferred.fromCoroutine(tail(log, lines, FairTurns(clock), only))
    finding.addCallback(found.append)
    clock.advance(0)
    (offset,) = found
    return offset
