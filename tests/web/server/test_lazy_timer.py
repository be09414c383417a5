"""Tests for L{shellstream.web.server.lazy_timer}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.web.server.lazy_timer import LazyTimer


class LazyTimerTests(SynchronousTestCase):
    """The timer calls at the end of a wait, and of no other."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[float] = []
        self.timer = LazyTimer(self.clock, self)

    def timeoutConnection(self) -> None:
        self.calls.append(self.clock.seconds())

    def test_stopped(self) -> None:
        """A wait that has ended calls nothing, and leaves nothing behind."""
        self.timer.start(5)
        self.timer.stop()
        self.clock.advance(5)
        self.assertEqual(self.calls, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """Waits of the same length share one call, which then sleeps on."""
        for _ in range(4):
            self.timer.start(5)
            (first,) = self.clock.getDelayedCalls()
            self.clock.advance(1)
        self.assertEqual(first.getTime(), 5)
        self.clock.pump([1] * 4)
        self.assertEqual(self.calls, [8])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A timer that is cancelled leaves no call."""
        self.timer.start(5)
        self.timer.cancel()
        self.timer.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9))))
    def test_any(self, steps: list[tuple[bool, int, int]]) -> None:
        """It calls exactly when a timer would that is set anew for each wait."""
        self.setUp()
        plain, expected, call = Clock(), list[float](), None
        for waits, seconds, passed in steps:
            if call is not None and call.active():
                call.cancel()
            call = None
            self.timer.stop()
            if waits:
                self.timer.start(seconds)
                call = plain.callLater(
                    seconds, lambda: expected.append(plain.seconds())
                )
            for clock in (self.clock, plain):
                clock.pump([1] * passed)
        self.assertEqual(self.calls, expected)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), 1)
