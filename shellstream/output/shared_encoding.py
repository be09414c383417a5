"""A run's output as one format tells it, made once for all who watch."""

from attrs import define, field

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

from .formats import Format
from .interfaces import IRun


@define(eq=False)
class SharedEncoding:
    """
    What is read and written last is kept, since the others are about to ask for it.

    @ivar format: the format.
    @ivar only: the one stream that is encoded, or both.
    """

    run: IRun
    format: Format
    only: Stream | None = None
    _request: tuple[int, int, bool] | None = field(default=None, init=False)
    _encoded: tuple[bytes, int] = field(default=(b"", 0), init=False)

    def encode_from(self, offset: int, limit: int, *, final: bool) -> tuple[bytes, int]:
        """
        Some of the output from C{offset} on, and up to where that tells it: see
        L{Format.output}.

        @param limit: where to stop, above C{offset}; no further than the log's end.
        @param final: whether nothing will ever follow that.
        @raise OffsetGone: if the log does not have what is at C{offset}.
        """
        if self._request != (offset, limit, final):
            # Not before: what is forgotten meanwhile must be found to be gone.
            self._request = None
            self._encoded = self._encode(offset, limit, final=final)
            self._request = offset, limit, final
        return self._encoded

    def _encode(self, offset: int, limit: int, *, final: bool) -> tuple[bytes, int]:
        chunks = self._read(offset, limit)
        encoded = self._write(chunks, offset, final=final and chunks[-1].end == limit)
        while encoded[1] == offset and chunks[-1].end < limit:
            # One read ends where a sector of the file does: in a character, perhaps.
            try:
                chunks += self._read(chunks[-1].end, limit)
            except OffsetGone:  # the rest of that character is
                return self._write(chunks, offset, final=True)
            encoded = self._write(
                chunks, offset, final=final and chunks[-1].end == limit
            )
        return encoded

    def _read(self, offset: int, limit: int) -> list[Chunk]:
        chunks = self.run.log.read(offset, self.format.read_size)
        if chunks[-1].end > limit:
            chunks = [each.until(limit) for each in chunks if each.offset < limit]
        return chunks

    def _write(
        self, chunks: list[Chunk], offset: int, *, final: bool
    ) -> tuple[bytes, int]:
        return self.format.output(chunks, offset, final=final, only=self.only)
