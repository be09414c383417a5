"""The JSON objects of a run's events, for the formats that have them."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from json import JSONEncoder
from operator import attrgetter

from shellstream.model.events import Chunk, Stream, rfc3339

from .utf8 import decode_pieces

#: The members of an object.
Fields = Mapping[str, object]

_JSON = JSONEncoder(ensure_ascii=False, separators=(",", ":"))

#: C{str.splitlines} takes these for line ends, and so do readers that use it, such as
#: httpx's C{iter_lines}. JSON need not escape them; all other line ends it must.
_LINE_ENDS = {end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def to_json(fields: Fields) -> bytes:
    """One line of UTF-8, without its line end, that no reader splits in two."""
    text = _JSON.encode(fields)
    if not text.isascii():
        for end, escape in _LINE_ENDS.items():
            text = text.replace(end, escape)
    return text.encode()


def records(
    chunks: Sequence[Chunk], *, final: bool, only: Stream | None
) -> Iterator[tuple[Fields | None, int]]:
    """
    Output as objects, each with the offset after it; L{None} for what is left out.

    @param final: whether nothing will ever follow the chunks.
    @param only: the one stream that is wanted.
    """
    for stream, group in groupby(chunks, attrgetter("stream")):
        same = list(group)
        end = same[-1].end
        if only not in (None, stream):
            yield None, end
            continue
        # Bytes of the other stream come next: a character is not completed after them.
        name, last = stream.value, final or end < chunks[-1].end
        for piece, text in decode_pieces(same, last=last):
            fields = {
                "offset": piece.offset,
                "time": rfc3339(piece.time),
                "stream": name,
            }
            if text is None:
                fields["base64"] = b64encode(piece.data).decode("ascii")
            else:
                fields["text"] = text
            yield fields, piece.end
