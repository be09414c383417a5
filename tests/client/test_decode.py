"""Tests for L{shellstream.client.decode}: the client reads what the server wrote."""

import json
import struct
from collections.abc import Sequence
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.decode import (
    MAX_RECORD,
    DecodeError,
    FrameDecoder,
    NdjsonDecoder,
)
from shellstream.client.events import Begun, End, Event, Gap, Output, Ping
from shellstream.model import events as server
from shellstream.output.formats import Format
from shellstream.output.formats import Frames as FramesWriter
from shellstream.output.formats import Ndjson as NdjsonWriter
from tests.support.frames import pieces
from tests.support.outputs import ONLY, PARTS, STEPS, laid_out, viewed

ENDS = st.builds(
    server.End,
    st.sampled_from([each for each in server.State if each.ended]),
    st.none() | st.integers(0, 255),
    st.none() | st.sampled_from(["TERM", "KILL", "35"]),
    st.none() | st.sampled_from(server.Reason),
    st.just(0),
)
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=6)

PAIRS: Sequence[tuple[Format, type[FrameDecoder | NdjsonDecoder]]] = (
    (FramesWriter(), FrameDecoder),
    (NdjsonWriter(), NdjsonDecoder),
)


def told(events: Sequence[Event]) -> list[tuple[str, bytes]]:
    """Join the output by stream, however it was cut."""
    outputs = [each for each in events if isinstance(each, Output)]
    return [
        (stream, b"".join(each.data for each in group))
        for stream, group in groupby(outputs, lambda each: each.stream)
    ]


def frame(number: int, payload: bytes) -> bytes:
    """A frame, from the contract's words."""
    return struct.pack(">B3xI", number, len(payload)) + payload


def control(**fields: object) -> bytes:
    """A control record."""
    return frame(0, json.dumps(fields).encode())


BEGUN = control(type="run", run="r", command="c", offset=0)
END = {"type": "end", "state": "exited", "code": 0, "signal": None, "reason": None}


#: What is no name.
ODD_WORDS: tuple[object, ...] = ("x" * 101, "", {}, [], 7, False)


class PropertyTests(SynchronousTestCase):
    """C{decode(encode(events)) == events}, by the server's own hand."""

    @given(PARTS, STEPS, CUTS, ENDS, ONLY)
    def test_whole(self, parts, steps, cuts, end, only) -> None:
        """Every byte on its stream at its offset, and the end, however cut."""
        chunks = laid_out(parts)
        size = chunks[-1].end if chunks else 0
        end = server.End(end.state, end.code, end.signal, end.reason, size)
        expected = [
            (stream.value, b"".join(chunk.data for chunk in group))
            for stream, group in groupby(
                (each for each in chunks if only in (None, each.stream)),
                lambda each: each.stream,
            )
        ]
        for writer, kind in PAIRS:
            wire = viewed(writer, chunks, steps, only=only) + writer.end(end)
            decoder = kind(0, partial=only is not None)
            events = [
                event for piece in pieces(wire, cuts) for event in decoder.feed(piece)
            ]
            self.assertEqual(told(events), expected)
            last = events.pop()
            assert isinstance(last, End)
            said = (last.state, last.code, last.signal, last.reason, last.offset)
            reason = end.reason and end.reason.value
            told_ = (end.state.value, end.code, end.signal, reason, size)
            self.assertEqual(said, told_)
            self.assertEqual((decoder.offset, decoder.ended), (size, True))
            if only is None:
                self.assert_contiguous(events, size)

    def assert_contiguous(self, events: Sequence[Event], size: int) -> None:
        """Check that each piece of output begins at the end of the one before."""
        offset = 0
        for event in events:
            if isinstance(event, Output):
                self.assertEqual(event.offset, offset)
                offset = event.end
        self.assertEqual(offset, size)

    @given(PARTS, STEPS, st.data())
    def test_resumed(self, parts, steps, data) -> None:
        """Wherever it is cut, another stream from C{offset} on has the rest."""
        chunks = laid_out(parts)
        expected = b"".join(chunk.data for chunk in chunks)
        for writer, kind in PAIRS:
            wire = viewed(writer, chunks, steps)
            cut = data.draw(st.integers(0, len(wire)))
            decoder = kind(0)
            events = decoder.feed(wire[:cut])
            assert decoder.offset is not None
            rest = [
                each.since(max(each.offset, decoder.offset))
                for each in chunks
                if each.end > decoder.offset
            ]
            if rest:
                again = kind(decoder.offset)
                events += again.feed(viewed(writer, rest, steps, decoder.offset))
            got = b"".join(each.data for each in events if isinstance(each, Output))
            self.assertEqual(got, expected)

    @given(st.binary(max_size=60), CUTS)
    def test_anything(self, wire, cuts) -> None:
        """Any bytes are decoded, or refused with an error."""
        for kind in (FrameDecoder, NdjsonDecoder):
            decoder = kind(0)
            try:
                for piece in pieces(wire, cuts):
                    decoder.feed(piece)
            except DecodeError:
                continue


