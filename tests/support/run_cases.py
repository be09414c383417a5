"""Test cases of one run, on a clock of their own."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.command import Command
from shellstream.model.events import ExitStatus, OnDisconnect, Reason, State, Stream
from shellstream.model.limits import Limits
from shellstream.model.run_record import RunRecord
from shellstream.output.log import OutputLog
from shellstream.runs.run import Run
from tests.support.fakes import FakeChild, wall
from tests.support.registries import FakeOwner

TIMEOUT, GRACE = 60.0, 5.0


class RunTestCase(SynchronousTestCase):
    """A run of a fake child, which leaves no timer behind, however it ends."""

    limits = Limits(timeout=TIMEOUT, grace=GRACE)
    on_disconnect = OnDisconnect.KEEP

    def setUp(self) -> None:
        self.begin()
        self.start()

    def begin(self, log: OutputLog | None = None) -> None:
        """A run that is still queued."""
        self.clock, self.child, self.owner = Clock(), FakeChild(), FakeOwner()
        self.wall = wall(self.clock)
        command = Command(name="c", argv=("c",), limits=self.limits)
        record = RunRecord(
            id="id",
            command="c",
            params={},
            created=self.wall(),
            on_disconnect=self.on_disconnect,
        )
        self.run_ = Run(
            record,
            command,
            command.invoke([]),
            log or OutputLog(1 << 18),
            self.clock,
            self.wall,
            self.owner,
        )

    def start(self) -> None:
        """Its turn has come, and its process is there."""
        self.run_.recording.done = True
        self.run_.take_turn()
        self.run_.launch()
        self.run_.started(self.child)

    def exit(self, code: int | None = 0, signal: int | None = None) -> None:
        """The child is reaped and drained."""
        self.run_.finished(ExitStatus(code, signal))

    def assert_runs(self) -> None:
        """The run has not ended, for anybody."""
        self.assertIs(self.run_.record.state, State.RUNNING)
        self.assertEqual(self.owner.ends, [])
        self.assertFalse(self.run_.log.closed)

    def assert_over(self, state: State, reason: Reason | None) -> None:
        """
        Check that the run has ended once, in this way, and has nothing left to do.
        """
        ((outcome, told),) = self.owner.ends
        self.assertEqual((outcome.state, outcome.reason), (state, reason))
        # No viewer was told before the end was durable.
        self.assertFalse(told)
        self.assertTrue(self.run_.log.closed)
        self.assertEqual(self.run_.record, outcome)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LimitTestCase(RunTestCase):
    """A run that comes to one of its limits."""

    def say(self, size: int = 1) -> None:
        self.assertFalse(self.child.paused, "it was read though it was paused")
        self.run_.output(Stream.STDOUT, b"x" * size)

    def assert_ending(self) -> None:
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])

    def die(self, reason: Reason) -> None:
        """Let the child die of the signal, and check the run's end."""
        self.child.lives = False
        self.exit(None, 15)
        self.assert_over(State.SIGNALED, reason)
