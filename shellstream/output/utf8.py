"""What of some output is UTF-8 text, whatever pieces it arrived in."""

from codecs import utf_8_decode
from collections.abc import Iterable, Iterator

from shellstream.model.events import Chunk

#: The bytes of a character after its first; up to 3 of them.
_CONTINUATION = bytes(range(0x80, 0xC0))


def pieces(
    chunks: Iterable[Chunk], *, last: bool
) -> Iterator[tuple[Chunk, str | None]]:
    """
    Contiguous chunks of one stream, cut where characters begin; each with its
    text, or L{None} if it is no UTF-8 (RFC 3629).

    A character that is not complete at the end of a chunk begins the piece of
    the next one. So a piece's time is that of its last byte: only then could it
    be read.

    @param last: whether nothing follows that could complete a character. If
        something may, the beginning of one (3 bytes at most) is left out.
    """
    begun: Chunk | None = None
    for chunk in chunks:
        piece = chunk
        if begun is not None:
            whole = begun.data + chunk.data
            piece = Chunk(begun.offset, chunk.stream, chunk.time, whole)
        for text, size in _cut(piece.data):
            if size:
                yield _first(piece, size), text
            piece = piece.since(piece.offset + size)
        begun = piece if piece.data else None
    if last and begun is not None:
        yield begun, None


def _cut(data: bytes) -> Iterable[tuple[str | None, int]]:
    """Texts and how many bytes each takes; what is left begins a character."""
    text, size = _decode(data)
    if text is not None:
        return [(text, size)]
    # Who resumes inside a character is to get all the others as text.
    inside = min(3, len(data) - len(data.lstrip(_CONTINUATION)))
    text, size = _decode(data[inside:])
    if text is not None:
        return [(None, inside), (text, size)]
    return [(None, len(data))]


def _decode(data: bytes) -> tuple[str | None, int]:
    """Text and how many bytes it took: all, but for an incomplete character."""
    try:
        text, size = utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return None, len(data)
    # The codec waits for the end of a surrogate's half, which can be no text.
    if b"\xed\xa0" <= data[size:] < b"\xee":
        return None, len(data)
    return text, size


def _first(chunk: Chunk, size: int) -> Chunk:
    if size == len(chunk.data):
        return chunk
    return Chunk(chunk.offset, chunk.stream, chunk.time, chunk.data[:size])
