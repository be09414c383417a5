"""
One request and its response, with the moment at which each part of it arrived.

No I/O: bytes and their times go in. All times are in seconds of a monotonic clock.
"""

import zlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

import httptools
from attrs import define, field, frozen

#: How much of a body is kept, in bytes and in arrivals. Whether a server holds output
#: back shows in far less: the ticks of a long stream are 40 kB in 600 arrivals.
MAX_SAMPLE, MAX_ARRIVALS = 1 << 18, 4096

#: The most that is read of a response's head, in bytes: twice what nginx accepts as the
#: head of a request (C{large_client_header_buffers 4 8k}).
MAX_HEAD = 1 << 16

#: Headers that are lists (RFC 9110, 5.3): several lines of one are joined. Of others
#: the first counts: Caddy sends its C{Server} before that of the server behind it.
_LISTS = {"cache-control", "content-encoding", "transfer-encoding", "via"}

#: Seconds: what arrives within them counts as one burst. One write can reach us in two
#: segments, the second after a delayed acknowledgement, which Linux sends after 40 ms
#: (C{TCP_DELACK_MIN} in C{include/net/tcp.h}).
BURST = 0.05


class Framing(Enum):
    """How a response marks the end of its body (RFC 9112, 6)."""

    CHUNKED = "chunked"
    LENGTH = "with a Content-Length"
    CLOSE = "ended by closing the connection"


class Ending(Enum):
    """How a response ended."""

    WHOLE = "whole"
    CLOSED = "closed"  # the end or a cut: without framing the two look the same
    CUT = "cut"
    MALFORMED = "malformed"  # it is no HTTP, or not up to its end
    OVERDUE = "overdue"  # we stopped waiting
    ENOUGH = "enough"  # we read as much as we keep


class Arrival(NamedTuple):
    """Part of a body as a client sees it, without framing and compression."""

    time: float
    data: bytes


class Burst(NamedTuple):
    """What arrived together: when the first part of it did, and bytes in all."""

    time: float
    size: int


@frozen
class Certificate:
    """
    The certificate that a server presented.

    @ivar problem: why this machine does not trust it; L{None} if it does.
    """

    issuer: str
    problem: str | None = None


@define
class Exchange:
    """
    A request and its response. L{ResponseRecorder} fills it; later it does not change.

    @ivar requested: when the request was sent.
    @ivar answered: when the head of the response was complete; L{None} if it never was.
    @ivar ended: when the last of the response arrived, or we stopped reading.
    @ivar connected: seconds that it took to connect, without TLS.
    @ivar headers: by names in lower case; of several the first, or all of a list.
    @ivar arrivals: the body, up to L{MAX_SAMPLE} bytes.
    @ivar size: of the body, in bytes.
    @ivar reads: when the connection brought how many bytes, with head and framing.
    @ivar problem: why what came is no HTTP, or from where on; L{None} if it is.
    """

    requested: float
    answered: float | None = None
    ended: float = 0.0
    connected: float = 0.0
    version: str = ""
    status: int = 0
    headers: Mapping[str, str] = field(factory=dict)
    arrivals: list[Arrival] = field(factory=list)
    size: int = 0
    reads: list["Burst"] = field(factory=list)
    ending: Ending | None = None
    problem: str | None = None
    certificate: Certificate | None = None

    @property
    def duration(self) -> float:
        """Seconds from the request to the end."""
        return self.ended - self.requested

    @property
    def framing(self) -> Framing:
        """What the headers say about the end of the body."""
        if "chunked" in self.header("transfer-encoding"):
            return Framing.CHUNKED
        return Framing.LENGTH if "content-length" in self.headers else Framing.CLOSE

    @property
    def encoding(self) -> str | None:
        """How the body is compressed; L{None} if it is not."""
        encoding = self.header("content-encoding")
        return None if encoding in ("", "identity") else encoding

    @property
    def sample(self) -> bytes:
        """The beginning of the body."""
        return b"".join(arrival.data for arrival in self.arrivals)

    @property
    def over(self) -> bool:
        """Whether the response came to its end, as far as HTTP shows it."""
        return self.ending in (Ending.WHOLE, Ending.CLOSED)

    def header(self, name: str) -> str:
        """A header's value in lower case, for comparing; empty if there is none."""
        return self.headers.get(name, "").strip().lower()


