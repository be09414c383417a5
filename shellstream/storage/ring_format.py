"""
The format of an output file: sectors of records; no I/O here.

Theory of operation: the ring file and its recovery
===================================================

The newest bytes of a run's output live in one file of bounded size, written in place.
This was the fastest of what was tried: 674-1147 MB/s, against 407-530 MB/s for files
that are appended to and rotated. Four modules share the work: this one knows the bytes,
L{storage.ring} decides where they go, L{storage.ring_recovery} finds them again, and
L{storage.ring_file} alone does I/O.

The file is an array of sectors of one size, and nothing else. A sector has a head (S),
and holds records behind it. A record is its fields (H), its payload (p) and a check
(c); it never crosses the end of a sector::

    sector 0           sector 1           sector 2
    |SHpppppcHppcHpppc|SHpppppppppppppcHp|SHppppcHppc.....|

There is no index beside the records, no superblock and no journal. Each record says
which bytes of the output it holds, so the heads of the sectors are the index, and a
writer that is killed at any moment leaves nothing to repair.

Writing
-------

 - A chunk goes behind the newest record if its sector has room. Otherwise it begins a
   new sector: one that was given back, one at the end of the file while the file may
   grow, or else the oldest, which is overwritten from its beginning on.
 - Sectors are retired whole, when no byte of them is wanted any more. A sector is an
   eighth of what is kept, so that is also about what the file wastes.
 - Each record costs 34 bytes. If a command writes single bytes, the file may grow to
   four times what was asked for, and from then on keeps less.
 - Before an append is done, it overwrites nothing that could be read when it began, if
   there is any other place: a failed append must not cost older output.
 - If the disk is full, the file keeps its size for good and the ring goes round in it.
   To try again later would leave holes, which need room too.
 - An append returns when the kernel has the bytes (pwritev(2)), and only then does a
   viewer get them. So whatever a viewer was sent survives the death of the daemon.

What can be believed
--------------------

To hash every byte of fast output takes a third of all processor time (XXH3: 0.3 of
0.85 s/GiB). And it is not needed while the machine is up: what the kernel was given is
whole, but for the record that was being written. So there are two checks:

 - The check behind a record is a CRC-32 of its fields and its payload; of more than
   L{WHOLE} bytes, of every 127th. Since it is written last, a record that was being
   written does not have it. It also finds most damage.
 - When a sector is synced (L{RingFile.sync}), a thread for which no chunk waits takes
   the CRC-32 of all of it, and writes this I{sum} into the head. A loss of power leaves
   any mixture of old and new pages: what the sum confirms is what was synced.

A record of up to L{WHOLE} bytes is believed if it has its check. A longer one needs
more. The head has the id of the boot of its writer: in a file of this boot, it is
believed if no sum refutes its sector; after another, only if a sum confirms it. A head
has places for two sums, written in turn: while one is being replaced, what was synced
before is confirmed by the other.

Reading
-------

The ring in memory knows the first offset of each sector. To read at any offset takes
one pread(2) of at most a sector, and a walk along the records to the right one; where a
reader went on is remembered, so that its next read need not walk again. Checks are
compared on every read, sums when a file that was found (not one that is being written)
is read for the first time in a sector. Damage is reported with the offset of the next
intact sector.

Recovery
--------

After a restart only the file is there. It is read in three steps:

 1. Find the signature. Its bytes at the beginning of a sector name the sector size,
    and the head's check has to fit. Larger sizes are tried first, since where a large
    sector could begin, a smaller one could too.
 2. Read the head of every sector. Those with another signature, or cut short, are left
    out. The one with the highest offset is the newest sector.
 3. The output ends with the last record of the newest sector that can be believed. From
    there go back: the sector before it has the next lower sequence number and ends
    where this one begins, as far as their offsets tell. Sectors that do not fit are
    skipped: they were being overwritten. After another boot sectors may be lost though
    newer ones are there; these are passed over, and a reader finds a gap. Payloads of
    older sectors are not read now; damage in them is found by the reader.

If no record of the newest sector is intact, the next newest is tried.

What keeps old or foreign bytes from being taken for records:

 - Of an earlier record in the same sector: it has another sequence number.
 - Of another file, or output that looks like a record, by chance or by intent: the
   signature has a random salt.
 - Of another run's file in the place of this one: each head has a number of its run.
 - Of damage: checks and sums.

Version 1
---------

Files of earlier versions have no heads of sectors, and an XXH3 checksum of each
record before its payload. They are read, but this checksum is not compared.
"""

import sys
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from shellstream.model.events import Chunk, Stream
from shellstream.output.log import LogDamaged

_STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}

#: The fields of a record, as in L{Header}, and the check behind its payload.
_FIELDS = Struct("<2sBIHBIQq")
_CHECK = Struct("<I")

