"""
One request and its answer, with the moment at which each piece of it came.

No I/O: bytes and the time at which they came go in. All times are in seconds, of a
clock that never jumps.
"""

import zlib
from collections.abc import Sequence
from enum import Enum

import httptools
from attrs import define, field, frozen

#: How much of an answer's body is kept, in bytes, and how many pieces are told
#: apart. Who sends more than either shows well enough whether it holds back.
MAX_SAMPLE, MAX_PIECES = 1 << 18, 4096

#: The most that is read of an answer's head, in bytes.
MAX_HEAD = 1 << 16


class Framing(Enum):
    """How the end of a body is told (RFC 9112, 6)."""

    CHUNKED = "chunked"
    LENGTH = "with a Content-Length"
    CLOSE = "ended by closing the connection"


class Ending(Enum):
    """How an answer came to its end."""

    WHOLE = "whole"
    CLOSED = "closed"  # which may be its end or a cut: its framing cannot tell
    CUT = "cut"
    OVERDUE = "overdue"  # we gave up waiting
    ENOUGH = "enough"  # we have seen enough


@frozen
class Piece:
    """Some of the body, as a client is given it: without framing and compression."""

    time: float
    data: bytes


@frozen
class Certificate:
    """
    Whose certificate a server showed.

    @ivar trouble: why it is not trusted, if it is not.
    """

    issuer: str
    trouble: str | None = None


@frozen
class Exchange:
    """
    A request and what came of it.

    @ivar asked: when the request was sent.
    @ivar answered: when the head of the answer had come, if it did.
    @ivar ended: when nothing more came, or we left.
    @ivar headers: names in lower case; of several the last.
    @ivar size: of the body, in bytes; C{pieces} need not hold all of it.
    """

    asked: float
    answered: float | None
    ended: float
    version: str
    status: int
    headers: dict[str, str]
    pieces: tuple[Piece, ...]
    size: int
    ending: Ending
    certificate: Certificate | None = None

    @property
    def framing(self) -> Framing:
        """What its headers say of its end."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return Framing.CHUNKED
        if "content-length" in self.headers:
            return Framing.LENGTH
        return Framing.CLOSE

    @property
    def encoding(self) -> str | None:
        """How it is compressed, if it is."""
        named = self.headers.get("content-encoding", "identity").strip().lower()
        return None if named == "identity" else named

    @property
    def sample(self) -> bytes:
        """The first of its body."""
        return b"".join(piece.data for piece in self.pieces)


@define
class ResponseRecorder:
    """
    An answer as it comes.

    @ivar over: whether nothing more is wanted, or will come.
    @ivar nonsense: what is wrong with it, if it is no HTTP.
    """

    asked: float
    over: bool = field(default=False, init=False)
    nonsense: str | None = field(default=None, init=False)
    _answered: float | None = field(default=None, init=False)
    _now: float = field(default=0.0, init=False)
    _headers: dict[str, str] = field(factory=dict, init=False)
    _headed: bool = field(default=False, init=False)
    _head_size: int = field(default=0, init=False)
    _status: int = field(default=0, init=False)
    _version: str = field(default="", init=False)
    _pieces: list[Piece] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _kept: int = field(default=0, init=False)
    _ending: Ending | None = field(default=None, init=False)
    _ended: float = field(default=0.0, init=False)
    _inflate: "zlib._Decompress | None" = field(default=None, init=False)
    _parser: httptools.HttpResponseParser = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, now: float, data: bytes) -> None:
        """These bytes came now."""
        if self.over:
            return
        self._now = now
        if not self._headed:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._fail("the head of the answer has no end")
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server changes to another protocol")
        except httptools.HttpParserError as error:
            if not self.over:
                self._fail(str(error))

    def lost(self, now: float, *, broken: bool) -> None:
        """The connection has ended; C{broken}: not by an orderly close."""
        by_close = self._headed and self._framing() is Framing.CLOSE and not broken
        self._end(now, Ending.CLOSED if by_close else Ending.CUT)

    def leave(self, now: float, *, overdue: bool) -> None:
        """We do not wait any longer."""
        self._end(now, Ending.OVERDUE if overdue else Ending.ENOUGH)

    def exchange(self, certificate: Certificate | None = None) -> Exchange:
        """What has been seen; only once it is over."""
        assert self._ending is not None, "not over yet"
        return Exchange(
            self.asked,
            self._answered,
            self._ended,
            self._version,
            self._status,
            dict(self._headers),
            tuple(self._pieces),
            self._size,
            self._ending,
            certificate,
        )

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._headed:  # what comes later is a trailer
            text = value.decode("latin-1")
            self._headers[name.decode("latin-1").lower()] = text

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # the answer itself is still to come
            self._headers.clear()
            return
        self._status = status
        self._version = self._parser.get_http_version()
        self._headed, self._answered = True, self._now
        encoding = self._headers.get("content-encoding", "").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def on_body(self, data: bytes) -> None:
        if self._inflate is not None:
            try:
                # Bounded, or a few bytes could become more than there is memory.
                data = self._inflate.decompress(data, MAX_SAMPLE)
            except zlib.error as error:
                self._fail(f"it is not compressed as it says: {error}")
                return
        self._size += len(data)
        if data and self._kept < MAX_SAMPLE:
            data = data[: MAX_SAMPLE - self._kept]
            self._kept += len(data)
            self._pieces.append(Piece(self._now, data))
        if self._kept >= MAX_SAMPLE or len(self._pieces) >= MAX_PIECES:
            self.leave(self._now, overdue=False)

    def on_message_complete(self) -> None:
        if self._headed:
            self._end(self._now, Ending.WHOLE)

    def _framing(self) -> Framing:
        found = Exchange(0, 0, 0, "", 0, self._headers, (), 0, Ending.WHOLE)
        return found.framing

    def _fail(self, why: str) -> None:
        self.nonsense = why
        self._end(self._now, Ending.CUT)

    def _end(self, now: float, ending: Ending) -> None:
        if not self.over:
            self.over, self._ending, self._ended = True, ending, now


def moments(pieces: Sequence[Piece], apart: float) -> list[tuple[float, int]]:
    """
    When something came, and how many bytes: what comes within C{apart} seconds came
    in one go.
    """
    found: list[tuple[float, int]] = []
    for piece in pieces:
        if found and piece.time - found[-1][0] < apart:
            began, size = found[-1]
            found[-1] = began, size + len(piece.data)
        else:
            found.append((piece.time, len(piece.data)))
    return found
