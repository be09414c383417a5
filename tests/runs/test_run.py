"""Tests for L{shellstream.runs.run}: how a run ends, on a clock of our own."""

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from shellstream.model.events import ExitStatus, Reason, State, Stream
from shellstream.model.limits import Limits
from shellstream.runs.run import Run
from tests.support.registries import text
from tests.support.run_cases import GRACE, TIMEOUT, RunTestCase


class EndTests(RunTestCase):
    """A run ends when its process has."""

    def test_output_cut(self) -> None:
        """Output that could not be read whole never looks like a success."""
        self.run_.finished(ExitStatus(0, None, output_complete=False))
        self.assert_over(State.LOST, None)
        self.assertIsNone(self.run_.record.code)
        self.assertIn("failed to read", self.run_.record.failure or "")

    def test_unknown(self) -> None:
        """Neither does a process of which nobody can tell how it ended."""
        self.run_.finished(ExitStatus(None, None, output_complete=False))
        self.assert_over(State.LOST, None)
        self.assertIn("how it ended is unknown", self.run_.record.failure or "")

    def test_exits(self) -> None:
        """A process that exits by itself ends its run at once, with any code."""
        self.exit(3)
        self.assertEqual((self.run_.record.code, self.run_.record.signal), (3, None))
        self.assert_over(State.EXITED, None)
        self.assertEqual(self.child.signals, [])

    def test_signaled(self) -> None:
        """A process killed by others is distinguished."""
        self.exit(None, 11)
        self.assertEqual((self.run_.record.code, self.run_.record.signal), (None, 11))
        self.assert_over(State.SIGNALED, None)

    def test_background_processes(self) -> None:
        """A background process of a command does not delay its end."""
        self.child.lives = True
        self.exit()
        self.assert_over(State.EXITED, None)

    def test_output(self) -> None:
        """A child's output is in the log, in order, with its stream."""
        self.run_.output(Stream.STDOUT, b"out")
        self.run_.output(Stream.STDERR, b"err")
        first, second = self.run_.log.read(0)
        self.assertEqual((first.data, first.stream), (b"out", Stream.STDOUT))
        self.assertEqual((second.data, second.stream), (b"err", Stream.STDERR))
        self.assertEqual(first.time, self.wall())
        self.exit()
        self.assert_over(State.EXITED, None)


class TimeoutTests(RunTestCase):
    """A run that exceeds its timeout is ended."""

    def test_timeout(self) -> None:
        """At its time TERM, and CONT for one that is stopped; not a moment before."""
        self.clock.advance(TIMEOUT - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.advance(0.5)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])
        self.assert_runs()
        self.child.lives = False
        self.exit(None, 15)
        self.assert_over(State.SIGNALED, Reason.TIMEOUT)

    def test_deaf(self) -> None:
        """A run that ignores TERM is killed after the grace time, and only once."""
        self.clock.advance(TIMEOUT)
        self.clock.advance(GRACE - 0.5)
        self.assertNotIn("SIGKILL", self.child.signals)
        self.clock.advance(0.5)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT", "SIGKILL"])
        self.assert_runs()
        self.clock.advance(10 * TIMEOUT)
        self.assertEqual(self.child.signals.count("SIGKILL"), 1)
        self.exit(None, 9)
        self.assert_over(State.SIGNALED, Reason.TIMEOUT)

    def test_polite(self) -> None:
        """A run that heeds TERM and exits has exited, with the reason recorded."""
        self.clock.advance(TIMEOUT)
        self.child.lives = False
        self.exit(0)
        self.assert_over(State.EXITED, Reason.TIMEOUT)

    def test_in_time(self) -> None:
        """A run that ends in time is not ended a second time later."""
        self.clock.advance(TIMEOUT - 1)
        self.exit()
        self.assert_over(State.EXITED, None)
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.child.signals, [])


