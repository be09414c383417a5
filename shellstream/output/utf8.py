"""Decoding output as UTF-8, in whatever pieces it arrives."""

from codecs import utf_8_decode
from collections.abc import Iterable, Iterator

from shellstream.model.events import Chunk

#: The bytes of a character after its first; up to 3 of them.
_CONTINUATION = bytes(range(0x80, 0xC0))


def decode_pieces(
    chunks: Iterable[Chunk], *, last: bool
) -> Iterator[tuple[Chunk, str | None]]:
    """
    Decode contiguous chunks of one stream, cut where characters begin.

    A character that is not complete at the end of a chunk begins the piece of the next
    one. So a piece has the time of its last byte: only then could it be read.

    @param last: whether nothing follows that could complete a character. If something
        may, the beginning of one (3 bytes at most) is left out.
    @return: pieces with their text; L{None} for bytes that are not UTF-8 (RFC 3629).
    """
    begun: Chunk | None = None
    for chunk in chunks:
        piece = chunk
        if begun is not None:
            data = begun.data + chunk.data
            piece = Chunk(begun.offset, chunk.stream, chunk.time, data)
            begun = None
        for text, size in _cut(piece.data):
            if size == len(piece.data):
                yield piece, text
                break
            if size:
                yield piece.until(piece.offset + size), text
                piece = piece.since(piece.offset + size)
        else:
            begun = piece
    if last and begun is not None:
        yield begun, None


def _cut(data: bytes) -> Iterable[tuple[str | None, int]]:
    """Texts and their sizes in bytes; the rest is an incomplete character."""
    text, size = _decode(data)
    if text is not None:
        return [(text, size)]
    # A client may resume inside a character: only the rest of that is not text.
    inside = min(3, len(data) - len(data.lstrip(_CONTINUATION)))
    text, size = _decode(data[inside:])
    if text is not None:
        return [(None, inside), (text, size)]
    return [(None, len(data))]


def _decode(data: bytes) -> tuple[str | None, int]:
    """The text and its size in bytes: all but an incomplete character at the end."""
    try:
        text, size = utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return None, len(data)
    # The codec waits for the third byte of a surrogate, which is never valid UTF-8.
    if b"\xed\xa0" <= data[size:] < b"\xee":
        return None, len(data)
    return text, size
