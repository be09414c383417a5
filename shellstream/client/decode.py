"""
Decoders of the formats C{frames} and C{ndjson}: bytes in, events out, no I/O.

Each decoder knows the offset of the next byte, with which another connection can
resume. Its events do not depend on how the network cut the stream into pieces.
"""

import json
from abc import ABC, abstractmethod
from binascii import a2b_base64
from typing import Any

from .events import Begun, End, Event, Gap, Output, Ping

#: The largest control record that is accepted, in bytes; the server's are far smaller.
MAX_RECORD = 1 << 20

#: The largest offset, and the longest name or time, that is accepted.
MAX_OFFSET, MAX_WORD = (1 << 63) - 1, 100

#: The stream numbers of a frame's header; 0 is a control record.
_STREAMS = {1: "stdout", 2: "stderr"}
_HEADER = 8


class DecodeError(ValueError):
    """The bytes break the format, or contradict earlier ones."""


class _Decoder(ABC):
    """
    Checks that no byte is missing or repeated.

    @ivar offset: of the next byte; L{None} until the stream has told it.
    @ivar ended: whether the end record was read.
    """

    def __init__(self, offset: int | None = None, *, partial: bool = False) -> None:
        """
        @param offset: where the stream should begin, if that is known.
        @param partial: whether only stdout or only stderr was asked for; offsets then
            skip the bytes of the other one.
        """
        self.offset = offset
        self.ended = False
        self._partial = partial
        self._buffer = bytearray()

    @abstractmethod
    def feed(self, data: bytes) -> list[Event]:
        """
        Decode the next bytes; returns the events that are complete.

        @raise DecodeError: if the stream is malformed.
        """

    def _output(self, stream: str, data: bytes, time: str | None = None) -> Output:
        assert self.offset is not None
        event = Output(self.offset, stream, data, time)
        self.offset += len(data)
        return event

    def _check_offset(self, offset: int) -> None:
        """Check that the next event may be at this offset."""
        expected = offset if self.offset is None else self.offset
        if offset < expected or (offset > expected and not self._partial):
            raise DecodeError(f"offset {offset} instead of {expected}")
        self.offset = offset

    def _control_event(self, fields: dict[str, Any]) -> Event | None:
        """The event of a control record; L{None} for a type that is unknown here."""
        try:
            match fields["type"]:
                case "run":
                    event = Begun(
                        _word(fields["run"]),
                        _word(fields["command"]),
                        _whole_number(fields["offset"]),
                    )
                    self._check_offset(event.offset)
                    return event
                case "ping":
                    self._check_offset(_whole_number(fields["offset"]))
                    return Ping(_whole_number(fields["offset"]))
                case "gap":
                    gap = Gap(
                        _whole_number(fields["offset"]), _whole_number(fields["end"])
                    )
                    self._check_offset(gap.offset)
                    if gap.end <= gap.offset:
                        raise DecodeError(f"a gap from {gap.offset} to {gap.end}")
                    self.offset = gap.end
                    return gap
                case "end":
                    end = End(
                        _word(fields["state"]),
                        _code(fields["code"]),
                        _word_or_none(fields["signal"]),
                        _word_or_none(fields["reason"]),
                        _whole_number(fields["offset"]),
                    )
                    self._check_offset(end.offset)
                    self.ended = True
                    return end
        except KeyError as error:
            raise DecodeError(f"a record without {error}: {_shown(fields)}") from None
        return None


class FrameDecoder(_Decoder):
    """
    C{application/vnd.shellstream.frames}: stream, 3 zero bytes, length, payload.

    Output becomes events as it comes, before its frame is complete.
    """

    _stream = ""
    _left = 0  # bytes of the current output frame that are still to come
    _wanted = _HEADER  # size of the header, or of the control record, to be buffered

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
                raise DecodeError("data after the end record")
            buffer = self._buffer
            piece = data[position : position + self._wanted - len(buffer)]
            buffer += piece
            position += len(piece)
            if len(buffer) < self._wanted:
                break
            if self._wanted > _HEADER:
                event = self._control_event(_object(buffer[_HEADER:]))
                events += [] if event is None else [event]
                self._wanted = _HEADER
            elif self._read_header(buffer):
                continue
            buffer.clear()
        return events

    def _read_header(self, head: bytearray) -> bool:
        """Read a frame's header; returns whether a control record follows."""
        number, length = head[0], int.from_bytes(head[4:], "big")
        if head[1:4] != b"\0\0\0" or number > max(_STREAMS):
            raise DecodeError(f"no frame begins with {bytes(head)!r}")
        if number == 0:
            if not 0 < length <= MAX_RECORD:
                raise DecodeError(f"a record of {length} bytes")
            self._wanted = _HEADER + length
            return True
        if self.offset is None:
            raise DecodeError("output before its offset is known")
        self._stream, self._left = _STREAMS[number], length
        return False


class NdjsonDecoder(_Decoder):
    """C{application/x-ndjson}: a JSON object a line, with the time of each chunk."""

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._buffer:
                line, self._buffer = bytes(self._buffer) + line, bytearray()
            if self.ended:
                raise DecodeError("data after the end record")
            event = self._line(line)
            events += [] if event is None else [event]
        self._buffer += rest
        if len(self._buffer) > MAX_RECORD:
            raise DecodeError(f"a line of more than {MAX_RECORD} bytes")
        return events

    def _line(self, line: bytes) -> Event | None:
        fields = _object(line)
        if "type" in fields:
            return self._control_event(fields)
        try:
            if "text" in fields:
                data = fields["text"].encode()
            else:
                data = a2b_base64(fields["base64"], strict_mode=True)
            offset, stream = fields["offset"], fields["stream"]
            time = _word(fields["time"])
        except KeyError as error:
            raise DecodeError(f"a record without {error}: {_shown(fields)}") from None
        except (AttributeError, TypeError, ValueError) as error:
            raise DecodeError(f"a malformed output record: {error}") from None
        self._check_offset(_whole_number(offset))
        if stream not in _STREAMS.values():
            raise DecodeError(f"output on the stream {_shown(stream)}")
        return self._output(stream, data, time)


def _object(payload: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a record that is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DecodeError(f"a record that is not an object: {payload[:80]!r}")
    return found


def _whole_number(value: object, most: int = MAX_OFFSET, what: str = "offset") -> int:
    # Python takes JSON's true for an int.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
        return value
    raise DecodeError(f"{_shown(value)} is not an {what}")


def _code(value: object) -> int | None:
    # Of a larger one the system would keep the last byte, and 256 would be a success.
    return None if value is None else _whole_number(value, 255, "exit code")


def _word(value: object) -> str:
    """A name or a time; it is shown, perhaps before each line."""
    if isinstance(value, str) and 0 < len(value) <= MAX_WORD:
        return value
    raise DecodeError(f"{_shown(value)} is not a name or a time")


def _word_or_none(value: object) -> str | None:
    return None if value is None else _word(value)


def _shown(value: object) -> str:
    """A value of a server in an error message, of bounded length."""
    return repr(value)[:80]
