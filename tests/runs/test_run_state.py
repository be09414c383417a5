"""Tests for L{shellstream.runs.run_state}."""

from twisted.trial.unittest import SynchronousTestCase

from shellstream.runs.run_state import _NEXT, HAVE_PROCESS, OVER, Event, Phase, after


class TableTests(SynchronousTestCase):
    """The table of phases is complete."""

    def test_whole(self) -> None:
        """Every phase is in it, and every phase can be reached."""
        reached = {phase for row in _NEXT.values() for phase in row.values()}
        self.assertEqual(_NEXT.keys(), {*Phase})
        self.assertEqual(reached, {*Phase})
        self.assertEqual({event for row in _NEXT.values() for event in row}, {*Event})

    def test_ends_once(self) -> None:
        """An ended run never gets a process again."""
        for phase in OVER:
            self.assertLessEqual({*_NEXT[phase].values()}, OVER)
        self.assertEqual(OVER & HAVE_PROCESS, frozenset())

    def test_after(self) -> None:
        """A transition that the table does not list is refused."""
        self.assertIs(after(Phase.RUNNING, Event.EXIT), Phase.ENDED)
        error = self.assertRaises(AssertionError, after, Phase.ENDED, Event.START)
        self.assertEqual(str(error), "start of a run that is ended")
