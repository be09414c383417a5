"""Tests for L{shellstream.outputlog}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.errors import OffsetGone
from shellstream.events import Chunk, Stream
from shellstream.outputlog import OVERHEAD, OutputLog

#: Large and small, so that forgetting a large one leaves room for many small ones.
WRITES = st.lists(
    st.builds(
        lambda size, byte: bytes([byte]) * size,
        st.sampled_from([1, 2, 100, 500]) | st.integers(1, 500),
        st.integers(0, 255),
    ),
    max_size=30,
)
CAPACITIES = st.integers(0, 4 * OVERHEAD)


def kept(log: OutputLog, offset: int) -> list[Chunk]:
    """All that the log still holds from C{offset} on."""
    found = []
    while (chunk := log.read(offset)) is not None:
        found.append(chunk)
        offset = chunk.end
    return found


def replay(log: OutputLog, offset: int) -> bytes:
    """The bytes of all that the log still holds from C{offset} on."""
    return b"".join(chunk.data for chunk in kept(log, offset))


def filled(capacity: int, writes: list[bytes]) -> OutputLog:
    """A log that was told all this."""
    log = OutputLog(capacity)
    for write in writes:
        log.append(Stream.STDOUT, write)
    return log


class OutputLogTests(SynchronousTestCase):
    """An L{OutputLog} replays what it was told, as far back as it has room."""

    @given(st.lists(st.binary(max_size=8)), st.data())
    def test_replay_from_any_offset(self, writes, data) -> None:
        """Reading from an offset gives exactly the bytes written after it."""
        log = filled(1 << 20, writes)
        offset = data.draw(st.integers(0, log.end))
        self.assertEqual(replay(log, offset), b"".join(writes)[offset:])

    @given(WRITES, CAPACITIES)
    def test_forgets_oldest(self, writes, capacity) -> None:
        """A full log keeps a suffix, cut between two writes, right to the end."""
        log = filled(capacity, writes)
        self.assertEqual(log.end, sum(map(len, writes)))
        self.assertEqual(replay(log, log.start), b"".join(writes)[log.start :])
        bounds = {sum(map(len, writes[:count])) for count in range(len(writes) + 1)}
        self.assertIn(log.start, bounds)

    @given(WRITES, CAPACITIES)
    def test_bounded(self, writes, capacity) -> None:
        """
        What is kept costs no more than the capacity, and nothing is forgotten that
        had room; only the newest write is kept though it be larger.
        """
        log = filled(capacity, writes)
        costs = [len(chunk.data) + OVERHEAD for chunk in kept(log, log.start)]
        if len(costs) > 1:
            self.assertLessEqual(sum(costs), capacity)
        if len(costs) < len(writes):
            last_forgotten = writes[-len(costs) - 1]
            self.assertGreater(sum(costs) + len(last_forgotten) + OVERHEAD, capacity)

    def test_single_bytes_are_bounded(self) -> None:
        """A command that writes byte by byte cannot fill the memory with objects."""
        log = filled(100 * (1 + OVERHEAD), [b"x"] * 1000)
        self.assertEqual(len(kept(log, log.start)), 100)

    def test_larger_than_capacity(self) -> None:
        """The newest write is kept however large, and all before it forgotten."""
        log = filled(OVERHEAD, [b"a", b"b" * 1000])
        self.assertEqual((log.start, replay(log, log.start)), (1, b"b" * 1000))

    @given(WRITES, CAPACITIES, st.binary(min_size=1, max_size=600))
    def test_start_after(self, writes, capacity, more) -> None:
        """Where the log will start is foretold exactly."""
        log = filled(capacity, writes)
        foretold = log.start_after(len(more))
        log.append(Stream.STDERR, more)
        self.assertEqual(log.start, foretold)

    @given(WRITES, CAPACITIES, st.integers(1, 600))
    def test_smaller_appends_forget_less(self, writes, capacity, size) -> None:
        """An append no larger than what was asked about forgets no more than told."""
        log = filled(capacity, writes)
        for smaller in (1, size // 2 or 1, size):
            self.assertLessEqual(log.start_after(smaller), log.start_after(size))

    @given(WRITES, CAPACITIES, st.integers(-5, 10_000))
    def test_not_kept(self, writes, capacity, offset) -> None:
        """An offset outside what is kept is refused, any other answered."""
        log = filled(capacity, writes)
        if log.start <= offset <= log.end:
            self.assertEqual(replay(log, offset), b"".join(writes)[offset:])
        else:
            error = self.assertRaises(OffsetGone, log.read, offset)
            self.assertEqual((error.offset, error.start), (offset, log.start))

    def test_streams_are_kept_apart(self) -> None:
        """Each chunk tells which of the two streams it came from."""
        log = OutputLog(1 << 20)
        log.append(Stream.STDOUT, b"out")
        log.append(Stream.STDERR, b"err")
        expected = [Chunk(0, Stream.STDOUT, b"out"), Chunk(3, Stream.STDERR, b"err")]
        self.assertEqual(kept(log, 0), expected)


class SubscriberTests(SynchronousTestCase):
    """Who follows a log is woken when there is news."""

    def setUp(self) -> None:
        self.log = OutputLog(1 << 20)
        self.woken: list[tuple[int, bool]] = []

    def note(self) -> None:
        self.woken.append((self.log.end, self.log.closed))

    def test_woken(self) -> None:
        """News is every append that brings bytes, and the close."""
        self.log.subscribe(self.note)
        self.log.append(Stream.STDOUT, b"a")
        self.log.append(Stream.STDOUT, b"")
        self.log.append(Stream.STDERR, b"bc")
        self.log.close()
        self.assertEqual(self.woken, [(1, False), (3, False), (3, True)])

    def test_leaves(self) -> None:
        """Who has left is woken no more, others still are."""
        leave = self.log.subscribe(self.note)
        others: list[int] = []
        self.log.subscribe(lambda: others.append(self.log.end))
        leave()
        self.log.append(Stream.STDOUT, b"a")
        self.assertEqual((self.woken, others), ([], [1]))

    def test_leaves_while_woken(self) -> None:
        """A subscriber may leave while it is woken, and nobody else is passed over."""

        def once() -> None:
            self.note()
            leave()

        leave = self.log.subscribe(once)
        others: list[int] = []
        self.log.subscribe(lambda: others.append(self.log.end))
        self.log.append(Stream.STDOUT, b"a")
        self.log.append(Stream.STDOUT, b"b")
        self.assertEqual((self.woken, others), ([(1, False)], [1, 2]))
