"""Tests for L{shellstream.viewer}."""

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.command import Command
from shellstream.events import ExitStatus, Reason, Stream
from shellstream.run import READ_SIZE, Run
from shellstream.viewer import Viewer
from tests.test_fakes import FakeChild

STALL = 60.0


class Full(StringTransport):
    """A transport that is full after every write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


class ViewerTestCase(SynchronousTestCase):
    """A viewer of a run, and what becomes of it."""

    def setUp(self) -> None:
        self.clock, self.child = Clock(), FakeChild()
        command = Command(name="c", argv=("c",))
        self.run_ = Run("id", command, self.clock, lambda run: None)
        self.run_.started(self.child)
        self.told: list[str] = []
        self.transport = StringTransport()

    def viewer(self, offset: int = 0) -> Viewer:
        """A viewer that has not begun."""
        return Viewer(
            offset,
            self.run_,
            self.transport,
            lambda: self.told.append("done"),
            lambda: self.told.append("vanished"),
            self.clock,
            STALL,
        )

    def view(self, offset: int = 0) -> Viewer:
        """A viewer that has begun."""
        viewer = self.viewer(offset)
        viewer.start()
        return viewer

    def say(self, data: bytes) -> None:
        self.run_.output(Stream.STDOUT, data)

    def end(self) -> None:
        self.child.lives = False
        self.run_.finished(ExitStatus(0, None))


class FollowTests(ViewerTestCase):
    """A L{Viewer} copies a log to its consumer until the log is closed."""

    def test_verified(self) -> None:
        """A viewer provides what a consumer may ask of it, and says that it pushes."""
        viewer = self.view()
        verifyObject(IPushProducer, viewer)
        self.assertIs(self.transport.producer, viewer)
        self.assertTrue(self.transport.streaming)

    def test_replays_then_follows(self) -> None:
        """What was there comes first, then what arrives, as it arrives."""
        self.say(b"old ")
        viewer = self.view()
        self.assertEqual((self.transport.value(), viewer.offset), (b"old ", 4))
        self.run_.output(Stream.STDERR, b"new")
        self.assertEqual((self.transport.value(), viewer.offset), (b"old new", 7))
        self.assertEqual(self.told, [])

    def test_end(self) -> None:
        """At the end the consumer is free, and told once."""
        self.view()
        self.say(b"x")
        self.end()
        self.assertEqual((self.transport.value(), self.told), (b"x", ["done"]))
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_over(self) -> None:
        """What a transport says after the end changes nothing."""
        viewer = self.view()
        self.end()
        viewer.resumeProducing()
        viewer.stopProducing()
        self.assertEqual((self.told, self.child.signals), (["done"], []))

    def test_after_the_end(self) -> None:
        """A run that has ended is told whole to who comes later."""
        self.say(b"x")
        self.end()
        self.view()
        self.assertEqual((self.transport.value(), self.told), (b"x", ["done"]))

    def test_from_offset(self) -> None:
        """A viewer begins in the middle of a chunk if it is told to."""
        self.say(b"abc")
        self.say(b"def")
        self.view(offset=2)
        self.assertEqual(self.transport.value(), b"cdef")

    def test_forgotten(self) -> None:
        """A viewer that comes too late for its offset gives up, and sends nothing."""
        for _ in range(4):
            self.say(b"x" * READ_SIZE)
        self.view(offset=0)
        self.assertEqual((self.transport.value(), self.told), (b"", ["vanished"]))


class SlowTests(ViewerTestCase):
    """A L{Viewer} goes no faster than its consumer takes."""

    def test_paused(self) -> None:
        """While paused nothing is written; afterwards all that was missed."""
        viewer = self.view()
        viewer.pauseProducing()
        self.say(b"a")
        self.say(b"b")
        self.assertEqual((self.transport.value(), viewer.offset), (b"", 0))
        viewer.resumeProducing()
        self.assertEqual((self.transport.value(), viewer.offset), (b"ab", 2))

    def test_paused_at_the_end(self) -> None:
        """A run that ends while its viewer is slow is not over for the viewer."""
        viewer = self.view()
        viewer.pauseProducing()
        self.say(b"a")
        self.end()
        self.assertEqual((self.transport.value(), self.told), (b"", []))
        viewer.resumeProducing()
        self.assertEqual((self.transport.value(), self.told), (b"a", ["done"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_within_write(self) -> None:
        """A consumer that is full within write() gets each chunk once, at its pace."""
        self.transport = Full()
        self.say(b"a")
        self.say(b"b")
        viewer = self.view()
        for seen in (b"a", b"ab", b"abc", b"abcd"):
            self.assertEqual((self.transport.value(), self.told), (seen, []))
            self.say(b"cd"[len(seen) - 1 :][:1])
            viewer.resumeProducing()
        self.assertEqual(viewer.offset, 4)
        self.end()
        self.assertEqual((self.transport.value(), self.told), (b"abcd", ["done"]))

    def test_lets_the_child_go_on(self) -> None:
        """A child that waited for a slow viewer goes on when the viewer does."""
        viewer = self.view()
        viewer.pauseProducing()
        while not self.child.paused:
            self.say(b"x" * READ_SIZE)
        viewer.resumeProducing()
        self.assertFalse(self.child.paused)


class StallTests(ViewerTestCase):
    """A L{Viewer} that takes nothing for too long counts as vanished."""

    def test_stalls(self) -> None:
        """At its time, once, and not a moment before."""
        viewer = self.view()
        viewer.pauseProducing()
        self.clock.advance(STALL - 0.5)
        self.assertEqual(self.told, [])
        self.clock.advance(0.5)
        self.assertEqual(self.told, ["vanished"])
        self.clock.advance(10 * STALL)
        self.assertEqual(self.told, ["vanished"])
        viewer.stopProducing()
        self.assertIs(self.run_.reason, Reason.DISCONNECTED)

    def test_moves(self) -> None:
        """Whoever takes something in between has all the time again."""
        viewer = self.view()
        for _ in range(5):
            viewer.pauseProducing()
            self.clock.advance(STALL - 0.5)
            viewer.resumeProducing()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    def test_paused_twice(self) -> None:
        """A second pause does not put the time off."""
        viewer = self.view()
        viewer.pauseProducing()
        self.clock.advance(STALL - 0.5)
        viewer.pauseProducing()
        self.clock.advance(0.5)
        self.assertEqual(self.told, ["vanished"])

    def test_idle(self) -> None:
        """A quiet command is no slow viewer."""
        self.view()
        self.clock.advance(100 * STALL)
        self.assertEqual(self.told, [])


class GoneTests(ViewerTestCase):
    """A L{Viewer} whose consumer is gone leaves the run."""

    def test_gone(self) -> None:
        """It writes no more, its run is ended, and no timer is left of it."""
        viewer = self.view()
        viewer.pauseProducing()
        viewer.stopProducing()
        self.say(b"x")
        self.assertEqual((self.transport.value(), self.told), (b"", []))
        self.assertIs(self.run_.reason, Reason.DISCONNECTED)
        self.end()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    def test_twice(self) -> None:
        """To say it again does no harm."""
        viewer = self.view()
        viewer.stopProducing()
        viewer.stopProducing()
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])

    def test_before_it_began(self) -> None:
        """A consumer may be gone before its viewer began."""
        self.viewer().stopProducing()
        self.assertIsNone(self.run_.reason)

    def test_resumed_when_gone(self) -> None:
        """A late word from the transport of the gone does nothing."""
        viewer = self.view()
        viewer.stopProducing()
        self.say(b"x")
        viewer.resumeProducing()
        self.assertEqual(self.transport.value(), b"")

    def test_gone_within_write(self) -> None:
        """A consumer that goes within write() gets nothing more."""
        told = self.told

        class Going(StringTransport):
            def write(self, data: bytes) -> None:
                told.append(data.decode())
                self.producer.stopProducing()

        self.transport = Going()
        self.say(b"a")
        self.say(b"b")
        self.view()
        self.assertEqual(told, ["a"])
        self.assertIs(self.run_.reason, Reason.DISCONNECTED)
