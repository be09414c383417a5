"""Tests for L{shellstream.output.viewer}: view options, and dropped output."""

import json

from twisted.internet.testing import StringTransport

from shellstream.model.events import Stream
from shellstream.output.formats import Ndjson
from shellstream.output.interfaces import ViewOptions
from shellstream.output.log import READ_SIZE
from shellstream.output.viewer import PING_INTERVAL, Viewer
from tests.support.viewers import Full, ViewerTestCase


class ViewTests(ViewerTestCase):
    """A L{Viewer} delivers exactly what its options select."""

    def test_what_there_is(self) -> None:
        """
        A viewer that does not follow gets the existing output, and never attaches.
        """
        self.say(b"abc")
        self.view(ViewOptions(1, follow=False))
        self.assertEqual((self.transport.value(), self.told), (b"bc", ["done"]))
        self.say(b"d")
        self.assertEqual(self.transport.value(), b"bc")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_there_was(self) -> None:
        """A slow viewer that does not follow gets only the output of its beginning."""
        self.transport = Full()
        said = [byte * (READ_SIZE // 2) for byte in (b"a", b"b")]
        for each in said:
            self.say(each)
        viewer = self.view(ViewOptions(follow=False))
        self.say(b"c")
        viewer.resumeProducing()
        self.assertEqual(self.transport.value(), b"".join(said))
        viewer.resumeProducing()
        self.assertEqual(self.told, ["done"])

    def test_until(self) -> None:
        """A viewer that wants a part is done with that, in the middle of a chunk."""
        self.view(ViewOptions(1, until=4))
        self.say(b"abc")
        self.assertEqual((self.transport.value(), self.told), (b"bc", []))
        self.say(b"def")
        self.assertEqual((self.transport.value(), self.told), (b"bcd", ["done"]))

    def test_nothing(self) -> None:
        """A view of no bytes ends at once."""
        self.say(b"abc")
        self.view(ViewOptions(2, until=2))
        self.assertEqual((self.transport.value(), self.told), (b"", ["done"]))

    def test_one_stream(self) -> None:
        """A viewer of one stream gets only that; the offset counts both."""
        viewer = self.view(ViewOptions(only=Stream.STDERR))
        self.say(b"out")
        self.run_.output(Stream.STDERR, b"err")
        self.assertEqual((self.transport.value(), viewer.offset), (b"err", 6))

    def test_ahead(self) -> None:
        """A viewer may wait for bytes that are not written yet."""
        self.view(ViewOptions(4))
        self.say(b"abc")
        self.say(b"def")
        self.assertEqual(self.transport.value(), b"ef")

    def test_cut(self) -> None:
        """A viewer that is cut off leaves as one that vanished."""
        viewer = self.view()
        viewer.abort()
        self.assertEqual(self.told, ["vanished"])


class GapTests(ViewerTestCase):
    """A L{Viewer} never sends other bytes in place of dropped ones."""

    def overrun(self, viewer: Viewer) -> int:
        """The viewer is slow, and the run goes on; where the log begins then."""
        viewer.pauseProducing()
        for _ in range(5):
            self.say(b"x" * READ_SIZE)
        viewer.resumeProducing()
        return self.run_.log.start

    def test_told(self) -> None:
        """A format with records reports the size of a gap, and continues behind it."""
        viewer = self.view(ViewOptions(), Ndjson())
        self.say(b"a")
        start = self.overrun(viewer)
        lines = [json.loads(line) for line in self.transport.value().splitlines()]
        self.assertEqual(
            lines[1], {"type": "gap", "offset": 1, "end": start, "bytes": start - 1}
        )
        self.assertEqual(lines[2]["offset"], start)
        self.clock.pump([0] * 99)
        self.assertEqual((viewer.offset, self.told), (self.run_.log.end, []))

    def test_skipped(self) -> None:
        """With gap=skip a viewer gets the kept output, without a record of the gap."""
        viewer = self.view(ViewOptions(skip_gaps=True))
        start = self.overrun(viewer)
        self.assertEqual(len(self.transport.value()), self.run_.log.end - start)
        self.assertEqual(self.told, [])

    def test_cannot_be_told(self) -> None:
        """Else the viewer vanishes: its client can tell that it was cut."""
        viewer = self.view(ViewOptions())
        self.overrun(viewer)
        self.assertEqual((self.transport.value(), self.told), (b"", ["vanished"]))


class QuietTests(ViewerTestCase):
    """A quiet stream gives signs of life, in the formats that have some."""

    def test_ping(self) -> None:
        """A ping comes after each while of silence, but not to a full consumer."""
        viewer = self.view(ViewOptions(), Ndjson())
        self.clock.advance(PING_INTERVAL - 1)
        self.say(b"a")
        before = len(self.transport.value())
        self.clock.advance(PING_INTERVAL - 1)
        self.assertEqual(len(self.transport.value()), before)
        for _ in range(2):
            self.clock.advance(1)
            ping = json.loads(self.transport.value()[before:])
            self.assertEqual((ping["type"], ping["offset"]), ("ping", 1))
            before = len(self.transport.value())
            self.clock.advance(PING_INTERVAL - 1)
        viewer.pauseProducing()
        self.clock.advance(1)
        self.assertEqual(len(self.transport.value()), before)
        viewer.resumeProducing()
        self.clock.advance(PING_INTERVAL)
        self.assertGreater(len(self.transport.value()), before)
        self.end()
        end = json.loads(self.transport.value().splitlines()[-1])
        self.assertEqual(
            (end["type"], end["state"], end["offset"]), ("end", "exited", 1)
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone_within_ping(self) -> None:
        """A consumer that goes when it is pinged is not pinged again."""

        class Going(StringTransport):
            def write(self, data: bytes) -> None:
                self.producer.stopProducing()

        self.transport = Going()
        self.view(ViewOptions(), Ndjson())
        self.clock.advance(PING_INTERVAL)
        self.assert_left()

    def test_plain(self) -> None:
        """The plain format has no pings, and so needs no timer."""
        self.view()
        self.assertEqual(self.clock.getDelayedCalls(), [])
