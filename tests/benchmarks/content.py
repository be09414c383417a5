"""
The content that should arrive, and the sinks that compare it.

All that a client receives goes to a I{sink}, which is called with each piece and its
time of arrival, and once more when the stream has ended properly.
"""

from collections.abc import Callable
from typing import Protocol

from attrs import define, evolve, field, frozen

from tests.benchmarks.errors import Differs

#: The most bytes that a sink gets at once.
PIECE = 1 << 20


class Sink(Protocol):
    """Receives one stream."""

    def __call__(self, piece: memoryview, now: float) -> None:
        """Take a piece. @raise Differs: if it is not the expected one."""

    def ended(self) -> None:
        """The stream has ended. @raise Differs: if something did not arrive."""


@frozen
class Content:
    """
    A C{head}, then a block that is repeated up to C{size} bytes.

    The length of a block is no multiple of a buffer's size, so that lost, doubled or
    moved bytes show.

    @ivar lossy: the peer loses output at the end, or adds empty lines; so only the
        beginning has to arrive.
    """

    block: bytes
    size: int
    head: bytes = b""
    lossy: bool = False
    #: Long enough to hold any piece, wherever in the block it begins.
    _repeated: bytes = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        times = PIECE // len(self.block) + 2
        object.__setattr__(self, "_repeated", self.block * times)

    @property
    def total(self) -> int:
        return len(self.head) + self.size

    def holds(self, piece: memoryview, offset: int) -> bool:
        """Return whether the content has C{piece} at C{offset}; as fast as memory."""
        if offset + len(piece) > self.total:
            return False
        before = len(self.head) - offset
        if before > 0:
            if self.head[offset : offset + len(piece)] != piece[:before]:
                return False
            piece, offset = piece[before:], offset + before
        start = (offset - len(self.head)) % len(self.block)
        return not piece or self._repeated.startswith(piece, start)

    def altered(self, change: Callable[[bytes], bytes]) -> "Content":
        """The content as a peer sends it that changes output, and may lose its end."""
        count = self.size // len(self.block)
        block = change(self.block)
        return evolve(self, block=block, size=count * len(block), lossy=True)


@define(eq=False)
class Whole:
    """Compares every byte with a content."""

    content: Content
    got: int = 0
    _tail: bool = False

    def __call__(self, piece: memoryview, now: float) -> None:
        if not self.content.holds(piece, self.got):
            if not self.content.lossy:
                raise Differs(f"other bytes than expected after {self.got}")
            self._last(bytes(piece).rstrip(b"\r\n"))
            return
        self.got += len(piece)

    def _last(self, piece: bytes) -> None:
        if self._tail and piece:
            raise Differs(f"more than empty lines after {self.got}")
        self._tail = True
        if not self.content.holds(memoryview(piece), self.got):
            raise Differs(f"other bytes than expected after {self.got}")
        self.got += len(piece)

    @property
    def lost(self) -> int:
        return self.content.total - self.got

    def ended(self) -> None:
        if self.lost and not self.content.lossy:
            raise Differs(f"{self.lost} of {self.content.total} bytes did not arrive")


@define(eq=False)
class Ticks:
    """
    Measures ticks: lines that say when they were written.

    @ivar delays: of each tick, in seconds from writing to arrival.
    @ivar count: how many there will be; L{None} if there is no end.
    """

    count: int | None = None
    lossy: bool = False
    delays: list[float] = field(factory=list)
    _rest: bytes = b""
    _last: float = 0.0

    def __call__(self, piece: memoryview, now: float) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in filter(None, (line.strip() for line in lines)):
            try:
                written = float(line)
            except ValueError:
                raise Differs(f"a tick reads {line[:40]!r}") from None
            if not self._last < written < now:
                raise Differs(f"a tick of {written} after {self._last}, at {now}")
            self._last = written
            self.delays.append(now - written)

    def ended(self) -> None:
        if self.count not in (None, len(self.delays)) and not self.lossy:
            raise Differs(f"{len(self.delays)} of {self.count} ticks arrived")
