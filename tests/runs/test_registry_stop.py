"""Tests for L{shellstream.runs.registry}: how a stop goes."""

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.model.errors import Busy
from shellstream.model.events import Reason
from tests.support.fakes import SAY
from tests.support.registries import CONFIG, RegistryTestCase


class StopTests(RegistryTestCase):
    """A L{Registry} that stops ends all runs and starts nothing more."""

    def test_idle(self) -> None:
        """All waiting callers are told when the last run has ended, not before."""
        self.successResultOf(self.registry.supervisor.idle())
        for _ in range(2):
            self.submit()
        waiting = [self.registry.supervisor.idle() for _ in range(2)]
        self.assertIsNot(waiting[0], waiting[1])
        one, other = self.spawn.started
        one.exit()
        for each in waiting:
            self.assertNoResult(each)
        other.exit()
        for each in waiting:
            self.successResultOf(each)

    def test_idle_again(self) -> None:
        """A caller that was told once is not told again."""
        for _ in range(2):
            self.submit()
            waiting = self.registry.supervisor.idle()
            self.last.exit()
            self.successResultOf(waiting)

    def test_stop(self) -> None:
        """Every run is ended, and then the stop is done."""
        runs = [self.submit() for _ in range(2)]
        stopped = self.registry.supervisor.stop()
        for run, started in zip(runs, self.spawn.started, strict=True):
            self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
            self.assertNoResult(stopped)
            started.exit(None, 15)
            self.assertIs(run.record.reason, Reason.SHUTDOWN)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_check(self) -> None:
        """The check fails once the daemon is stopping."""
        self.submit()
        self.registry.supervisor.stop()
        self.failureResultOf(Deferred.fromCoroutine(self.registry.check()), Busy)

    def test_stop_deaf(self) -> None:
        """A stop kills a run that ignores TERM, and so completes."""
        self.submit()
        stopped = self.registry.supervisor.stop()
        self.clock.advance(SAY.limits.grace)
        self.assertEqual(self.last.child.signals[-1], "SIGKILL")
        self.last.exit(None, 9)
        self.successResultOf(stopped)

    def test_stop_idle(self) -> None:
        """Without runs a stop is done at once."""
        self.successResultOf(self.registry.supervisor.stop())
        self.assert_nothing_left()

    def test_starts_nothing_more(self) -> None:
        """After the stop has begun, requests are refused."""
        self.submit()
        self.registry.supervisor.stop()
        for _ in range(2):
            error = self.failureResultOf(self.ask(), Busy).value
            self.assertIn("the daemon is stopping", str(error))
            self.assertIn("Retry-After", error.headers)
            for started in self.spawn.started:
                if not started.run.log.closed:
                    started.exit()
        self.assertEqual(len(self.spawn.started), 1)


class DrainTests(RegistryTestCase):
    """A L{Registry} that stops may give runs time to end by themselves."""

    config = evolve(CONFIG, drain=10.0)

    def test_in_time(self) -> None:
        """
        A run that ends by itself during the drain gets no signal; then the stop is
        done.
        """
        run = self.submit()
        stopped = self.registry.supervisor.stop()
        self.clock.advance(9)
        self.assertEqual(self.last.child.signals, [])
        self.last.exit()
        self.successResultOf(stopped)
        self.assertIsNone(run.record.reason)
        self.assert_nothing_left()

    def test_too_late(self) -> None:
        """A run that outlives the drain is told to end."""
        self.submit()
        stopped = self.registry.supervisor.stop()
        self.clock.advance(10)
        self.assertEqual(self.last.child.signals, ["SIGTERM", "SIGCONT"])
        self.assertNoResult(stopped)
        self.last.exit(None, 15)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_hurry(self) -> None:
        """An impatient stop skips the drain."""
        self.submit()
        stopped = self.registry.supervisor.stop()
        self.registry.supervisor.hurry()
        self.assertEqual(self.last.child.signals, ["SIGTERM", "SIGCONT"])
        self.last.exit(None, 15)
        self.successResultOf(stopped)
        self.assert_nothing_left()
