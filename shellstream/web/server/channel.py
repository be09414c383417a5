"""
One connection: which requests get through it, and how long it may take.

Twisted's channel is generous to clients. What comes here is from strangers: each
wait has an end, however little they send, and what is no clear request is refused,
before any of it is acted upon.
"""

from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers

from shellstream.model.errors import (
    ExpectationUnknown,
    HeadersTooLarge,
    RequestMalformed,
    RequestTooSlow,
    ShellstreamError,
)
from shellstream.process.file_limits import scarce
from shellstream.security.audit import Entry

from . import request_syntax
from .problem_details import PROBLEM, SERVER, problem
from .refusal_audit import host_of, refused

if TYPE_CHECKING:
    from .request import Request
    from .site import Site

#: The most that a client may send ahead while an answer runs, in bytes.
MAX_AHEAD = 1 << 14

#: Seconds to go on reading, and dropping, what a refused client still sends:
#: closing at once would reset the connection and lose the answer.
LINGER = 5.0

#: How many of those that were not let in may linger at once. A flood is only closed:
#: each of them has a descriptor for as long.
LINGERING = 64


class _Refusal(Exception):
    """Ends the parsing of a request that has been refused."""


class _Wait(Enum):
    """What a connection's timer is for."""

    FIRST = "the first byte of all"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NEXT = "another request"
    CLOSE = "the client to take what is left"


