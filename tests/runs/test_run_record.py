"""Tests for L{shellstream.runs.run}: a run's record."""

from zope.interface.verify import verifyObject

from shellstream.model.events import ExitStatus, Reason, State, Stream
from shellstream.output.interfaces import IRun, IViewer
from shellstream.output.log import OutputLog
from tests.support.registries import Reader
from tests.support.run_cases import RunTestCase


class RecordTests(RunTestCase):
    """A run tells how it stands, at any time."""

    def test_verified(self) -> None:
        """A run and the fake viewer provide their interfaces."""
        verifyObject(IRun, self.run_)
        verifyObject(IViewer, Reader())

    def test_life(self) -> None:
        """A run is queued, then admitted, then started with a process, then ended."""
        self.begin()
        self.assertIs(self.run_.record.state, State.QUEUED)
        self.run_.take_turn()
        self.assertIs(self.run_.record.state, State.RUNNING)
        self.assertIsNone(self.run_.record.started)
        self.clock.advance(1)
        self.run_.launch()
        self.run_.started(self.child)
        record = self.run_.record
        self.assertEqual((record.started, record.pid), (self.wall(), self.child.pid))
        self.assertIsNone(record.pid_start)  # a short run never needs it
        self.run_.record_within(0)
        self.assertEqual(self.run_.record.pid_start, self.child.start_time)
        self.clock.advance(1)
        self.run_.finished(ExitStatus(0, None, cpu=0.5, memory=1 << 20))
        record = self.run_.record
        self.assertEqual(record.ended, self.wall())
        self.assertEqual((record.cpu, record.memory), (0.5, 1 << 20))

    def test_sizes(self) -> None:
        """The size of the output is recorded while the run runs, and at its end."""
        self.begin(OutputLog(1000))
        self.start()
        for size in (600, 700):
            self.run_.output(Stream.STDOUT, b"x" * size)
        for _ in range(2):
            record, log = self.run_.snapshot(), self.run_.log
            self.assertEqual((record.start, record.size), (600, 1300))
            self.assertEqual(record.stored, log.stored)
            if record.ended is None:
                self.exit()

    def test_told_when_safe(self) -> None:
        """
        Until its end is durable, a run has ended, but its record does not say how.
        """
        self.owner.at_once = False
        self.exit(3)
        self.assertTrue(self.run_.has_ended)
        self.assertIs(self.run_.record.state, State.RUNNING)
        self.assertFalse(self.run_.log.closed)
        ((outcome, _),) = self.owner.ends
        self.run_.publish_end(outcome)
        self.assert_over(State.EXITED, None)

    def test_cannot_start(self) -> None:
        """A run whose process cannot be started has failed, and says why."""
        self.begin()
        self.run_.take_turn()
        self.run_.launch()
        self.run_.failed("no such program")
        self.assert_over(State.FAILED, None)
        self.assertEqual(self.run_.record.failure, "no such program")

    def test_cancelled_before_it_began(self) -> None:
        """A run without a process is cancelled at once, and gets none."""
        self.begin()
        self.run_.cancel(Reason.CANCELLED)
        self.assert_over(State.CANCELLED, Reason.CANCELLED)
        self.assertEqual(self.child.signals, [])

    def test_signal(self) -> None:
        """A signal reaches the process as long as it lives."""
        self.assertTrue(self.run_.signal(10))
        self.assertEqual(self.child.signals, ["SIGUSR1"])
        self.exit()
        self.assertFalse(self.run_.signal(10))
        self.assertEqual(self.child.signals, ["SIGUSR1"])
        self.begin()
        self.assertFalse(self.run_.signal(10))
