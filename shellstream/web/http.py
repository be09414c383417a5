"""
What every request gets: bounds, errors as problem documents, trailers.

Resources raise; here it becomes an answer (RFC 9457).
"""

import json
import re
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, AnyStr, NoReturn

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request as TwistedRequest
from twisted.web.server import Site as TwistedSite

from shellstream import __version__
from shellstream.access import Caller
from shellstream.audit import Entry
from shellstream.errors import (
    BodyTooLarge,
    Busy,
    HeadersTooLarge,
    RequestMalformed,
    ShellstreamError,
)

from .accesslog import log_line, masked
from .direct import write_now
from .refusals import host_of, is_noted, refused

if TYPE_CHECKING:
    from shellstream.permitted import Permitted

    from .gate import Gate

#: The largest body that is taken, in bytes: parameters, nothing more.
MAX_BODY = 1 << 16

#: The largest piece of a run's input, and what is held of such in all: it is held
#: until the run has taken it.
MAX_INPUT, MAX_INPUTS = 1 << 20, 1 << 26

#: Where input goes, in all forms that a target has (RFC 9112, 3.2).
_INPUT = re.compile(rb"(?:(?i:https?)://[^/?]*)?/runs/[^/?]*/stdin/*(?:\?.*)?", re.S)

#: The most that a client may send ahead while an answer runs, in bytes.
MAX_AHEAD = 1 << 14

#: Seconds to go on reading, and dropping, what a refused client still sends:
#: closing at once would reset the connection and lose the answer.
LINGER = 5.0

PROBLEM = b"application/problem+json"
SERVER = f"shellstream/{__version__}".encode()


def problem(error: ShellstreamError) -> bytes:
    """An error as a problem document (RFC 9457)."""
    document = {
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error),
        **error.facts(),
    }
    return json_line(document)


def json_line(document: object) -> bytes:
    """A JSON document that reads well in a terminal."""
    return json.dumps(document, indent=2).encode() + b"\n"


class InternalError(ShellstreamError):
    """Something went wrong that nobody foresaw; the log has it."""

    def __init__(self) -> None:
        super().__init__("the daemon failed to answer; its log says why")


class _Refusal(Exception):
    """Ends the parsing of a request that has been refused."""


class Channel(HTTPChannel):
    """A connection whose refusals reach the client before it is closed."""

    site: "Site"
    transport: Any  # each kind can half-close and abort; no one interface says so
    _header_size = 0
    _linger: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._linger is None:
            # Raised from wherever it was that the parser gave up.
            with suppress(_Refusal):
                super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        super().rawDataReceived(data)
        # Twisted stops reading from a client that sends this much behind a request
        # which is still being answered, and would not notice when it leaves.
        if sum(map(len, self._dataBuffer)) > MAX_AHEAD:
            self.transport.abortConnection()

    def lineReceived(self, line: bytes) -> None:
        self._header_size = self._header_size + len(line) if line else 0
        if self._header_size > self.totalHeadersSize:
            self.refuse(HeadersTooLarge(self.totalHeadersSize))
        super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> NoReturn:
        self.refuse(HeadersTooLarge(self.totalHeadersSize))

    def _respondToBadRequestAndDisconnect(self) -> NoReturn:
        # Twisted's own is a bare status line. Were it renamed, a test would tell.
        self.refuse(RequestMalformed())

    def refuse(self, error: ShellstreamError) -> NoReturn:
        """Answer a request that is not worth reading to its end, and close."""
        self.site.note(refused(error, host_of(self.getPeer())))
        self.setTimeout(None)
        body = problem(error)
        headers = Headers(
            {
                b"Server": [SERVER],
                b"Date": [datetimeToString()],
                b"Content-Type": [PROBLEM],
                b"Content-Length": [b"%d" % len(body)],
                b"Connection": [b"close"],
                **{name.encode(): [value] for name, value in error.headers().items()},
            }
        )
        phrase = HTTPStatus(error.status).phrase.encode()
        self.writeHeaders(b"HTTP/1.1", b"%d" % error.status, phrase, headers)
        self.write(body)
        self._linger = self.callLater(LINGER, self.transport.abortConnection)
        if self.isSecure():
            self.loseConnection()
        else:
            self.transport.loseWriteConnection()
        raise _Refusal

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        super().connectionLost(reason)


