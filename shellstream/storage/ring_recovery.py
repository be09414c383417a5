"""
Recovery of an output file whose writer was killed; no I/O here.

L{storage.ring_format} explains the steps.
"""

from collections.abc import Callable
from zlib import crc32

from shellstream.output.log import LogDamaged

from .ring import Ring
from .ring_format import (
    MOST_SMALL,
    SECTOR_HEAD,
    SHIFTS,
    Cursor,
    FileSignature,
    Header,
    boot_of,
    number_of,
    scan,
    sums,
)

#: C{os.pread} of one file: length, position.
Read = Callable[[int, int], bytes]


def recover(read: Read, size: int, boot: bytes, run: str = "") -> Ring:
    """
    The ring of a file.

    @param read: reads from the file.
    @param size: of the file, in bytes.
    @param boot: see L{believed}.
    @param run: the id of the run whose file it is; empty if any will do.
    @raise LogDamaged: if no record in it is intact, or it is the file of another run.
    """
    if not size:  # its writer was killed before it wrote anything
        return Ring.from_sectors(FileSignature.of(0, 0), [], 0, 0, 0)
    signature = _find_signature(read, size)
    heads: list[tuple[Header, int]] = []
    slots = -(-size // signature.sector)
    for slot in range(slots):
        head = Header.at(read(SECTOR_HEAD, slot * signature.sector))
        if head is not None and head.signature == signature:
            if signature.head and run and head.time not in (0, number_of(run)):
                raise LogDamaged("this is the output of another run")
            heads.append((head, slot))
    heads.sort(key=lambda each: each[0].offset, reverse=True)
    for index, (head, slot) in enumerate(heads):
        sector = read(signature.sector, slot * signature.sector)
        end = end_of(signature, sector, head.offset, believed(sector, boot))
        if end is not None:
            chain = [(head, slot)]
            # A sector that does not fit in between was being overwritten.
            whole = not signature.head or boot_of(sector) == boot
            most = 1 if whole else slots
            for each in heads[index + 1 :]:
                if chain[-1][0].follows(each[0], most):
                    chain.append(each)
            start = chain[-1][0].offset
            sectors = [(head.offset, slot) for head, slot in reversed(chain)]
            return Ring.from_sectors(signature, sectors, start, end, size)
    raise LogDamaged("no part of the output that was kept is intact")


def believed(sector: bytes, boot: bytes) -> int:
    """
    Up to where those records of a sector are believed that are not checked whole.

    @param boot: the id of this boot; empty if it is not known.
    """
    head = Header.at(sector)
    if head is None:
        return 0
    if not head.signature.head:  # of version 1
        return len(sector)
    refuted, end = False, 0
    for sequence, size, found in sums(sector):
        covered = sector[SECTOR_HEAD : SECTOR_HEAD + size]
        # Of a file that was cut short a sum tells nothing.
        if sequence == head.sequence and size and len(covered) == size:
            if crc32(covered) == found:
                end = max(end, SECTOR_HEAD + size)
            else:
                refuted = True
    return end if refuted or boot_of(sector) != boot else len(sector)


def end_of(
    signature: FileSignature, sector: bytes, offset: int, sure: int
) -> int | None:
    """
    Return the end of the last intact record of a sector; L{None} without one.

    @param offset: of the first payload.
    @param sure: see L{Header.is_intact}.
    """
    end = None
    for position, header in scan(signature, sector, Cursor(signature.head, offset)):
        if header.is_intact(sector, position, sure):
            end = header.end
    return end


def _find_signature(read: Read, size: int) -> FileSignature:
    # Largest sectors first: where one of them could begin, one of any size could, and
    # output in the middle of a large sector is not taken for the header of a small one.
    # No more places are tried than there can be: in 64 MiB of anything, to read one in
    # each 512 bytes took a second.
    for shift in reversed(SHIFTS):
        stop = size if shift == SHIFTS[-1] else min(size, MOST_SMALL << shift)
        for position in range(0, stop, 1 << shift):
            head = Header.at(read(SECTOR_HEAD, position))
            if head is not None and not position % head.signature.sector:
                return head.signature
    raise LogDamaged("no part of the output that was kept is intact")
