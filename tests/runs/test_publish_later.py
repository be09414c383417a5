"""Tests for L{shellstream.runs.run}: output is published once it is durable."""

from shellstream.model.events import Reason, State
from shellstream.output.log import READ_SIZE, OutputLog
from shellstream.runs.run import UNSYNCED
from tests.support.registries import text
from tests.support.run_cases import LimitTestCase


class PublishLaterTests(LimitTestCase):
    """Output that must be on the disk before a viewer gets it."""

    def setUp(self) -> None:
        self.begin(OutputLog(4 * UNSYNCED, None, True))
        self.owner.at_once = False
        self.start()

    def synced(self) -> None:
        """The disk is done, once."""
        self.owner.syncs.pop(0).callback(None)

    def test_seen_when_safe(self) -> None:
        """
        No viewer gets a byte before it is durable; later output waits for the next
        flush.
        """
        self.say(2)
        self.say(3)
        self.assertEqual((self.run_.log.end, len(self.owner.syncs)), (0, 1))
        self.synced()
        self.assertEqual((self.run_.log.end, len(self.owner.syncs)), (2, 1))
        self.synced()
        self.assertEqual((self.run_.log.end, self.owner.syncs), (5, []))
        self.assertEqual(text(self.run_.log), b"xxxxx")

    def test_slow_disk(self) -> None:
        """A command that is faster than the disk has to wait for it."""
        while not self.child.paused:
            self.say(READ_SIZE)
        log = self.run_.log
        self.assertLessEqual(log.written - log.end, UNSYNCED + READ_SIZE)
        self.synced()
        self.assertFalse(self.child.paused)

    def test_shutdown(self) -> None:
        """Even where no viewer is waited for, the disk is."""
        while not self.child.paused:
            self.say(READ_SIZE)
        self.run_.cancel(Reason.SHUTDOWN)
        self.assertTrue(self.child.paused)
        self.synced()
        self.assertFalse(self.child.paused)

    def test_end(self) -> None:
        """A disk that is done after the end does no harm."""
        self.say()
        self.exit()
        ((outcome, _),) = self.owner.ends
        self.assertEqual(outcome.size, 1)
        self.synced()
        self.run_.publish_end(outcome)
        self.assert_over(State.EXITED, None)

    def test_late(self) -> None:
        """A disk that is done after the end was published does no harm."""
        self.say()
        self.exit()
        ((outcome, _),) = self.owner.ends
        self.run_.publish_end(outcome)
        self.synced()
        self.assertEqual((self.run_.log.end, self.owner.syncs), (1, []))
        self.assert_over(State.EXITED, None)