class Request(TwistedRequest):
    """A request with a bounded body, whose failures are problem documents."""

    defaultContentType = None
    channel: Channel  # until the client leaves
    site: "Site"
    #: What decides who asks, and what they may know of and do: before any resource
    #: is looked for.
    gate: "Gate"
    runs: "Permitted"
    content: BytesIO
    #: Whether the client has left.
    gone = False
    #: Called when the client leaves before it has the whole answer.
    when_gone: Callable[[], object] | None = None
    _logged: tuple[bytes | None, ...] | None = None  # once the answer has begun
    _is_input = False
    _held = 0

    @property
    def caller(self) -> Caller | None:
        """Who asks; L{None} before they were let in."""
        runs = getattr(self, "runs", None)
        return None if runs is None else runs.caller

    @property
    def address(self) -> str:
        """Where the client is, as far as it is known."""
        if self.caller is not None:
            return self.caller.address
        gate = getattr(self, "gate", None)
        return host_of(self.getClientAddress()) if gate is None else gate.address(self)

    def note_refusal(self, error: ShellstreamError) -> None:
        """Have it in the audit that the client is told so, if that belongs there."""
        if is_noted(error):
            asked = f"{self.method.decode('latin-1')} {self._target.partition('?')[0]}"
            self.site.note(refused(error, self.address, self.caller, asked))

    @property
    def _target(self) -> str:
        return masked(self.uri.decode("latin-1"), self.site.secrets)

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        # Nothing public tells the target so early. Were it renamed, a test would.
        if _INPUT.fullmatch(self.channel._path) is not None:
            self._is_input = True  # one attribute more would cost the others 1 kB
        self._check_size(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        self._check_size(self.content.tell() + len(data))
        if self._is_input:
            self._hold(len(data))
        super().handleContentChunk(data)

    def _check_size(self, size: int) -> None:
        if self._is_input and size > MAX_INPUT:
            pieces = "send it in pieces, each with its offset"
            self.channel.refuse(BodyTooLarge(MAX_INPUT, pieces))
        elif not self._is_input and size > MAX_BODY:
            self.channel.refuse(BodyTooLarge(MAX_BODY))

    def _hold(self, size: int) -> None:
        site = self.channel.site
        if site.held + size > MAX_INPUTS:
            why = "commands have to read what was sent to them already"
            self.channel.refuse(Busy(why, 5))
        site.held += size
        self._held += size

    def _let_go(self) -> None:
        if self._held:
            self.channel.site.held -= self._held
            self._held = 0

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # The absolute form is for proxies, but servers take it (RFC 9112, 3.2.2).
        absolute = re.fullmatch(rb"(?i:https?)://[^/?]*(/?)(.*)", path)
        if absolute is not None:
            path = b"/" + absolute[2]
        super().requestReceived(command, path, version)

    def render(self, resrc: IResource) -> None:
        self.setHeader(b"server", SERVER)
        super().render(resrc)

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        self._let_go()
        super().connectionLost(reason)
        if self.when_gone is not None:
            self.when_gone()

    def finish(self) -> None:
        self._let_go()
        super().finish()

    def processingFailed(self, reason: Failure) -> Failure:
        error = reason.value
        if not isinstance(error, ShellstreamError):
            uri = self._target
            self._log.failure("while answering {uri}", failure=reason, uri=uri)
            error = InternalError()
        self.note_refusal(error)
        if self.gone:
            return reason
        if self.startedWriting:
            self.abort()
            return reason
        self.setHeader(b"server", SERVER)
        phrase = HTTPStatus(error.status).phrase
        self.setResponseCode(error.status, phrase.encode())
        for name, value in error.headers().items():
            self.setHeader(name, value)
        self.answer(PROBLEM, problem(error))
        return reason

    def answer(self, media_type: bytes, body: bytes) -> None:
        """Answer with a whole body, and have it over with."""
        self.setHeader(b"content-type", media_type)
        self.setHeader(b"content-length", b"%d" % len(body))
        self.setHeader(b"x-content-type-options", b"nosniff")
        self.setHeader(b"cache-control", b"no-store")
        if not self.gone:
            self.write(body)
            self.finish()

    def answer_nothing(self) -> None:
        """Answer that it is done, which is all there is to say."""
        self.setResponseCode(204)
        if not self.gone:
            self.finish()

    def begin(self, data: bytes) -> None:
        """Send the headers now, and the first of an answer that may take long."""
        self.write(data)
        # All that is known by now would be half of what an idle viewer costs.
        self._logged = tuple(map(self.getHeader, _LOGGED))
        self.requestHeaders = _NONE
        self.responseHeaders = _NONE
        self.content.close()
        self.args, self.received_cookies = _NO_FIELDS, _NO_FIELDS
        self.prepath = self.postpath = self.cookies = _NO_ITEMS

    def getHeader(self, key: AnyStr) -> AnyStr | None:
        """A header of the request; once the answer has begun, only for the log."""
        if isinstance(key, str):
            value = self.getHeader(key.encode("ascii"))
            return None if value is None else _text(value)
        if self._logged is None:
            return super().getHeader(key)
        return self._logged[_LOGGED.index(key)] if key in _LOGGED else None

    def header_lines(self, name: str) -> list[str]:
        """All headers of a name."""
        lines = self.requestHeaders.getRawHeaders(name.encode("ascii"), ())
        return [_text(each) for each in lines]

    def write(self, data: bytes) -> None:
        """Write a piece of the answer: once it has begun, at once."""
        if self._logged is None:
            super().write(data)
        elif data and not self.gone:
            self.sentLength += len(data)
            framed = (b"%x\r\n" % len(data), data, b"\r\n")
            write_now(self.channel.transport, framed if self.chunked else (data,))

    def finish_with(self, trailers: Mapping[str, str]) -> None:
        """Finish a streamed answer, with C{trailers} if chunked (RFC 9112, 7.1.2)."""
        if self.chunked:
            lines = [f"{name}: {value}\r\n" for name, value in trailers.items()]
            last = b"0\r\n" + "".join(lines).encode() + b"\r\n"
            write_now(self.channel.transport, (last,))
            self.chunked = 0  # or finish() writes a last chunk of its own
        self.finish()

    def cut(self) -> None:
        """End the answer so that no client takes what it has for the whole."""
        if self.chunked:  # what is on its way may arrive: the last chunk will not
            self.loseConnection()
        else:
            self.abort()

    def abort(self) -> None:
        """Reset the connection, whatever is still on its way."""
        self.channel.transport.abortConnection()


def _text(value: bytes) -> str:
    """A header's value, of any encoding (RFC 9110, 5.5): Twisted takes UTF-8 alone."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


#: The headers that an access log tells of.
_LOGGED = (b"referer", b"user-agent")

#: Nothing is ever put into these.
_NONE, _NO_FIELDS, _NO_ITEMS = Headers(), dict[Any, Any](), list[Any]()


class Site(TwistedSite):
    """The resource tree, served by our L{Channel} and L{Request}."""

    noisy = False
    protocol = Channel  # type: ignore[assignment]  # Twisted's chooses HTTP/2 or 1.1
    requestFactory = Request

    #: How many bytes of input wait for runs to take them, or for their own rest.
    held = 0

    # Whoever made the site sets these, before it is asked:
    resource: IResource
    #: Takes what belongs into the audit.
    note: Callable[[Entry], object]
    #: The names of parameters that the access log has no value of.
    secrets: Container[str] = ()

    def __init__(self, reactor: object) -> None:
        super().__init__(
            Resource(),
            Request,
            reactor=reactor,
            logFormatter=log_line,
            parsePOSTFormSubmission=False,
        )
        self.note = lambda entry: None

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on (ALPN). Twisted offers h2 where that is installed."""
        return [b"http/1.1"]
