"""Tests for L{shellstream.output.formats}.

What no output and no cut can do, by hypothesis.
"""

from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Stream, rfc3339
from shellstream.output.formats import FORMATS, Ndjson
from tests.support.decoders import DECODERS, ndjson
from tests.support.outputs import (
    ONLY,
    PARTS,
    STEPS,
    between,
    each,
    each_told,
    laid_out,
    viewed,
)

#: Any but the halves of surrogate pairs, and more often of several bytes.
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("é€😀"), min_size=1)


class RoundTripProperties(SynchronousTestCase):
    """Each format decodes to the output that was written."""

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
        """Valid UTF-8 stays text, however it arrives and is read."""
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
        """Without a gap, text is cut only between characters."""
        for one in ndjson(viewed(Ndjson(), laid_out(parts), steps)):
            self.assertTrue(one.data)
            if not one.text:
                self.assertRaises(UnicodeDecodeError, one.data.decode)
