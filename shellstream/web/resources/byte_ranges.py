"""
Parts of an output, and its entity tags (RFC 9110, 14; RFC 8673 while it grows).

The entity tag of an output tells how long the output was. What is written is never
changed, so that an older tag still names a beginning of it.
"""

import re

from attrs import frozen

from shellstream.model.errors import OffsetGone, RangeNotSatisfiable
from shellstream.output.interfaces import IRun
from shellstream.web.server.request import Request

from .query import MAX_OFFSET

#: The entity tag of an output: its run, and how long it was.
_TAG = re.compile(r'"([0-9a-f-]{36})-([0-9]{1,19})"', re.ASCII)

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
    last: int | None
    if match[1]:
        first = int(match[1])
        last = min(int(match[2]), MAX_OFFSET) if match[2] else None
        if last is not None and last < first:
            return None
    else:
        suffix = int(match[2])
        if suffix == 0:
            raise RangeNotSatisfiable(end, end)
        first, last = max(start, end - suffix), max(end - 1, 0)
    if ended:
        if first == end == 0:
            return None  # no header could say which part of nothing this is
        if first >= end:
            raise RangeNotSatisfiable(first, end)
        last = end - 1 if last is None else min(last, end - 1)
    elif last is None and 0 == first < end:
        # How much there is by now: RFC 8673, 2.1, has clients ask so.
        last = end - 1
    elif first > MAX_OFFSET:
        return None
    elif last is None or last < first:
        # A client that has some of it goes on, as curl -C - does. It would take a part
        # that ends here for the rest.
        last = MAX_OFFSET
    if first < start:
        raise OffsetGone(first, start)
    live = not ended and last >= end
    return Range(first, last + 1, end if ended else None, live)


def tag_of(run: IRun) -> str:
    """The entity tag of a run's plain output."""
    return f'"{run.record.id}-{run.log.end}"'


def is_tag_of(run: IRun, tag: str) -> bool:
    """Whether an entity tag was sent with some of this run's output."""
    found = _TAG.fullmatch(tag)
    ours = found is not None and found[1] == run.record.id
    return found is not None and ours and int(found[2]) <= run.log.end


def wanted_range(request: Request, run: IRun, *, follow: bool) -> Range | None:
    """The part of the output that a request asks for by C{Range}, if it does."""
    request.set_headers({"Accept-Ranges": "bytes"})
    header = request.header("range")
    if header is None or request.method != b"GET":
        return None
    condition = request.header("if-range")
    if condition is not None and not is_tag_of(run, condition):
        return None
    log, complete = run.log, run.record.state.ended or not follow
    return resolve(header, log.start, log.end, ended=complete)
