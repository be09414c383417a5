"""
Decodes the output in what a server sends. Pure, and the same for all peers.

A decoder gets a buffer and the range of new bytes in it. It passes the output on and
returns how far it has decoded; the rest is given to it again, with more.
"""

from typing import Protocol

from attrs import define

from tests.benchmarks.content import Sink
from tests.benchmarks.errors import Cut, Refused


class Body(Protocol):
    """Decodes the body of a stream, which holds the output."""

    @property
    def ended(self) -> bool:
        """Whether the end mark of the protocol has come."""

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        """Pass on the output in C{view[start:end]}; returns where the rest begins."""

    def eof(self) -> None:
        """The connection was closed. @raise Cut: if that is not a proper end."""


class Decoder(Body, Protocol):
    """Decodes one stream."""

    @property
    def answered(self) -> bool:
        """Whether the headers before the output have come."""


@define
class Raw:
    """Everything until the close is output: pipes, HTTP/1.0."""

    ended: bool = False
    answered: bool = True

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        sink(view[start:end], now)
        return end

    def eof(self) -> None:
        self.ended = True


@define
class Chunked:
    """Chunks (RFC 9112, 7.1), each passed on before all of it has come."""

    ended: bool = False
    _left: int = 0
    #: The size of each chunk but the first follows the end of the one before.
    _lead: int = 0

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        buffer = view.obj
        assert isinstance(buffer, bytearray)
        while start < end and not self.ended:
            if self._left:
                stop = min(start + self._left, end)
                sink(view[start:stop], now)
                self._left -= stop - start
                start = stop
                continue
            size = start + self._lead
            eol = buffer.find(b"\r\n", size, end)
            if eol < 0:
                return start
            try:
                self._left = int(buffer[size:eol].partition(b";")[0], 16)
            except ValueError:
                raise Cut(f"no chunk: {bytes(buffer[start:eol])!r}") from None
            self._lead = 2
            start = eol + 2
            self.ended = not self._left
        return end if self.ended else start

    def eof(self) -> None:
        raise Cut("closed within a chunked answer")


@define
class Sized:
    """A body with a Content-Length."""

    _left: int

    @property
    def ended(self) -> bool:
        return not self._left

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        self._left -= end - start
        sink(view[start:end], now)
        return end

    def eof(self) -> None:
        raise Cut(f"closed {self._left} bytes before the end")


@define
class Http:
    """A response in HTTP/1.0 or 1.1."""

    _body: Body | None = None

    @property
    def ended(self) -> bool:
        return self._body is not None and self._body.ended

    @property
    def answered(self) -> bool:
        return self._body is not None

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        if self._body is None:
            buffer = view.obj
            assert isinstance(buffer, bytearray)
            stop = buffer.find(b"\r\n\r\n", start, end)
            if stop < 0:
                return start
            self._body = _body(bytes(buffer[start:stop]), bytes(buffer[stop:end]))
            start = stop + 4
        return self._body.decode(view, start, end, sink, now) if start < end else end

    def eof(self) -> None:
        if self._body is None:
            raise Cut("closed without an answer")
        self._body.eof()


def _body(head: bytes, rest: bytes) -> Body:
    status, *lines = head.split(b"\r\n")
    if status.split(b" ")[1][:1] != b"2":
        raise Refused((status + rest[:300]).decode("latin-1"))
    fields = dict(line.lower().split(b":", 1) for line in lines)
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        return Chunked()
    length = fields.get(b"content-length")
    return Raw() if length is None else Sized(int(length))


@define
class WebSocket:
    """
    The part of RFC 6455 that a streaming server uses: frames of data, then a close.

    A close frame is optional: websocketd only closes the connection.

    @ivar _newline: what to put after each message: websocketd removes line ends.
    """

    _newline: bool
    ended: bool = False
    answered: bool = False
    _left: int = 0
    _final: bool = False

    def decode(
        self, view: memoryview, start: int, end: int, sink: Sink, now: float
    ) -> int:
        buffer = view.obj
        assert isinstance(buffer, bytearray)
        if not self.answered:
            stop = buffer.find(b"\r\n\r\n", start, end)
            if stop < 0:
                return start
            if buffer[start:stop].split(b" ")[1] != b"101":
                raise Refused(buffer[start:stop].decode("latin-1"))
            self.answered = True
            start = stop + 4
        while start < end and not self.ended:
            if self._left:
                stop = min(start + self._left, end)
                sink(view[start:stop], now)
                self._left -= stop - start
                start = stop
            else:
                begin = self._header(buffer, start, end)
                if not begin:
                    return start
                start = begin
            if not self._left and self._final and self._newline and not self.ended:
                sink(_NEWLINE, now)
        return end if self.ended else start

    def _header(self, buffer: bytearray, start: int, end: int) -> int:
        """Read a frame's header; returns where its payload begins, or 0."""
        if end - start < 2:
            return 0
        first, short = buffer[start], buffer[start + 1]
        more = {126: 2, 127: 8}.get(short, 0)
        begin = start + 2 + more
        if begin > end:
            return 0
        opcode = first & 15
        if opcode == 8:
            self.ended = True
        elif opcode > 2:
            raise Cut(f"a frame of kind {opcode}, which no server here sends")
        self._final = bool(first & 128)
        self._left = int.from_bytes(buffer[start + 2 : begin]) if more else short
        return begin

    def eof(self) -> None:
        if self._left or not self.answered:
            raise Cut("closed within a message")
        self.ended = True


_NEWLINE = memoryview(b"\n")
