"""Tests for L{shellstream.storage.state.age_clock}."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.state.age_clock import MAX_STEP, AgeClock


class AgeClockTests(SynchronousTestCase):
    """An L{AgeClock} counts the time that a daemon saw pass."""

    def setUp(self) -> None:
        self.monotonic = 1000.0
        self.clock = AgeClock(lambda: self.monotonic)

    def test_goes_on(self) -> None:
        """It begins at zero, or where it was, and goes as fast as time does."""
        self.assertEqual(self.clock.now(), 0)
        self.monotonic += 2.5
        self.assertEqual(self.clock.now(), 2_500_000)
        self.clock.seen = 10
        self.monotonic += 1
        self.assertEqual(self.clock.now(), 1_000_010)

    def test_jump(self) -> None:
        """A step that is too long counts as the longest one: the machine slept."""
        self.monotonic += 60 * 86_400
        self.assertEqual(self.clock.now(), MAX_STEP * 1_000_000)

    def test_back(self) -> None:
        """It never goes back."""
        self.monotonic -= 500
        self.assertEqual(self.clock.now(), 0)
        self.monotonic += 1
        self.assertEqual(self.clock.now(), 1_000_000)
