"""Tests for L{shellstream.output.fair_turns}."""

from functools import partial

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.output.fair_turns import SLICE, FairTurns


class FairTurnsTests(SynchronousTestCase):
    """Calls that can wait share one slice of each turn."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = FairTurns(self.clock)
        self.made: list[int] = []

    def work(self, number: int, seconds: float = 0.0) -> None:
        """Work that takes some seconds."""
        self.made.append(number)
        self.clock.rightNow += seconds

    def turn(self) -> None:
        """One turn of the reactor, as a real one takes it."""
        (call,) = self.clock.calls
        self.clock.calls.remove(call)
        call.func()

    def test_order(self) -> None:
        """Calls are made later, in the order in which they came."""
        for number in range(3):
            self.turns.later(partial(self.work, number))
        self.assertEqual(self.made, [])
        self.turn()
        self.assertEqual(self.made, [0, 1, 2])
        self.assertEqual(self.clock.calls, [])

    def test_slice(self) -> None:
        """A turn ends when its slice is used up; the others follow."""
        for number in range(1000):
            self.turns.later(partial(self.work, number, SLICE * 0.3))
        for turn in range(1, 251):
            self.turn()
            self.assertEqual(len(self.made), 4 * turn)
        self.assertEqual(self.made, list(range(1000)))

    def test_again(self) -> None:
        """A call that asks for another one waits behind those that were there."""

        def again() -> None:
            self.work(1, SLICE)
            self.turns.later(again)

        self.turns.later(again)
        self.turns.later(lambda: self.work(2, SLICE))
        for _ in range(4):
            self.turn()
        self.assertEqual(self.made, [1, 2, 1, 1])

    def test_now(self) -> None:
        """A call is made at once while the slice lasts, and none waits."""
        for number, made in ((1, True), (2, True), (3, False)):
            work = partial(self.work, number, SLICE * 0.6)
            self.assertIs(self.turns.now(work), made)
        self.turn()
        self.turns.later(partial(self.work, 4))
        self.assertFalse(self.turns.now(partial(self.work, 5)))
        self.turn()
        self.assertTrue(self.turns.now(partial(self.work, 6)))
        self.assertEqual(self.made, [1, 2, 4, 6])
        self.assertEqual(self.clock.calls, [])

    def test_cancelled(self) -> None:
        """A call that was cancelled, or made, is active no more."""
        first = self.turns.later(lambda: self.work(1))
        second = self.turns.later(lambda: self.work(2))
        first.cancel()
        self.assertEqual((first.active(), second.active()), (False, True))
        self.turn()
        self.assertEqual((self.made, second.active()), ([2], False))

    def test_error(self) -> None:
        """An error of one call does not keep back the others."""
        self.turns.later(lambda: 1 // 0)
        self.turns.later(lambda: self.work(1))
        self.assertRaises(ZeroDivisionError, self.turn)
        self.turn()
        self.assertEqual(self.made, [1])

    def test_deferred(self) -> None:
        """The same as a Deferred, which may be cancelled."""
        waiting, cancelled = self.turns.turn(), self.turns.turn()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertNoResult(waiting)
        self.turn()
        self.assertIsNone(self.successResultOf(waiting))

    def test_finish(self) -> None:
        """At the end all calls that wait are made at once."""
        for number in range(3):
            self.turns.later(partial(self.work, number, SLICE))
        self.turns.finish()
        self.assertEqual(self.made, [0, 1, 2])
        self.turn()
        self.assertEqual((self.made, self.clock.calls), ([0, 1, 2], []))
