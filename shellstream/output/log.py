"""
The output of one run, which can be replayed from any byte offset that it still holds.

A log does no I/O. It gets what the child writes, passes it to its storage, and wakes
its subscribers when there is more to read.
"""

from bisect import bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

from attrs import define, field

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

#: What a chunk costs in memory beside its bytes, in bytes: the objects that hold it.
#: The cost is counted so that a command that writes single bytes is bounded too.
OVERHEAD = 200

#: How many subscribers of one log are woken at once: a viewer takes 20 microseconds.
MAX_WOKEN = 256

#: How much is appended, and read, at once, in bytes. Two of these, with all that they
#: need beside them, fill a large sector of a ring file (a test compares), so that fast
#: output is written where sectors begin.
READ_SIZE = (1 << 17) - 69


class LogDamaged(Exception):
    """
    Stored output cannot be read back as it was written.

    @ivar resume: the next offset that may be readable; L{None} if there is none before
        the end.
    """

    resume: int | None = None


class LogStorage(Protocol):
    """
    Keeps more of an output than memory does, and for longer.

    It keeps all from C{start} to C{end}; C{stored} is what that takes, in bytes.
    """

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def stored(self) -> int: ...

    def append(self, chunk: Chunk) -> None:
        """
        Keep the next chunk, before any viewer gets it.

        Whatever it raises: nothing is appended after that.

        @raise OSError: if that is impossible.
        """

    def read(self, offset: int, size: int) -> list[Chunk]:
        """
        Chunks from exactly C{offset} on: at least one byte, at most C{size}.

        @raise LogDamaged: if the stored bytes are not those that were appended.
        @raise OSError: if they cannot be read.
        """

    def reserve(self, size: int) -> int:
        """
        Make room for one append of up to C{size} bytes.

        @return: an upper bound of C{start} after that append.
        """

    def close(self) -> None:
        """Free the resources; only C{start}, C{end} and C{stored} work after that."""


