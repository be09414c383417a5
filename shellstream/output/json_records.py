"""What happens in a run, as the JSON objects of the formats that have some."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from json import JSONEncoder
from operator import attrgetter

from shellstream.model.events import Chunk, End, Gap, Stream, rfc3339

from .utf8 import pieces

#: What an object holds.
Fields = Mapping[str, object]

_JSON = JSONEncoder(ensure_ascii=False, separators=(",", ":"))

#: Beside those that JSON escapes anyway, these end a line for C{str.splitlines},
#: and so for readers that split text by it, such as httpx's C{iter_lines}.
_LINE_ENDS = {end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def to_json(fields: Fields) -> bytes:
    """One line of UTF-8, without its end; the line has no other, however read."""
    text = _JSON.encode(fields)
    if not text.isascii():
        for end, escape in _LINE_ENDS.items():
            text = text.replace(end, escape)
    return text.encode()


def records(
    chunks: Sequence[Chunk], *, final: bool, only: Stream | None
) -> Iterator[tuple[Fields | None, int]]:
    """What to tell of output, and up to where that is; L{None} if left out."""
    for stream, group in groupby(chunks, attrgetter("stream")):
        same = list(group)
        end = same[-1].end
        if only not in (None, stream):
            yield None, end
            continue
        # The other stream's bytes between them part the halves of a character.
        for piece, text in pieces(same, last=final or end < chunks[-1].end):
            fields = {
                "offset": piece.offset,
                "time": rfc3339(piece.time),
                "stream": stream.value,
            }
            if text is None:
                fields["base64"] = b64encode(piece.data).decode("ascii")
            else:
                fields["text"] = text
            yield fields, piece.end


def gap_fields(gap: Gap) -> Fields:
    """That bytes are missing, and how many."""
    size = gap.end - gap.offset
    return {"type": "gap", "offset": gap.offset, "end": gap.end, "bytes": size}


def end_fields(end: End) -> Fields:
    """How a run ended; what does not apply is null."""
    return {
        "type": "end",
        "state": end.state.value,
        "code": end.code,
        "signal": end.signal,
        "reason": end.reason and end.reason.value,
        "offset": end.offset,
    }