#: What a record takes beside its payload, in bytes.
FRAME = _FIELDS.size + _CHECK.size

#: The head of a sector: a record whose code is 0, whose time is the number of its run
#: (L{number_of}), and whose payload is the id of a boot, and two sums: sequence, number
#: of covered bytes, their CRC-32.
BOOT_ID = 16
_SUM = Struct("<HII")
_SUMS = FRAME + BOOT_ID
SECTOR_HEAD = _SUMS + 2 * _SUM.size

#: A record as L{seek} needs it: the prefix that all of a sector share (signature and
#: sequence), length and offset.
_CHAIN = Struct("<9sxIQ")
_PREFIX = Struct("<2sBIH")

_MAGIC, _MAGIC_1 = b"\xc5s", b"\xc5r"
SHIFTS = range(9, 19)
#: The most sectors of a file, unless they have the largest size: each is a sixteenth of
#: what is kept or more, and the file grows to four times that and four sectors.
MOST_SMALL = 68
SEQUENCES = 1 << 16

#: Up to this size all bytes of a payload are checked. A page of the kernel is no
#: smaller, so only a longer one can lose something from its middle.
WHOLE, _STEP = 1 << 12, 127

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

    @property
    def head(self) -> int:
        """The size of the head of a sector, in bytes."""
        return SECTOR_HEAD if self.magic == _MAGIC else 0


class Header(NamedTuple):
    """
    The fields of a record: a L{FileSignature}, and others of its own.

    @ivar sequence: counts the sectors in the order in which they were begun, modulo
        2**16. It shows that a sector between two others is missing, or that a record
        is left from what the sector held before.
    @ivar code: of the stream; 0 in the head of a sector.
    @ivar length: of the payload, in bytes.
    @ivar offset: of the payload in the output.
    @ivar time: see L{Chunk}; in the head of a sector, see L{number_of}.
    """

    magic: bytes
    shift: int
    salt: int
    sequence: int
    code: int
    length: int
    offset: int
    time: int

    @classmethod
    def at(cls, data: bytes) -> "Header | None":
        """The fields with which a sector may begin; L{None} if none can."""
        if len(data) < FRAME:
            return None
        header = cls._make(_FIELDS.unpack_from(data))
        if header.shift not in SHIFTS:
            return None
        if header.magic == _MAGIC_1:
            return header if header.code in _STREAMS else None
        head = header.code == 0 and header.length == BOOT_ID
        known = header.magic == _MAGIC and head and header.is_intact(data, 0, 0)
        return header if known else None

    @property
    def signature(self) -> FileSignature:
        return FileSignature._make(self[:3])

    @property
    def end(self) -> int:
        return self.offset + self.length

    def payload(self, position: int) -> int:
        """Where the payload begins of a record that begins at C{position}."""
        return position + (_FIELDS.size if self.magic == _MAGIC else FRAME)

    def follows(self, older: "Header", most: int = 1) -> bool:
        """
        Whether C{older} comes right before this one, if both begin sectors; or before
        it, with less than C{most} others between them.
        """
        room = self.signature.sector - self.signature.head - FRAME
        distance = (self.sequence - older.sequence) % SEQUENCES
        between = self.offset - older.offset
        return 0 < distance <= most and distance <= between <= distance * room

    def is_intact(self, data: bytes, position: int, sure: int) -> bool:
        """
        Whether the record that begins there has its check, and that suffices.

        @param sure: up to where records are believed that are not checked whole.
        """
        stop = position + FRAME + self.length
        if stop > len(data) or (self.length > WHOLE and stop > sure):
            return False
        if self.magic == _MAGIC_1:
            return True
        begin = position + _FIELDS.size
        check = _check(data[position:begin], data, begin, stop - _CHECK.size)
        return data[stop - _CHECK.size : stop] == check


def _check(fields: bytes, data: bytes, begin: int, end: int) -> bytes:
    payload = data[begin : end : 1 if end - begin <= WHOLE else _STEP]
    return _CHECK.pack(crc32(payload, crc32(fields)))


class Extent(NamedTuple):
    """
    The place in the file of a record that is about to be written.

    @ivar position: where in the file it begins, with the head of its sector if it is
        the first one there.
    @ivar sequence: see L{Header}.
    @ivar offset: of its payload in the output.
    @ivar size: of its payload.
    @ivar head: the size of the head of the sector, if it is the first one; else 0.
    """

    position: int
    sequence: int
    offset: int
    size: int
    head: int = 0

    @property
    def stop(self) -> int:
        """Where in the file the record ends."""
        return self.position + self.head + FRAME + self.size