class RecordTests(SynchronousTestCase):
    """Records beside the output."""

    def test_controls(self) -> None:
        """Known control records become events; unknown ones are ignored."""
        wire = BEGUN + frame(1, b"ab") + control(type="ping", offset=2)
        wire += control(type="weather", sun=True)
        wire += control(type="gap", offset=2, end=9, bytes=7) + frame(2, b"c")
        wire += control(**END, offset=10)
        expected = [
            Begun("r", "c", 0),
            Output(0, "stdout", b"ab"),
            Ping(2),
            Gap(2, 9),
            Output(9, "stderr", b"c"),
            End("exited", 0, None, None, 10),
        ]
        self.assertEqual(FrameDecoder().feed(wire), expected)
        lines = (
            '{"offset":5,"time":"T","stream":"stderr","base64":"/w=="}\n'
            '{"type":"gap","offset":6,"end":8,"bytes":2}\n'
            '{"offset":8,"time":"T","stream":"stdout","text":"é"}\n'
        )
        expected = [
            Output(5, "stderr", b"\xff", "T"),
            Gap(6, 8),
            Output(8, "stdout", "é".encode(), "T"),
        ]
        self.assertEqual(NdjsonDecoder().feed(lines.encode()), expected)

    def test_at_once(self) -> None:
        """Output is delivered before its frame is complete."""
        decoder = FrameDecoder(0)
        self.assertEqual(
            decoder.feed(frame(1, b"hello")[:10]), [Output(0, "stdout", b"he")]
        )
        self.assertEqual(decoder.offset, 2)

    def refuse(
        self, decoder: FrameDecoder | NdjsonDecoder, wire: bytes, why: str
    ) -> None:
        error = self.assertRaises(DecodeError, decoder.feed, wire)
        self.assertIn(why, str(error))

    def test_nothing_missing(self) -> None:
        """An offset that is not the next one is no stream to believe."""
        for wire in (
            BEGUN + frame(1, b"ab") + control(type="ping", offset=3),
            BEGUN + control(type="ping", offset=1),
            BEGUN + control(**END, offset=1),
            BEGUN + control(type="gap", offset=4, end=5),
        ):
            self.refuse(FrameDecoder(), wire, "instead of")
        self.refuse(FrameDecoder(7), BEGUN, "offset 0 instead of 7")
        line = b'{"offset":1,"time":"T","stream":"stdout","text":"a"}\n'
        self.refuse(NdjsonDecoder(0), line, "instead of")
        self.refuse(
            FrameDecoder(2, partial=True), control(type="ping", offset=1), "instead of"
        )
        self.refuse(
            FrameDecoder(0), control(type="gap", offset=0, end=0), "a gap from 0"
        )

    def test_after_the_end(self) -> None:
        """The decoder refuses any record after the end."""
        end = control(**END, offset=0)
        self.refuse(
            FrameDecoder(0), end + control(type="ping", offset=0), "after the end"
        )
        line = json.dumps({**END, "offset": 0}).encode() + b"\n"
        self.refuse(NdjsonDecoder(0), line + line, "after the end")

    def test_frames(self) -> None:
        """The decoder refuses malformed frames."""
        self.refuse(FrameDecoder(0), b"\1\0\0\1\0\0\0\1a", "no frame begins with")
        self.refuse(FrameDecoder(0), frame(3, b"a"), "no frame begins with")
        self.refuse(FrameDecoder(), frame(1, b"a"), "before its offset")
        self.refuse(
            FrameDecoder(0), struct.pack(">B3xI", 0, MAX_RECORD + 1), "a record of"
        )
        self.refuse(FrameDecoder(0), struct.pack(">B3xI", 0, 0), "a record of 0")

    def test_bounded(self) -> None:
        """A line without end is given up."""
        decoder = NdjsonDecoder(0)
        decoder.feed(b"x" * MAX_RECORD)
        self.refuse(decoder, b"x", "a line of more than")

    def test_records(self) -> None:
        """A record with other contents is refused, and the error shows them."""
        for payload, why in (
            (b"{", "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"\xff", "not JSON"),
            (b"[]", "not an object"),
            (b'{"type": "ping"}', "without 'offset'"),
            (b'{"type": "ping", "offset": -1}', "not an offset"),
            (b'{"type": "ping", "offset": true}', "not an offset"),
            *(
                (
                    json.dumps({**END, "offset": 0, "code": code}).encode(),
                    "an exit code",
                )
                # A shell would see the last byte: 256 as a success.
                for code in ("0", 256, -1, 1 << 70, True, 0.0)
            ),
            *(
                (json.dumps({**END, "offset": 0, name: word}).encode(), "is not a name")
                for name in ("state", "signal", "reason")
                for word in ODD_WORDS
            ),
            (b'{"type": "ping", "offset": 9223372036854775808}', "not an offset"),
            (b'{"type": "ping", "offset": %s}' % (b"9" * 4000), "not an offset"),
            (b'{"type": "ping", "offset": %s}' % (b"9" * 5000), "not JSON"),
            (b'{"type": "gap", "offset": 0, "end": 1e3}', "not an offset"),
        ):
            self.refuse(FrameDecoder(0), frame(0, payload), why)
            self.refuse(NdjsonDecoder(0), payload + b"\n", why)
        for line, why in (
            (b'{"offset":0,"time":"T","stream":"stdout"}', "without 'base64'"),
            # It is shown before each line.
            (
                b'{"offset":0,"time":"%s","stream":"stdout","text":""}' % (b"T" * 101),
                "is not a name or a time",
            ),
            (
                b'{"offset":0,"time":"T","stream":"stdout","base64":"!"}',
                "malformed output",
            ),
            (
                '{"offset":0,"time":"T","stream":"stdout","base64":"é"}'.encode(),
                "ASCII",
            ),
            (b'{"offset":0,"time":"T","stream":"stdout","text":1}', "malformed output"),
            (
                b'{"offset":0,"time":"T","stream":"stdout","text":"\\ud800"}',
                "malformed output",
            ),
            (b'{"offset":0,"time":"T","stream":"x","text":"a"}', "stream 'x'"),
        ):
            self.refuse(NdjsonDecoder(0), line + b"\n", why)