class NoTimeoutTests(RunTestCase):
    """A command may be without a timeout."""

    limits = Limits()

    def test_waits_for_nothing(self) -> None:
        """Without limits a run sets no timer."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(10**6)
        self.assert_runs()
        self.exit()
        self.assert_over(State.EXITED, None)


class CancelTests(RunTestCase):
    """A run that is made to end does so with its whole session."""

    def test_cancel_while_launched(self) -> None:
        """
        A run whose process is being started is stopped once that is there, whatever
        stops it; it may fail to start instead.
        """
        no_viewer: Any = None
        for stop in (
            lambda: self.run_.cancel(Reason.CANCELLED),
            lambda: self.run_.attach(no_viewer),  # which raises something unforeseen
        ):
            for reason in ("started", "failed"):
                self.begin()
                self.run_.take_turn()
                self.run_.launch()
                stop()
                self.assert_runs()
                if reason == "failed":
                    self.run_.failed("no such program")
                    ((outcome, _),) = self.owner.ends
                    self.assertEqual(outcome.failure, "no such program")
                    continue
                self.run_.started(self.child)
                self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])
                self.child.lives = False
                self.exit(None, 15)
                ((outcome, _),) = self.owner.ends
                self.assertIs(outcome.state, State.SIGNALED)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)

    def test_cancel(self) -> None:
        """The timeout is off once a run is being ended."""
        self.run_.cancel(Reason.CANCELLED)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])
        self.clock.advance(GRACE)
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT", "SIGKILL"])
        self.exit(None, 9)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)

    def test_log(self) -> None:
        """The log says why a run was ended, once, and nothing of one that exits."""
        with capturedLogs() as logged:
            self.run_.cancel(Reason.DISCONNECTED)
            self.run_.cancel(Reason.CANCELLED)
            self.child.lives = False
            self.exit(None, 15)
            self.begin()
            self.start()
            self.exit(0)
        self.assertEqual(
            [*map(formatEvent, logged)], ["run id of c is ended: disconnected"]
        )

    def test_twice(self) -> None:
        """A second wish to end a run changes neither its reason nor its grace."""
        self.run_.cancel(Reason.CANCELLED)
        self.clock.advance(GRACE - 1)
        self.run_.cancel(Reason.DISCONNECTED)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])
        self.clock.advance(1)
        self.assertEqual(self.child.signals[2:], ["SIGKILL"])
        self.exit(None, 9)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)

    def test_too_late(self) -> None:
        """A run that has ended cannot be ended: its signal would hit a stranger."""
        self.exit()
        self.run_.cancel(Reason.CANCELLED)
        self.assertEqual(self.child.signals, [])
        self.assert_over(State.EXITED, None)

    def test_session_gone(self) -> None:
        """If the whole session ends with its leader, nothing waits."""
        self.run_.cancel(Reason.CANCELLED)
        self.child.lives = False
        self.exit(None, 15)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)

    def test_session_outlives_leader(self) -> None:
        """The run lasts while others of the session use their grace time."""
        self.run_.cancel(Reason.CANCELLED)
        self.exit(0)
        for _ in range(3):
            self.clock.advance(Run.LOOK)
            self.assert_runs()
        self.child.lives = False
        self.clock.advance(Run.LOOK)
        self.assert_over(State.EXITED, Reason.CANCELLED)
        self.assertNotIn("SIGKILL", self.child.signals)

    def test_session_killed(self) -> None:
        """The rest of a session is killed after the grace time, then the run ends."""
        self.run_.cancel(Reason.CANCELLED)
        self.exit(0)
        self.clock.pump([Run.LOOK] * (int(GRACE / Run.LOOK) + 2))
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT", "SIGKILL"])
        self.assert_over(State.EXITED, Reason.CANCELLED)

    def test_begun_while_killed(self) -> None:
        """What appears while the rest is killed is killed as well."""
        self.run_.cancel(Reason.CANCELLED)
        self.clock.advance(GRACE)
        self.child.lives = True
        self.exit(None, 9)
        self.assert_runs()
        self.clock.advance(Run.LOOK)
        self.assertEqual(self.child.signals.count("SIGKILL"), 2)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)

    def test_immortal(self) -> None:
        """A run does not wait for ever for processes that KILL does not end."""
        self.child.immortal = True
        self.run_.cancel(Reason.CANCELLED)
        self.exit(0)
        self.clock.advance(GRACE)
        self.clock.pump([Run.LOOK] * (Run.MOST_KILLS - 1))
        self.assert_runs()
        self.clock.pump([Run.LOOK] * 2)
        self.assertEqual(self.child.signals.count("SIGKILL"), Run.MOST_KILLS)
        self.assert_over(State.EXITED, Reason.CANCELLED)

    def test_strays(self) -> None:
        """
        What left the session is ended where somebody asked for the end or a limit was
        reached, and left alone where a viewer or the daemon just leaves.
        """
        spared = set()
        for reason in Reason:
            self.begin()
            self.start()
            self.run_.cancel(reason)
            if not self.child.strays:
                spared.add(reason)
            self.child.lives = False
            self.exit(None, 15)
        self.assertEqual(spared, {Reason.DISCONNECTED, Reason.SHUTDOWN})

    def test_exit_after_kill(self) -> None:
        """After a kill there is no grace: the leader's end is the run's end."""
        self.run_.cancel(Reason.CANCELLED)
        self.clock.advance(GRACE)
        self.exit(None, 9)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)

    def test_last_words(self) -> None:
        """Output of a child that is being ended is still recorded."""
        self.run_.cancel(Reason.CANCELLED)
        self.run_.output(Stream.STDOUT, b"cleaning up")
        self.child.lives = False
        self.exit(None, 15)
        self.assert_over(State.SIGNALED, Reason.CANCELLED)
        self.assertEqual(text(self.run_.log), b"cleaning up")
