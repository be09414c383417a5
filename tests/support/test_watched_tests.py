"""The watchdog of the tests: it tells of work that is too long, and of nothing else."""

import time

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import FailTest, SkipTest, SynchronousTestCase

from tests.support.reactor_deadline import DEADLINE, TurnMeter
from tests.support.watched_tests import TRIES, LateTurn, WatchedTestCase


def compute(seconds: float) -> None:
    """Use CPU time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class MeterTests(SynchronousTestCase):
    """L{TurnMeter} in a thread that works, or waits."""

    def test_work(self) -> None:
        """A turn that computes for too long is told, with its stack."""
        meter = TurnMeter()
        compute(20 * DEADLINE)
        late = meter.end_turn()
        self.assertIn(" ms of CPU (", late)
        self.assertIn("in compute", late)

    def test_next(self) -> None:
        """The turn after a long one begins at nothing."""
        meter = TurnMeter()
        compute(20 * DEADLINE)
        meter.end_turn()
        self.assertEqual(meter.end_turn(), "")

    def test_slow_machine(self) -> None:
        """A machine that is slow just then has more time, in proportion."""
        meter = TurnMeter(slowness=lambda: 100.0)
        compute(2 * DEADLINE)
        self.assertEqual(meter.end_turn(), "")


def run(
    name: str = "test_it", late: int = 0, error: Exception | None = None
) -> tuple[TestResult, int]:
    """
    Run a watched test. Returns its result, and how often it ran.

    @param late: how many of its first runs have a late turn.
    @param error: what each other run raises.
    """
    runs = 0

    class Watched(WatchedTestCase):
        def test_it(self) -> None:
            nonlocal runs
            runs += 1
            if runs <= late:
                self.addCleanup(fail_late)
            elif error is not None:
                raise error

        def test_skipped(self) -> None:
            raise SkipTest("not today")

    result = TestResult()
    Watched(name).run(result)
    return result, runs


def fail_late() -> None:
    raise LateTurn("a turn")


class WatchedTests(SynchronousTestCase):
    """L{WatchedTestCase} when turns are late."""

    def test_never(self) -> None:
        """A test without a late turn runs once."""
        result, runs = run()
        self.assertEqual((result.successes, result.testsRun, runs), (1, 1, 1))

    def test_by_chance(self) -> None:
        """A late turn that does not come again is no failure."""
        result, runs = run(late=TRIES - 1)
        self.assertEqual((result.successes, result.errors, runs), (1, [], TRIES))

    def test_each_time(self) -> None:
        """A turn that is late each time fails the test."""
        result, runs = run(late=TRIES)
        self.assertEqual((result.successes, runs), (0, TRIES))
        self.assertEqual(len(result.errors) + len(result.failures), 1)

    def test_other_failure(self) -> None:
        """Any other failure counts at once."""
        result, runs = run(error=FailTest("wrong"))
        self.assertEqual((len(result.failures), result.successes, runs), (1, 0, 1))
        result, runs = run(error=ValueError("wrong"))
        self.assertEqual((len(result.errors), result.successes, runs), (1, 0, 1))
        self.flushLoggedErrors(ValueError)

    def test_skip(self) -> None:
        """A skipped test is reported as skipped."""
        result, runs = run("test_skipped")
        self.assertEqual((len(result.skips), result.successes, runs), (1, 0, 0))