class ResponseRecorder:
    """
    Parses a response while it arrives, and records when each part came.

    @ivar exchange: what has come so far.
    """

    def __init__(self, requested: float) -> None:
        self.exchange = Exchange(requested)
        self._headers: dict[str, str] = {}
        self._now = requested
        self._head_size = 0
        self._inflate: zlib._Decompress | None = None
        # Not Twisted's client: it hides the framing and the interim responses, and
        # takes no note of when the head was complete.
        self._parser = httptools.HttpResponseParser(self)

    @property
    def done(self) -> bool:
        """Whether the response has ended, or nothing more of it is wanted."""
        return self.exchange.ending is not None

    def receive(self, now: float, data: bytes) -> None:
        """Take bytes that the connection brought."""
        if self.done:
            return
        self._now = now
        if len(self.exchange.reads) < MAX_ARRIVALS:
            self.exchange.reads.append(Burst(now, len(data)))
        if self.exchange.answered is None:
            # In two steps: the first read may bring much of the body as well.
            room = MAX_HEAD - self._head_size
            self._head_size += len(data[:room])
            self._parse(data[:room])
            data = data[room:]
            if self.exchange.answered is None and data:
                self._fail("the head of the response has no end")
        if data and not self.done:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server changes to another protocol")
        except httptools.HttpParserError as error:
            self._fail(str(error))

    def connection_lost(self, now: float, *, orderly: bool) -> None:
        """Take note that the connection has ended, by an orderly close or a reset."""
        exchange = self.exchange
        # Only a body without framing ends with the connection (RFC 9112, 6.3).
        unframed = exchange.answered is not None and exchange.framing is Framing.CLOSE
        self.end(now, Ending.CLOSED if orderly and unframed else Ending.CUT)

    # Callbacks of the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.exchange.answered is None:  # what comes after the body is a trailer
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            if key not in self._headers:
                self._headers[key] = text
            elif key in _LISTS:
                self._headers[key] += f", {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # interim (RFC 9110, 15.2): the response is to come
            self._headers.clear()
            return
        exchange = self.exchange
        exchange.status = status
        exchange.version = self._parser.get_http_version()
        exchange.headers, exchange.answered = self._headers, self._now
        if exchange.encoding in ("gzip", "x-gzip", "deflate"):
            # 32: zlib finds out by itself which of the two formats it is.
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def on_body(self, data: bytes) -> None:
        if self.done:
            return
        if self._inflate is not None:
            try:
                # Bounded: 64 MB of zeros are 64 kB of gzip.
                data = self._inflate.decompress(data, MAX_SAMPLE)
            except zlib.error as error:
                self._fail(f"it is not compressed as it says: {error}")
                return
        exchange = self.exchange
        sample = data[: MAX_SAMPLE - exchange.size]
        exchange.size += len(data)
        if sample:  # a compressor may keep all that it got
            exchange.arrivals.append(Arrival(self._now, sample))
        if exchange.size >= MAX_SAMPLE or len(exchange.arrivals) >= MAX_ARRIVALS:
            self.end(self._now, Ending.ENOUGH)

    def on_message_complete(self) -> None:
        if self.exchange.answered is not None:
            self.end(self._now, Ending.WHOLE)

    def _fail(self, error: str) -> None:
        if not self.done:
            self.exchange.problem = error
            self.end(self._now, Ending.MALFORMED)

    def end(self, now: float, ending: Ending) -> None:
        """Record nothing from now on, for the reason that C{ending} gives."""
        if not self.done:
            self.exchange.ending, self.exchange.ended = ending, now


def bursts(arrivals: Iterable[Arrival]) -> list[Burst]:
    """Group what arrived within L{BURST} seconds of the first of each group."""
    return _grouped(Burst(time, len(data)) for time, data in arrivals)


def reads_in_bursts(exchange: Exchange) -> list[Burst]:
    """The same for what the connection brought, with head and framing."""
    return _grouped(exchange.reads)


def _grouped(parts: Iterable[Burst]) -> list[Burst]:
    found: list[Burst] = []
    for time, size in parts:
        if found and time - found[-1].time < BURST:
            found[-1] = Burst(found[-1].time, found[-1].size + size)
        else:
            found.append(Burst(time, size))
    return found


def delays_between(direct: Exchange, via: Exchange) -> list[float]:
    """
    How much later each part of a body arrived one way than the other, in seconds.

    Times count from the request, and parts by their bytes: most programs write as much
    when they are run again.
    """
    delays: list[float] = []
    wanted = position = 0
    behind = iter(via.arrivals)
    latest: Arrival | None = None
    for time, data in direct.arrivals:
        wanted += len(data)
        while position < wanted:
            latest = next(behind, None)
            if latest is None:
                return delays
            position += len(latest.data)
        if latest is not None:
            delays.append(
                (latest.time - via.requested) - (time - direct.requested),
            )
    return delays
