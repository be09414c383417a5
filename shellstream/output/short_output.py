"""
A short output: it is kept in the record of its run, and needs no file.

To create a file, to sync it and to delete it costs more than all else that is done for
a run that prints a line. So the chunks of a new run stay here until its record is
written, which has them then. Before that nobody is told of the run; so what any viewer
sees is in the record, or in the file to which the output moves when it gets long.
"""

import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from zlib import crc32

from attrs import define, field

from shellstream.model.events import Chunk, Stream

from .log import LogDamaged, LogStorage

#: The most that a record has of an output, in bytes. With more, the rows of the history
#: would not fit into a page of 4 KiB.
MAX_SHORT = 2048

#: Before each chunk: its time, which stream it is of, and its size. At the end of all
#: stands their CRC-32.
_HEAD, _CHECK = struct.Struct(">QBI"), struct.Struct(">I")

_STREAMS = tuple(Stream)


def encode(chunks: Iterable[Chunk]) -> bytes:
    """The chunks of an output from its first byte on, as a record has them."""
    parts = [
        _HEAD.pack(each.time, each.stream is Stream.STDERR, len(each.data)) + each.data
        for each in chunks
    ]
    data = b"".join(parts)
    return data + _CHECK.pack(crc32(data)) if parts else b""


def decode(data: bytes) -> list[Chunk]:
    """
    The chunks that L{encode} was given.

    @raise LogDamaged: if the data are others.
    """
    chunks: list[Chunk] = []
    if len(data) <= MAX_SHORT:
        with suppress(struct.error, IndexError):
            _read_into(chunks, data[: -_CHECK.size])
    # Also of what no run can have said, with a checksum that matches.
    if encode(chunks) != data:
        raise LogDamaged("the output in its record does not match its checksum")
    return chunks


def _read_into(chunks: list[Chunk], data: bytes) -> None:
    position = offset = 0
    while position < len(data):
        time, stream, size = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        said = data[position : position + size]
        chunks.append(Chunk(offset, _STREAMS[stream], time, said))
        position += size
        offset += size


@define(eq=False)
class ShortOutput:
    """
    Keeps a short output itself, and moves a longer one into a file.

    @ivar file: where all of it is, once it has moved.
    """

    _make_file: Callable[[], LogStorage]
    _retain: int = MAX_SHORT
    _chunks: list[Chunk] = field(factory=list)
    file: LogStorage | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)  # as it is in the record
    _recorded: int = field(default=0, init=False)  # chunks
    _settled: bool = field(default=False, init=False)
    #: Of a long output these are the file's: no chunk takes a call more.
    append: Callable[[Chunk], None] = field(init=False)
    read: Callable[[int, int], list[Chunk]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.append, self.read = self._append, self._read
        self._size = len(encode(self._chunks))

    @property
    def start(self) -> int:
        return 0 if self.file is None else self.file.start

    @property
    def end(self) -> int:
        if self.file is not None:
            return self.file.end
        return self._chunks[-1].end if self._chunks else 0

    @property
    def stored(self) -> int:
        return self._size if self.file is None else self.file.stored

    def encoded(self) -> bytes:
        """
        All of it for the record, if it has not moved; otherwise nothing. Any thread may
        ask, and what L{settle} finds missing is what came after the last time.
        """
        chunks = tuple(self._chunks)
        if self.file is not None:
            return b""
        self._recorded = len(chunks)
        return encode(chunks)

    def settle(self) -> None:
        """
        The record is written, and viewers may come: what it has not is moved into the
        file with all the rest, as is all that will be appended.

        @raise OSError: if that is impossible.
        """
        self._settled = True
        if self.file is None and len(self._chunks) > self._recorded:
            self._move()

    def reserve(self, size: int) -> int:
        if self.file is None:
            if self.end + size <= self._retain:
                return 0
            self._move()
        assert self.file is not None
        return self.file.reserve(size)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _append(self, chunk: Chunk) -> None:
        size = (self._size or _CHECK.size) + _HEAD.size + len(chunk.data)
        if self._settled or size > MAX_SHORT or chunk.end > self._retain:
            self._move().append(chunk)
        else:
            self._chunks.append(chunk)
            self._size = size

    def _read(self, offset: int, size: int) -> list[Chunk]:
        found = [each for each in self._chunks if each.end > offset]
        return [found[0].since(offset).until(offset + size)]

    def _move(self) -> LogStorage:
        file = self._make_file()
        try:
            for each in self._chunks:
                file.append(each)
        except OSError:
            file.close()
            raise
        self.append, self.read = file.append, file.read
        # Another list: another thread may be reading this one.
        self.file, self._chunks = file, []
        return file
