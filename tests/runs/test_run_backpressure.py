"""
Tests for L{shellstream.runs.run}: no viewer loses a byte, and nothing waits in vain.
"""

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from shellstream.model.events import Reason, Stream
from shellstream.model.limits import Limits, OnFull
from shellstream.output.formats import Plain
from shellstream.output.interfaces import IViewer, ViewOptions
from shellstream.output.log import READ_SIZE
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.output.viewer import Viewer
from shellstream.runs.run import Run
from tests.support.run_cases import RunTestCase

#: Longer than any log holds, and no two places in it look alike.
PATTERN = b"".join(b"%07d" % number for number in range(300_000))


class Choking(StringTransport):
    """A transport that may be full after any one write."""

    choked = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.choked:
            self.choked = False
            self.producer.pauseProducing()


@define(eq=False)
class Client:
    """One viewer of a run, and the output that it got."""

    run: Run
    clock: Clock
    lossless: bool = True
    transport: Choking = field(factory=Choking, init=False)
    done: list[str] = field(factory=list, init=False)
    viewer: Viewer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.viewer = Viewer(
            ViewOptions(lossless=self.lossless),
            SharedEncoding(self.run, Plain(), None),
            self.transport,
            lambda ended: self.done.append("ended" if ended else "done"),
            lambda: self.done.append("vanished"),
            self.clock,
        )
        self.viewer.start()


@implementer(IViewer)
class Looked:
    """A viewer that counts how often somebody looks how far it is."""

    lossless, looks = True, 0

    @property
    def offset(self) -> int:
        self.looks += 1
        return 0

    def abort(self) -> None:
        """It has no connection."""


class BackpressureTestCase(RunTestCase):
    """A run whose child writes as much as it may."""

    limits = Limits()

    def say(self, size: int) -> None:
        """The child writes this much, if it is not asked to wait."""
        if not self.child.paused:
            start = self.run_.log.end
            self.run_.output(Stream.STDOUT, PATTERN[start : start + size])

    def fill(self) -> None:
        """The child writes until it is asked to wait."""
        for _ in range(10):
            self.say(READ_SIZE)
        self.assertTrue(self.child.paused)