class Channel(HTTPChannel):
    """A connection whose refusals reach the client before it is closed."""

    site: "Site"
    transport: Any  # each kind can half-close and abort; no one interface says so
    _header_size = 0
    _headers = 0
    _wait = _Wait.FIRST
    _granted = 0.0
    _counted = True
    _linger: IDelayedCall | None = None

    # What Twisted bounds itself, at the same: ours are asked first.

    @property
    def MAX_LENGTH(self) -> int:  # type: ignore[override]
        return self.site.bounds.header_size

    @property
    def totalHeadersSize(self) -> int:  # type: ignore[override]
        return self.site.bounds.header_size

    @property
    def maxHeaders(self) -> int:  # type: ignore[override]
        return self.site.bounds.headers

    def connectionMade(self) -> None:
        super().connectionMade()
        last = hasattr(self.transport, "fileno") and scarce(self.transport.fileno())
        refusal = self.site.crowd.enter(self.transport.getPeer(), last=last)
        if refusal is None:
            self.site.channels.add(self)
            return
        self._counted = False
        most = 1 if last else min(LINGERING, self.site.bounds.connections // 8 + 1)
        # A handshake would cost more than all that is refused here.
        if self.isSecure() or self.site.lingering >= most:
            self.setTimeout(None)
            self.transport.abortConnection()
            return
        self.site.lingering += 1
        with suppress(_Refusal):
            self.refuse(refusal)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._counted:
            self.site.crowd.leave(self.transport.getPeer())
            self.site.channels.discard(self)
        elif self._linger is not None:
            self.site.lingering -= 1
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self._linger is not None or not data:
            return
        if self._wait is _Wait.NEXT:
            self._await(_Wait.HEAD, self.site.bounds.header_timeout)
        elif self._wait is _Wait.FIRST:
            self._wait = _Wait.HEAD  # for which the time has begun long since
        # Raised from wherever it was that the parser gave up.
        with suppress(_Refusal):
            super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        # A chunk may be announced that nobody could hold.
        decoder: Any = self._transferDecoder
        if getattr(decoder, "state", "") == "BODY":
            self.requests[-1].announce(decoder.length)
        # Twisted stops reading from a client that sends this much behind a request
        # which is still being answered, and would not notice when it leaves.
        if sum(map(len, self._dataBuffer)) > MAX_AHEAD:
            self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        if not line:
            self._header_size = self._headers = 0
        elif self._header_size:
            self._headers += 1
            self._refuse_if(request_syntax.field_line(line))
        else:
            self._refuse_if(request_syntax.request_line(line))
        self._header_size += len(line)
        if self._header_size > self.totalHeadersSize:
            self.refuse(HeadersTooLarge(self.totalHeadersSize))
        if self._headers > self.maxHeaders:
            self.refuse(HeadersTooLarge(self.maxHeaders, "headers"))
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> NoReturn:
        self.refuse(HeadersTooLarge(self.totalHeadersSize))

    def allHeadersReceived(self) -> None:
        headers = self.requests[-1].requestHeaders
        self._refuse_if(request_syntax.head(self._version, headers))
        for wish in headers.getRawHeaders(b"expect", ()):
            if wish.lower() != b"100-continue":
                self.refuse(ExpectationUnknown())
        super().allHeadersReceived()
        if self.length != 0:
            self._granted = self.site.bounds.body_timeout
            self._await(_Wait.BODY, self._granted)

    def allContentReceived(self) -> None:
        # Were this renamed, a test would tell.
        for line in getattr(self._transferDecoder, "_trailerHeaders", ()):
            self._refuse_if(request_syntax.field_line(bytes(line)))
        # What Twisted sets once it is answered.
        self.timeOut = self.site.bounds.idle_timeout  # type: ignore[assignment]
        super().allContentReceived()

    def checkPersistence(self, request: "Request", version: bytes) -> bool:
        stays: bool = super().checkPersistence(request, version)
        # Twisted looks for words that are set apart by spaces (RFC 9110, 7.6.1).
        if stays and b"close" in _members(request, b"connection"):
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return stays

    def requestDone(self, request: "Request") -> None:
        self._wait = _Wait.NEXT
        super().requestDone(request)
        if not self.persistent:
            self._await(_Wait.CLOSE, self.site.bounds.stall_timeout)

    def resetTimeout(self) -> None:
        """Nobody gets more time for sending one byte more."""

    def timeoutConnection(self) -> None:
        match self._wait:
            case _Wait.BODY if more := self._more_time():
                self._granted += more
                self._await(_Wait.BODY, more)
            case _Wait.HEAD | _Wait.BODY:
                with suppress(_Refusal):
                    self.refuse(RequestTooSlow())
            case _Wait.CLOSE:
                self.transport.abortConnection()
            case _:
                # What is still to be sent is, as long as the client takes it.
                self._await(_Wait.CLOSE, self.site.bounds.stall_timeout)
                self.loseConnection()

    def _await(self, what: _Wait, seconds: float) -> None:
        self._wait = what
        self.setTimeout(seconds)

    def _more_time(self) -> float:
        """What a body that grows has earned beyond what it was granted."""
        bounds = self.site.bounds
        size = self.requests[-1].content.tell()
        earned = bounds.body_timeout + size / bounds.body_rate - self._granted
        return earned if earned >= 1.0 else 0.0

    def _respondToBadRequestAndDisconnect(self) -> NoReturn:
        # Twisted's own is a bare status line. Were it renamed, a test would tell.
        self.refuse(RequestMalformed("a header, or how its body is framed"))

    def _refuse_if(self, what: str | None) -> None:
        if what is not None:
            self.refuse(RequestMalformed(what))

    def refuse(self, error: ShellstreamError, noted: Entry | None = None) -> NoReturn:
        """
        Answer a request that is not worth reading to its end, and close.

        @param noted: what the audit is to have of it, if more is known than this.
        """
        self.site.note(noted or refused(error, host_of(self.getPeer())))
        self.setTimeout(None)
        body = problem(error)
        headers = Headers(
            {
                b"Server": [SERVER],
                b"Date": [datetimeToString()],
                b"Content-Type": [PROBLEM],
                b"Content-Length": [b"%d" % len(body)],
                b"X-Content-Type-Options": [b"nosniff"],
                b"Cache-Control": [b"no-store"],
                b"Connection": [b"close"],
                **{name.encode(): [value] for name, value in error.headers().items()},
            }
        )
        phrase = HTTPStatus(error.status).phrase.encode()
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, phrase, headers)
        self.write(body)
        self._linger = self.callLater(LINGER, self.transport.abortConnection)
        if self.isSecure():
            self.transport.lingers = True
            self.loseConnection()
        else:
            self.transport.loseWriteConnection()
        raise _Refusal


def _members(request: "Request", name: bytes) -> Iterable[bytes]:
    """What a header lists, in small letters."""
    for value in request.requestHeaders.getRawHeaders(name, ()):
        for member in value.split(b","):
            yield member.strip().lower()