@define(eq=False)
class OutputLog:
    """
    An append-only log: its newest chunks are in memory, older ones in its storage if
    it has one. The oldest bytes are dropped when there is no room left.

    Offsets count every byte ever appended, on either stream, so they stay valid when
    old bytes are dropped.

    @ivar capacity: how much is kept in memory, in bytes. The newest chunk is kept
        however large it is, since live viewers must see it.
    @ivar written: the offset after the newest byte.
    @ivar end: the offset after the newest byte that may be read.
    @ivar newest: the newest chunk, if all of it may be read.
    @ivar closed: whether C{end} is final.
    @ivar storage_error: the first error of the storage. After a failed write the
        log goes on in memory, and the storage is still read while no byte is missing
        between the two. After a failed read, readers go on behind the damage.
    @ivar storage_closed: whether the log is closed and its last subscriber has left,
        so that the storage is closed too. What the storage holds can then be read
        from this log no more; a new one has to be made from it.
    """

    capacity: int
    _storage: LogStorage | None = None
    _publish_later: bool = False
    _report: Callable[[Exception], None] = lambda error: None
    written: int = field(init=False)
    end: int = field(init=False)
    newest: Chunk | None = field(default=None, init=False)
    closed: bool = field(default=False, init=False)
    storage_error: Exception | None = field(default=None, init=False)
    storage_closed: bool = field(default=False, init=False)
    _readable: LogStorage | None = field(init=False)  # the storage, while of use
    _write_failed: bool = field(default=False, init=False)
    _chunks: list[Chunk] = field(factory=list, init=False)
    _cost: int = field(default=0, init=False)  # of these chunks
    _subscribers: "dict[_Subscription, None]" = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._readable = self._storage
        self.written = self.end = 0 if self._storage is None else self._storage.end

    @classmethod
    def from_storage(
        cls,
        storage: LogStorage,
        report: Callable[[Exception], None] = lambda error: None,
    ) -> "OutputLog":
        """
        The closed log of an ended run.

        Its storage is closed when the last subscriber leaves, or by L{close} if
        there never was one.
        """
        log = cls(0, storage, report=report)
        log.closed = True
        return log

    @property
    def start(self) -> int:
        """The offset of the oldest byte that can be read."""
        oldest = self._memory_start()
        if self._readable is not None:
            oldest = min(oldest, self._readable.start)
        # Bytes may be dropped before they are published: they count as gone then.
        return min(oldest, self.end)

    @property
    def stored(self) -> int:
        """The size of the storage in bytes; without one, of what is in memory."""
        if self._storage is None:
            return self._cost
        return self._storage.stored

    def append(self, stream: Stream, time: int, data: bytes) -> None:
        """
        Add what the child just wrote, and wake the subscribers.

        Never fails: see C{storage_error}.
        """
        assert not self.closed, "append after close"
        if not data:
            return
        size = len(data)
        chunk = Chunk(self.written, stream, time, data)
        if self._readable is not None and not self._write_failed:
            try:
                self._readable.append(chunk)
            except Exception as error:  # noqa: BLE001  # viewers have it from memory
                self._storage_failed(error)
                self._write_failed = True
        # Into memory even if the storage has it: live viewers share this very object.
        self._chunks.append(chunk)
        self._cost += size + OVERHEAD
        self.written += size
        if self._cost > self.capacity:
            self._evict(min(self._excess_chunks(0), len(self._chunks) - 1))
        if (
            self._write_failed
            and self._readable is not None
            and self._readable.end < self._memory_start()
        ):
            self._readable = None  # from here on bytes are missing between the two
        if not self._publish_later:
            self.newest = chunk
            self.end = self.written
            self._wake()

    def publish(self, offset: int) -> None:
        """
        Let viewers read what was appended below C{offset}.

        Only a log made with C{publish_later} needs this: its viewers must not see
        what a loss of power could still take back.
        """
        if self.end < offset:
            self.end = min(offset, self.written)
            self._wake()

    @property
    def watched(self) -> bool:
        """Whether it has a subscriber."""
        return bool(self._subscribers)

    def skip(self) -> None:
        """
        Drop all, and a byte that never was: a reader at the end finds a gap.
        """
        self._evict(len(self._chunks))
        self.written += 1
        self.end, self.newest = self.written, None

    def close(self) -> None:
        """Promise that nothing more will be appended. Harmless when repeated."""
        if not self.closed:
            self.closed = True
            self.end = self.written
            self._wake()
        self._maybe_close_storage()

    def read(self, offset: int, size: int = READ_SIZE) -> list[Chunk]:
        """
        Chunks from C{offset} on, at most C{size} bytes; an empty list at the end.

        The first chunk in memory is not cut at C{size}: all readers share it.

        @raise OffsetGone: if those bytes were dropped, were never written, or cannot
            be read any more.
        """
        newest = self.newest
        if newest is not None and newest.offset == offset:
            return [newest]  # a viewer that keeps up
        if self._memory_start() <= offset < self.end:
            chunks = self._read_memory(offset, size)
        elif not self.start <= offset <= self.end:
            raise OffsetGone(offset, self.start)
        elif offset == self.end:
            return []
        else:
            chunks = self._read_storage(offset, size)
        chunks[-1] = chunks[-1].until(self.end)
        return chunks

    def reserve(self, size: int) -> int:
        """
        Make room for one append of up to C{size} bytes.

        A command that must not outrun a reader is paused while the reader's offset is
        below the result.

        @return: the lowest offset that is certainly kept after that append.
        """
        stored = self.written
        if self._readable is not None and not self._write_failed:
            try:
                stored = self._readable.reserve(size)
            except Exception as error:  # noqa: BLE001  # the append would fail as well
                self._storage_failed(error)
                self._write_failed = True
        if stored <= self._memory_start() and not self._write_failed:
            return stored  # as nearly always: the storage keeps more than memory
        excess = self._excess_chunks(size + OVERHEAD)
        kept = self._chunks[excess - 1].end if excess else self._memory_start()
        if self._write_failed and self._readable is not None:
            missing = self._readable.end < kept  # bytes, between the two
            return kept if missing else min(kept, self._readable.start)
        return min(kept, stored)

    def subscribe(
        self, wake: Callable[[], None], wake_late: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """
        Call C{wake} whenever there is more to read, or the log is closed.

        A subscriber that joins while others are woken is not woken: it reads what
        is there when it begins.

        @param wake_late: called in place of C{wake} where more than L{MAX_WOKEN} others
            come first; it should do the same in a later turn of the reactor.
        @return: ends the subscription. Harmless when repeated.
        """
        subscription = _Subscription(wake, wake_late or wake, self)
        self._subscribers[subscription] = None
        return subscription

    def unsubscribe(self, subscription: "_Subscription") -> None:
        """End a subscription. Harmless when repeated."""
        if subscription in self._subscribers:
            del self._subscribers[subscription]
            self._maybe_close_storage()

    def _memory_start(self) -> int:
        """The offset from which on everything is in memory."""
        return self._chunks[0].offset if self._chunks else self.written

    def _read_memory(self, offset: int, size: int) -> list[Chunk]:
        index = bisect_right(self._chunks, offset, key=attrgetter("end"))
        chunks = [self._chunks[index].since(offset)]
        stop = min(offset + size, self.end)
        for chunk in self._chunks[index + 1 :]:
            if chunk.end > stop:
                break
            chunks.append(chunk)
        return chunks

    def _read_storage(self, offset: int, size: int) -> list[Chunk]:
        assert self._readable is not None
        try:
            return self._readable.read(offset, min(size, self.end - offset))
        except (LogDamaged, OSError) as error:
            self._storage_failed(error)
            resume = error.resume if isinstance(error, LogDamaged) else None
            start = self._memory_start()
            start = start if resume is None else min(resume, start)
            raise OffsetGone(offset, min(start, self.end)) from error

    def _storage_failed(self, error: Exception) -> None:
        if self.storage_error is None:  # a broken disk would repeat it for each chunk
            self.storage_error = error
            self._report(error)

    def _excess_chunks(self, size: int) -> int:
        """How many of the oldest chunks do not fit if the next one costs C{size}."""
        excess, count = self._cost + size - self.capacity, 0
        for chunk in self._chunks:
            if excess <= 0:
                break
            excess -= len(chunk.data) + OVERHEAD
            count += 1
        return count

    def _evict(self, count: int) -> None:
        evicted = self._chunks[:count]
        self._cost -= sum(len(each.data) + OVERHEAD for each in evicted)
        del self._chunks[:count]

    def _wake(self) -> None:
        # A copy: a subscriber may leave, or a new one join, while others are woken.
        for index, each in enumerate(tuple(self._subscribers)):
            if each in self._subscribers:  # an earlier one may have ended this one
                if index < MAX_WOKEN:
                    each.wake()
                else:
                    each.wake_late()

    def _maybe_close_storage(self) -> None:
        if not self.closed or self._subscribers or self.storage_closed:
            return
        if self._storage is None:
            return
        self.storage_closed = True
        try:
            self._storage.close()
        except Exception as error:  # noqa: BLE001  # there is nothing left to undo
            self._storage_failed(error)
        if self._readable is not None and not self._write_failed:
            self._evict(len(self._chunks))  # all of it can be read from there
            self.newest = None
        self._readable = None


@define(eq=False)
class _Subscription:
    """Ends a subscription when called. It is smaller than a closure."""

    wake: Callable[[], None]
    wake_late: Callable[[], None]
    _log: OutputLog

    def __call__(self) -> None:
        self._log.unsubscribe(self)
