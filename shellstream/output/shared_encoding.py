"""A run's output encoded in one format, once for all its viewers."""

from attrs import define, field

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Chunk, Stream

from .formats import Format
from .interfaces import IRun


@define(eq=False)
class SharedEncoding:
    """
    Encodes a run's output, and keeps the last result.

    Viewers that keep up all ask for the same bytes, one after the other, so that one
    result serves all of them: they even share the bytes object.

    @ivar only: the one stream that is encoded, or L{None} for both.
    """

    run: IRun
    format: Format
    only: Stream | None = None
    _request: tuple[int, int, bool] | None = field(default=None, init=False)
    _encoded: tuple[bytes, int] = field(default=(b"", 0), init=False)

    def encode_from(self, offset: int, limit: int, *, final: bool) -> tuple[bytes, int]:
        """
        Some of the output from C{offset} on, and the offset after it: see
        L{Format.output}.

        @param limit: where to stop, above C{offset}; at most the log's end.
        @param final: whether nothing will ever follow that.
        @raise OffsetGone: if the log does not have the byte at C{offset}.
        """
        request = (offset, limit, final)
        if self._request != request:
            # Cleared first: if the log has dropped the bytes, no old result may stay.
            self._request = None
            self._encoded = self._encode(offset, limit, final=final)
            self._request = request
        return self._encoded

    def _encode(self, offset: int, limit: int, *, final: bool) -> tuple[bytes, int]:
        chunks: list[Chunk] = []
        end = offset
        while True:
            try:
                more = self.run.log.read(end, self.format.read_size)
            except OffsetGone:
                if not chunks:
                    raise
                # The rest of a character is gone: what is there of it is final.
                return self.format.output(chunks, offset, final=True, only=self.only)
            end = more[-1].end
            if end > limit:
                more = [each.until(limit) for each in more if each.offset < limit]
                end = limit
            chunks += more
            encoded = self.format.output(
                chunks, offset, final=final and end == limit, only=self.only
            )
            # A read ends where a sector of the file does, perhaps within a character:
            # then nothing can be encoded without the next read.
            if encoded[1] > offset or end == limit:
                return encoded
