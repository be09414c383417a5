"""Tests for L{shellstream.model.quantities}: times and sizes in words."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.quantities import parse_size, parse_time, show_size, show_time


class QuantityTests(SynchronousTestCase):
    """What is shown can be read again."""

    @given(st.integers(1, 10**9))
    def test_whole(self, number: int) -> None:
        """A whole number of seconds or bytes is shown without loss."""
        if number < 10**6 or number % 60 == 0:
            self.assertEqual(parse_time(show_time(number)), number)
        self.assertEqual(parse_size(show_size(number).removesuffix(" bytes")), number)

    def test_shown(self) -> None:
        """The largest unit is used of which it is a whole number."""
        for seconds, text in (
            (0, "0 s"),
            (0.5, "0.5 s"),
            (60, "1 min"),
            (90, "90 s"),
            (5400, "90 min"),
            (2_592_000, "30 d"),
        ):
            self.assertEqual(show_time(seconds), text)
        for size, text in (
            (1, "1 bytes"),
            (1 << 20, "1 MiB"),
            (1536 << 10, "1536 KiB"),
        ):
            self.assertEqual(show_size(size), text)
