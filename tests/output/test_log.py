"""Tests for L{shellstream.output.log}."""

import errno
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream
from shellstream.output.log import (
    MAX_WOKEN,
    OVERHEAD,
    LogDamaged,
    LogStorage,
    OutputLog,
)
from tests.support.logs import FakeLogStorage

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
    """Read everything that the log still holds from C{offset} on."""
    found: list[Chunk] = []
    while chunks := log.read(offset):
        found += chunks
        offset = chunks[-1].end
    return found


def replay(log: OutputLog, offset: int) -> bytes:
    """Join the output that the log still holds from C{offset} on."""
    return b"".join(chunk.data for chunk in kept(log, offset))


def _checked(fake: FakeLogStorage) -> LogStorage:
    return fake  # mypy says whether it is one


def filled(capacity: int, writes: list[bytes]) -> OutputLog:
    """Return a log with this output."""
    log = OutputLog(capacity)
    for write in writes:
        log.append(Stream.STDOUT, 0, write)
    return log


class OutputLogTests(SynchronousTestCase):
    """An L{OutputLog} replays its output, as far back as it has room."""

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
        The kept output costs at most the capacity, and is as long as fits; only the
        newest write is kept even if it is larger.
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
        """C{reserve} predicts the log's next start exactly."""
        log = filled(capacity, writes)
        foretold = log.reserve(len(more))
        log.append(Stream.STDERR, 0, more)
        self.assertEqual(log.start, foretold)

    @given(WRITES, CAPACITIES, st.integers(1, 600))
    def test_smaller_appends_forget_less(self, writes, capacity, size) -> None:
        """An append of at most the reserved size drops at most the predicted output."""
        log = filled(capacity, writes)
        for smaller in (1, size // 2 or 1, size):
            self.assertLessEqual(log.reserve(smaller), log.reserve(size))

    @given(WRITES, CAPACITIES, st.integers(-5, 10_000))
    def test_not_kept(self, writes, capacity, offset) -> None:
        """An offset outside the kept output is refused; any other is answered."""
        log = filled(capacity, writes)
        if log.start <= offset <= log.end:
            self.assertEqual(replay(log, offset), b"".join(writes)[offset:])
        else:
            error = self.assertRaises(OffsetGone, log.read, offset)
            self.assertEqual(error.extensions, {"offset": offset, "start": log.start})

    def test_streams_are_kept_apart(self) -> None:
        """Each chunk has its stream and its time."""
        log = OutputLog(1 << 20)
        log.append(Stream.STDOUT, 5, b"out")
        log.append(Stream.STDERR, 4, b"err")
        expected = [
            Chunk(0, Stream.STDOUT, 5, b"out"),
            Chunk(3, Stream.STDERR, 4, b"err"),
        ]
        self.assertEqual(kept(log, 0), expected)

    def test_shared(self) -> None:
        """All readers of output in memory get the same objects."""
        log = filled(1 << 20, [b"ab", b"cd"])
        first, second = log.read(0)
        self.assertIs(log.read(0)[1], second)
        self.assertIs(log.read(2)[0], second)
        self.assertEqual(log.read(1), [first.since(1), second])

    def test_size(self) -> None:
        """A read stops before the chunk that does not fit, but has one at least."""
        log = filled(1 << 20, [b"ab", b"cd", b"ef"])
        self.assertEqual([each.data for each in log.read(0, 1)], [b"ab"])
        self.assertEqual([each.data for each in log.read(0, 3)], [b"ab"])
        self.assertEqual([each.data for each in log.read(0, 4)], [b"ab", b"cd"])
        self.assertEqual([each.data for each in log.read(1, 100)], [b"b", b"cd", b"ef"])


class StorageTests(SynchronousTestCase):
    """Output beyond the memory limit is read from the storage."""

    @given(WRITES, CAPACITIES, st.integers(0, 2000), st.data())
    def test_replay(self, writes, capacity, retain, data) -> None:
        """A read from any kept offset returns all output from there."""
        storage = FakeLogStorage(retain)
        log = OutputLog(capacity, storage)
        for write in writes:
            log.append(Stream.STDOUT, 0, write)
        whole = b"".join(writes)
        self.assertEqual((log.end, log.stored), (len(whole), storage.stored))
        self.assertLessEqual(log.start, storage.start)
        offset = data.draw(st.integers(log.start, log.end))
        self.assertEqual(replay(log, offset), whole[offset:])
        self.assertIsNone(log.storage_error)

    @given(WRITES, CAPACITIES, st.integers(0, 2000), st.integers(1, 600))
    def test_start_after(self, writes, capacity, retain, size) -> None:
        """A reservation counts only output that memory and storage both drop."""
        log = OutputLog(capacity, FakeLogStorage(retain))
        for write in writes:
            log.append(Stream.STDOUT, 0, write)
        foretold = log.reserve(size)
        log.append(Stream.STDERR, 0, b"x" * size)
        self.assertEqual(log.start, foretold)

    def test_backed_before_woken(self) -> None:
        """A viewer is woken only after its output is in the storage."""
        storage = FakeLogStorage()
        log = OutputLog(1 << 20, storage)
        ends: list[int] = []
        log.subscribe(lambda: ends.append(storage.end))
        log.append(Stream.STDOUT, 0, b"abc")
        self.assertEqual(ends, [3])

    def test_cannot_be_written(self) -> None:
        """If the storage fails, the log continues in memory, without a gap."""
        storage = FakeLogStorage()
        log = OutputLog(2 * (OVERHEAD + 2), storage)
        for write in (b"ab", b"cd", b"ef"):
            log.append(Stream.STDOUT, 0, write)
        self.assertEqual(log.start, 0)
        storage.refuses = OSError(errno.ENOSPC, "full")
        log.append(Stream.STDOUT, 0, b"gh")
        self.assertIs(log.storage_error, storage.refuses)
        self.assertEqual((replay(log, 0), log.stored), (b"abcdefgh", 6))
        storage.refuses = None
        self.assertEqual(log.reserve(2), 0)
        log.append(Stream.STDOUT, 0, b"ij")
        self.assertEqual((storage.end, replay(log, 0)), (6, b"abcdefghij"))
        # From now on something is missing between the storage and memory.
        self.assertEqual(log.reserve(2), 8)
        log.append(Stream.STDOUT, 0, b"kl")
        self.assertEqual((log.start, replay(log, 8)), (8, b"ijkl"))
        self.assertEqual(log.reserve(2), 10)
        log.close()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))
        self.assertEqual(replay(log, 8), b"ijkl")  # it is nowhere else

    def test_cannot_be_written_and_closed(self) -> None:
        """
        Output that the storage refused stays in memory after the storage is closed.
        """
        storage = FakeLogStorage()
        log = OutputLog(1 << 20, storage)
        log.append(Stream.STDOUT, 0, b"ab")
        storage.refuses = OSError(errno.EIO, "disk")
        log.append(Stream.STDOUT, 0, b"cd")
        log.close()
        self.assertEqual((log.storage_closed, log.start), (True, 0))
        self.assertEqual(replay(log, 0), b"abcd")

    @given(WRITES, WRITES, CAPACITIES, st.integers(0, 2000), st.integers(1, 600))
    def test_start_after_trouble(self, kept, refused, capacity, retain, size) -> None:
        """After a failure of the storage, a reservation counts only memory."""
        storage = FakeLogStorage(retain)
        log = OutputLog(capacity, storage)
        for write in kept:
            log.append(Stream.STDOUT, 0, write)
        storage.refuses = OSError(errno.EIO, "disk")
        for write in refused:
            log.append(Stream.STDOUT, 0, write)
        whole = b"".join(kept + refused)
        self.assertEqual(replay(log, log.start), whole[log.start :])
        if log.storage_error is not None:
            foretold = log.reserve(size)
            log.append(Stream.STDERR, 0, b"x" * size)
            self.assertEqual(log.start, foretold)
            self.assertEqual(replay(log, foretold), (whole + b"x" * size)[foretold:])

    def test_cannot_be_read(self) -> None:
        """A reader skips unreadable output; other readers read the rest."""
        resume = LogDamaged("bad")
        resume.resume = 2
        cases = ((LogDamaged("bad"), 4), (OSError(errno.EIO, "disk"), 4), (resume, 2))
        for error, then in cases:
            storage = FakeLogStorage()
            log = OutputLog(OVERHEAD + 2, storage)
            for write in (b"ab", b"cd", b"ef"):
                log.append(Stream.STDOUT, 0, write)
            storage.lost = error
            gone = self.assertRaises(OffsetGone, log.read, 1)
            self.assertEqual(gone.extensions, {"offset": 1, "start": then})
            self.assertEqual((log.storage_error, log.start), (error, 0))
            storage.lost = None
            log.append(Stream.STDOUT, 0, b"gh")
            self.assertEqual(replay(log, 0), b"abcdefgh")

    def test_told_at_once(self) -> None:
        """A storage error is reported when it happens, and once."""
        told: list[Exception] = []
        storage = FakeLogStorage(refuses=OSError(errno.ENOSPC, "full"))
        log = OutputLog(1 << 20, storage, report=told.append)
        for _ in range(2):
            log.append(Stream.STDOUT, 0, b"ab")
            self.assertEqual(told, [storage.refuses])
        damage = LogDamaged("bad")
        chunks = [Chunk(0, Stream.STDOUT, 0, b"abcd")]
        log = OutputLog.from_storage(
            FakeLogStorage(9, chunks, 4, lost=damage), told.append
        )
        for _ in range(2):
            self.assertRaises(OffsetGone, log.read, 0)
            self.assertEqual(told[1:], [damage])

    def test_released_at_once(self) -> None:
        """A log that is closed without a subscriber closes its storage."""
        storage = FakeLogStorage()
        log = OutputLog(1 << 20, storage)
        log.append(Stream.STDOUT, 0, b"ab")
        self.assertFalse(log.storage_closed)
        log.close()
        log.close()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))
        self.assertEqual((log.start, log.end, log.stored), (2, 2, 2))
        self.assertRaises(OffsetGone, log.read, 0)
        self.assertEqual(log.read(2), [])

    def test_released_by_the_last(self) -> None:
        """The storage of a closed log stays open until its last reader leaves."""
        storage = FakeLogStorage()
        log = OutputLog(0, storage)
        leave, leave_too = log.subscribe(lambda: None), log.subscribe(lambda: None)
        for write in (b"ab", b"cd"):
            log.append(Stream.STDOUT, 0, write)
        leave()
        log.close()
        leave()
        self.assertEqual((log.storage_closed, replay(log, 0)), (False, b"abcd"))
        leave_too()
        leave_too()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))

    def test_leaves_when_told_of_the_end(self) -> None:
        """The storage is closed when a subscriber leaves while close() wakes it."""
        storage = FakeLogStorage()
        log = OutputLog(0, storage)
        leave = log.subscribe(lambda: leave() if log.closed else None)
        log.append(Stream.STDOUT, 0, b"ab")
        log.close()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))

    def test_no_backing(self) -> None:
        """A log in memory alone has nothing to release, and stays readable."""
        log = filled(1 << 20, [b"ab"])
        log.close()
        self.assertEqual((log.storage_closed, replay(log, 0)), (False, b"ab"))
        self.assertEqual(log.stored, 2 + OVERHEAD)  # it takes that much memory

    def test_ended(self) -> None:
        """A log from storage is closed."""
        storage = FakeLogStorage(2, [Chunk(0, Stream.STDOUT, 0, b"abcd")], 4)
        log = OutputLog.from_storage(storage)
        leave = log.subscribe(lambda: None)
        self.assertEqual((log.closed, log.storage_closed), (True, False))
        self.assertEqual((log.start, log.end, replay(log, 2)), (2, 4, b"cd"))
        self.assertRaises(OffsetGone, log.read, 1)
        leave()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))

    def test_ended_and_unread(self) -> None:
        """Without a subscriber, close() closes the storage."""
        storage = FakeLogStorage()
        log = OutputLog.from_storage(storage)
        log.close()
        self.assertEqual((log.storage_closed, storage.closed), (True, 1))

    def test_ended_and_damaged(self) -> None:
        """Damage in it is a gap up to its end."""
        chunks = [Chunk(0, Stream.STDOUT, 0, b"abcd")]
        log = OutputLog.from_storage(
            FakeLogStorage(9, chunks, 4, lost=LogDamaged("bad"))
        )
        gone = self.assertRaises(OffsetGone, log.read, 0)
        self.assertEqual((gone.start, log.read(4)), (4, []))


