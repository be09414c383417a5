"""Tests for L{shellstream.web.resources.byte_ranges}.

C{Range} on an output (RFC 9110, RFC 8673).
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import OffsetGone, RangeNotSatisfiable
from shellstream.web.resources.byte_ranges import Range, resolve
from shellstream.web.resources.query import MAX_OFFSET

NUMBERS = st.one_of(
    st.integers(0, 30),
    st.sampled_from([MAX_OFFSET - 1, MAX_OFFSET, MAX_OFFSET + 1, 10**16, 2**63]),
)
MAYBE = st.none() | NUMBERS


class ResolveTests(SynchronousTestCase):
    """The effect of a header on 10 bytes of output, of which 4 are gone."""

    def resolved(self, wanted: str, *, ended: bool = True, start: int = 4) -> str:
        """The C{Content-Range} of the answer; empty if it is of the whole."""
        found = resolve(f"bytes={wanted}", start, 10, ended=ended)
        return "" if found is None else found.content_range

    def test_ended(self) -> None:
        """The range of an ended run ends at the output's end, at the latest."""
        for wanted, expected in {
            "4-": "bytes 4-9/10",
            "9-": "bytes 9-9/10",
            "4-5": "bytes 4-5/10",
            "4-4": "bytes 4-4/10",
            "5-99": "bytes 5-9/10",
            f"5-{MAX_OFFSET}": "bytes 5-9/10",
            "-3": "bytes 7-9/10",
            " 5-6 ": "bytes 5-6/10",
        }.items():
            self.assertEqual(self.resolved(wanted), expected, wanted)

    def test_suffix(self) -> None:
        """The last bytes are the last that are kept."""
        self.assertEqual(self.resolved("-6"), "bytes 4-9/10")
        self.assertEqual(self.resolved("-99"), "bytes 4-9/10")
        self.assertEqual(self.resolved("-99", start=0), "bytes 0-9/10")

    def test_not_satisfiable(self) -> None:
        """A range without a byte is refused with the length."""
        for wanted in ("10-", "11-12", "-0", f"{10**16 - 1}-"):
            error = self.assertRaises(RangeNotSatisfiable, self.resolved, wanted)
            self.assertEqual(error.extensions["size"], 10)
            self.assertEqual(error.headers, {"Content-Range": "bytes */10"})
        self.assertRaises(
            RangeNotSatisfiable, self.resolved, "-0", ended=False, start=0
        )
        self.assertRaises(RangeNotSatisfiable, resolve, "bytes=1-", 0, 0, ended=True)

    def test_empty(self) -> None:
        """Empty output is answered as a whole: no header could name a part of it."""
        for wanted in ("0-", "0-5", "-5"):
            self.assertIsNone(resolve(f"bytes={wanted}", 0, 0, ended=True), wanted)

    def test_gone(self) -> None:
        """A range whose first byte is no longer kept is refused."""
        for ended in (True, False):
            for wanted in ("0-", "3-9", "0-1"):
                error = self.assertRaises(
                    OffsetGone, self.resolved, wanted, ended=ended
                )
                self.assertEqual(error.start, 4)

    def test_ignored(self) -> None:
        """A malformed range is ignored, and the answer is the whole output."""
        for header in (
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=x-",
            "bytes=6-5",
            "bytes=5-6,8-9",
            "bytes=5-6,",
            "bytes=+5-",
            "bytes=5--6",
            "bytes=\u0665-",
            "lines=5-",
            "5-",
            "",
            f"bytes={'5' * 100}-",
        ):
            for ended in (True, False):
                self.assertIsNone(resolve(header, 4, 10, ended=ended), header)

    def test_live(self) -> None:
        """
        The open range of a growing run, or one with a far end, goes on with it; only
        one from the first byte on ends at the newest.
        """
        resolved = self.resolved("0-", ended=False, start=0)
        self.assertEqual(resolved, "bytes 0-9/*")
        for wanted, expected in {
            "5-": f"bytes 5-{MAX_OFFSET}/*",
            "5-7": "bytes 5-7/*",
            "-3": "bytes 7-9/*",
            "5-99": "bytes 5-99/*",
            f"5-{MAX_OFFSET}": f"bytes 5-{MAX_OFFSET}/*",
            f"5-{MAX_OFFSET + 1}": f"bytes 5-{MAX_OFFSET}/*",
            "10-": f"bytes 10-{MAX_OFFSET}/*",
            "99-": f"bytes 99-{MAX_OFFSET}/*",
            "12-13": "bytes 12-13/*",
            f"{10**16 - 1}-": "",
        }.items():
            self.assertEqual(self.resolved(wanted, ended=False), expected, wanted)

    @given(MAYBE, MAYBE, st.integers(0, 20), st.integers(0, 20), st.booleans())
    def test_sound(self, first, last, start, size, ended) -> None:
        """Every resolved range lies within the output, and is not empty."""
        end = start + size
        text = f"{'' if first is None else first}-{'' if last is None else last}"
        try:
            found = resolve(f"bytes={text}", start, end, ended=ended)
        except OffsetGone as gone:
            offset = gone.extensions["offset"]
            assert isinstance(offset, int)
            self.assertLess(offset, start)
        except RangeNotSatisfiable as error:
            self.assertTrue(ended or text == "-0")
            self.assertEqual(error.extensions["size"], end)
        else:
            if found is not None:
                self.assert_sound(found, start, end, ended)

    def assert_sound(self, found: Range, start: int, end: int, ended: bool) -> None:
        self.assertLessEqual(start, found.offset)
        self.assertLess(found.offset, found.until)
        self.assertLessEqual(found.until, MAX_OFFSET + 1)
        self.assertEqual(found.size, end if ended else None)
        self.assertEqual(found.live, found.until > end)
        if ended:
            self.assertFalse(found.live)

    @given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
    def test_bytes(self, size, first, last) -> None:
        """The range of an ended run is exactly the bytes of RFC 9110."""
        data = bytes(range(size))
        wanted = {f"{first}-": data[first:], f"-{last}": data[-last:] if last else b""}
        if first <= last:
            wanted[f"{first}-{last}"] = data[first : last + 1]
        for text, expected in wanted.items():
            try:
                found = resolve(f"bytes={text}", 0, size, ended=True)
            except RangeNotSatisfiable:
                self.assertEqual(expected, b"")
            else:
                if found is None:
                    self.assertEqual(data, b"")
                    continue
                self.assertEqual(data[found.offset : found.until], expected)
