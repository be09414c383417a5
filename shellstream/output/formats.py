"""
How output looks on the wire: plain bytes, server-sent events, NDJSON, frames.

Formats are pure: values in, bytes out. They need to know nothing of a viewer but its
offset. A reader learns the same from every format but plain: which bytes came on which
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
from shellstream.model.run_record import end_document

from .json_records import Fields, records, to_json
from .log import READ_SIZE

#: Where to stop encoding though there is more, in bytes on the wire. One byte of
#: output can become a record of a hundred: to limit what is read is not enough.
WIRE_LIMIT = 96 * 1024

#: The largest offset there can be: stores and other languages have 64 bits.
MAX_OFFSET = 2**63 - 1

#: Stream, 3 zero bytes, length of the payload: the header of C{docker attach}'s stream
#: (Docker Engine API, ContainerAttach), for which clients have decoders.
_HEADER = struct.Struct(">B3xI")
_NUMBERS = {Stream.STDOUT: 1, Stream.STDERR: 2}

_EVENT_ID = re.compile(r"([0-9]{1,19})(?:@([0-9A-Za-z-]{1,64}))?")

#: When an EventSource connects again, in milliseconds. It does so after the end of a
#: run too, only to get the end again: a day later is as good as never.
_RETRY, _RETRY_ENDED = 1000, 86_400_000


class Format(ABC):
    """
    A media type, and how the events of a run are written in it.

    A format that has no record for a gap, a ping or the end writes nothing for it.

    @cvar name: its name in C{?format=}.
    @cvar content_type: the value of the header C{Content-Type}.
    @cvar read_size: about how much output to pass to C{output} at a time, in bytes.
        The result is then less than 128 KiB, however far the output swells.
    @cvar pings: whether a silent stream is kept open by C{ping}.
    @cvar verbatim: whether output is the bytes themselves.
    """

    name: ClassVar[str]
    content_type: ClassVar[str]
    read_size: ClassVar[int]
    pings: ClassVar[bool] = True
    verbatim: ClassVar[bool] = False

    @property
    def media_type(self) -> str:
        """The content type without parameters, as C{Accept} has it."""
        return self.content_type.partition(";")[0]

    def naming_run(self, run: str) -> "Format":
        """
        This format for an address that does not name its run, such as C{/stream}.

        If a reader of this format reconnects by itself, it then names the run.
        """
        return self

    def begin(self, run: str, command: str, offset: int) -> bytes:
        """What comes first, for a viewer that begins at C{offset}."""
        return b""

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
        Encode output.

        Not all of it may be encoded: a result is bounded, and a character that is not
        complete yet is left for the next time. Of more than 3 bytes at least one is
        encoded.

        @param chunks: contiguous; the first begins at C{offset}.
        @param final: whether nothing will ever follow them.
        @param only: leave out the other stream. Offsets count it nevertheless.
        @return: bytes for the wire, and the offset from which to go on.
        """

    def gap(self, gap: Gap) -> bytes:
        """Bytes are missing here."""
        return b""

    def ping(self, offset: int) -> bytes:
        """A sign of life; C{offset} is that of the next byte."""
        return b""

    def end(self, end: End) -> bytes:
        """How the run ended. Without this record a stream was cut."""
        return b""


@frozen
class Plain(Format):
    """The bytes themselves and nothing else."""

    name = "plain"
    content_type = "text/plain; charset=utf-8"
    read_size = READ_SIZE  # the usual chunk of fast output, whole
    pings = False
    verbatim = True

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        wanted = [chunk.data for chunk in chunks if only in (None, chunk.stream)]
        return b"".join(wanted), chunks[-1].end if chunks else offset


class _JsonFormat(Format):
    """Output, and all else with a C{type}, as JSON objects."""

    read_size = 16 * 1024

    @abstractmethod
    def _write(self, fields: Fields, offset: int) -> bytes:
        """One object; C{offset} is where to go on after it."""

    def output(
        self,
        chunks: Sequence[Chunk],
        offset: int,
        *,
        final: bool,
        only: Stream | None = None,
    ) -> tuple[bytes, int]:
        # A chunk is up to 128 KiB long, and JSON makes six characters of a byte.
        stop = offset + self.read_size
        some = [each.until(stop) for each in chunks if each.offset < stop]
        final = final and (not some or some[-1].end == chunks[-1].end)
        written = (
            (b"" if fields is None else self._write(fields, end), end)
            for fields, end in records(some, final=final, only=only)
        )
        return _fit(written, offset)

    def gap(self, gap: Gap) -> bytes:
        size = gap.end - gap.offset
        fields = {"type": "gap", "offset": gap.offset, "end": gap.end, "bytes": size}
        return self._write(fields, gap.end)

    def ping(self, offset: int) -> bytes:
        return self._write({"type": "ping", "offset": offset}, offset)

    def end(self, end: End) -> bytes:
        return self._write({"type": "end", **end_document(end)}, end.offset)


@frozen
class Sse(_JsonFormat):
    """
    Server-sent events (WHATWG HTML, 9.2), with the objects of L{Ndjson}.

    An event's id is the offset after it. An EventSource that reconnects after a cut
    sends the last id back as C{Last-Event-ID}.

    @ivar run: part of the ids, as C{OFFSET@RUN}. An EventSource reconnects to the
        address that it was given; if that address starts runs, only the id shows that
        it wants the old one.
    """

    name = "sse"
    content_type = "text/event-stream; charset=utf-8"

    run: str | None = None

    def naming_run(self, run: str) -> Format:
        return Sse(run)

    def begin(self, run: str, command: str, offset: int) -> bytes:
        # An event without data is not dispatched, yet its id is kept: a client that is
        # cut off before the first output comes back to the same run, too.
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
class Ndjson(_JsonFormat):
    """One JSON object a line."""

    name = "ndjson"
    content_type = "application/x-ndjson"

    def _write(self, fields: Fields, offset: int) -> bytes:
        return to_json(fields) + b"\n"


@frozen
class Frames(_JsonFormat):
    """
    Frames, as in Docker's multiplexed stream: a header of stream (1 byte), 3 zero bytes
    and length (4 bytes, big-endian), then the payload. Stream 0 carries JSON.

    A reader counts payloads to know its offset. Where output was left out, a ping gives
    it the right one.
    """

    name = "frames"
    content_type = "application/vnd.shellstream.frames"
    read_size = READ_SIZE  # the usual chunk of fast output, whole

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


#: The first one that the client accepts is used, all else being equal.
FORMATS: tuple[Format, ...] = (Plain(), Sse(), Ndjson(), Frames())


def parse_last_event_id(text: str) -> tuple[int, str | None]:
    """
    The offset, and the run if it has one, of an id that L{Sse} wrote.

    @raise ParametersRefused: if L{Sse} cannot have written it.
    """
    found = _EVENT_ID.fullmatch(text)
    if found is None or int(found[1]) > MAX_OFFSET:
        detail = "takes the id of an event as it was sent: OFFSET or OFFSET@RUN"
        raise ParametersRefused([RefusedParameter("Last-Event-ID", detail)])
    return int(found[1]), found[2]


def _fit(written: Iterable[tuple[bytes, int]], offset: int) -> tuple[bytes, int]:
    """Join records up to L{WIRE_LIMIT}; the first one always fits."""
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
