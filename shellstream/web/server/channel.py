"""
One connection: parses its requests strictly, and ends every wait of its own.

Twisted's channel trusts its clients. Here every wait for a client has an end, however
little the client sends, and a request that can be read in two ways is refused before
anything is done for it.

Theory of operation: the timers of a connection
===============================================

A connection has one timer, Twisted's C{setTimeout}, and C{_wait} says what it is for.
Twisted restarts it with every byte; L{Channel.resetTimeout} does not, or a client that
sends a byte a minute could hold its connection for ever (the attack called slowloris).

========  ==================================  ==========================================
wait      begins                              ends
========  ==================================  ==========================================
FIRST     when the connection is accepted,    with the first byte, which turns it into
          with C{header_timeout}              HEAD and does not restart it
HEAD      with the first byte of a later      with the empty line after the headers
          request, with C{header_timeout}
BODY      after a head that announces one,    with the last byte of the body
          with C{body_timeout}
(no one)  when a request is whole             when its answer is; meanwhile the viewer's
                                              C{stall_timeout} and L{dead_peers} watch
NEXT      when an answer is whole,            with the first byte of another request
          with C{idle_timeout}
CLOSE     when nothing more will be read,     when the transport has sent everything and
          with C{stall_timeout}               has closed
========  ==================================  ==========================================

When the time is up:

 - HEAD and BODY: the client is told so (408), and the connection lingers.
 - BODY is first granted more, a second for every C{body_rate} bytes that have come, as
   long as that makes at least a second: a large body on a slow line may take its time.
 - FIRST and NEXT: the connection is closed without a word. No request is lost by that.
 - CLOSE: the connection is reset, since the client does not take what is left.

A client that is refused may still be sending. To close the socket at once would make
the kernel reset the connection, and the client would lose the answer that says why
(RFC 9112, 9.6). So the connection I{lingers}: the answer is written, our half is
closed, and for L{LINGER} seconds whatever comes is read and dropped; then it is reset.
No other timer runs then. Over TLS our half cannot be closed alone, so the transport
lingers in its place. A connection that was never admitted lingers too, but at most
L{LINGERING} of these at once, and none over TLS: in a flood the others are only reset.
"""

import sys
from collections.abc import Callable, Iterable
from enum import Enum
from http import HTTPStatus
from io import BytesIO
from typing import Any, NoReturn, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers

from shellstream.config.http_limits import HttpLimits
from shellstream.model.errors import (
    Busy,
    ExpectationUnknown,
    HeadersTooLarge,
    RequestMalformed,
    RequestTooSlow,
    ShellstreamError,
    header_lines,
)
from shellstream.security.audit import AuditEntry

from . import request_syntax
from .access_log import LoggedNames
from .connection_limits import (
    RETRY_AFTER,
    ConnectionLimiter,
    SharedQuota,
    announces_peer,
    client_of,
)
from .immediate_write import write_now
from .problem_details import PROBLEM, SERVER, problem
from .refusal_audit import host_of, refused

#: The most that a client may send ahead while an answer runs, in bytes.
MAX_AHEAD = 1 << 14

#: How much is read at once, in bytes. A body may come in chunks of one byte, and each
#: takes Twisted 8 microseconds.
READ_SIZE = 1 << 13

#: How much of a head that is not complete is not counted, in bytes: most come in one
#: packet.
FREE_HEAD = 1 << 11

#: Seconds for which a refused client's bytes are read and dropped.
LINGER = 5.0

#: How many connections that were not admitted may linger at once: each holds a
#: descriptor.
LINGERING = 64

