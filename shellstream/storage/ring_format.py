"""
What a file of output is made of; no I/O here.

The file is an array of sectors of one size, and nothing else. A sector holds
records, from its beginning on; a record is a header and its payload, and crosses
no sector's edge::

    sector 0           sector 1           sector 2
    |HpppppHppHppppppp|HpppppppppppppppHp|HpppppppHpppp.....|

No index lies beside the records: each tells where in the output it belongs, so the
first ones of the sectors are the index, and a writer that is killed leaves nothing
to repair.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from attrs import frozen
from xxhash import xxh3_64_intdigest

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged

_CODES = {Stream.STDOUT: 1, Stream.STDERR: 2}
_STREAMS = {code: stream for stream, code in _CODES.items()}

#: The header as L{Header} names it; the last field is the checksum of the others and
#: the payload.
_FIELDS = Struct("<2sBIHBIQq")
_CHECKSUM = Struct("<I")
_HEADER = Struct(_FIELDS.format + _CHECKSUM.format[1:])
HEADER = _HEADER.size

#: Of a header: the signature and the sequence, which all of a sector share;
#: then length and offset.
_CHAIN = Struct("<9sxIQ")
_PREFIX = Struct("<2sBIH")

_MAGIC = b"\xc5r"
SHIFTS = range(9, 19)
SEQUENCES = 1 << 16

#: How many records are decoded at once, at the most: of single bytes, too, no reader
#: takes longer than a millisecond.
RECORDS = 256


class FileSignature(NamedTuple):
    """
    What all records of one file share.

    @ivar shift: log2 of a sector's size in bytes.
    @ivar salt: of 32 bits and random, so that no output that looks like a record,
        by chance or by intent, is taken for one.
    """

    magic: bytes
    shift: int
    salt: int

    @classmethod
    def of(cls, retain: int, salt: int) -> "FileSignature":
        """
        The signature of a new file.

        Sectors are about an eighth of what is kept, or small beside it: they are
        forgotten whole, and what of the oldest is needed no more is the file's waste.
        """
        shift = (retain // 8).bit_length() - 1
        return cls(_MAGIC, min(max(shift, SHIFTS[0]), SHIFTS[-1]), salt)

    @property
    def sector(self) -> int:
        """The size of a sector, in bytes."""
        return 1 << self.shift


class Header(NamedTuple):
    """
    What a record begins with: a L{FileSignature}, and its own.

    @ivar sequence: which sector in the order of writing this is, modulo 2**16: so it
        shows when one between two others is missing, or a record is what is left
        of an earlier sequence.
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
        """What may be a header there."""
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
        """Whether, if both begin sectors, that one comes right before this one."""
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
    # Ten times as fast as a CRC: every byte of output goes through it.
    seed = xxh3_64_intdigest(fields)
    return xxh3_64_intdigest(payload, seed) & 0xFFFF_FFFF


@frozen
class Extent:
    """
    The part of an append that becomes one record.

    @ivar position: where in the file that record begins.
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
    """The record of a chunk's extent: its header and its payload."""
    begin = extent.offset - chunk.offset
    payload = memoryview(chunk.data)[begin : begin + extent.size]
    code, sequence = _CODES[chunk.stream], extent.sequence % SEQUENCES
    fields = _FIELDS.pack(
        *signature, sequence, code, extent.size, extent.offset, chunk.time
    )
    return fields + _CHECKSUM.pack(_checksum(fields, payload)), payload


class Cursor(NamedTuple):
    """
    Where a record begins.

    @ivar position: in its sector, or a part of that.
    @ivar offset: of its payload in the output.
    """

    position: int
    offset: int


def scan(
    signature: FileSignature, sector: bytes, begin: Cursor
) -> Iterator[tuple[int, Header]]:
    """
    The records of a sector from one on and their positions in it, each where the one
    before says that it must be. Their payloads are not looked at.
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
    From where to where the newest records of a sector go that are intact; L{None}
    if none is.

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
    Which record from C{begin} on holds the byte at C{offset}.

    The same as to L{scan} up to there, but several times as fast.

    @raise LogDamaged: if one before it is damaged.
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
    The chunks of a sector from C{offset} up to C{end}, or up to what is damaged, but
    no more than L{RECORDS}.

    @param begin: the record that holds the byte at C{offset}.
    @raise LogDamaged: if that is damaged.
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
