"""C{Range} on an output (RFC 9110, 14; RFC 8673 while the output grows)."""

import re

from attrs import frozen

from shellstream.model.errors import OffsetGone, RangeNotSatisfiable

from .query import MAX_OFFSET

_RANGE = re.compile(r"bytes=\s*([0-9]{0,16})-([0-9]{0,16})\s*", re.ASCII)


@frozen
class Range:
    """
    The part of an output that an answer holds.

    @ivar until: the offset after its last byte.
    @ivar size: the length of the whole output; L{None} while it grows.
    @ivar live: whether some of it is still to come.
    """

    offset: int
    until: int
    size: int | None
    live: bool

    @property
    def content_range(self) -> str:
        size = "*" if self.size is None else str(self.size)
        return f"bytes {self.offset}-{self.until - 1}/{size}"


def resolve(header: str, start: int, end: int, *, ended: bool) -> Range | None:
    """
    The part that a C{Range} header asks for; L{None} if the header is ignored.

    @param start: offset of the oldest byte that is kept.
    @param end: offset after the newest byte.
    @raise RangeNotSatisfiable: if the range begins behind the end of an ended run.
    @raise OffsetGone: if the range begins before the oldest byte kept.
    """
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None  # several ranges, or other units: the client gets the whole
    if match[1]:
        first = int(match[1])
        last = min(int(match[2]), MAX_OFFSET) if match[2] else None
    else:
        first, last = max(start, end - int(match[2])), end - 1
    if last is not None and last < first and match[1]:
        return None
    if ended:
        if first >= end:
            raise RangeNotSatisfiable(first, end)
        last = end - 1 if last is None else min(last, end - 1)
    elif last is None and first < end:
        last = end - 1
    elif first > MAX_OFFSET:
        return None
    elif last is None or last < first:
        last = MAX_OFFSET  # the range is still to be written
    if first < start:
        raise OffsetGone(first, start)
    live = not ended and last >= end
    return Range(first, last + 1, end if ended else None, live)
