"""
Read the formats C{frames} and C{ndjson}: bytes in, events out, no I/O.

Each decoder keeps the one thing that a reader has to know to go on elsewhere:
the offset of the next byte. What it makes of the stream does not depend on how
the stream was cut into pieces.
"""

import json
from abc import ABC, abstractmethod
from binascii import a2b_base64
from typing import Any

from .events import Begun, End, Event, Gap, Output, Ping

#: The largest record beside output that is read, in bytes; the server's are
#: smaller by far.
MAX_RECORD = 1 << 20

_STREAMS = {1: "stdout", 2: "stderr"}
_HEADER = 8


class DecodeError(ValueError):
    """These bytes are not what the format says, or not what it said before."""


class _Decoder(ABC):
    """
    Sees that no byte is missing, or said twice, without a word about it.

    @ivar offset: of the next byte; L{None} until the stream has said it.
    @ivar ended: whether the end record was read.
    """

    def __init__(self, offset: int | None = None, *, partial: bool = False) -> None:
        """
        @param offset: where the stream was asked to begin, if that is known.
        @param partial: whether only one of the two streams was asked for; what is
            left out shows as offsets that go up.
        """
        self.offset = offset
        self.ended = False
        self._partial = partial
        self._held = bytearray()

    @abstractmethod
    def feed(self, data: bytes) -> list[Event]:
        """
        All that can be told by now.

        @raise DecodeError: if it is not what was to come.
        """

    def _output(self, stream: str, data: bytes, time: str | None = None) -> Output:
        assert self.offset is not None
        event = Output(self.offset, stream, data, time)
        self.offset += len(data)
        return event

    def _at(self, offset: int) -> None:
        """What comes next is at this offset."""
        expected = offset if self.offset is None else self.offset
        if offset < expected or (offset > expected and not self._partial):
            raise DecodeError(f"offset {offset} where {expected} was to come")
        self.offset = offset

    def _told(self, fields: dict[str, Any]) -> Event | None:
        """A record that is no output; L{None} for one that is not known here."""
        try:
            match fields["type"]:
                case "run":
                    event = Begun(
                        str(fields["run"]),
                        str(fields["command"]),
                        _whole(fields["offset"]),
                    )
                    self._at(event.offset)
                    return event
                case "ping":
                    self._at(_whole(fields["offset"]))
                    return Ping(_whole(fields["offset"]))
                case "gap":
                    gap = Gap(_whole(fields["offset"]), _whole(fields["end"]))
                    self._at(gap.offset)
                    if gap.end <= gap.offset:
                        raise DecodeError(f"a gap from {gap.offset} to {gap.end}")
                    self.offset = gap.end
                    return gap
                case "end":
                    end = End(
                        str(fields["state"]),
                        _code(fields["code"]),
                        fields["signal"] and str(fields["signal"]),
                        fields["reason"] and str(fields["reason"]),
                        _whole(fields["offset"]),
                    )
                    self._at(end.offset)
                    self.ended = True
                    return end
        except KeyError as error:
            raise DecodeError(f"a record without {error}: {fields}") from None
        return None


class FrameDecoder(_Decoder):
    """
    C{application/vnd.shellstream.frames}: stream, 3 zero bytes, length, payload.

    Output is told as it comes, whether its frame is complete or not.
    """

    _stream = ""
    _left = 0  # of the payload of an output frame
    _wanted = _HEADER  # until what is held makes sense

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        position, size = 0, len(data)
        while position < size:
            if self._left:
                piece = data[position : position + self._left]
                self._left -= len(piece)
                position += len(piece)
                events.append(self._output(self._stream, piece))
                continue
            if self.ended:
                raise DecodeError("there is more behind the end")
            held = self._held
            piece = data[position : position + self._wanted - len(held)]
            held += piece
            position += len(piece)
            if len(held) < self._wanted:
                break
            if self._wanted > _HEADER:
                event = self._told(_object(held[_HEADER:]))
                events += [] if event is None else [event]
                self._wanted = _HEADER
            elif self._record_follows(held):
                continue
            held.clear()
        return events

    def _record_follows(self, head: bytearray) -> bool:
        number, length = head[0], int.from_bytes(head[4:], "big")
        if head[1:4] != b"\0\0\0" or number > max(_STREAMS):
            raise DecodeError(f"no frame begins with {bytes(head)!r}")
        if number == 0:
            if not 0 < length <= MAX_RECORD:
                raise DecodeError(f"a record of {length} bytes")
            self._wanted = _HEADER + length
            return True
        if self.offset is None:
            raise DecodeError("output before its offset was told")
        self._stream, self._left = _STREAMS[number], length
        return False


class NdjsonDecoder(_Decoder):
    """C{application/x-ndjson}: an object a line, with the time of each."""

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._held:
                line, self._held = bytes(self._held) + line, bytearray()
            if self.ended:
                raise DecodeError("there is more behind the end")
            event = self._line(line)
            events += [] if event is None else [event]
        self._held += rest
        if len(self._held) > MAX_RECORD:
            raise DecodeError(f"a line of more than {MAX_RECORD} bytes")
        return events

    def _line(self, line: bytes) -> Event | None:
        fields = _object(line)
        if "type" in fields:
            return self._told(fields)
        try:
            if "text" in fields:
                data = fields["text"].encode()
            else:
                data = a2b_base64(fields["base64"], strict_mode=True)
            offset, stream = fields["offset"], fields["stream"]
            time = str(fields["time"])
        except KeyError as error:
            raise DecodeError(f"a record without {error}: {fields}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise DecodeError(f"a record that is no output: {error}") from None
        self._at(_whole(offset))
        if stream not in _STREAMS.values():
            raise DecodeError(f"output on the stream {stream!r}")
        return self._output(stream, data, time)


def _object(payload: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a record that is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise DecodeError(f"a record that is no object: {payload[:80]!r}")
    return found


def _whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise DecodeError(f"{value!r} is no offset")


def _code(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise DecodeError(f"{value!r} is no exit code")
