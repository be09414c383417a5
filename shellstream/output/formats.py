"""
How output looks on the wire: plain bytes, server-sent events, NDJSON, frames.

Values in, bytes out: all that is to be known of a viewer is its offset. What a
reader makes of the bytes is the same in every format: which bytes came on which
stream, at which offset.
"""

import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import ClassVar

from attrs import frozen

from shellstream.model.errors import ParametersRefused, RefusedParameter
from shellstream.model.events import Chunk, End, Gap, Stream

from .json_records import Fields, end_fields, gap_fields, records, to_json

#: Where to stop writing though there is more, in bytes on the wire. One byte may
#: be a record of a hundred: what was read would not bound what is written.
WIRE_LIMIT = 96 * 1024

#: The largest offset there can be: stores and other languages have 64 bits.
MAX_OFFSET = 2**63 - 1

#: Stream, 3 zero bytes, length of the payload.
_HEADER = struct.Struct(">B3xI")
_NUMBERS = {Stream.STDOUT: 1, Stream.STDERR: 2}

_EVENT_ID = re.compile(r"([0-9]{1,19})(?:@([0-9A-Za-z-]{1,64}))?")

#: In milliseconds. EventSource comes back after the end too, and would be told of
#: it again each time: a day later is as good as never.
_RETRY, _RETRY_ENDED = 1000, 86_400_000


class Format(ABC):
    """
    A media type, and how what happens in a run is written in it.

    @cvar name: what C{?format=} calls it.
    @cvar content_type: the value of the header of that name.
    @cvar read_size: about how much output to give C{output} at a time, in bytes.
        What it returns then is not much more, or less than 128 KiB, however far
        that output swells.
    @cvar pings: whether a silent stream is kept open by C{ping}.
    """

    name: ClassVar[str]
    content_type: ClassVar[str]
    read_size: ClassVar[int]
    pings: ClassVar[bool] = True

    @property
    def media_type(self) -> str:
        """What C{Accept} calls it: the content type without parameters."""
        return self.content_type.partition(";")[0]

    def naming(self, run: str) -> "Format":
        """
        This format for an address that does not name its run, C{/stream}: where
        a reader can come back by itself, it brings along what it came from.
        """
        return self

    @abstractmethod
    def begin(self, run: str, command: str, offset: int) -> bytes:
        """What comes first, for a viewer that begins at C{offset}."""

    @abstractmethod
    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        """
        Bytes for the wire, and the offset up to which they tell the output: go
        on from there. That may be short of what was given: where the wire has
        enough for one time, or before a character that is not complete yet.
        Of more than 3 bytes at least one is taken.

        @param chunks: contiguous; the first begins at C{offset}.
        @param final: whether nothing will ever follow them.
        @param only: leave out the other stream. Offsets count it nevertheless.
        """

    @abstractmethod
    def gap(self, gap: Gap) -> bytes:
        """That bytes are missing here."""

    @abstractmethod
    def ping(self, offset: int) -> bytes:
        """Nothing new, to keep the way open; C{offset} is what comes next."""

    @abstractmethod
    def end(self, end: End) -> bytes:
        """How the run ended. Without it a stream was cut."""


@frozen
class Plain(Format):
    """The bytes themselves, nothing added."""

    name = "plain"
    content_type = "text/plain; charset=utf-8"
    read_size = 64 * 1024
    pings = False

    def begin(self, run: str, command: str, offset: int) -> bytes:
        return b""

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        wanted = (chunk.data for chunk in chunks if only in (None, chunk.stream))
        return b"".join(wanted), chunks[-1].end if chunks else offset

    def gap(self, gap: Gap) -> bytes:
        return b""

    def ping(self, offset: int) -> bytes:
        return b""

    def end(self, end: End) -> bytes:
        return b""


class _Objects(Format):
    """Formats in which what is not output is told as JSON objects with a C{type}."""

    read_size = 16 * 1024

    @abstractmethod
    def _write(self, fields: Fields, offset: int) -> bytes:
        """One object; C{offset} is where to go on after it."""

    def begin(self, run: str, command: str, offset: int) -> bytes:
        return b""

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        # A chunk comes whole, and one record of it might be six times as long.
        stop = offset + self.read_size
        some = [each.until(stop) for each in chunks if each.offset < stop]
        final = final and (not some or some[-1].end == chunks[-1].end)
        written = (
            (b"" if fields is None else self._write(fields, end), end)
            for fields, end in records(some, final=final, only=only)
        )
        return _fit(written, offset)

    def gap(self, gap: Gap) -> bytes:
        return self._write(gap_fields(gap), gap.end)

    def ping(self, offset: int) -> bytes:
        return self._write({"type": "ping", "offset": offset}, offset)

    def end(self, end: End) -> bytes:
        return self._write(end_fields(end), end.offset)


