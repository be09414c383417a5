"""
The output of one run, replayable from any byte offset that it still holds.

No I/O happens here: a log is told what arrived, and tells its subscribers
that there is more to read.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter

from attrs import define, field

from .errors import OffsetGone
from .events import Chunk, Stream

#: What a chunk costs beside its bytes, in bytes: the objects that hold it.
#: Counted, so that a command that writes single bytes is bounded too.
OVERHEAD = 200


@define(eq=False)
class OutputLog:
    """
    An append-only log of chunks that forgets the oldest beyond C{capacity}.

    Offsets count every byte ever appended, on either stream, so they stay
    valid when old chunks are forgotten.

    @ivar capacity: how much is kept, in bytes of memory; the newest chunk is
        kept however large it is, since live viewers must see it.
    """

    capacity: int
    start: int = field(default=0, init=False)
    end: int = field(default=0, init=False)
    closed: bool = field(default=False, init=False)
    _chunks: list[Chunk] = field(factory=list, init=False)
    _costs: list[int] = field(factory=list, init=False)  # cumulative, a chunk each
    _spent: int = field(default=0, init=False)  # cumulative cost of the forgotten
    _subscribers: list[Callable[[], None]] = field(factory=list, init=False)

    def append(self, stream: Stream, data: bytes) -> None:
        """Add what the child just wrote, and wake the subscribers."""
        assert not self.closed, "append after close"
        if not data:
            return
        self._chunks.append(Chunk(self.end, stream, data))
        total = self._total() + len(data) + OVERHEAD
        self._costs.append(total)
        self.end += len(data)
        self._forget(min(self._over(total), len(self._chunks) - 1))
        self._wake()

    def close(self) -> None:
        """Promise that nothing more will be appended."""
        self.closed = True
        self._wake()

    def read(self, offset: int) -> Chunk | None:
        """
        The chunk at C{offset}, cut to begin there; L{None} at the end.

        @raise OffsetGone: if those bytes were forgotten, or never written.
        """
        if not self.start <= offset <= self.end:
            raise OffsetGone(offset, self.start)
        if offset == self.end:
            return None
        index = bisect_right(self._chunks, offset, key=attrgetter("end"))
        return self._chunks[index].since(offset)

    def start_after(self, size: int) -> int:
        """
        Where the log would start once C{size} more bytes were appended.

        Who may not lose a byte stops the appending while a reader is below it.
        """
        over = self._over(self._total() + size + OVERHEAD)
        return self._chunks[over - 1].end if over else self.start

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call C{wake} whenever there is news; returns how to stop that."""
        self._subscribers.append(wake)
        return lambda: self._subscribers.remove(wake)

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
            self.start = self._chunks[count - 1].end
            self._spent = self._costs[count - 1]
            del self._chunks[:count], self._costs[:count]

    def _wake(self) -> None:
        for wake in tuple(self._subscribers):  # a subscriber may leave while woken
            wake()
