"""Targets: the clients' decoders, and output in every format."""

from collections.abc import Iterator
from itertools import pairwise

from shellstream.client import decode
from shellstream.client.events import Event, Output
from shellstream.model.events import Stream
from shellstream.output.formats import FORMATS
from tests.fuzz.byte_source import ByteSource
from tests.support.decoders import DECODERS
from tests.support.outputs import each, each_told, laid_out, viewed


def frames(data: bytes) -> None:
    """Any bytes in any pieces decode to the same events, or are all refused."""
    _decode(decode.FrameDecoder, ByteSource(data))


def ndjson(data: bytes) -> None:
    """The same for C{ndjson}."""
    _decode(decode.NdjsonDecoder, ByteSource(data))


def _decode(
    kind: type[decode.FrameDecoder | decode.NdjsonDecoder], source: ByteSource
) -> None:
    partial, known = source.one_of((True, False)), source.one_of((None, 0, 7))
    sizes = [source.number(40) + 1 for _ in range(3)]
    wire = source.rest()
    whole, parts = kind(known, partial=partial), kind(known, partial=partial)
    try:
        told = list(_joined(whole.feed(wire)))
    except decode.DecodeError:
        told = None
    events: list[Event] = []
    position = turn = 0
    try:
        while position < len(wire):
            size = sizes[turn % len(sizes)]
            events += parts.feed(wire[position : position + size])
            position, turn = position + size, turn + 1
    except decode.DecodeError:
        assert told is None
        return
    assert told == list(_joined(events))
    assert whole.offset == parts.offset
    outputs = [event for event in events if isinstance(event, Output)]
    assert partial or all(
        event.offset >= before.end for before, event in pairwise(outputs)
    )


def _joined(events: list[Event]) -> Iterator[Event]:
    """The same events, with adjacent output joined."""
    held: Output | None = None
    for event in events:
        if not isinstance(event, Output) or event.time is not None:
            yield from () if held is None else (held,)
            held = None
            yield event
        elif held and (held.stream, held.end) == (event.stream, event.offset):
            held = held._replace(data=held.data + event.data)
        else:
            yield from () if held is None else (held,)
            held = event
    yield from () if held is None else (held,)


def output(data: bytes) -> None:
    """Any output is read back from every format, in pieces of any size."""
    source = ByteSource(data)
    steps = [source.number(40) + 1, source.number(400) + 1]
    streams = (Stream.STDOUT, Stream.STDERR)
    parts = [(source.one_of(streams), source.some() or b"x") for _ in range(3)]
    parts += [(source.one_of(streams), rest) for rest in [source.rest()] if rest]
    chunks = laid_out(parts)
    expected = each(chunks)
    for form in FORMATS:
        wire = viewed(form, chunks, steps)
        if form.name == "plain":
            assert wire == bytes(byte for _, _, byte in expected)
            continue
        assert each_told(DECODERS[form.name](wire)) == expected, form.name