#: The headers of every answer. They tell a browser not to show the answer in a page of
#: another site, not to let such a page read it, and not to guess its type (Fetch, 3.7).
FIXED_HEADERS = {
    "Server": SERVER,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: The policy of every answer that sets no other (CSP level 3): nothing in it is run.
#: C{connect-src} lets a script of a browser's console, or of an extension, ask on.
DEFAULT_POLICY = "default-src 'none'; connect-src 'self'; frame-ancestors 'self'"

# One block of bytes each: Twisted takes five calls to set a header.
_FIXED = "".join(f"{name}: {value}\r\n" for name, value in FIXED_HEADERS.items())
_FIXED_BLOCK = _FIXED.encode()
_POLICY_LINE = f"Content-Security-Policy: {DEFAULT_POLICY}\r\n".encode()


class ChannelRequest(Protocol):
    """What a connection needs of a request."""

    requestHeaders: Headers
    responseHeaders: Headers
    content: BytesIO

    def expect_body(self, size: int) -> None:
        """At least so many more bytes of the body will come."""

    def refusal(self, error: ShellstreamError) -> AuditEntry:
        """The refusal of this request, for the audit."""


class SharedSite(Protocol):
    """What connections and requests need of L{server.site.Site}, which has the docs."""

    limits: HttpLimits
    resource: Any  # access control, which imports this room
    record: Callable[[AuditEntry], object]
    names: LoggedNames
    is_scarce: Callable[[int], bool]
    connections: ConnectionLimiter
    channels: "set[Channel]"
    lingering: int
    body_quota: SharedQuota
    head_quota: SharedQuota
    viewers: int


class _Wait(Enum):
    """What a connection's timer is for: see the theory of operation above."""

    FIRST = "the first byte of all"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NEXT = "another request"
    CLOSE = "the client to take what is left"


class Channel(HTTPChannel):
    """A connection whose refusals reach the client before it is closed."""

    site: SharedSite
    transport: Any  # each kind can half-close and abort; no one interface says so
    _header_size = 0
    _headers = 0
    _held = 0  # bytes of a head that is not complete
    _wait = _Wait.FIRST
    _granted = 0.0
    _admitted = True
    #: The client that it counts for, and whether a PROXY header will tell that.
    _client: str | None = None
    _announced = False
    _linger: IDelayedCall | None = None
    _next_request: IDelayedCall | None = None

    # Twisted's own limits of these would answer without a problem document;
    # lineReceived() enforces ours.
    totalHeadersSize = maxHeaders = sys.maxsize

    @property
    def MAX_LENGTH(self) -> int:  # type: ignore[override]
        return self.site.limits.header_size

    def connectionMade(self) -> None:
        super().connectionMade()
        _bottom(self.transport).bufferSize = READ_SIZE
        site = self.site
        scarce = hasattr(self.transport, "fileno") and site.is_scarce(
            self.transport.fileno()
        )
        self._announced = announces_peer(self.transport)
        if not self._announced:
            self._client = client_of(self.transport.getPeer())
        refusal = site.connections.admit(self._client, scarce=scarce)
        if refusal is None:
            site.channels.add(self)
            return
        self._admitted = False
        most = 1 if scarce else min(LINGERING, site.limits.connections // 8 + 1)
        # A handshake would cost more than all that is refused here.
        if self.isSecure() or site.lingering >= most:
            self.setTimeout(None)
            self.transport.abortConnection()
            return
        site.lingering += 1
        self._refuse(refusal)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._held:
            self.site.head_quota.release(self._client, self._held)
            self._held = 0
        if self._admitted:
            self.site.connections.release(self._client)
            self.site.channels.discard(self)
        elif self._linger is not None:
            self.site.lingering -= 1
        for call in (self._linger, self._next_request):
            if call is not None and call.active():
                call.cancel()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._linger is not None or not data:
            return
        if not self._announced or self._recognize():
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        first = self._wait is _Wait.FIRST
        if self._wait is _Wait.NEXT:
            self._start_wait(_Wait.HEAD, self.site.limits.header_timeout)
        elif first:
            self._wait = _Wait.HEAD
        # The methods below raise a refusal to leave the parser wherever it is.
        try:
            if first:
                request_syntax.check_first_bytes(data)
            super().dataReceived(data)
            self._hold_head()
        except ShellstreamError as error:
            self._refuse(error)

    def _hold_head(self) -> None:
        """
        Count what is here of a head that is not complete.

        @raise Busy: if all of them take too much memory.
        """
        waits = self._wait is _Wait.HEAD and not self.paused
        size = self._header_size + len(self._buffer) if waits else 0
        more = max(0, size - FREE_HEAD) - self._held
        if not more:
            return
        quota, client = self.site.head_quota, self._client
        if more < 0:
            quota.release(client, -more)
        elif not quota.acquire(client, more):
            raise Busy("too many requests are not complete", RETRY_AFTER)
        self._held += more

    def _recognize(self) -> bool:
        """
        Count a connection for the client that a PROXY header has named; it is there
        before the first byte for us. Returns whether the client may have it.
        """
        self._announced = False
        client, connections = client_of(self.transport.getPeer()), self.site.connections
        connections.release(self._client)
        refusal = connections.admit(client)
        if refusal is None:
            self._client = client
            return True
        connections.admit(self._client)
        self._refuse(refusal)
        return False

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        # The size of a chunk may be more than anybody could hold.
        decoder: Any = self._transferDecoder
        if getattr(decoder, "state", "") == "BODY":
            self.requests[-1].expect_body(decoder.length)
        # Twisted stops reading from a client that sends this much behind a request
        # which is still being answered, and would not notice when it leaves.
        if sum(map(len, self._dataBuffer)) > MAX_AHEAD:
            self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        if not line:
            self._header_size = self._headers = 0
        else:
            if self._header_size:
                self._headers += 1
                request_syntax.check_field_line(line)
            else:
                line = request_syntax.check_request_line(line)
            limits = self.site.limits
            self._header_size += len(line)
            if self._header_size > limits.header_size:
                raise HeadersTooLarge(limits.header_size)
            if self._headers > limits.headers:
                raise HeadersTooLarge(limits.headers, "headers")
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> NoReturn:
        raise HeadersTooLarge(self.site.limits.header_size)

    def allHeadersReceived(self) -> None:
        headers = self.requests[-1].requestHeaders
        request_syntax.check_head(self._version, headers)
        for expectation in headers.getRawHeaders(b"expect", ()):
            if expectation.lower() != b"100-continue":
                raise ExpectationUnknown
        super().allHeadersReceived()
        if self.length != 0:
            self._granted = self.site.limits.body_timeout
            self._start_wait(_Wait.BODY, self._granted)

    def allContentReceived(self) -> None:
        # Were this renamed in Twisted, a test would fail.
        for line in getattr(self._transferDecoder, "_trailerHeaders", ()):
            request_syntax.check_field_line(bytes(line))
        # Twisted saves this, and starts it again once the request is answered.
        self.timeOut = self.site.limits.idle_timeout  # type: ignore[assignment]
        super().allContentReceived()

    def checkPersistence(self, request: ChannelRequest, version: bytes) -> bool:
        persists: bool = super().checkPersistence(request, version)
        # Twisted finds only words that spaces separate, and not all fields
        # (RFC 9110, 7.6.1).
        if persists and b"close" in _members(request, b"connection"):
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return persists

    def requestDone(self, request: ChannelRequest) -> None:
        self._wait = _Wait.NEXT
        # A client may send hundreds of requests in one packet. Each is answered in a
        # turn of its own, so that others are answered between them. Were the buffer
        # renamed in Twisted, a test would fail.
        self.paused = True  # Twisted's parser stops before the next request
        super().requestDone(request)
        if not self.persistent:
            self.paused = False
            self._start_wait(_Wait.CLOSE, self.site.limits.stall_timeout)
        elif not self._buffer:
            self.paused = False
        else:
            if len(self._buffer) > MAX_AHEAD:
                self._networkProducer.pauseProducing()
            self._next_request = self.callLater(0, self._begin_next_request)

    def _begin_next_request(self) -> None:
        self.paused = False
        if self._linger is None:
            self._receive(b"")

    def resetTimeout(self) -> None:
        """Do nothing: a byte more earns no time."""

    def timeoutConnection(self) -> None:
        match self._wait:
            case _Wait.BODY if more := self._more_time():
                self._granted += more
                self._start_wait(_Wait.BODY, more)
            case _Wait.HEAD | _Wait.BODY:
                self._refuse(RequestTooSlow())
            case _Wait.CLOSE:
                self.transport.abortConnection()
            case _:
                self._start_wait(_Wait.CLOSE, self.site.limits.stall_timeout)
                self.loseConnection()

    def _start_wait(self, wait: _Wait, seconds: float) -> None:
        self._wait = wait
        self.setTimeout(seconds)

    def _more_time(self) -> float:
        """The seconds that a growing body has earned beyond those granted."""
        limits = self.site.limits
        size = self.requests[-1].content.tell()
        earned = limits.body_timeout + size / limits.body_rate - self._granted
        return earned if earned >= 1.0 else 0.0

    def _respondToBadRequestAndDisconnect(self) -> NoReturn:
        # Twisted's own answer is a bare status line. Were it renamed there, a test
        # would fail.
        raise RequestMalformed("a header, or how its body is framed")

    def _refuse(self, error: ShellstreamError) -> None:
        """Answer a request that was not read to its end, and close."""
        request: ChannelRequest | None = self.requests[-1] if self.requests else None
        self.site.record(
            refused(error, host_of(self.getPeer()))
            if request is None
            else request.refusal(error)
        )
        self.setTimeout(None)
        body = problem(error)
        self.clearLineBuffer()
        headers = Headers() if request is None else request.responseHeaders.copy()
        for name, value in {
            "Content-Type": PROBLEM.decode(),
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
            **error.headers,
        }.items():
            headers.setRawHeaders(name, header_lines(value))
        phrase = HTTPStatus(error.status).phrase.encode()
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, phrase, headers)
        self.write(body)
        self._linger = self.callLater(LINGER, self.transport.abortConnection)
        if self.isSecure():
            self.transport.lingers = True
            self.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Headers
    ) -> None:
        """Write a response's head: its own headers, and L{FIXED_HEADERS}."""
        head = [
            b"%b %b %b\r\nDate: %b\r\n" % (version, code, reason, datetimeToString()),
            _FIXED_BLOCK,
        ]
        if not headers.hasHeader(b"Content-Security-Policy"):
            head.append(_POLICY_LINE)
        for name, values in headers.getAllRawHeaders():
            for value in values:
                head.append(b"%b: %b\r\n" % (name, value))
        head.append(b"\r\n")
        self.write(b"".join(head))

    def write(self, data: bytes) -> None:
        write_now(self.transport, (data,))

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        write_now(self.transport, tuple(iovec))


def _bottom(transport: Any) -> Any:
    """The transport of a socket, below TLS and other wrappers."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport


def _members(request: ChannelRequest, name: bytes) -> Iterable[bytes]:
    """The members of a list header, in lower case."""
    for value in request.requestHeaders.getRawHeaders(name, ()):
        for member in value.split(b","):
            yield member.strip().lower()
