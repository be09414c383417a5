"""
Allocation in a ring file: where its records lie, and where new ones go; no I/O here.

L{storage.ring_format} explains the file. A place for a sector is a I{slot}.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable

from attrs import define, field

from .ring_format import FRAME, SECTOR_HEAD, Extent, FileSignature


@define(eq=False)
class Ring:
    """
    Knows which sector of the file holds which bytes of the output.

    Its rule: before an append is done, it overwrites nothing that could be read when
    the append began, if there is any other place.

    @ivar retain: how many of the newest bytes are kept.
    @ivar end: the offset after the newest byte.
    @ivar size: of the file, in bytes.
    @ivar position: where the next record begins, if the newest sector has room for it.
    @ivar room: how large its payload may be then.
    @ivar sequence: of the newest sector.
    """

    signature: FileSignature
    retain: int
    _request_growth: Callable[[int], bool]
    end: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    position: int = field(default=0, init=False)
    room: int = field(default=-FRAME, init=False)
    sequence: int = field(default=0, init=False)
    # The sectors in use, oldest first: their first offsets, and their slots. The first
    # _retired of them are in use no more: deleting each at once would move all others.
    _starts: "array[int]" = field(factory=lambda: array("Q"), init=False)
    _slots: "array[int]" = field(factory=lambda: array("I"), init=False)
    _retired: int = field(default=0, init=False)
    _free_slots: list[int] = field(factory=list, init=False)
    _slot_count: int = field(default=0, init=False)
    _granted_size: int = field(default=0, init=False)  # the file may grow up to here
    _sector: int = field(init=False)  # size, in bytes
    _sector_room: int = field(init=False)  # for one payload

    def __attrs_post_init__(self) -> None:
        self._sector = self.signature.sector
        self._sector_room = self._sector - SECTOR_HEAD - FRAME

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
        The ring of a file that is only read, and holds all from C{start} to C{end}.

        @param sectors: the first offset and the slot of each, oldest first.
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
        An upper bound of C{start} after an append of up to C{size} bytes.

        @param full: whether the file cannot grow.
        """
        sector, floor = self._sector, self.end - self.retain
        start = max(self.start, floor + size)
        limit = self._size_limit(size, floor, full=full)
        count = max(limit // sector, self._slot_count)
        outdated = self._outdated(floor)
        spare = count - self._slot_count + len(self._free_slots) + outdated
        short = count * sector - limit  # a last sector that was never filled
        evicted = self._sectors_needed(size + short, limit) - spare
        if evicted <= 0:
            return start
        oldest = self._retired + outdated + evicted
        if oldest < len(self._starts):
            return max(start, self._starts[oldest])
        # All that is there now will be gone: new bytes fill all sectors but the last.
        return max(start, self.end + size + short - (count - 1) * self._sector_room)

    def size_after(self, size: int) -> int:
        """
        The size of the file after an append of up to C{size} bytes, at the most.

        The ring asks for that growth now, and will not ask again for the same.
        """
        return self._size_limit(size, self.end - self.retain, full=False)

    def advance(self, size: int) -> None:
        """A record of C{size} bytes is in the file at C{position}."""
        self.position += FRAME + size
        self.room -= FRAME + size
        self.end += size
        if self.size < self.position:
            self.size = self.position

    def allocate(self, size: int, floor: int, *, full: bool) -> list[Extent]:
        """
        Where to write C{size} bytes, or as many of them as there is room for now.

        Sectors that will be overwritten are retired at once. L{commit} each extent
        that was written, in their order; then L{give_back} all.

        @param floor: the lowest offset that was to be kept before this append.
        @param full: whether the file cannot grow.
        """
        extents: list[Extent] = []
        limit = self._size_limit(size, floor, full=full)
        offset, sequence, position = self.end, self.sequence, self.position
        sector_end, head = min(self._sector_end, limit), 0
        while size:
            if sector_end - position <= FRAME:
                slot = self._take_slot(floor, limit)
                if slot is None:
                    break
                sequence += 1
                position = slot * self._sector
                sector_end, head = min(position + self._sector, limit), SECTOR_HEAD
            room = sector_end - position - head - FRAME
            extent = Extent(position, sequence, offset, min(size, room), head)
            extents.append(extent)
            head = 0
            size -= extent.size
            offset += extent.size
            position = extent.stop
        return extents

    def commit(self, extent: Extent) -> None:
        """The record of this extent is in the file."""
        if extent.head:
            self._starts.append(extent.offset)
            self._slots.append(extent.position // self._sector)
            self.sequence = extent.sequence
            self.position = extent.position + extent.head
            self.room = self._sector_room
        self.advance(extent.size)

    def give_back(self, extents: Iterable[Extent]) -> None:
        """Free the slots of those extents that were not committed, after an append."""
        self._slot_count = -(-self.size // self._sector)
        for extent in extents:
            slot = extent.position // self._sector
            if extent.offset >= self.end and extent.head and slot < self._slot_count:
                self._free_slots.append(slot)

    def sector_at(self, offset: int) -> tuple[int, int, int]:
        """
        The sector that holds the byte at C{offset}.

        @return: where it begins in the file, and its first and last offset.
        """
        after = bisect_right(self._starts, offset, lo=self._retired)
        end = self._starts[after] if after < len(self._starts) else self.end
        return (
            self._slots[after - 1] * self._sector,
            self._starts[after - 1],
            end,
        )

    def sectors_since(self, sequence: int) -> list[tuple[int, int, int]]:
        """
        The sectors that are not older than this one: where each begins, its sequence,
        and how many bytes of it are in the file.
        """
        found: list[tuple[int, int, int]] = []
        newest, end = self.sequence, self.position
        for slot in reversed(self._slots[self._retired :]):
            if newest < sequence:
                break
            begin = slot * self._sector
            found.append((begin, newest, end - begin))
            newest, end = newest - 1, self.size
        return [(at, turn, min(size, self._sector)) for at, turn, size in found]

    @property
    def _sector_end(self) -> int:
        """Where in the file the newest sector ends."""
        return self.position + FRAME + self.room

    @property
    def _in_use(self) -> int:
        """How many sectors are in use."""
        return len(self._starts) - self._retired

    def _outdated(self, floor: int) -> int:
        """How many of the oldest sectors hold nothing from C{floor} on."""
        after = bisect_right(self._starts, floor, lo=self._retired)
        return max(after - 1 - self._retired, 0)

    def _sectors_needed(self, size: int, limit: int) -> int:
        """How many sectors, after the newest, C{size} more bytes take."""
        room = max(min(self._sector_end, limit) - self.position - FRAME, 0)
        return -(-max(size - room, 0) // self._sector_room)

    def _size_limit(self, size: int, floor: int, *, full: bool) -> int:
        """The size up to which the file may grow for C{size} more bytes."""
        if full:
            return self.size
        sector, now = self._sector, self._slot_count * self._sector
        wanted = self._sectors_needed(size, now)
        wanted -= len(self._free_slots) + self._outdated(floor)
        # Headers count too: without this bound a file of single bytes would be 35 times
        # as large as what it keeps.
        most = min(self._slot_count + wanted, 4 * self.retain // sector + 4)
        for count in range(most, self._slot_count, -1):
            # A ring takes two sectors at least, and every run may have them.
            if (
                count <= 2
                or count * sector <= self._granted_size
                or self._request_growth(count * sector - self.size)
            ):
                self._granted_size = max(self._granted_size, count * sector)
                return count * sector
        return now

    def _take_slot(self, floor: int, limit: int) -> int | None:
        """A slot for a new sector: an unused one, a new one, or the oldest sector's."""
        if self._free_slots:
            return self._free_slots.pop(0)
        if not self._outdated(floor):
            if (self._slot_count + 1) * self._sector <= limit:
                self._slot_count += 1
                return self._slot_count - 1
            if self._in_use < 2:
                return None
        slot = self._slots[self._retired]
        self._retired += 1
        if self._retired > self._in_use:  # at most every other time: cheap on average
            del self._starts[: self._retired], self._slots[: self._retired]
            self._retired = 0
        return slot
