"""
One connection: parses its requests strictly, and ends every wait of its own.

Twisted's channel trusts its clients. Here every wait for a client has an end, however
little the client sends, and a request that can be read in two ways is refused before
anything is done for it.

Theory of operation: the timers of a connection
===============================================

A connection has one L{LazyTimer}, and C{_wait} says what it is for. No byte restarts
it, or a client that sends a byte a minute could hold its connection for ever (the
attack called slowloris).

========  ==================================  ==========================================
wait      begins                              ends
========  ==================================  ==========================================
FIRST     when the connection is accepted,    with the first byte, which turns it into
          with C{header_timeout}              HEAD and does not restart it
HEAD      with the first byte of a later      with the empty line after the headers
          request that does not come in one
          piece, with C{header_timeout}
BODY      after a head that announces one,    with the last byte of the body
          with C{body_timeout}
(no one)  when a request is whole             when its answer is; meanwhile the viewer's
                                              C{stall_timeout} and L{dead_peers} watch
NEXT      when an answer is whole,            with the first byte of another request
          with C{idle_timeout}
CLOSE     when nothing more will be read,     when the transport has sent everything and
          with C{stall_timeout}; also before  has closed, or goes on
          a request that was sent ahead, if
          the answer before is not taken
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

from enum import Enum
from typing import Any, NoReturn

from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from shellstream.model.errors import (
    Busy,
    HeadersTooLarge,
    NotAProxy,
    RequestMalformed,
    RequestTooSlow,
    ShellstreamError,
)
from shellstream.security.principals import UNIX

from . import request_syntax
from .connection_limits import (
    RETRY_AFTER,
    announces_peer,
    client_of,
    transport_peer,
    unix_peer,
)
from .immediate_write import write_now
from .interfaces import ChannelRequest, SharedSite
from .lazy_timer import LazyTimer
from .problem_details import as_problem
from .refusal_audit import host_of, refused
from .response_head import response_head

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


class _Wait(Enum):
    """What a connection's timer is for: see the theory of operation above."""

    FIRST = "the first byte of all"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NEXT = "another request"
    CLOSE = "the client to take what is left"


