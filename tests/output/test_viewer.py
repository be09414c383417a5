"""Tests for L{shellstream.output.viewer}."""

from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from zope.interface.verify import verifyObject

from shellstream.model.events import Stream
from shellstream.output.formats import Ndjson, Plain
from shellstream.output.interfaces import IViewer, ViewOptions
from shellstream.output.log import MAX_WOKEN, READ_SIZE
from shellstream.output.viewer import MAX_BURST, Viewer
from tests.support.viewers import STALL, Full, ViewerTestCase


class FollowTests(ViewerTestCase):
    """A L{Viewer} copies a log to its consumer until the log is closed."""

    def test_verified(self) -> None:
        """A viewer provides the interface of a push producer."""
        viewer = self.view()
        verifyObject(IPushProducer, viewer)
        verifyObject(IViewer, viewer)
        self.assertIs(self.transport.producer, viewer)
        self.assertTrue(self.transport.streaming)

    def test_replays_then_follows(self) -> None:
        """A viewer gets the existing output first, then new output as it arrives."""
        self.say(b"old ")
        viewer = self.view()
        self.assertEqual((self.transport.value(), viewer.offset), (b"old ", 4))
        self.run_.output(Stream.STDERR, b"new")
        self.assertEqual((self.transport.value(), viewer.offset), (b"old new", 7))
        self.assertEqual(self.told, [])

    def test_end(self) -> None:
        """At the end the consumer is released, and told once."""
        self.view()
        self.say(b"x")
        self.end()
        self.assertEqual((self.transport.value(), self.told), (b"x", ["ended"]))
        self.assertIsNone(self.transport.producer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_over(self) -> None:
        """Events of the transport after the end change nothing."""
        viewer = self.view()
        self.end()
        viewer.resumeProducing()
        viewer.stopProducing()
        self.assertEqual((self.told, self.child.signals), (["ended"], []))

    def test_after_the_end(self) -> None:
        """A viewer that comes after the end gets all of the output."""
        self.say(b"x")
        self.end()
        self.view()
        self.assertEqual((self.transport.value(), self.told), (b"x", ["ended"]))

    def test_from_offset(self) -> None:
        """A viewer can begin in the middle of a chunk."""
        self.say(b"abc")
        self.say(b"def")
        self.view(ViewOptions(2))
        self.assertEqual(self.transport.value(), b"cdef")

    def test_forgotten(self) -> None:
        """A viewer whose offset is no longer kept gives up, and sends nothing."""
        for _ in range(5):
            self.say(b"x" * READ_SIZE)
        self.view(ViewOptions(0))
        self.assertEqual((self.transport.value(), self.told), (b"", ["vanished"]))


class SlowTests(ViewerTestCase):
    """A L{Viewer} goes no faster than its consumer takes."""

    def test_paused(self) -> None:
        """A paused viewer writes nothing, and all missed output afterwards."""
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
        self.assertEqual((self.transport.value(), self.told), (b"a", ["ended"]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_full_within_write(self) -> None:
        """A consumer that is full within write() gets each byte once, at its pace."""
        self.transport = Full()
        size = 3 * Plain.read_size // 8
        said = b"".join(bytes([65 + n]) * size for n in range(4))
        for n in range(4):
            self.say(said[n * size :][:size])
        viewer = self.view()
        seen = [len(self.transport.value())]
        while seen[-1] < len(said):
            viewer.resumeProducing()
            seen.append(len(self.transport.value()))
        self.assertGreater(len(seen), 1)
        self.assertEqual(seen, sorted(set(seen)))
        self.assertEqual((self.transport.value(), viewer.offset), (said, len(said)))
        self.assertEqual(self.told, [])
        viewer.resumeProducing()
        self.end()
        self.assertEqual(self.told, ["ended"])

    def behind(self) -> Viewer:
        """A viewer that is further behind than one burst."""
        for _ in range(2 * MAX_BURST + 1):
            self.say(b"x" * 10_000)
        return self.view(form=Ndjson())

    def test_burst(self) -> None:
        """A viewer that is far behind gets everything, and lets others take turns."""
        viewer = self.behind()
        seen = [viewer.offset]
        self.assertLess(seen[0], self.run_.log.end)
        self.say(b"x")  # this does not make it go on sooner
        self.assertEqual(viewer.offset, seen[0])
        while viewer.offset < self.run_.log.end:
            self.clock.advance(0)
            seen.append(viewer.offset)
        self.assertEqual(seen, sorted(set(seen)))
        self.end()
        self.assertEqual(self.told, ["ended"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_burst_lets_the_child_go_on(self) -> None:
        """A child that waited for that viewer goes on when it has caught up."""
        viewer = self.view(form=Ndjson())
        viewer.pauseProducing()
        while not self.child.paused:
            self.say(b"x" * READ_SIZE)
        viewer.resumeProducing()
        self.assertTrue(self.child.paused)
        self.clock.pump([0] * 99)
        self.assertFalse(self.child.paused)

    def test_woken_late(self) -> None:
        """A viewer in a crowd gets all output, in later turns, and the end."""
        for _ in range(MAX_WOKEN):
            self.run_.log.subscribe(lambda: None)
        viewer = self.view()
        self.say(b"one")
        self.say(b"two")
        self.assertEqual((self.transport.value(), viewer.offset), (b"", 0))
        self.clock.advance(0)
        self.assertEqual((self.transport.value(), viewer.offset), (b"onetwo", 6))
        viewer.pauseProducing()
        self.say(b"three")
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"onetwo")
        viewer.resumeProducing()
        self.assertEqual(self.transport.value(), b"onetwothree")
        self.end()
        self.clock.advance(0)
        self.assertEqual(self.told, ["ended"])

    def test_woken_late_and_ended(self) -> None:
        """A viewer that gets the last chunk in a later turn gets the end with it."""
        for _ in range(MAX_WOKEN):
            self.run_.log.subscribe(lambda: None)
        self.view()
        self.say(b"all")
        self.end()
        self.assertEqual((self.transport.value(), self.told), (b"", []))
        self.clock.advance(0)
        self.assertEqual((self.transport.value(), self.told), (b"all", ["ended"]))

    def test_burst_gone(self) -> None:
        """
        A viewer that leaves during a burst gets nothing more, and leaves no timer.
        """
        viewer = self.behind()
        seen = viewer.offset
        viewer.stopProducing()
        self.clock.advance(0)
        self.assertEqual(viewer.offset, seen)
        self.assert_left()

    def test_lets_the_child_go_on(self) -> None:
        """A child that waited for a slow viewer goes on when the viewer does."""
        viewer = self.view()
        viewer.pauseProducing()
        while not self.child.paused:
            self.say(b"x" * READ_SIZE)
        viewer.resumeProducing()
        self.assertFalse(self.child.paused)


class StallTests(ViewerTestCase):
    """A L{Viewer} that reads nothing for too long counts as vanished."""

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
        self.assert_left()

    def test_moves(self) -> None:
        """A viewer that takes output in between gets the full time again."""
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
        """A gone viewer writes nothing, has left its run, and leaves no timer."""
        viewer = self.view()
        viewer.pauseProducing()
        viewer.stopProducing()
        self.say(b"x")
        self.assertEqual((self.transport.value(), self.told), (b"", []))
        self.assert_left()
        self.end()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))

    def test_twice(self) -> None:
        """A second stop is harmless."""
        viewer = self.view()
        viewer.stopProducing()
        viewer.stopProducing()
        self.assert_left()

    def test_before_it_began(self) -> None:
        """A consumer may be gone before its viewer began."""
        self.viewer().stopProducing()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_resumed_when_gone(self) -> None:
        """A late event of a gone transport does nothing."""
        viewer = self.view()
        viewer.stopProducing()
        self.say(b"x")
        viewer.resumeProducing()
        viewer.pauseProducing()
        self.assertEqual(self.transport.value(), b"")
        self.assert_left()

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
        self.assertEqual(told, ["ab"])
        self.say(b"c")
        self.assertEqual(told, ["ab"])
        self.assert_left()