class BackpressureTests(BackpressureTestCase):
    """The child waits for the slowest viewer, but only as long as it must."""

    def test_fast(self) -> None:
        """A viewer that keeps up never makes the child wait."""
        client = Client(self.run_, self.clock)
        for _ in range(20):
            self.say(READ_SIZE)
            self.assertFalse(self.child.paused)
        self.assertEqual(client.transport.value(), PATTERN[: 20 * READ_SIZE])

    def test_many(self) -> None:
        """A viewer that moves on is not compared with others while nothing waits."""

        client, other = Client(self.run_, self.clock), Looked()
        client.viewer.pauseProducing()
        self.say(1000)
        self.run_.attach(other)
        looks = other.looks
        client.viewer.resumeProducing()
        self.assertEqual(client.transport.value(), PATTERN[:1000])
        self.assertEqual(other.looks, looks)

    def test_slow(self) -> None:
        """A child waits before a byte is lost, and goes on once there is room."""
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        self.fill()
        self.assertEqual(self.run_.log.start, 0)
        client.viewer.resumeProducing()
        self.assertFalse(self.child.paused)
        self.assertEqual(client.transport.value(), PATTERN[: self.run_.log.end])

    def test_byte_by_byte(self) -> None:
        """A child that writes single bytes waits too, before they fill the memory."""
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        for _ in range(10_000):
            self.say(1)
        self.assertTrue(self.child.paused)
        self.assertLess(self.run_.log.end, 1500)
        client.viewer.resumeProducing()
        self.assertEqual(client.transport.value(), PATTERN[: self.run_.log.end])

    def test_unwatched(self) -> None:
        """A run without viewers never waits: its oldest output is dropped."""
        for _ in range(10):
            self.say(READ_SIZE)
        self.assertFalse(self.child.paused)
        self.assertGreater(self.run_.log.start, 0)

    def test_late(self) -> None:
        """A child that waited for a viewer goes on once that has all there is."""
        self.limits = Limits(on_full=OnFull.PAUSE)
        self.setUp()
        self.fill()
        client = Client(self.run_, self.clock)
        self.assertFalse(self.child.paused)
        self.assertEqual(client.transport.value(), PATTERN[: self.run_.log.end])

    def test_slowest(self) -> None:
        """The slowest viewer counts, until it leaves."""
        slow, fast = (Client(self.run_, self.clock) for _ in range(2))
        slow.viewer.pauseProducing()
        self.fill()
        self.assertEqual(fast.transport.value(), PATTERN[: self.run_.log.end])
        slow.viewer.stopProducing()
        self.assertFalse(self.child.paused)
        self.say(READ_SIZE)
        self.assertEqual(fast.transport.value(), PATTERN[: self.run_.log.end])
        self.assertEqual(self.child.signals, [])

    def test_cancelled(self) -> None:
        """A run that is being ended still waits for its viewer: it wants the rest."""
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        self.fill()
        self.run_.cancel(Reason.TIMEOUT)
        self.assertTrue(self.child.paused)

    def test_shutdown(self) -> None:
        """A daemon that stops waits for no viewer."""
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        self.fill()
        self.run_.cancel(Reason.SHUTDOWN)
        self.assertFalse(self.child.paused)
        self.say(READ_SIZE)
        self.say(READ_SIZE)
        self.assertGreater(self.run_.log.start, 0)
        self.assertFalse(self.child.paused)

    def test_shutdown_of_what_is_being_ended(self) -> None:
        """A stop does not wait for the viewer of a run that was being ended already."""
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        self.fill()
        self.run_.cancel(Reason.TIMEOUT)
        self.run_.cancel(Reason.SHUTDOWN)
        self.assertFalse(self.child.paused)
        self.assertEqual(self.child.signals, ["SIGTERM", "SIGCONT"])
        self.child.lives = False
        self.exit(None, 15)
        self.assertIs(self.run_.record.reason, Reason.TIMEOUT)

    def test_one_who_may_lose(self) -> None:
        """A viewer that is not lossless never makes the child wait; it is cut."""
        client = Client(self.run_, self.clock, lossless=False)
        client.viewer.pauseProducing()
        for _ in range(10):
            self.say(READ_SIZE)
            self.assertFalse(self.child.paused)
        client.viewer.resumeProducing()
        self.assertEqual((client.transport.value(), client.done), (b"", ["vanished"]))

    def test_beside_one_who_may_not(self) -> None:
        """Only a lossless viewer slows the run down."""
        loose = Client(self.run_, self.clock, lossless=False)
        strict = Client(self.run_, self.clock)
        loose.viewer.pauseProducing()
        for _ in range(10):
            self.say(READ_SIZE)
        self.assertFalse(self.child.paused)
        strict.viewer.pauseProducing()
        self.fill()
        strict.viewer.stopProducing()
        self.assertFalse(self.child.paused)

    def test_stalled(self) -> None:
        """
        A lossless viewer that reads nothing makes the child wait only for a limited
        time.
        """
        client = Client(self.run_, self.clock)
        client.viewer.pauseProducing()
        self.fill()
        self.clock.advance(self.limits.stall_timeout)
        self.assertEqual(client.done, ["vanished"])
        client.viewer.stopProducing()  # as its connection is told to end
        self.assertFalse(self.child.paused)


#: What may happen, in any order: the child writes, a viewer is slow or quick again.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from([1, 100, 5000, READ_SIZE])),
        st.tuples(st.just("write"), st.integers(1, READ_SIZE)),
        st.tuples(st.just("pause"), st.integers(0, 1)),
        st.tuples(st.just("resume"), st.integers(0, 1)),
        st.tuples(st.just("choke"), st.integers(0, 1)),
    ),
    min_size=10,
    max_size=40,
)


class BackpressureProperties(BackpressureTestCase):
    """Each viewer gets all output unchanged, in any order of events."""

    @given(STEPS)
    def test_nothing_is_lost(self, steps) -> None:
        """
        If the child waits when asked to, the log drops no byte before every viewer has
        it, and each viewer gets exactly the output.
        """
        self.begin()
        self.start()
        clients = [Client(self.run_, self.clock) for _ in range(2)]
        for step, value in steps:
            if step == "write":
                self.say(value)
            elif step == "pause":
                clients[value].viewer.pauseProducing()
            elif step == "resume":
                clients[value].viewer.resumeProducing()
            else:
                clients[value].transport.choked = True
            for client in clients:
                self.assertLessEqual(self.run_.log.start, client.viewer.offset)
        for client in clients:
            client.transport.choked = False
            client.viewer.resumeProducing()
        self.assertFalse(self.child.paused)
        self.say(1)
        self.exit()
        for client in clients:
            self.assertEqual(client.done, ["ended"])
            self.assertEqual(client.transport.value(), PATTERN[: self.run_.log.end])
        self.assertEqual(self.clock.getDelayedCalls(), [])