class Channel(HTTPChannel):
    """A connection whose refusals reach the client before it is closed."""

    # Of more than 30 names that any instance ever has in its dictionary, the instances
    # of a class share no keys (CPython), and each costs 1.3 kB more.
    __slots__ = (
        *("_announced", "_client", "_host", "_peer", "_timer", "is_proxied"),
        *("peer_host", "requests", "socket_host"),
    )

    site: SharedSite
    transport: Any  # each kind can half-close and abort; no one interface says so
    #: Whether a PROXY header says who the client is, and whether it will do so.
    is_proxied: bool
    _announced: bool
    #: The client that it counts for; L{None} until a PROXY header tells that.
    _client: str | None
    #: The whole head is the "line" of L{lineReceived}: one search finds its end, and
    #: one pattern checks it.
    delimiter = b"\r\n\r\n"
    #: The C{Host} header that access control has allowed last, and whether it names
    #: this machine itself. HTTP/1.0 may leave it out.
    allowed_host: str | None = None
    is_local_host = True
    _held = 0  # bytes of a head that is not complete
    _wait = _Wait.FIRST
    _granted = 0.0
    _admitted = True
    _linger: IDelayedCall | None = None
    _next_request: IDelayedCall | None = None

    @property
    def MAX_LENGTH(self) -> int:  # type: ignore[override]
        return self.site.limits.header_size

    def connectionMade(self) -> None:
        self._timer = LazyTimer(self.site.reactor, self)
        super().connectionMade()
        self.is_proxied = self._announced = announces_peer(self.transport)
        self._learn_addresses()
        _bottom(self.transport).bufferSize = READ_SIZE
        site = self.site
        scarce = hasattr(self.transport, "fileno") and site.is_scarce(
            self.transport.fileno()
        )
        self._client = None if self._announced else client_of(self._peer)
        refusal: ShellstreamError | None = NotAProxy()
        if not self._announced or site.is_proxy(self.socket_host):
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

    def _learn_addresses(self) -> None:
        # A system call, and five of Python, which each request would make again.
        self._peer: IAddress = self.transport.getPeer()
        self._host: IAddress = self.transport.getHost()
        #: The peer's host number: see L{host_of}; and that of the socket's own peer,
        #: whatever a PROXY header says.
        self.peer_host = self.socket_host = host_of(self._peer)
        if self.is_proxied:
            self.socket_host = host_of(transport_peer(self.transport))
        if self.socket_host == UNIX:
            self.socket_host = unix_peer(self.transport)
            if not self.is_proxied:
                self.peer_host = self.socket_host

    def getPeer(self) -> IAddress:
        return self._peer

    def getHost(self) -> IAddress:
        return self._host

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
        # The methods below raise a refusal to leave the parser wherever it is.
        try:
            if self._wait is _Wait.FIRST:
                self._wait = _Wait.HEAD
                request_syntax.check_first_bytes(data)
            # Twisted's own dataReceived() would restart the timer.
            LineReceiver.dataReceived(self, data)
            waits = self.line_mode and not self.paused
            if self._held or (waits and self._buffer):
                self._hold_head(self._buffer if waits else b"")
        except ShellstreamError as error:
            self._refuse(error)

    def _hold_head(self, data: bytes) -> None:
        """
        Count what is here of a head that is not complete.

        @raise Busy: if all of them take too much memory.
        @raise RequestMalformed: if it cannot become a head.
        """
        if data and self._wait is _Wait.NEXT:
            self._start_wait(_Wait.HEAD, self.site.limits.header_timeout)
        request_syntax.check_beginning(data)
        more = max(0, len(data) - FREE_HEAD) - self._held
        quota, client = self.site.head_quota, self._client
        if more < 0:
            quota.release(client, -more)
        elif more and not quota.acquire(client, more):
            raise Busy("too many requests are not complete", RETRY_AFTER)
        self._held += more

    def _recognize(self) -> bool:
        """
        Count a connection for the client that a PROXY header has named; it is there
        before the first byte for us. Returns whether the client may have it.
        """
        self._announced = False
        self._learn_addresses()
        client, connections = client_of(self._peer), self.site.connections
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
        limits = self.site.limits
        head = request_syntax.parse_head(line, limits)
        request: Any = self.requestFactory(self)  # a ChannelRequest
        self.requests.append(request)
        size: int | None = 0
        if "content-length" in head.headers:
            size = int(head.headers["content-length"][0])
        elif "transfer-encoding" in head.headers:
            size = None
        self.persistent = head.persists
        request.receive_head(head, size)
        if size == 0:
            self.allContentReceived()
            return
        # Were this renamed in Twisted, a test would fail.
        name = b"Transfer-Encoding" if size is None else b"Content-Length"
        value = b"chunked" if size is None else b"%d" % size
        self._maybeChooseTransferDecoder(name, value)
        if "expect" in head.headers and head.version == b"HTTP/1.1":
            self._send100Continue()
        self._granted = limits.body_timeout
        self._start_wait(_Wait.BODY, self._granted)
        self.setRawMode()

    def lineLengthExceeded(self, line: bytes) -> NoReturn:
        raise HeadersTooLarge(self.site.limits.header_size)

    def allContentReceived(self) -> None:
        if self._transferDecoder is not None:
            # Were this renamed in Twisted, a test would fail.
            trailers = getattr(self._transferDecoder, "_trailerHeaders", ())
            request_syntax.parse_fields(b"\r\n".join(map(bytes, trailers)))
            self._transferDecoder = None
        self._timer.stop()
        self._handlingRequest = True
        self.setRawMode()  # what comes now is kept until this request is answered
        self.requests[-1].process()

    def requestDone(self, request: ChannelRequest) -> None:
        # Twisted's own would restart a timer and the reading of the socket, which goes
        # on, for each request.
        del self.requests[0]
        if not self.persistent:
            self._start_wait(_Wait.CLOSE, self.site.limits.stall_timeout)
            self.loseConnection()
            return
        self._handlingRequest = False
        self._start_wait(_Wait.NEXT, self.site.limits.idle_timeout)
        # A client may send hundreds of requests in one packet. Each is answered in a
        # turn of its own, so that others are answered between them. Were the buffer
        # renamed in Twisted, a test would fail.
        data, self._dataBuffer = b"".join(self._dataBuffer), []
        self.paused = bool(data or self._buffer)
        self.setLineMode(data)
        if self._waitingForTransport or len(self._buffer) > MAX_AHEAD:
            self._networkProducer.pauseProducing()
        if self.paused:
            self._next_request = self.callLater(0, self._begin_next_request)

    def _begin_next_request(self) -> None:
        if self._waitingForTransport:
            # Answers that the client does not take would fill the memory.
            self._start_wait(_Wait.CLOSE, self.site.limits.stall_timeout)
            return
        if self._wait is _Wait.CLOSE:
            self._start_wait(_Wait.NEXT, self.site.limits.idle_timeout)
        self.paused = False
        self._networkProducer.resumeProducing()
        if self._linger is None:
            self._receive(b"")

    def resumeProducing(self) -> None:
        super().resumeProducing()
        call = self._next_request
        if self.paused and (call is None or not call.active()):
            self._next_request = self.callLater(0, self._begin_next_request)
        if self._handlingRequest:
            # It was paused before; what is sent ahead is bounded otherwise.
            self._networkProducer.resumeProducing()

    def setTimeout(self, period: float | None) -> None:
        if period is None:
            self._timer.cancel()
        else:
            self._timer.start(period)

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
        self._timer.start(seconds)

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
        represent = as_problem if request is None else self.site.represent
        headers, body = represent(request, error)
        self.clearLineBuffer()
        before = {} if request is None else request.response_headers
        headers = {
            **before,
            **headers,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        head = response_head("HTTP/1.1", error.status, headers)
        write_now(self.transport, (head, body))
        self._linger = self.callLater(LINGER, self.transport.abortConnection)
        if self.isSecure():
            self.transport.lingers = True
            self.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def write(self, data: bytes) -> None:
        write_now(self.transport, (data,))


def _bottom(transport: Any) -> Any:
    """The transport of a socket, below TLS and other wrappers."""
    while (below := getattr(transport, "transport", None)) is not None:
        transport = below
    return transport