class HeldTests(SynchronousTestCase):
    """A viewer sees only published output of a log."""

    def setUp(self) -> None:
        self.storage = FakeLogStorage()
        self.log = OutputLog(OVERHEAD + 2, self.storage, publish_later=True)
        self.woken: list[int] = []
        self.log.subscribe(lambda: self.woken.append(self.log.end))

    def test_held(self) -> None:
        """Appended output is neither announced nor readable until it is published."""
        for write in (b"ab", b"cd"):
            self.log.append(Stream.STDOUT, 0, write)
        self.assertEqual((self.log.end, self.log.written, self.woken), (0, 4, []))
        self.assertEqual(self.log.read(0), [])
        self.assertRaises(OffsetGone, self.log.read, 1)
        self.log.publish(3)
        self.assertEqual((self.log.end, self.woken), (3, [3]))
        self.assertEqual((replay(self.log, 0), replay(self.log, 2)), (b"abc", b"c"))
        self.log.publish(2)
        self.log.publish(99)
        self.assertEqual((self.log.end, self.woken), (4, [3, 4]))

    def test_close(self) -> None:
        """After the close all output can be read."""
        self.log.append(Stream.STDOUT, 0, b"ab")
        self.log.close()
        self.assertEqual((self.woken, replay(self.log, 0)), ([2], b"ab"))

    def test_forgotten_before_seen(self) -> None:
        """
        Output dropped before it was published is missed only when it would be read.
        """
        self.storage.retain = 2
        for write in (b"ab", b"cd", b"ef"):
            self.log.append(Stream.STDOUT, 0, write)
        self.assertEqual((self.log.start, self.log.read(0)), (0, []))
        self.log.publish(6)
        self.assertEqual((self.log.start, replay(self.log, 4)), (4, b"ef"))


