"""Finding where the last lines of an output begin."""

from collections.abc import AsyncIterator

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

from .fair_turns import FairTurns
from .log import OutputLog

#: How much is looked through before what comes earlier, in bytes.
BLOCK = 1 << 16


async def tail(
    log: OutputLog, lines: int, turns: FairTurns, only: Stream | None = None
) -> int:
    """
    The offset at which the last C{lines} lines begin, as tail(1) counts them.

    An output of millions of small chunks takes seconds to look through. So each read,
    of some milliseconds at most, has a turn of its own, and no chunk is kept.

    @param only: the one stream whose lines count; L{None} for both.
    """
    if lines == 0:
        return log.end
    leave = log.subscribe(lambda: None)  # or another viewer's end would close it
    try:
        return await _tail(log, lines, turns, only)
    except OffsetGone:  # the log has dropped the rest meanwhile
        return log.start
    finally:
        leave()


async def _tail(
    log: OutputLog, lines: int, turns: FairTurns, only: Stream | None
) -> int:
    wanted: int | None = None  # how many newlines back; known at the last byte
    until = log.end
    while until > log.start:
        begin = max(log.start, until - BLOCK)
        found, last = 0, b""
        async for chunk in _chunks(log, begin, until, turns, only):
            found += chunk.data.count(b"\n")
            last = chunk.data[-1:]
        if wanted is None and last:
            # A newline at the very end does not begin another line.
            wanted = lines + (last == b"\n")
        if wanted is not None:
            if found >= wanted:
                chunks = _chunks(log, begin, until, turns, only)
                return await _after_newline(chunks, found - wanted)
            wanted -= found
        until = begin
    return log.start


async def _chunks(
    log: OutputLog, begin: int, until: int, turns: FairTurns, only: Stream | None
) -> AsyncIterator[Chunk]:
    """Chunks from one offset to another; each read has a turn."""
    while begin < until:
        await turns.turn()
        read = log.read(begin, until - begin)
        if not read:
            raise OffsetGone(begin, log.start)
        for each in read:
            if each.offset < until and only in (None, each.stream):
                yield each.until(until)
        begin = read[-1].end


async def _after_newline(chunks: AsyncIterator[Chunk], skip: int) -> int:
    """The offset after a newline, before which there are C{skip} others."""
    async for chunk in chunks:
        count = chunk.data.count(b"\n")
        if skip < count:
            position = -1
            for _ in range(skip + 1):
                position = chunk.data.index(b"\n", position + 1)
            return chunk.offset + position + 1
        skip -= count
    raise AssertionError("the newline was counted before")
