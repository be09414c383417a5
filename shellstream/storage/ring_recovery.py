"""
Recovery of an output file whose writer was killed; no I/O here.

L{storage.ring_format} explains the steps.
"""

from collections.abc import Callable

from shellstream.output.log import LogDamaged

from .ring import Ring
from .ring_format import HEADER, SHIFTS, FileSignature, Header, newest_intact

#: C{os.pread} of one file: length, position.
Read = Callable[[int, int], bytes]


def recover(read: Read, size: int) -> Ring:
    """
    The ring of a file.

    @param read: reads from the file.
    @param size: of the file, in bytes.
    @raise LogDamaged: if no record in it is intact.
    """
    if not size:  # its writer was killed before it wrote anything
        return Ring.from_sectors(FileSignature.of(0, 0), [], 0, 0, 0)
    signature = _find_signature(read, size)
    heads: list[tuple[Header, int]] = []
    for slot in range(-(-size // signature.sector)):
        head = Header.at(read(HEADER, slot * signature.sector))
        if head is not None and head.signature == signature:
            heads.append((head, slot))
    heads.sort(key=lambda each: each[0].offset, reverse=True)
    for index, (head, slot) in enumerate(heads):
        sector = read(signature.sector, slot * signature.sector)
        span = newest_intact(signature, sector, head.offset)
        if span is not None:
            start, end = span
            chain = [(head, slot)]
            if start == head.offset:
                # A sector that does not fit in between was being overwritten.
                for each in heads[index + 1 :]:
                    if chain[-1][0].follows(each[0]):
                        chain.append(each)
                start = chain[-1][0].offset
            sectors = [(head.offset, slot) for head, slot in reversed(chain)]
            return Ring.from_sectors(signature, sectors, start, end, size)
    raise LogDamaged("no part of the output that was kept is intact")


def _find_signature(read: Read, size: int) -> FileSignature:
    # Largest sectors first: where one of them could begin, one of any size could, and
    # output in the middle of a large sector is not taken for the header of a small one.
    for shift in reversed(SHIFTS):
        for position in range(0, size, 1 << shift):
            head = Header.at(read(HEADER, position))
            if head is None or position % head.signature.sector:
                continue
            if head.is_intact(read(HEADER + head.length, position), 0):
                return head.signature
    raise LogDamaged("no part of the output that was kept is intact")