class SubscriberTests(SynchronousTestCase):
    """A subscriber is woken when there is more to read."""

    def setUp(self) -> None:
        self.log = OutputLog(1 << 20)
        self.woken: list[tuple[int, bool]] = []

    def note(self) -> None:
        self.woken.append((self.log.end, self.log.closed))

    def test_woken(self) -> None:
        """News is every append that brings bytes, and the close."""
        self.log.subscribe(self.note)
        self.log.append(Stream.STDOUT, 0, b"a")
        self.log.append(Stream.STDOUT, 0, b"")
        self.log.append(Stream.STDERR, 0, b"bc")
        self.log.close()
        self.assertEqual(self.woken, [(1, False), (3, False), (3, True)])

    def test_leaves(self) -> None:
        """A subscriber that left is not woken; the others still are."""
        leave = self.log.subscribe(self.note)
        others: list[int] = []
        self.log.subscribe(lambda: others.append(self.log.end))
        leave()
        self.log.append(Stream.STDOUT, 0, b"a")
        self.assertEqual((self.woken, others), ([], [1]))

    def test_leaves_while_woken(self) -> None:
        """A subscriber may leave while it is woken; all others are still woken."""

        def once() -> None:
            self.note()
            leave()

        leave = self.log.subscribe(once)
        others: list[int] = []
        self.log.subscribe(lambda: others.append(self.log.end))
        self.log.append(Stream.STDOUT, 0, b"a")
        self.log.append(Stream.STDOUT, 0, b"b")
        self.assertEqual((self.woken, others), ([(1, False)], [1, 2]))

    def test_sent_away_while_woken(self) -> None:
        """A subscriber whose subscription another one ended is not woken."""
        self.log.subscribe(lambda: leave())
        leave = self.log.subscribe(self.note)
        self.log.append(Stream.STDOUT, 0, b"a")
        self.assertEqual(self.woken, [])

    def test_joins_while_woken(self) -> None:
        """A subscriber may join while others are woken, and is woken from then on."""

        def invite() -> None:
            leave()
            self.log.subscribe(self.note)

        leave = self.log.subscribe(invite)
        self.log.append(Stream.STDOUT, 0, b"a")
        self.log.append(Stream.STDOUT, 0, b"b")
        self.assertEqual(self.woken, [(2, False)])

    def test_crowd(self) -> None:
        """Of very many subscribers the last ones are woken late, if they can be."""
        at_once, late = [0, 0], [0]

        def count(counts: list[int], index: int = 0) -> Callable[[], None]:
            def woken() -> None:
                counts[index] += 1

            return woken

        for _ in range(MAX_WOKEN + 10):
            self.log.subscribe(count(at_once), count(late))
        for _ in range(5):
            self.log.subscribe(count(at_once, 1))
        self.log.append(Stream.STDOUT, 0, b"a")
        self.assertEqual((at_once, late), ([MAX_WOKEN, 5], [10]))
        self.log.close()
        self.assertEqual((at_once, late), ([2 * MAX_WOKEN, 10], [20]))

    def test_many_leave(self) -> None:
        """Leaving takes constant time among ten thousand subscribers."""
        leaves = [self.log.subscribe(self.note) for _ in range(20_000)]
        began = time.perf_counter()
        for leave in leaves:
            leave()
        self.assertLess(time.perf_counter() - began, 0.5)  # about 0.005
        self.log.append(Stream.STDOUT, 0, b"a")
        self.assertEqual(self.woken, [])
