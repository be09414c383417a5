"""Finding where the last lines of an output begin."""

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

from .log import OutputLog

#: How much is read at once, in bytes.
BLOCK = 1 << 16


def tail(log: OutputLog, lines: int, only: Stream | None = None) -> int:
    """
    The offset at which the last C{lines} lines begin, as tail(1) counts them.

    @param only: the one stream whose lines count; L{None} for both.
    @raise OffsetGone: if the log drops them meanwhile.
    """
    if lines == 0:
        return log.end
    found = 0
    last = True  # a newline at the very end does not begin another line
    until = log.end
    while until > log.start:
        begin = max(log.start, until - BLOCK)
        for chunk in reversed(_between(log, begin, until)):
            if only in (None, chunk.stream):
                position = len(chunk.data)
                if last and chunk.data.endswith(b"\n"):
                    position -= 1
                last = False
                while (position := chunk.data.rfind(b"\n", 0, position)) >= 0:
                    found += 1
                    if found == lines:
                        return chunk.offset + position + 1
        until = begin
    return log.start


def _between(log: OutputLog, begin: int, until: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    while begin < until:
        read = log.read(begin, until - begin)
        if not read:
            raise OffsetGone(begin, log.start)
        chunks += (each.until(until) for each in read if each.offset < until)
        begin = read[-1].end
    return chunks
