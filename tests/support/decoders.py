"""
Independent decoders of each format; those of server-sent events and NDJSON follow
the standard, not our encoder.

Each function takes the bytes of a response and returns its contents: a list of
L{Told} for output, and a C{dict} for any other record.
"""

import json
import re
from base64 import b64decode
from typing import Any

from attrs import frozen

from shellstream.client.decode import FrameDecoder
from shellstream.client.events import Begun, End, Gap, Output, Ping


@frozen
class Told:
    """
    A piece of output as a reader got it; C{None} for fields that the format lacks.
    """

    offset: int
    stream: str
    data: bytes
    time: str | None = None
    text: bool = False


@frozen
class Event:
    """One event, as EventSource dispatches it."""

    type: str
    data: str
    id: str


def _object(fields: dict[str, Any]) -> Told | dict[str, Any]:
    if "type" in fields:
        return fields
    text = fields.get("text")
    data = b64decode(fields["base64"]) if text is None else text.encode()
    stream, time = fields["stream"], fields["time"]
    return Told(fields["offset"], stream, data, time, text is not None)


def ndjson(wire: bytes) -> list[Any]:
    """Objects, one a line, for readers with any idea of line ends."""
    assert wire == b"" or wire.endswith(b"\n"), wire
    return [_object(json.loads(line)) for line in wire.decode().splitlines()]


def event_source(wire: bytes) -> tuple[list[Event], dict[str, Any]]:
    """
    Events, and C{id} and C{retry} as they stand afterwards: WHATWG HTML, 9.2.6.

    An event without its blank line is not dispatched.
    """
    kept: dict[str, Any] = {"id": "", "retry": None}
    events = []
    kind, data, last_id = "", "", ""
    *lines, _cut = re.split(r"\r\n|\n|\r", wire.decode().removeprefix("\ufeff"))
    for line in lines:
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            kept["id"] = last_id
            if data:
                events.append(
                    Event(kind or "message", data.removesuffix("\n"), last_id)
                )
            kind, data = "", ""
        elif colon and not field:
            pass  # a comment
        elif field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            last_id = value
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            kept["retry"] = int(value)
    return events, kept


def sse(wire: bytes) -> list[Any]:
    """The objects that events carry; each event is of its object's type."""
    told = []
    for event in event_source(wire)[0]:
        one = _object(json.loads(event.data))
        kind = "output" if isinstance(one, Told) else one["type"]
        assert event.type == kind, event
        told.append(one)
    return told


def frames(wire: bytes) -> list[Any]:
    """Payloads behind headers, as our own client reads them."""
    told: list[Any] = []
    for event in FrameDecoder(partial=True).feed(wire):
        match event:
            case Output(offset, stream, data):
                told.append(Told(offset, stream, data))
            case Gap(offset, end):
                size = end - offset
                gap = {"type": "gap", "offset": offset, "end": end, "bytes": size}
                told.append(gap)
            case Begun() | Ping() | End():
                kind = {Begun: "run", Ping: "ping", End: "end"}[type(event)]
                told.append({"type": kind, **event._asdict()})
    return told


DECODERS = {"sse": sse, "ndjson": ndjson, "frames": frames}