@frozen
class Sse(_Objects):
    """
    Server-sent events (WHATWG HTML, 9.2), with the objects of L{Ndjson}.

    An event's id is the offset after it, which EventSource sends back as
    C{Last-Event-ID} when it comes back after a cut.

    @ivar run: put into the ids, as C{OFFSET@RUN}. EventSource comes back to the
        address that it was given; if that starts runs, only the id tells that no
        new one is wanted.
    """

    name = "sse"
    content_type = "text/event-stream; charset=utf-8"

    run: str | None = None

    def naming(self, run: str) -> Format:
        return Sse(run)

    def begin(self, run: str, command: str, offset: int) -> bytes:
        # Without data nothing is dispatched, yet the id is kept: who is cut off
        # before the first output comes back to the same run, too.
        return b"retry: %d\nid: %b\n\n" % (_RETRY, self._id(offset))

    def ping(self, offset: int) -> bytes:
        return b": ping\n\n"

    def end(self, end: End) -> bytes:
        return b"retry: %d\n%b" % (_RETRY_ENDED, super().end(end))

    def _write(self, fields: Fields, offset: int) -> bytes:
        name = str(fields.get("type", "output")).encode("ascii")
        line = (name, self._id(offset), to_json(fields))
        return b"event: %b\nid: %b\ndata: %b\n\n" % line

    def _id(self, offset: int) -> bytes:
        return b"%d" % offset if self.run is None else f"{offset}@{self.run}".encode()


@frozen
class Ndjson(_Objects):
    """A JSON object a line: output, and what has a C{type}."""

    name = "ndjson"
    content_type = "application/x-ndjson"

    def _write(self, fields: Fields, offset: int) -> bytes:
        return to_json(fields) + b"\n"


@frozen
class Frames(_Objects):
    """
    Bytes behind headers: stream (1 byte), 3 zero bytes, length (4, big-endian).

    The header is that of Docker's multiplexed stream, with JSON on stream 0. A
    reader counts payloads to know its offset, so a ping sets it right after
    whatever was left out.
    """

    name = "frames"
    content_type = "application/vnd.shellstream.frames"
    read_size = 64 * 1024

    def begin(self, run: str, command: str, offset: int) -> bytes:
        fields = {"type": "run", "run": run, "command": command, "offset": offset}
        return self._write(fields, offset)

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        return _fit(self._frames(chunks, only), offset)

    def _frames(
        self, chunks: Iterable[Chunk], only: Stream | None
    ) -> Iterator[tuple[bytes, int]]:
        for stream, group in groupby(chunks, attrgetter("stream")):
            if only in (None, stream):
                for chunk in group:
                    yield _frame(_NUMBERS[stream], chunk.data), chunk.end
            else:
                *_, skipped = group
                yield self.ping(skipped.end), skipped.end

    def _write(self, fields: Fields, offset: int) -> bytes:
        return _frame(0, to_json(fields))


#: In the order in which they are preferred, all else being equal.
FORMATS: tuple[Format, ...] = (Plain(), Sse(), Ndjson(), Frames())


def parse_last_event_id(text: str) -> tuple[int, str | None]:
    """
    The offset, and the run if there is one, of an id that L{Sse} wrote.

    @raise ParametersRefused: if it is none.
    """
    found = _EVENT_ID.fullmatch(text)
    if found is None or int(found[1]) > MAX_OFFSET:
        detail = "takes the id of an event as it was sent: OFFSET or OFFSET@RUN"
        raise ParametersRefused([RefusedParameter("Last-Event-ID", detail)])
    return int(found[1]), found[2]


def _fit(written: Iterable[tuple[bytes, int]], offset: int) -> tuple[bytes, int]:
    """Join what is written up to the limit; what is first always fits."""
    wire: list[bytes] = []
    size = 0
    for data, end in written:
        size += len(data)
        if wire and size > WIRE_LIMIT:
            break
        wire.append(data)
        offset = end
    return b"".join(wire), offset


def _frame(number: int, payload: bytes) -> bytes:
    return _HEADER.pack(number, len(payload)) + payload
