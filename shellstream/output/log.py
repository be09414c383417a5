"""
The output of one run, replayable from any byte offset that it still holds.

No I/O happens here: a log is told what arrived, gives it to what backs it, and
tells its subscribers that there is more to read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

from attrs import define, field

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

#: What a chunk costs beside its bytes, in bytes: the objects that hold it.
#: Counted, so that a command that writes single bytes is bounded too.
OVERHEAD = 200

#: How much is appended, and read, at once, in bytes: half of a large sector of a
#: ring file, less the header of a record there (34 bytes, which a test compares), so
#: that what comes fast is written where sectors begin.
READ_SIZE = (1 << 17) - 34


class LogDamaged(Exception):
    """
    What was kept of an output cannot be read back as it was written.

    @ivar resume: from which offset on it can be; L{None} if from none before the end.
    """

    resume: int | None = None


class LogStorage(Protocol):
    """
    Where an output is kept that is larger, and lives longer, than memory.

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
        Keep what comes next, before anybody is told of it.

        @raise OSError: if that is impossible; nothing is appended after that.
        """

    def read(self, offset: int, size: int) -> list[Chunk]:
        """
        Chunks from exactly C{offset} on, C{size} bytes at the most, one at least.

        @raise LogDamaged: if what is there is not what was appended.
        @raise OSError: if it cannot be read.
        """

    def start_after(self, size: int) -> int:
        """An upper bound of C{start} after one append of up to C{size} bytes."""

    def close(self) -> None:
        """Let go of it; only C{start}, C{end} and C{stored} may be asked for then."""


@define(eq=False)
class OutputLog:
    """
    An append-only log that forgets the oldest: its newest chunks in memory, and
    all that is kept of it in a backing, if it has one.

    Offsets count every byte ever appended, on either stream, so they stay
    valid when old ones are forgotten.

    @ivar capacity: how much is kept in memory, in bytes; the newest chunk is kept
        however large it is, since live viewers must see it.
    @ivar written: the offset after the newest byte.
    @ivar end: the offset after the newest byte that can be read.
    @ivar closed: whether C{end} is final.
    @ivar trouble: why some of what should be kept is not. If it could not be
        written, the log goes on in memory, and the backing is of use for as long as
        nothing is missing between the two; if it could not be read, readers go on
        behind it.
    @ivar released: whether the log is closed and its last subscriber gone, and so
        its backing closed. What is in that is gone from this log, from memory too.
    """

    capacity: int
    _backing: LogStorage | None = None
    _held: bool = False
    _report: Callable[[OSError | LogDamaged], None] = lambda trouble: None
    written: int = field(init=False)
    end: int = field(init=False)
    closed: bool = field(default=False, init=False)
    trouble: OSError | LogDamaged | None = field(default=None, init=False)
    released: bool = field(default=False, init=False)
    _usable: LogStorage | None = field(init=False)
    _refused: bool = field(default=False, init=False)  # it takes nothing more
    _chunks: list[Chunk] = field(factory=list, init=False)
    _costs: list[int] = field(factory=list, init=False)  # cumulative, a chunk each
    _spent: int = field(default=0, init=False)  # cumulative cost of the forgotten
    _subscribers: "dict[_Subscription, None]" = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._usable = self._backing
        self.written = self.end = 0 if self._backing is None else self._backing.end

    @classmethod
    def ended(
        cls,
        backing: LogStorage,
        report: Callable[[OSError | LogDamaged], None] = lambda trouble: None,
    ) -> "OutputLog":
        """
        What is kept of a run that is over: closed, and released once its last
        subscriber has left, or by L{close} if there never was one.
        """
        log = cls(0, backing, report=report)
        log.closed = True
        return log

    @property
    def start(self) -> int:
        """The offset of the oldest byte that can be read."""
        # What is forgotten before anybody may read it is not missed until then.
        return min(self._kept_from(), self.end)

    @property
    def stored(self) -> int:
        """What the backing takes, in bytes; without one, what is in memory."""
        if self._backing is None:
            return self._total() - self._spent
        return self._backing.stored

    def append(self, stream: Stream, time: int, data: bytes) -> None:
        """
        Add what the child just wrote, and wake the subscribers. Never fails: see
        C{trouble}.
        """
        assert not self.closed, "append after close"
        if not data:
            return
        chunk = Chunk(self.written, stream, time, data)
        if self._usable is not None and not self._refused:
            try:
                self._usable.append(chunk)
            except OSError as error:
                self._note(error)
                self._refused = True
        self._chunks.append(chunk)
        total = self._total() + len(data) + OVERHEAD
        self._costs.append(total)
        self.written = chunk.end
        self._forget(min(self._over(total), len(self._chunks) - 1))
        if self._refused and self._usable and self._usable.end < self._tail():
            self._usable = None  # something is missing in between from here on
        if not self._held:
            self.release(self.written)

    def release(self, offset: int) -> None:
        """
        What was appended below C{offset} may be read.

        Without that nobody sees what is appended to a log that was made C{held},
        until it is closed: as long as it might be lost, and somebody have seen it.
        """
        if self.end < offset:
            self.end = min(offset, self.written)
            self._wake()

    def close(self) -> None:
        """Promise that nothing more will be appended. Harmless when repeated."""
        if not self.closed:
            self.closed = True
            self.end = self.written
            self._wake()
        self._release()

    def read(self, offset: int, size: int = READ_SIZE) -> list[Chunk]:
        """
        Chunks from C{offset} on, about C{size} bytes; none at the end. Those in
        memory are not cut at C{size}, so that all who read them share them.

        @raise OffsetGone: if those bytes were forgotten, never written, or cannot
            be read any more.
        """
        if self._tail() <= offset < self.end:
            chunks = self._recent(offset, size)
        elif not self.start <= offset <= self.end:
            raise OffsetGone(offset, self.start)
        elif offset == self.end:
            return []
        else:
            chunks = self._older(offset, size)
        chunks[-1] = chunks[-1].until(self.end)
        return chunks

    def start_after(self, size: int) -> int:
        """
        The lowest offset that is sure to be kept once up to C{size} more bytes are
        appended at once.

        Who may not lose a byte stops the appending while a reader is below it.
        """
        over = self._over(self._total() + size + OVERHEAD)
        tail = self._chunks[over - 1].end if over else self._tail()
        if self._usable is None or (self._refused and self._usable.end < tail):
            return tail
        start = self._usable.start if self._refused else self._usable.start_after(size)
        return min(tail, start)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """
        Call C{wake} whenever there is news; returns how to stop that.

        Who joins while others are woken need not be: it reads what there is.
        """
        subscription = _Subscription(wake, self)
        self._subscribers[subscription] = None
        return subscription

    def leave(self, subscription: "_Subscription") -> None:
        """This one is woken no more. Harmless when repeated."""
        if subscription in self._subscribers:
            del self._subscribers[subscription]
            self._release()

    def _kept_from(self) -> int:
        if self._usable is None:
            return self._tail()
        return min(self._tail(), self._usable.start)

    def _tail(self) -> int:
        """The offset from which on all is in memory."""
        return self._chunks[0].offset if self._chunks else self.written

    def _recent(self, offset: int, size: int) -> list[Chunk]:
        newest = self._chunks[-1]
        if offset == newest.offset:  # as who keeps up asks
            return [newest]
        index = bisect_right(self._chunks, offset, key=attrgetter("end"))
        chunks = [self._chunks[index].since(offset)]
        stop = min(offset + size, self.end)
        while chunks[-1].end < stop:
            index += 1
            chunks.append(self._chunks[index])
        return chunks

    def _older(self, offset: int, size: int) -> list[Chunk]:
        assert self._usable is not None
        try:
            return self._usable.read(offset, min(size, self.end - offset))
        except (LogDamaged, OSError) as error:
            self._note(error)
            resume = error.resume if isinstance(error, LogDamaged) else None
            then = self._tail() if resume is None else min(resume, self._tail())
            raise OffsetGone(offset, min(then, self.end)) from error

    def _note(self, trouble: OSError | LogDamaged) -> None:
        first = self.trouble is None
        self.trouble = trouble
        if first:
            self._report(trouble)

    def _total(self) -> int:
        return self._costs[-1] if self._costs else self._spent

    def _over(self, total: int) -> int:
        """How many of the oldest chunks do not fit when C{total} was spent in all."""
        excess = total - self.capacity
        if excess <= self._spent:
            return 0
        return min(bisect_left(self._costs, excess) + 1, len(self._costs))

    def _forget(self, count: int) -> None:
        if count:
            self._spent = self._costs[count - 1]
            del self._chunks[:count], self._costs[:count]

    def _wake(self) -> None:
        for each in tuple(self._subscribers):
            if each in self._subscribers:  # another one's waking may have sent it away
                each.wake()

    def _release(self) -> None:
        if not self.closed or self._subscribers or self.released:
            return
        if self._backing is None:
            return
        self.released = True
        self._backing.close()
        if self._usable is not None and not self._refused:
            self._forget(len(self._chunks))  # all of it can be read from there
        self._usable = None


@define(eq=False)
class _Subscription:
    """Whom to wake; when called, no more. It is smaller than a closure."""

    wake: Callable[[], None]
    _log: OutputLog

    def __call__(self) -> None:
        self._log.leave(self)
