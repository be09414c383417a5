"""Tests for L{shellstream.runs.run}: silence, absent viewers, full logs."""

from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.limits import Limits, OnFull
from shellstream.output.log import READ_SIZE
from tests.support.registries import Reader
from tests.support.run_cases import LimitTestCase

IDLE, LINGER = 20.0, 10.0


class IdleTests(LimitTestCase):
    """A run that is silent for too long is ended."""

    limits = Limits(idle_timeout=IDLE)

    def test_silent(self) -> None:
        """At its time, and not a moment before."""
        self.clock.advance(IDLE - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.advance(0.5)
        self.assert_ending()
        self.die(Reason.IDLE_TIMEOUT)

    def test_speaks(self) -> None:
        """Each output restarts the time."""
        for _ in range(5):
            self.clock.advance(IDLE - 0.5)
            self.say()
        self.clock.advance(IDLE - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.advance(0.5)
        self.assert_ending()
        self.die(Reason.IDLE_TIMEOUT)

    def test_paused(self) -> None:
        """
        A run that waits for a viewer is not idle: its time begins when it may write.
        """
        viewer = Reader(lossless=True)
        self.run_.attach(viewer)
        while not self.child.paused:
            self.say(READ_SIZE)
        for _ in range(10):
            self.clock.advance(IDLE - 1)
        self.assertEqual(self.child.signals, [])
        self.run_.detach(viewer)
        self.assertFalse(self.child.paused)
        self.clock.advance(IDLE - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.pump([0.5, 0.5])
        self.assert_ending()
        self.die(Reason.IDLE_TIMEOUT)

    def test_exits(self) -> None:
        """A run that ends leaves no timer for its silence."""
        self.exit()
        self.assert_over(State.EXITED, None)

    def test_not_before_its_time(self) -> None:
        """A run that is queued is not silent."""
        self.begin()
        self.clock.advance(10 * IDLE)
        self.assertIs(self.run_.record.state, State.QUEUED)


class LingerTests(LimitTestCase):
    """A run whose last viewer vanished waits a while for one to come back."""

    limits = Limits(linger=LINGER)
    on_disconnect = OnDisconnect.CANCEL

    def test_last_viewer_gone(self) -> None:
        """
        One of two viewers may leave; after the second, the run ends some time later.
        """
        one, other = Reader(), Reader()
        self.run_.attach(one)
        self.run_.attach(other)
        self.run_.detach(one)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.run_.detach(other)
        self.clock.advance(LINGER - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.advance(0.5)
        self.assert_ending()
        self.die(Reason.DISCONNECTED)

    def test_comes_back(self) -> None:
        """
        A viewer that comes back in time finds the run running, and may leave again.
        """
        for _ in range(3):
            viewer = Reader()
            self.run_.attach(viewer)
            self.clock.advance(2 * LINGER)
            self.run_.detach(viewer)
            self.clock.advance(LINGER - 0.5)
        self.assertEqual(self.child.signals, [])
        self.clock.advance(0.5)
        self.assert_ending()
        self.die(Reason.DISCONNECTED)

    def test_detached_twice(self) -> None:
        """A second detach of the same viewer does not delay the end."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.run_.detach(viewer)
        self.clock.advance(LINGER - 0.5)
        self.run_.detach(viewer)
        self.run_.detach(Reader())
        self.clock.advance(0.5)
        self.assert_ending()
        self.die(Reason.DISCONNECTED)

    def test_never_watched(self) -> None:
        """A run without viewers waits for its first one."""
        self.clock.advance(10 * LINGER)
        self.assert_runs()

    def test_ends_meanwhile(self) -> None:
        """A run that ends leaves no timer for its viewers."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.run_.detach(viewer)
        self.exit()
        self.assert_over(State.EXITED, None)

    def test_gone_after_the_end(self) -> None:
        """A viewer that leaves an ended run changes nothing."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.exit()
        self.run_.detach(viewer)
        self.assert_over(State.EXITED, None)

    def test_gone_while_being_ended(self) -> None:
        """A viewer that leaves during the grace time changes nothing."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.run_.cancel(Reason.CANCELLED)
        self.exit(0)
        self.run_.detach(viewer)
        self.child.lives = False
        self.clock.advance(self.run_.LOOK)
        self.assert_over(State.EXITED, Reason.CANCELLED)

    def test_queued(self) -> None:
        """A queued run is cancelled too when its last viewer leaves."""
        self.begin()
        viewer = Reader()
        self.run_.attach(viewer)
        self.run_.detach(viewer)
        self.clock.advance(LINGER)
        self.assert_over(State.CANCELLED, Reason.DISCONNECTED)


class KeepTests(LimitTestCase):
    """A run with C{keep} ignores its viewers."""

    def test_last_viewer_gone(self) -> None:
        """The run goes on without viewers."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.run_.detach(viewer)
        self.clock.advance(self.limits.linger)
        self.assert_runs()


class AbandonTests(LimitTestCase):
    """A run that is left to the next daemon."""

    on_disconnect = OnDisconnect.CANCEL

    def test_left_queued(self) -> None:
        """The run stays queued, its viewers are cut off, and nothing is left of it."""
        self.begin()
        gone, viewer = Reader(), Reader()
        self.run_.attach(gone)
        self.run_.detach(gone)
        self.run_.attach(viewer)
        self.run_.leave_queued()
        self.assertEqual((gone.cuts, viewer.cuts), (0, 1))
        self.run_.detach(viewer)
        self.run_.cancel(Reason.SHUTDOWN)
        self.assertIs(self.run_.record.state, State.QUEUED)
        self.assertEqual((self.owner.ends, self.clock.getDelayedCalls()), ([], []))


class PauseTests(LimitTestCase):
    """A command that pauses without viewers."""

    limits = Limits(on_full=OnFull.PAUSE)

    def test_nobody(self) -> None:
        """The run pauses before a byte is dropped, until a viewer comes."""
        while not self.child.paused:
            self.say(READ_SIZE)
        self.assertEqual(self.run_.log.start, 0)
        viewer = Reader()
        self.run_.attach(viewer)
        # A viewer at the old offset would miss the output that waits.
        self.assertTrue(self.child.paused)
        viewer.offset = self.run_.log.end
        self.run_.apply_backpressure()
        self.assertFalse(self.child.paused)

    def test_gone(self) -> None:
        """When its viewers leave, the run goes on until its log is full."""
        viewer = Reader()
        self.run_.attach(viewer)
        self.say()
        self.run_.detach(viewer)
        self.assertFalse(self.child.paused)
        while not self.child.paused:
            self.say(READ_SIZE)
        self.assertEqual(self.run_.log.start, 0)

    def test_cancelled(self) -> None:
        """A cancelled run does not wait for a viewer: its output is read to the end."""
        while not self.child.paused:
            self.say(READ_SIZE)
        self.run_.cancel(Reason.CANCELLED)
        self.assertFalse(self.child.paused)
        self.say(READ_SIZE)
        self.assertFalse(self.child.paused)
        self.die(Reason.CANCELLED)

    def test_shutdown(self) -> None:
        """A daemon that stops does not wait for a viewer."""
        while not self.child.paused:
            self.say(READ_SIZE)
        self.run_.cancel(Reason.SHUTDOWN)
        self.assertFalse(self.child.paused)
        self.die(Reason.SHUTDOWN)


class CancelTests(LimitTestCase):
    """A command that ends when its log is full and it has no viewers."""

    limits = Limits(on_full=OnFull.CANCEL)

    def test_nobody(self) -> None:
        """The run is ended before a byte is dropped; its last output is kept."""
        while not self.child.signals:
            self.say(READ_SIZE)
        self.assertEqual(self.run_.log.start, 0)
        self.assert_ending()
        for _ in range(5):
            self.say(READ_SIZE)
        self.assert_ending()
        self.die(Reason.OUTPUT_LIMIT)

    def test_watched(self) -> None:
        """With a viewer the run goes on, and old output is dropped."""
        self.run_.attach(Reader())
        for _ in range(10):
            self.say(READ_SIZE)
        self.assertGreater(self.run_.log.start, 0)
        self.assert_runs()
        self.assertEqual(self.child.signals, [])
