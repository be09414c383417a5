"""Tests for L{shellstream.output.formats}: the bytes of each format."""

import json

from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import ParametersRefused
from shellstream.model.events import Chunk, End, Gap, Reason, State, Stream
from shellstream.output.formats import (
    FORMATS,
    MAX_OFFSET,
    Frames,
    Ndjson,
    Plain,
    Sse,
    parse_last_event_id,
)
from tests.support.decoders import Told, event_source, frames, ndjson
from tests.support.outputs import ERR, OUT, TIME, WRITTEN, chunks_of

RUN = "01938d3c-7f2e-7000-8000-000000000000"
EXITED = End(State.EXITED, 0, None, None, 7)
KILLED = End(State.SIGNALED, None, "TERM", Reason.TIMEOUT, 7)
#: A viewer is promised 256 KiB, of which what is written at a time is half.
HALF = 128 * 1024


class AllFormatsTests(SynchronousTestCase):
    """Invariants of all formats."""

    def test_names(self) -> None:
        """The formats are those of the protocol, in its order."""
        self.assertEqual(
            [(one.name, one.media_type) for one in FORMATS],
            [
                ("plain", "text/plain"),
                ("sse", "text/event-stream"),
                ("ndjson", "application/x-ndjson"),
                ("frames", "application/vnd.shellstream.frames"),
            ],
        )

    def test_charset(self) -> None:
        """Text says that it is UTF-8, so that no reader guesses."""
        for one in FORMATS:
            self.assertEqual(
                one.content_type.endswith("; charset=utf-8"),
                one.content_type.startswith("text/"),
            )

    def test_pings(self) -> None:
        """Every format but the plain one keeps a silent connection open."""
        for one in FORMATS:
            self.assertEqual(one.pings, bool(one.ping(3)), one.name)
            self.assertEqual(one.pings, one.name != "plain")

    def test_nothing(self) -> None:
        """Empty output writes nothing, and moves no offset."""
        for one in FORMATS:
            for final in (True, False):
                self.assertEqual(one.output([], 5, final=final), (b"", 5))

    def test_bounded(self) -> None:
        """One call writes a bounded amount, however much encoding expands it."""
        for one in FORMATS:
            size = one.read_size
            pair: list[tuple[Stream, bytes]] = [(OUT, b"a"), (ERR, b"\xff")]
            rest = (OUT, b"\0" * (size - 600))
            swelling = {
                "control characters": chunks_of(b"\0" * size),
                "no text": chunks_of(b"\xff" * size),
                "line ends": chunks_of(("\u2028" * size).encode()[:size]),
                "single bytes": chunks_of(*pair * (size // 2)),
                "many small, then a large": chunks_of(*pair * 300, rest),
            }
            for name, chunks in swelling.items():
                wire, offset = one.output(chunks, 0, final=True)
                self.assertLess(len(wire), HALF, f"{one.name}: {name}")
                self.assertGreater(offset, 500, f"{one.name}: {name}")

    def test_naming(self) -> None:
        """Only events carry the run in their id."""
        for one in FORMATS:
            named = one.naming_run(RUN)
            self.assertEqual(named == one, one.name != "sse")
            self.assertEqual(named.name, one.name)


class PlainTests(SynchronousTestCase):
    """C{plain} is the bytes themselves."""

    def test_bytes_only(self) -> None:
        """The plain format adds no bytes before, between or after the output."""
        plain = Plain()
        chunks = chunks_of(b"a\xe2", (ERR, b"\0\xff"), b"b")
        self.assertEqual(plain.output(chunks, 0, final=False), (b"a\xe2\0\xffb", 5))
        around = (plain.begin(RUN, "build", 0), plain.gap(Gap(1, 2)), plain.end(EXITED))
        self.assertEqual(around, (b"", b"", b""))

    def test_only(self) -> None:
        """The other stream is left out, and counted."""
        chunks = chunks_of(b"a", (ERR, b"xy"), b"b", (ERR, b"z"))
        self.assertEqual(Plain().output(chunks, 0, final=False, only=OUT), (b"ab", 5))


class NdjsonTests(SynchronousTestCase):
    """C{ndjson} is an object a line."""

    def test_record(self) -> None:
        """A record has an offset, a time, a stream and data."""
        chunks = [Chunk(5, ERR, TIME, "größer\n".encode())]
        wire, offset = Ndjson().output(chunks, 5, final=False)
        expected = {
            "offset": 5,
            "time": WRITTEN,
            "stream": "stderr",
            "text": "größer\n",
        }
        self.assertEqual(json.loads(wire), expected)
        self.assertEqual(list(json.loads(wire)), list(expected))
        self.assertEqual((offset, wire[-1:]), (14, b"\n"))
        self.assertIn("größer".encode(), wire)

    def test_bytes(self) -> None:
        """Bytes that are not UTF-8 are encoded in base64."""
        wire, _ = Ndjson().output([Chunk(0, OUT, TIME, b"a\xff")], 0, final=False)
        self.assertEqual(json.loads(wire)["base64"], "Yf8=")
        self.assertNotIn("text", json.loads(wire))

    def test_controls(self) -> None:
        """A gap, a ping and the end are objects with a type."""
        one = Ndjson()
        self.assertEqual(one.begin(RUN, "build", 0), b"")
        lines = one.gap(Gap(3, 10)) + one.ping(10) + one.end(EXITED) + one.end(KILLED)
        end = {"type": "end", "offset": 7}
        self.assertEqual(
            ndjson(lines),
            [
                {"type": "gap", "offset": 3, "end": 10, "bytes": 7},
                {"type": "ping", "offset": 10},
                {**end, "state": "exited", "code": 0, "signal": None, "reason": None},
                {
                    **end,
                    "state": "signaled",
                    "code": None,
                    "signal": "TERM",
                    "reason": "timeout",
                },
            ],
        )

    def test_line_ends(self) -> None:
        """
        No character of the output ends a line, for any reader's idea of line ends.
        """
        every = "".join(map(chr, range(0x100))) + "\u2028\u2029"
        wire, _ = Ndjson().output(chunks_of(every.encode()), 0, final=False)
        self.assertEqual(len(wire.decode().splitlines()), 1)
        self.assertEqual(ndjson(wire)[0].data.decode(), every)


class SseTests(SynchronousTestCase):
    """An EventSource can dispatch C{sse}."""

    def test_output(self) -> None:
        """An event has the object of NDJSON, and the offset after it as its id."""
        chunks = [Chunk(5, OUT, TIME, b"a\r\n\r\nid: 9\n")]
        wire, offset = Sse().output(chunks, 5, final=False)
        (event,), kept = event_source(wire)
        line, _ = Ndjson().output(chunks, 5, final=False)
        self.assertEqual((event.type, event.id, offset), ("output", "16", 16))
        self.assertEqual(event.data.encode(), line.rstrip(b"\n"))
        self.assertEqual(kept["id"], "16")

    def test_begin(self) -> None:
        """A cut before any output brings the reader back soon, to where it was."""
        for one, expected in ((Sse(), "7"), (Sse().naming_run(RUN), f"7@{RUN}")):
            events, kept = event_source(one.begin(RUN, "build", 7))
            self.assertEqual((events, kept), ([], {"id": expected, "retry": 1000}))

    def test_gap(self) -> None:
        """After a gap the reader resumes behind it."""
        (event,), _ = event_source(Sse().gap(Gap(3, 10)))
        self.assertEqual((event.type, event.id), ("gap", "10"))
        self.assertEqual(event.data.encode() + b"\n", Ndjson().gap(Gap(3, 10)))

    def test_ping(self) -> None:
        """A ping is a comment: it dispatches no event, and moves no id."""
        self.assertEqual(event_source(Sse().ping(5)), ([], {"id": "", "retry": None}))

    def test_end(self) -> None:
        """After the end the reader's reconnect delay is a day."""
        (event,), kept = event_source(Sse().naming_run(RUN).end(EXITED))
        self.assertEqual((event.type, event.id), ("end", f"7@{RUN}"))
        self.assertEqual(kept["retry"], 24 * 60 * 60 * 1000)
        self.assertEqual(event.data.encode() + b"\n", Ndjson().end(EXITED))

    def test_ids(self) -> None:
        """Written ids can be parsed."""
        for one, run in ((Sse(), None), (Sse().naming_run(RUN), RUN)):
            for offset in (0, 5, MAX_OFFSET):
                _, kept = event_source(one.gap(Gap(0, offset)))
                self.assertEqual(parse_last_event_id(kept["id"]), (offset, run))

    def test_no_ids(self) -> None:
        """A malformed id is refused with an explanation."""
        wrong = (
            *("", " ", "-1", "+1", "1.0", "1_0", "0x1", "\u0663", "1\n", " 1"),
            *("@", "1@", "@x", "1@x@y", "1@x y", "1@" + "x" * 65, "1@\u0663"),
            *(str(MAX_OFFSET + 1), "1" * 20, "0" * 10_000),
        )
        for text in wrong:
            error = self.assertRaises(ParametersRefused, parse_last_event_id, text)
            self.assertIn("Last-Event-ID: takes the id of an event", str(error))


class FramesTests(SynchronousTestCase):
    """C{frames} is bytes behind headers."""

    def test_output(self) -> None:
        """A frame is its stream, its length, and the bytes as they are."""
        chunks = chunks_of(b"a\xe2", (ERR, b"\xff"))
        wire, offset = Frames().output(chunks, 0, final=False)
        expected = b"\1\0\0\0\0\0\0\2a\xe2\2\0\0\0\0\0\0\1\xff"
        self.assertEqual((wire, offset), (expected, 3))

    def test_controls(self) -> None:
        """The run, a gap, a ping and the end are JSON on stream 0."""
        one = Frames()
        begin = one.begin(RUN, "build", 5)
        self.assertEqual(begin[:4], b"\0\0\0\0")
        run = {"type": "run", "run": RUN, "command": "build", "offset": 5}
        rest = one.gap(Gap(5, 7)) + one.ping(7) + one.end(KILLED)
        same = ndjson(Ndjson().gap(Gap(5, 7)) + Ndjson().ping(7) + Ndjson().end(KILLED))
        self.assertEqual(frames(begin + rest), [run, *same])

    def test_left_out(self) -> None:
        """A ping has the offset after skipped output."""
        chunks = chunks_of(b"a", (ERR, b"x"), (ERR, b"y"), b"b", (ERR, b"z"))
        one = Frames()
        wire, offset = one.output(chunks, 0, final=False, only=OUT)
        self.assertEqual(offset, 5)
        self.assertEqual(
            frames(one.begin(RUN, "build", 0) + wire)[1:],
            [
                Told(0, "stdout", b"a"),
                {"type": "ping", "offset": 3},
                Told(3, "stdout", b"b"),
                {"type": "ping", "offset": 5},
            ],
        )
