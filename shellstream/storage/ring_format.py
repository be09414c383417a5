"""
The format of an output file: sectors of records; no I/O here.

Theory of operation: the ring file and its recovery
===================================================

The newest bytes of a run's output live in one file of bounded size, written in place.
This was the fastest of what was tried: 674-1147 MB/s, against 407-530 MB/s for files
that are appended to and rotated. Four modules share the work: this one knows the bytes,
L{storage.ring} decides where they go, L{storage.ring_recovery} finds them again, and
L{storage.ring_file} alone does I/O.

The file is an array of sectors of one size, and nothing else. A sector holds records
from its beginning on. A record is a header and its payload; it never crosses the end of
a sector::

    sector 0           sector 1           sector 2
    |HpppppHppHppppppp|HpppppppppppppppHp|HpppppppHpppp.....|

There is no index beside the records, no superblock and no journal. Each header says
which bytes of the output follow it, so the first headers of the sectors are the index,
and a writer that is killed at any moment leaves nothing to repair.

Writing
-------

 - A chunk goes behind the newest record if its sector has room. Otherwise it begins a
   new sector: one that was given back, one at the end of the file while the file may
   grow, or else the oldest, which is overwritten from its beginning on.
 - Sectors are retired whole, when no byte of them is wanted any more. A sector is an
   eighth of what is kept, so that is also about what the file wastes.
 - Each record costs a header of 34 bytes. If a command writes single bytes, the file
   may grow to four times what was asked for, and from then on keeps less.
 - Before an append is done, it overwrites nothing that could be read when it began, if
   there is any other place: a failed append must not cost older output.
 - If the disk is full, the file keeps its size for good and the ring goes round in it.
   To try again later would leave holes, which need room too.
 - An append returns when the kernel has the bytes (pwritev(2)), and only then does a
   viewer get them. So whatever a viewer was sent survives the death of the daemon.
   A loss of power is another matter: C{sync} and L{RingFile.sync}.

Reading
-------

The ring in memory knows the first offset of each sector. To read at any offset takes
one pread(2) of at most a sector, and a walk along the headers to the right record;
where a reader went on is remembered, so that its next read need not walk again.
Checksums are compared on every read: damage is reported with the offset of the next
intact sector.

Recovery
--------

After a restart only the file is there. It is read in three steps:

 1. Find the signature. Its bytes at the beginning of a sector name the sector size,
    and the record's checksum has to fit. Larger sizes are tried first, since where a
    large sector could begin, a smaller one could too.
 2. Read the first header of every sector. Those with another signature, or cut short,
    are left out. The one with the highest offset is the newest sector.
 3. In the newest sector take the last stretch of intact records: the record that was
    being written is torn and fails its checksum. If that stretch begins the sector,
    go back: the sector before it has the next lower sequence number and ends where
    this one begins, as far as their offsets tell. Sectors that do not fit are skipped:
    they were being overwritten. Payloads of older sectors are not read now; damage in
    them is found by the reader.

If no record of the newest sector is intact, the next newest is tried.

What keeps old or foreign bytes from being taken for records:

 - Of an earlier record in the same sector: it has another sequence number.
 - Of another file, or output that looks like a record, by chance or by intent: the
   signature has a random salt.
 - Of damage: a checksum covers header and payload.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged

_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}

#: The header, field by field as in L{Header}; its last field is the checksum of the
#: others and the payload.
_FIELDS = Struct("<2sBIHBIQq")
_CHECKSUM = Struct("<I")
_HEADER = Struct(_FIELDS.format + _CHECKSUM.format[1:])
HEADER = _HEADER.size

#: A header as L{seek} needs it: the prefix that all of a sector share (signature and
#: sequence), length and offset.
_CHAIN = Struct("<9sxIQ")
_PREFIX = Struct("<2sBIH")

_MAGIC = b"\xc5r"
SHIFTS = range(9, 19)
SEQUENCES = 1 << 16

#: The most records that are decoded at once: so that no read takes longer than a
#: millisecond, even of records of single bytes.
RECORDS = 256


class FileSignature(NamedTuple):
    """
    The fields that all records of one file share.

    @ivar shift: log2 of a sector's size in bytes.
    @ivar salt: 32 random bits: without them output could be made to look like records.
    """

    magic: bytes
    shift: int
    salt: int

    @classmethod
    def of(cls, retain: int, salt: int) -> "FileSignature":
        """
        The signature of a new file.

        Sectors are about an eighth of what is kept or less, from 512 bytes to 256 KiB:
        they are retired whole, and what is not needed of the oldest is wasted.
        """
        shift = (retain // 8).bit_length() - 1
        return cls(_MAGIC, min(max(shift, SHIFTS[0]), SHIFTS[-1]), salt)

    @property
    def sector(self) -> int:
        """The size of a sector, in bytes."""
        return 1 << self.shift


class Header(NamedTuple):
    """
    The header of a record: a L{FileSignature}, and fields of its own.

    @ivar sequence: counts the sectors in the order in which they were begun, modulo
        2**16. It shows that a sector between two others is missing, or that a record
        is left from what the sector held before.
    @ivar length: of the payload, in bytes.
    @ivar offset: of the payload in the output.
    @ivar time: see L{Chunk}.
    """

    magic: bytes
    shift: int
    salt: int
    sequence: int
    code: int
    length: int
    offset: int
    time: int
    checksum: int

    @classmethod
    def at(cls, data: bytes, position: int = 0) -> "Header | None":
        """A header that may begin there; L{None} if none can."""
        if len(data) < position + HEADER:
            return None
        header = cls._make(_HEADER.unpack_from(data, position))
        known = header.magic == _MAGIC and header.shift in SHIFTS
        return header if known else None

    @property
    def signature(self) -> FileSignature:
        return FileSignature._make(self[:3])

    @property
    def end(self) -> int:
        return self.offset + self.length

    def follows(self, older: "Header") -> bool:
        """Whether C{older} comes right before this one, if both begin sectors."""
        between = self.offset - older.offset
        return (
            self.sequence == (older.sequence + 1) % SEQUENCES
            and 0 < between <= self.signature.sector - HEADER
        )

    def is_intact(self, data: bytes, position: int) -> bool:
        """Whether the record that begins there is as it was written."""
        view = memoryview(data)[position : position + HEADER + self.length]
        return (
            len(view) == HEADER + self.length
            and self.code in _STREAMS
            and self.checksum == _checksum(view[: _FIELDS.size], view[HEADER:])
        )


def _checksum(fields: bytes | memoryview, payload: memoryview) -> int:
    # XXH3 is ten times as fast as a CRC, and every byte of output goes through it.
    seed = xxh3_64_intdigest(fields)
    return xxh3_64_intdigest(payload, seed) & 0xFFFF_FFFF


class Extent(NamedTuple):
    """
    The place in the file of a record that is about to be written.

    @ivar position: where in the file the record begins.
    @ivar sequence: see L{Header}.
    @ivar offset: of its payload in the output.
    @ivar size: of its payload.
    """

    position: int
    sequence: int
    offset: int
    size: int

    @property
    def stop(self) -> int:
        """Where in the file the record ends."""
        return self.position + HEADER + self.size


def encode(
    signature: FileSignature, extent: Extent, chunk: Chunk
) -> tuple[bytes, memoryview]:
    """The header and the payload of a record that holds a part of a chunk."""
    _, sequence, offset, size = extent
    begin = offset - chunk.offset
    payload = memoryview(chunk.data)[begin : begin + size]
    code = 1 if chunk.stream is Stream.STDOUT else 2
    fields = _FIELDS.pack(
        *signature, sequence % SEQUENCES, code, size, offset, chunk.time
    )
    return fields + _CHECKSUM.pack(_checksum(fields, payload)), payload


class Cursor(NamedTuple):
    """
    A record at which reading may go on.

    @ivar position: where it begins in its sector, or in a part of that.
    @ivar offset: of its payload in the output.
    """

    position: int
    offset: int


def scan(
    signature: FileSignature, sector: bytes, begin: Cursor
) -> Iterator[tuple[int, Header]]:
    """
    The headers of a sector from one on, and their positions in it.

    It ends where the header before does not fit the next. Payloads are not checked.
    """
    position, offset = begin
    prefix, last = None, len(sector) - HEADER
    while position <= last:
        header = Header._make(_HEADER.unpack_from(sector, position))
        prefix = prefix or (*signature, header.sequence)
        if header[:4] != prefix or header.offset != offset or not header.length:
            return
        yield position, header
        offset = header.end
        position += HEADER + header.length


def newest_intact(
    signature: FileSignature, sector: bytes, offset: int
) -> tuple[int, int] | None:
    """
    The first and last offset of the newest stretch of intact records in a sector;
    L{None} if no record is intact.

    @param offset: of the first payload.
    """
    span = None
    for position, header in scan(signature, sector, Cursor(0, offset)):
        if header.is_intact(sector, position):
            joins = span is not None and span[1] == header.offset
            span = (span[0] if span and joins else header.offset, header.end)
    return span


def seek(signature: FileSignature, sector: bytes, begin: Cursor, offset: int) -> Cursor:
    """
    The record that holds the byte at C{offset}, looked for from C{begin} on.

    It does what L{scan} would, several times as fast: a reader of single bytes that
    begins in the middle of a large sector passes thousands of headers.

    @raise LogDamaged: if a header before it is damaged.
    """
    position, first = begin
    unpack, last, prefix = _CHAIN.unpack_from, len(sector) - HEADER, None
    while position <= last:
        found, length, there = unpack(sector, position)
        prefix = prefix or _PREFIX.pack(*signature, _PREFIX.unpack(found)[-1])
        if found != prefix or there != first or not length:
            break
        if first + length > offset:
            return Cursor(position, first)
        first += length
        position += HEADER + length
    raise _damaged(offset)


def decode(
    signature: FileSignature, sector: bytes, begin: Cursor, offset: int, end: int
) -> list[Chunk]:
    """
    The chunks of a sector from C{offset} up to C{end}, or up to the first damage, but
    at most L{RECORDS}.

    @param begin: the record that holds the byte at C{offset}.
    @raise LogDamaged: if that record is damaged.
    """
    chunks: list[Chunk] = []
    for position, header in scan(signature, sector, begin):
        if header.offset >= end or len(chunks) == RECORDS:
            break
        if not header.is_intact(sector, position):
            break
        payload = position + HEADER
        data = sector[payload : payload + header.length]
        chunk = Chunk(header.offset, _STREAMS[header.code], header.time, data)
        chunks.append(chunk.since(max(offset, chunk.offset)).until(end))
    if not chunks:
        raise _damaged(offset)
    return chunks


def _damaged(offset: int) -> LogDamaged:
    return LogDamaged(f"the output kept at offset {offset} is damaged")
