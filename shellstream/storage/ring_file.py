"""The newest output of a run in a file; L{storage.ring_format} explains it."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from functools import cache, partial
from pathlib import Path
from threading import Lock

from attrs import define, field

from shellstream.model.events import Chunk
from shellstream.output.log import LogDamaged

from .ring import Ring
from .ring_format import (
    FRAME,
    RECORDS,
    SECTOR_HEAD,
    Cursor,
    Extent,
    FileSignature,
    decode,
    encode,
    sector_head,
    seek,
    sum_of,
)
from .ring_recovery import believed, recover
from .state.files import sync_folder

#: Errors of a file that cannot grow; what it has may still be overwritten.
_FULL = {ENOSPC, EDQUOT, EFBIG}

#: The most buffers that one pwritev(2) takes.
_IOV_MAX = 1024

#: In how many sectors, at once, the end of some damage is looked for.
_MAX_LOOKED_AT = 16

#: For how many readers it is remembered where they go on. The others have to L{seek}.
_MAX_CURSORS = 64


@cache
def boot_id() -> bytes:
    """What tells this boot of the machine from all others; empty if nothing does."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return b""


@define(eq=False)
class RingFile:
    """
    A file of the newest bytes of an output, which outlives the process that writes it.

    An appended chunk is in the kernel's hands when L{append} returns. The first append
    creates the file: a silent run has no file.

    @ivar path: no file may be there yet, or L{append} fails.
    @ivar retain: how many of the newest bytes are kept. It keeps less if the file may
        not grow, or if it grew to four times as much because the writes are tiny.
    @ivar request_growth: whether the file may become so many bytes larger than
        C{stored}. A run's first two sectors are never asked for, and nothing twice.
    @ivar run: the id of the run; a file that names another one is not read.
    @ivar boot: see L{boot_id}.
    @ivar flushes: whether a sync waits for the disk. If not, it only writes the sums,
        so that the output is believed after another boot if the disk has it.
    @ivar synced: the offset up to which it was synced.
    """

    path: str | Path
    retain: int
    request_growth: Callable[[int], bool] = field(default=lambda _: True, repr=False)
    flushes: bool = True
    run: str = ""
    boot: bytes = field(factory=boot_id, repr=False)
    synced: int = field(default=0, init=False)
    _ring: Ring = field(init=False, repr=False)
    _fd: int | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _full: OSError | None = field(default=None, init=False)  # why it cannot grow
    _reserved: int = field(default=0, init=False)  # bytes of the disk, for this file
    _cursors: dict[int, Cursor] = field(factory=dict, init=False, repr=False)
    #: Of a file that was found: up to where each sector that was read is believed.
    _believed: dict[int, int] | None = field(default=None, init=False, repr=False)
    _syncing: Lock = field(factory=Lock, init=False, repr=False)
    _syncs: int = field(default=0, init=False)
    _synced_sector: int = field(default=0, init=False)  # its sequence

    def __attrs_post_init__(self) -> None:
        signature = FileSignature.of(self.retain, int.from_bytes(os.urandom(4), "big"))
        self._ring = Ring(signature, self.retain, self.request_growth)

    @classmethod
    def open(
        cls, path: str | Path, boot: bytes | None = None, run: str = ""
    ) -> "RingFile":
        """
        Open a file that another process left, which may have been killed; only to read.

        Not all of it is checked now: L{read} fails where it finds damage.

        @raise LogDamaged: if nothing in the file can be used.
        @raise OSError: if it cannot be read; L{FileNotFoundError} after a run
            without output.
        """
        boot = boot_id() if boot is None else boot
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with ExitStack() as unless_used:
            unless_used.callback(os.close, fd)
            size = os.fstat(fd).st_size
            ring = recover(partial(os.pread, fd), size, boot, run)
            unless_used.pop_all()
        found = cls(path, ring.retain, boot=boot)
        found._ring, found._fd, found._believed = ring, fd, {}
        return found

    @property
    def start(self) -> int:
        """The offset of the oldest byte that is kept."""
        return self._ring.start

    @property
    def end(self) -> int:
        """The offset after the newest byte."""
        return self._ring.end

    @property
    def stored(self) -> int:
        """The size of the file, in bytes."""
        return self._ring.size

    def append(self, chunk: Chunk) -> None:
        """
        Write the next chunk; after an error nothing more can be appended.

        @raise OSError: if not all of it can be written, not even in place of what is
            oldest.
        """
        ring, size = self._ring, len(chunk.data)
        assert chunk.offset == ring.end, (chunk.offset, ring.end)
        assert not self._closed, "append after close"
        if self._fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)  # output may hold secrets
        if size <= ring.room and self._full is None:  # as most chunks are
            record = encode(ring.signature, ring.sequence, chunk, 0, size)
            try:
                written = os.pwritev(self._fd, record, ring.position)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                written = 0
            if written == FRAME + size:
                ring.advance(size)
                return
        self._append_anywhere(chunk)

    def _append_anywhere(self, chunk: Chunk) -> None:
        """Append in as many records and sectors as it takes."""
        assert self._fd is not None
        ring = self._ring
        floor = ring.end - ring.retain
        while ring.end < chunk.end:
            full = self._full
            extents = ring.allocate(chunk.end - ring.end, floor, full=full is not None)
            try:
                if full is not None and not extents:
                    raise full
                for stretch in _stretches(extents):
                    self._write(stretch, chunk)
            except OSError as error:
                if full is not None or error.errno not in _FULL:
                    raise
                # For good: later attempts would leave holes, which need room too.
                self._full = error
                os.ftruncate(self._fd, ring.size)  # cut off a torn record
            finally:
                ring.give_back(extents)

    def read(self, offset: int, size: int) -> list[Chunk]:
        """
        Chunks from C{offset} on, at most C{size} bytes, and at most those of one sector
        and L{RECORDS}, so that no read takes long.

        @param offset: at least C{start}, and less than C{end}.
        @raise LogDamaged: if the bytes there are not those that were written.
        @raise OSError: if it cannot be read.
        """
        ring = self._ring
        assert ring.start <= offset < ring.end, (ring.start, offset, ring.end)
        assert self._fd is not None, "read after close"
        signature = ring.signature
        begin, first, end = ring.sector_at(offset)
        sure = begin + self._believed_size(begin)
        # A remembered cursor may lie behind the first record.
        at, first = self._cursors.get(offset, Cursor(begin + signature.head, first))
        left, stop = begin + signature.sector - at, min(end, offset + size)
        # Most often the first is enough: without the part of a record before C{offset}.
        for most in (size + RECORDS * FRAME, left):
            data = os.pread(self._fd, min(most, left), at)
            try:
                found = seek(signature, data, Cursor(0, first), offset)
                chunks, after = decode(signature, data, found, offset, stop, sure - at)
                break
            except LogDamaged as damage:
                if most >= left:
                    damage.resume = self._next_intact(end)
                    raise
        if after.offset < end:
            self._remember(chunks[-1].end, Cursor(at + after.position, after.offset))
        return chunks

    def reserve(self, size: int) -> int:
        """
        Make room on the disk for one append of up to C{size} bytes.

        If only the append found the disk full, it would be too late to wait for a
        reader of the bytes that it then overwrites.

        @return: an upper bound of C{start} after that append.
        """
        full = self._full is not None or not self._reserve(self._ring.size_after(size))
        return self._ring.start_after(size, full=full)

    def prepare_sync(self) -> Callable[[], None]:
        """
        Return a function for any thread: it waits until all that was appended before
        this call is on the disk, and raises L{OSError} if that fails.
        """
        ring = self._ring
        sectors = ring.sectors_since(self._synced_sector)
        return partial(self._sync, sectors, ring.sequence, ring.end)

    def _sync(
        self, sectors: Iterable[tuple[int, int, int]], newest: int, end: int
    ) -> None:
        with self._syncing:
            if end <= self.synced:
                return
            # A descriptor of its own: close() must not wait for the disk, and what was
            # appended before it has to be synced nevertheless.
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                for position, sequence, size in sectors:
                    # If the sector is overwritten meanwhile, this is the sum of an
                    # earlier sequence: nobody heeds that.
                    begin = position + SECTOR_HEAD
                    covered = os.pread(fd, size - SECTOR_HEAD, begin)
                    made, place = sum_of(sequence, covered, self._syncs)
                    os.pwrite(fd, made, position + place)
                if self.flushes:
                    os.fdatasync(fd)
            finally:
                os.close(fd)
            if self.flushes and not self._syncs:
                sync_folder(os.path.dirname(self.path))
            self._syncs += 1
            self._synced_sector, self.synced = newest, end

    def close(self) -> None:
        """Close the file. Harmless when repeated."""
        fd, self._fd = self._fd, None
        self._closed = True
        if fd is not None:
            if self._reserved > self._ring.size:
                with suppress(OSError):  # it only takes more room than it needs
                    os.ftruncate(fd, self._ring.size)
            os.close(fd)

    def _remember(self, offset: int, place: Cursor) -> None:
        """Keep where to go on for a reader that has read up to C{offset}."""
        if len(self._cursors) >= _MAX_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        self._cursors[offset] = place

    def _believed_size(self, position: int) -> int:
        """What is L{believed} of the sector that begins there."""
        size = self._ring.signature.sector
        if self._believed is None:
            return size  # it was written by us
        if position not in self._believed:
            assert self._fd is not None
            sector = os.pread(self._fd, size, position)
            self._believed[position] = believed(sector, self.boot)
        return self._believed[position]

    def _next_intact(self, offset: int) -> int:
        """
        The first offset of the next sector from C{offset} on that can be read; or of
        one that was not looked at, as each takes up to half a millisecond.
        """
        ring = self._ring
        assert self._fd is not None
        for _ in range(_MAX_LOOKED_AT):
            if offset >= ring.end:
                break
            position, first, end = ring.sector_at(offset)
            sector = os.pread(self._fd, ring.signature.sector, position)
            begin = Cursor(ring.signature.head, first)
            sure = self._believed_size(position)
            try:
                decode(ring.signature, sector, begin, first, first + 1, sure)
            except LogDamaged:
                offset = end
            else:
                break
        return offset

    def _reserve(self, size: int) -> bool:
        """Whether the file can grow to this size, as far as the system can tell."""
        now = max(self._reserved, self._ring.size)
        if size <= now or self._fd is None:
            return True
        try:
            os.posix_fallocate(self._fd, now, size - now)
        except OSError as error:
            if error.errno in _FULL:
                os.ftruncate(self._fd, now)
                return False
        self._reserved = size  # or this filesystem cannot reserve: do not ask again
        return True

    def _write(self, stretch: Sequence[Extent], chunk: Chunk) -> None:
        """Write adjacent extents, and commit those that were written whole."""
        assert self._fd is not None
        signature = self._ring.signature
        buffers: list[bytes | memoryview] = []
        for extent in stretch:
            if extent.head:
                buffers.append(sector_head(signature, extent, self.boot, self.run))
            at = extent.offset - chunk.offset
            buffers += encode(signature, extent.sequence, chunk, at, at + extent.size)
        begin, stop = stretch[0].position, stretch[-1].stop
        position = begin
        try:
            position += os.pwritev(self._fd, buffers[:_IOV_MAX], position)
            while position < stop:
                rest = memoryview(b"".join(buffers))[position - begin :]
                position += os.pwrite(self._fd, rest, position)
        finally:
            for extent in stretch:
                if extent.stop <= position:
                    self._ring.commit(extent)


def _stretches(extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    """The extents, grouped so that those of a group are adjacent in the file."""
    begin = 0
    for index in range(1, len(extents) + 1):
        if index == len(extents) or extents[index].position != extents[index - 1].stop:
            yield extents[begin:index]
            begin = index
