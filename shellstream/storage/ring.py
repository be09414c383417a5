"""
Where the newest bytes of an output lie in a file of bounded size; no I/O here.

L{storage.ring_format} says what the file is made of. When all of its oldest sector
may be forgotten, that is written anew.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable

from attrs import define, field

from .ring_format import HEADER, Extent, FileSignature


@define(eq=False)
class Ring:
    """
    Which bytes of an output lie in which sector of a file, and where more go.

    Its rule: before an append is done, nothing is overwritten that could be read
    until then, if there is any other place.

    @ivar retain: how many of the newest bytes are kept.
    @ivar end: the offset after the newest byte.
    @ivar size: of the file, in bytes.
    """

    signature: FileSignature
    retain: int
    _request_growth: Callable[[int], bool]
    end: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    # The sectors in use, oldest first: the offsets that they begin with, and their
    # places in the file. The first _retired of them are in use no more.
    _starts: "array[int]" = field(factory=lambda: array("Q"), init=False)
    _slots: "array[int]" = field(factory=lambda: array("I"), init=False)
    _retired: int = field(default=0, init=False)
    _free: list[int] = field(factory=list, init=False)  # places without a sector
    _count: int = field(default=0, init=False)  # of places
    _sequence: int = field(default=0, init=False)  # of the newest sector
    _sector_end: int = field(default=0, init=False)  # where in the file that one ends
    _position: int = field(default=0, init=False)  # where the next record begins
    _granted_size: int = field(default=0, init=False)  # the size that the file may have

    @classmethod
    def from_sectors(
        cls,
        signature: FileSignature,
        sectors: Iterable[tuple[int, int]],
        start: int,
        end: int,
        size: int,
    ) -> "Ring":
        """
        One that is only read, with all from C{start} to C{end}.

        @param sectors: the first offset and the place of each, oldest first.
        """
        ring = cls(signature, end - start, lambda _: False)
        for offset, slot in sectors:
            ring._starts.append(offset)
            ring._slots.append(slot)
        ring.end, ring.size = end, size
        return ring

    @property
    def start(self) -> int:
        """The offset of the oldest byte that is kept."""
        oldest = self._starts[self._retired] if self._in_use else self.end
        return max(oldest, self.end - self.retain)

    def start_after(self, size: int, *, full: bool) -> int:
        """
        Where the output will start once C{size} bytes or less follow, at the most.

        @param full: whether the file cannot grow.
        """
        sector, floor = self.signature.sector, self.end - self.retain
        start = max(self.start, floor + size)
        reach = self._growth_for(size, floor, full=full)
        count = max(reach // sector, self._count)
        outdated = self._outdated(floor)
        spare = count - self._count + len(self._free) + outdated
        short = count * sector - reach  # a last sector that was never filled
        evicted = self._sectors_needed(size + short, reach) - spare
        if evicted <= 0:
            return start
        oldest = self._retired + outdated + evicted
        if oldest < len(self._starts):
            return max(start, self._starts[oldest])
        # Nothing is left of what is there: new bytes fill all sectors but the last.
        return max(start, self.end + size + short - (count - 1) * (sector - HEADER))

    def size_after(self, size: int) -> int:
        """
        Up to which size the file will grow by an append of up to C{size} bytes.

        It may grow so far from here on, whatever else does meanwhile.
        """
        return self._growth_for(size, self.end - self.retain, full=False)

    def next_extent(self, size: int) -> Extent | None:
        """Where to write C{size} bytes, if the newest sector has room for them."""
        if self._sector_end - self._position < HEADER + size:
            return None
        return Extent(self._position, self._sequence, self.end, size)

    def allocate(self, size: int, floor: int, *, full: bool) -> list[Extent]:
        """
        Where to write C{size} bytes, or as many of them as there is place for now.

        What is to be overwritten is in use no more from here on. L{commit} each
        extent that was written, in their order; then L{give_back}.

        @param floor: the lowest offset that was promised before this append.
        """
        extents: list[Extent] = []
        reach = self._growth_for(size, floor, full=full)
        offset, sequence, position = self.end, self._sequence, self._position
        edge = min(self._sector_end, reach)
        while size:
            if edge - position <= HEADER:
                slot = self._take_slot(floor, reach)
                if slot is None:
                    break
                sequence += 1
                position = slot * self.signature.sector
                edge = min(position + self.signature.sector, reach)
            extent = Extent(
                position, sequence, offset, min(size, edge - position - HEADER)
            )
            extents.append(extent)
            size -= extent.size
            offset += extent.size
            position = extent.stop
        return extents

    def commit(self, extent: Extent) -> None:
        """This extent is in the file."""
        slot, inside = divmod(extent.position, self.signature.sector)
        if not inside:
            self._starts.append(extent.offset)
            self._slots.append(slot)
        self._sequence = extent.sequence
        self._sector_end = (slot + 1) * self.signature.sector
        self._position = extent.stop
        self.end += extent.size
        self.size = max(self.size, extent.stop)

    def give_back(self, extents: Iterable[Extent]) -> None:
        """Those of L{allocate}'s extents that were not committed never will be."""
        self._count = -(-self.size // self.signature.sector)
        for extent in extents:
            slot, inside = divmod(extent.position, self.signature.sector)
            if extent.offset >= self.end and not inside and slot < self._count:
                self._free.append(slot)

    def sector_at(self, offset: int) -> tuple[int, int, int]:
        """
        The sector that holds the byte at C{offset}: where in the file it begins,
        and from which offset up to which its payload is.
        """
        after = bisect_right(self._starts, offset, lo=self._retired)
        end = self._starts[after] if after < len(self._starts) else self.end
        return (
            self._slots[after - 1] * self.signature.sector,
            self._starts[after - 1],
            end,
        )

    @property
    def _in_use(self) -> int:
        """How many sectors are in use."""
        return len(self._starts) - self._retired

    def _outdated(self, floor: int) -> int:
        """How many of the oldest sectors hold nothing from C{floor} on."""
        after = bisect_right(self._starts, floor, lo=self._retired)
        return max(after - 1 - self._retired, 0)

    def _sectors_needed(self, size: int, reach: int) -> int:
        """How many sectors, after the newest, C{size} more bytes take."""
        room = max(min(self._sector_end, reach) - self._position - HEADER, 0)
        return -(-max(size - room, 0) // (self.signature.sector - HEADER))

    def _growth_for(self, size: int, floor: int, *, full: bool) -> int:
        """Up to which size the file may grow for C{size} more bytes."""
        if full:
            return self.size
        sector = self.signature.sector
        now = self._count * sector
        wanted = (
            self._sectors_needed(size, now) - len(self._free) - self._outdated(floor)
        )
        # Headers count too: or a file of single bytes would be 33 times as large.
        most = min(self._count + wanted, 4 * self.retain // sector + 4)
        for count in range(most, self._count, -1):
            # Two sectors are what a ring takes at least, and every run may have.
            if (
                count <= 2
                or count * sector <= self._granted_size
                or self._request_growth(count * sector - self.size)
            ):
                self._granted_size = max(self._granted_size, count * sector)
                return count * sector
        return now

    def _take_slot(self, floor: int, reach: int) -> int | None:
        """A place for a sector: an unused one, a new one, or the oldest one's."""
        if self._free:
            return self._free.pop(0)
        if not self._outdated(floor):
            if (self._count + 1) * self.signature.sector <= reach:
                self._count += 1
                return self._count - 1
            if self._in_use < 2:
                return None
        slot = self._slots[self._retired]
        self._retired += 1
        if self._retired > self._in_use:  # seldom enough to cost nothing
            del self._starts[: self._retired], self._slots[: self._retired]
            self._retired = 0
        return slot
