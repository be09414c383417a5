"""The newest output of a run in a file; L{storage.ring_format} says what is in it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from functools import partial
from pathlib import Path
from threading import Lock

from attrs import define, field

from shellstream.model.events import Chunk
from shellstream.output.log import LogDamaged

from .ring import Ring
from .ring_format import HEADER, Cursor, Extent, FileSignature, decode, encode, seek
from .ring_recovery import recover

#: What says that a file cannot grow, though it may still be written to.
_FULL = {ENOSPC, EDQUOT, EFBIG}

_IOV_MAX = os.sysconf("SC_IOV_MAX")

#: macOS has none.
_allocate = getattr(os, "posix_fallocate", None)

#: For how many readers it is remembered where they go on; others have to L{seek}.
_MAX_CURSORS = 64


@define(eq=False)
class RingFile:
    """
    The newest bytes of an output, which outlive the process that writes them.

    What was appended is in the file, and so in the kernel's hands, when L{append}
    returns. The file is made by the first append: a run that is silent has none.
    All but L{sync} is for one thread.

    @ivar path: where no file may be yet, or L{append} fails.
    @ivar retain: how many of the newest bytes are kept; less, where the file may not
        grow, or grew to four times as much because the writes are tiny.
    @ivar request_growth: asked whether the file may take so many bytes more than
        C{stored}; never for a run's first two sectors, nor twice for the same.
    """

    path: str | Path
    retain: int
    request_growth: Callable[[int], bool] = field(default=lambda _: True, repr=False)
    _ring: Ring = field(init=False, repr=False)
    _fd: int | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _full: OSError | None = field(default=None, init=False)  # it could not grow
    _reserved: int = field(default=0, init=False)  # of the disk, for this file
    _cursors: dict[int, Cursor] = field(factory=dict, init=False, repr=False)
    _name_synced: bool = field(default=False, init=False)  # its name is on the disk too
    _closing: Lock = field(factory=Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        signature = FileSignature.of(self.retain, int.from_bytes(os.urandom(4), "big"))
        self._ring = Ring(signature, self.retain, self.request_growth)

    @classmethod
    def open(cls, path: str | Path) -> "RingFile":
        """
        What another process, killed perhaps, left in a file; only to be read.

        That is the newest part without damage, as far as this can be told without
        reading all: what is found damaged later makes L{read} fail.

        @raise LogDamaged: if nothing in the file can be used.
        @raise OSError: if it cannot be read; L{FileNotFoundError} after a run
            without output.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with ExitStack() as unless_used:
            unless_used.callback(os.close, fd)
            size = os.fstat(fd).st_size
            ring = recover(partial(os.pread, fd), size)
            unless_used.pop_all()
        found = cls(path, ring.retain)
        found._ring, found._fd = ring, fd
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
        Write what comes next; nothing can be appended once that has failed.

        @raise OSError: if it cannot be written, or not all of it: not even in place
            of what is oldest.
        """
        ring = self._ring
        assert chunk.offset == ring.end, (chunk.offset, ring.end)
        assert not self._closed, "append after close"
        if self._fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)
        extent = ring.next_extent(len(chunk.data))
        if extent is not None and self._full is None:
            self._append_here(extent, chunk)
        else:
            self._append_anywhere(chunk)

    def _append_here(self, extent: Extent, chunk: Chunk) -> None:
        """Where most go: behind what was written last."""
        assert self._fd is not None
        record = encode(self._ring.signature, extent, chunk)
        try:
            written = _pwritev(self._fd, record, extent.position)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            written = 0
        if written == HEADER + extent.size:
            self._ring.commit(extent)
        else:
            self._append_anywhere(chunk)

    def _append_anywhere(self, chunk: Chunk) -> None:
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
                # For good: another attempt would leave holes, which need room, too.
                self._full = error
                os.ftruncate(self._fd, ring.size)  # a torn record is of no use
            finally:
                ring.give_back(extents)

    def read(self, offset: int, size: int) -> list[Chunk]:
        """
        Some of what is kept from C{offset} on, at most C{size} bytes: as much as one
        sector holds, or L{RECORDS} do, so that no reader takes long.

        @param offset: from C{start} up to, without, C{end}.
        @raise LogDamaged: if what is there is not what was written.
        @raise OSError: if it cannot be read.
        """
        ring = self._ring
        assert ring.start <= offset < ring.end, (ring.start, offset, ring.end)
        assert self._fd is not None, "read after close"
        signature = ring.signature
        position, first, end = ring.sector_at(offset)
        stop = position + signature.sector
        position, first = self._cursors.get(offset, (position, first))
        sector = os.pread(self._fd, stop - position, position)
        try:
            begin = seek(signature, sector, Cursor(0, first), offset)
            chunks = decode(signature, sector, begin, offset, min(end, offset + size))
        except LogDamaged as damage:
            damage.resume = self._next_intact(end)
            raise
        last = chunks[-1]
        if last.end < end:
            first = last.offset if len(chunks) > 1 else begin.offset
            skipped = (len(chunks) - 1) * HEADER + first - begin.offset
            self._remember(last.end, Cursor(position + begin.position + skipped, first))
        return chunks

    def reserve(self, size: int) -> int:
        """
        Where the output will start after one append of up to C{size} bytes, at the
        most.

        The room that this takes is reserved on the disk: it might be found full
        only by the append, when it is too late to wait for a reader.
        """
        full = self._full is not None or not self._reserve(self._ring.size_after(size))
        return self._ring.start_after(size, full=full)

    def sync(self) -> None:
        """
        Wait until what was appended before is on the disk. For any thread.

        @raise OSError: if that fails.
        """
        with self._closing:
            if self._fd is None:
                return
            fd = os.dup(self._fd)
        try:
            getattr(os, "fdatasync", os.fsync)(fd)  # macOS has no fdatasync
        finally:
            os.close(fd)
        if not self._name_synced:
            fd = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            self._name_synced = True

    def close(self) -> None:
        """Let go of the file. Harmless when repeated."""
        with self._closing:
            fd, self._fd = self._fd, None
        self._closed = True
        if fd is not None:
            if self._reserved > self._ring.size:
                with suppress(OSError):  # then it takes more room than it needs
                    os.ftruncate(fd, self._ring.size)
            os.close(fd)

    def _remember(self, offset: int, place: Cursor) -> None:
        """Where to go on, for the reader who has read up to C{offset}."""
        if len(self._cursors) >= _MAX_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        self._cursors[offset] = place

    def _next_intact(self, offset: int) -> int:
        """Where the first sector that can be read from C{offset} on begins."""
        ring = self._ring
        assert self._fd is not None
        while offset < ring.end:
            position, first, end = ring.sector_at(offset)
            sector = os.pread(self._fd, ring.signature.sector, position)
            try:
                decode(ring.signature, sector, Cursor(0, first), first, first + 1)
            except LogDamaged:
                offset = end
            else:
                break
        return offset

    def _reserve(self, size: int) -> bool:
        """Whether the file can grow to this size, as far as can be known before."""
        now = max(self._reserved, self._ring.size)
        if size <= now or _allocate is None or self._fd is None:
            return True
        try:
            _allocate(self._fd, now, size - now)
        except OSError as error:
            if error.errno in _FULL:
                os.ftruncate(self._fd, now)
                return False
        self._reserved = size  # or there is no way to know, and to ask again
        return True

    def _write(self, stretch: Sequence[Extent], chunk: Chunk) -> None:
        """Write extents without a gap between them; those that are whole are kept."""
        assert self._fd is not None
        buffers = [
            part
            for extent in stretch
            for part in encode(self._ring.signature, extent, chunk)
        ]
        begin, stop = stretch[0].position, stretch[-1].stop
        position = begin
        try:
            position += _pwritev(self._fd, buffers, position)
            while position < stop:
                rest = memoryview(b"".join(buffers))[position - begin :]
                position += os.pwrite(self._fd, rest, position)
        finally:
            for extent in stretch:
                if extent.stop <= position:
                    self._ring.commit(extent)


def _pwritev(fd: int, buffers: Sequence[bytes | memoryview], position: int) -> int:
    if hasattr(os, "pwritev") and len(buffers) <= _IOV_MAX:
        return os.pwritev(fd, buffers, position)
    return os.pwrite(fd, b"".join(buffers), position)  # old macOS, or tiny sectors


def _stretches(extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    """The extents, those without a gap between them together."""
    begin = 0
    for index in range(1, len(extents) + 1):
        if index == len(extents) or extents[index].position != extents[index - 1].stop:
            yield extents[begin:index]
            begin = index