def encode(
    signature: FileSignature, sequence: int, chunk: Chunk, begin: int, end: int
) -> tuple[bytes, bytes | memoryview, bytes]:
    """A record that holds the bytes of a chunk from C{begin} to C{end}."""
    magic, shift, salt = signature
    data = chunk.data
    code = 1 if chunk.stream is Stream.STDOUT else 2
    offset = chunk.offset + begin
    sequence %= SEQUENCES
    fields = _FIELDS.pack(
        magic, shift, salt, sequence, code, end - begin, offset, chunk.time
    )
    whole = end - begin <= WHOLE
    checked = data[begin:end] if whole else data[begin:end:_STEP]
    check = _CHECK.pack(crc32(checked, crc32(fields)))
    return fields, checked if whole else memoryview(data)[begin:end], check


def number_of(run: str) -> int:
    """
    What tells the files of different runs apart; 0 if the run is not named. It only has
    to find a file in the place of another.
    """
    return crc32(run.encode())


def sector_head(
    signature: FileSignature, extent: Extent, boot: bytes, run: str = ""
) -> bytes:
    """The head of the sector that begins with this record."""
    sequence = extent.sequence % SEQUENCES
    fields = _FIELDS.pack(
        *signature, sequence, 0, BOOT_ID, extent.offset, number_of(run)
    )
    boot = boot.ljust(BOOT_ID, b"\0")
    head = fields + boot + _check(fields, boot, 0, BOOT_ID)
    return head.ljust(SECTOR_HEAD, b"\0")


def sums(sector: bytes) -> list[tuple[int, int, int]]:
    """The sums in the head of a sector: sequence, number of covered bytes, CRC-32."""
    head = sector[:SECTOR_HEAD].ljust(SECTOR_HEAD, b"\0")
    return list(_SUM.iter_unpack(head[_SUMS:]))


def boot_of(sector: bytes) -> bytes:
    """The id of the boot in which a sector was begun."""
    return sector[_FIELDS.size :][:BOOT_ID]


def sum_of(sequence: int, covered: bytes, turn: int) -> tuple[bytes, int]:
    """
    The sum of what is behind the head of a sector, and where in the head it goes.

    @param turn: counts the times that this sector is summed.
    """
    made = _SUM.pack(sequence % SEQUENCES, len(covered), crc32(covered))
    return made, _SUMS + turn % 2 * _SUM.size


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
    The records of a sector from one on: their positions in it, and their fields.

    It ends where the record before does not fit the next. Payloads are not checked.
    """
    position, offset = begin
    prefix, last = None, len(sector) - FRAME
    while position <= last:
        header = Header._make(_FIELDS.unpack_from(sector, position))
        prefix = prefix or (*signature, header.sequence)
        fits = header[:4] == prefix and header.offset == offset and header.length
        if not fits or header.code not in _STREAMS:
            return
        yield position, header
        offset = header.end
        position += FRAME + header.length


def seek(signature: FileSignature, sector: bytes, begin: Cursor, offset: int) -> Cursor:
    """
    The record that holds the byte at C{offset}, looked for from C{begin} on.

    It does what L{scan} would, several times as fast: a reader of single bytes that
    begins in the middle of a large sector passes thousands of records.

    @raise LogDamaged: if a record before it is damaged.
    """
    position, first = begin
    unpack, last, prefix = _CHAIN.unpack_from, len(sector) - FRAME, None
    while position <= last:
        found, length, there = unpack(sector, position)
        prefix = prefix or _PREFIX.pack(*signature, _PREFIX.unpack(found)[-1])
        if found != prefix or there != first or not length:
            break
        if first + length > offset:
            return Cursor(position, first)
        first += length
        position += FRAME + length
    raise _damaged(offset)


def decode(
    signature: FileSignature,
    sector: bytes,
    begin: Cursor,
    offset: int,
    end: int,
    sure: int = sys.maxsize,
) -> tuple[list[Chunk], Cursor]:
    """
    The chunks of a sector from C{offset} up to C{end}, or up to the first damage, but
    at most L{RECORDS}; and the record that holds the byte behind them.

    @param begin: the record that holds the byte at C{offset}.
    @param sure: see L{Header.is_intact}.
    @raise LogDamaged: if that record is damaged.
    """
    chunks: list[Chunk] = []
    for position, header in scan(signature, sector, begin):
        if header.offset >= end or len(chunks) == RECORDS:
            break
        if not header.is_intact(sector, position, sure):
            break
        payload = header.payload(position)
        data = sector[payload : payload + header.length]
        chunk = Chunk(header.offset, _STREAMS[header.code], header.time, data)
        chunks.append(chunk.since(max(offset, chunk.offset)).until(end))
        if header.end <= end:
            begin = Cursor(position + FRAME + header.length, header.end)
    if not chunks:
        raise _damaged(offset)
    return chunks, begin


def _damaged(offset: int) -> LogDamaged:
    return LogDamaged(f"the output kept at offset {offset} is damaged")
