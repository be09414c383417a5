"""Tests for L{shellstream.output.utf8}: the characters that readers of text see."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Chunk
from shellstream.output.formats import Ndjson
from tests.support.decoders import ndjson
from tests.support.outputs import ERR, OUT, chunks_of


def told(*parts, start=0, final=False, only=None):
    """Return the text or bytes that an NDJSON reader gets, and the next offset."""
    chunks = chunks_of(*parts, start=start)
    wire, offset = Ndjson().output(chunks, start, final=final, only=only)
    return [one.data.decode() if one.text else one.data for one in ndjson(wire)], offset


class CharacterTests(SynchronousTestCase):
    """Characters stay whole where output is cut."""

    def test_carried_over(self) -> None:
        """The first part of a character comes with the rest of it."""
        self.assertEqual(told(b"a\xe2", b"\x82", b"\xacb"), (["a", "€b"], 5))

    def test_time(self) -> None:
        """A character arrived when its last byte did."""
        wire, _ = Ndjson().output(chunks_of(b"a\xe2", b"\x82\xac"), 0, final=False)
        times = [(one.offset, one.time[-3:]) for one in ndjson(wire)]
        self.assertEqual(times, [(0, "01Z"), (1, "02Z")])

    def test_held_back(self) -> None:
        """The beginning of a character waits for its rest."""
        self.assertEqual(told(b"a\xf0\x9f\x98"), (["a"], 1))
        self.assertEqual(told(b"\xf0\x9f\x98"), ([], 0))

    def test_never_completed(self) -> None:
        """At the end of the output nothing waits."""
        self.assertEqual(told(b"a\xf0\x9f", final=True), (["a", b"\xf0\x9f"], 3))

    def test_other_stream_between(self) -> None:
        """
        A character that the other stream interrupts is sent in parts, without delay.
        """
        self.assertEqual(
            told(b"a\xe2", (ERR, b"!"), b"\x82\xac"),
            (["a", b"\xe2", "!", b"\x82\xac"], 5),
        )

    def test_other_stream_left_out(self) -> None:
        """The same if the other stream is left out, since offsets count it."""
        self.assertEqual(
            told(b"a\xe2", (ERR, b"!"), b"\x82\xacb", only=OUT),
            (["a", b"\xe2", b"\x82\xac", "b"], 6),
        )

    def test_left_out_at_the_end(self) -> None:
        """A stream that is left out is skipped at once."""
        self.assertEqual(told(b"a", (ERR, b"\xe2"), only=OUT), (["a"], 2))
        self.assertEqual(told((ERR, b"xyz"), only=OUT), ([], 3))

    def test_resumed_inside(self) -> None:
        """A client that resumes inside a character loses only that one."""
        rest = "😀".encode()[1:]
        self.assertEqual(told(rest + b"b\xe2", start=9), ([rest, "b"], 13))
        self.assertEqual(told(rest, start=9), ([rest], 12))

    def test_no_text(self) -> None:
        """A chunk that is not UTF-8 is sent whole as bytes, its good characters too."""
        self.assertEqual(told(b"a\xffb"), ([b"a\xffb"], 3))
        self.assertEqual(told(b"\x80" * 4 + b"a"), ([b"\x80" * 4 + b"a"], 5))
        self.assertEqual(told(b"\x80a\xff"), ([b"\x80a\xff"], 3))

    def test_only_what_can_be_completed_waits(self) -> None:
        """Bytes wait just where others can make a character of them."""
        # Every 64th: the next 63 differ in their last byte only.
        points = (*range(0x80, 0xD800, 64), *range(0xE000, 0x110000, 64))
        encoded = [chr(point).encode() for point in points]
        begun = {one[:size] for one in encoded for size in range(1, len(one))}
        pairs = [bytes([a, b]) for a in range(0xC0, 256) for b in range(256)]
        triples = [
            pair + bytes([third])
            for pair in pairs
            for third in (0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF)
        ]
        for data in [bytes([a]) for a in range(256)] + pairs + triples:
            _, offset = Ndjson().output([Chunk(0, OUT, 0, data)], 0, final=False)
            self.assertEqual(offset == 0, data in begun, data)
