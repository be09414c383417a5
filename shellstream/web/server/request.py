"""
A request: its bounded body, the context that access control gives it, its response.

Resources raise errors; here an error becomes a problem document (RFC 9457).
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import frozen
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.server import Request as TwistedRequest

from shellstream.model.errors import (
    BodyTooLarge,
    Busy,
    ContentCodingUnsupported,
    HeaderValue,
    PathNotFound,
    RunFailed,
    ShellstreamError,
    Unauthenticated,
    header_lines,
)
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import Caller
from shellstream.security.login_sessions import LoginSession

from .access_log import shown_method
from .channel import Channel, SharedSite
from .connection_limits import RETRY_AFTER, client_of
from .immediate_write import write_now
from .problem_details import PROBLEM, problem
from .refusal_audit import host_of, refused

#: A target in absolute form: for proxies, but servers take it too (RFC 9112, 3.2.2).
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]+)/?(.*)", re.S)

#: Where input for a run goes. Its body may be larger than others.
_STDIN = re.compile(rb"/runs/[^/?]*/stdin/*(?:\?.*)?", re.S)

#: The most segments of a path: resources have four at most. What follows them is one
#: more, which no resource has.
MAX_SEGMENTS = 16

#: The most cookies of a request; a browser keeps about 180 for one host.
MAX_COOKIES = 300

#: The header in which a script of our page sends the CSRF token, or that it has none.
CSRF_HEADER = "shellstream-csrf"

#: The request headers that the access log shows.
_LOGGED = (b"referer", b"user-agent")

#: Shared empty containers; they save about 1 kB for each idle viewer. They must never
#: be mutated.
_NO_HEADERS, _NO_FIELDS, _NO_ITEMS = Headers(), dict[Any, Any](), list[Any]()


class InternalError(ShellstreamError):
    """Something unforeseen went wrong; the log has the traceback."""

    def __init__(self) -> None:
        super().__init__("the daemon failed to answer; its log says why")


@frozen(eq=False)
class RequestContext:
    """
    The answers of access control, which travel with a request.

    @ivar runs: the runs, as far as the caller may use them; it knows the caller.
    @ivar session: the login session that the browser's cookie names, if any.
    """

    runs: AuthorizedRuns
    session: LoginSession | None = None


class Request(TwistedRequest):
    """
    A request with a bounded body, whose failures are problem documents.

    @ivar address: where the client is, as far as a trusted proxy says.
    @ivar context: the answers of access control, once it has identified the caller.
    @ivar disconnected: whether the client has left.
    @ivar on_disconnect: called when the client leaves before it has the whole response.
    """

    defaultContentType = None
    channel: Channel  # until the client leaves
    site: SharedSite  # type: ignore[assignment]  # Twisted's Site, and ours
    content: BytesIO
    postpath: list[bytes]
    uri = b""  # until the head is complete
    address = ""
    context: RequestContext
    disconnected = False
    on_disconnect: Callable[[], object] | None = None
    # Defaults are here, not in each instance: with more than 30 attributes of their own
    # the instances' dictionaries share no keys, and each viewer costs 1 kB more.
    _logged: tuple[bytes | None, ...] | None = None  # once it is streamed
    _is_input = False
    _held = 0
    _released = False

    @property
    def caller(self) -> Caller | None:
        """Who sends this; L{None} before authentication."""
        context: RequestContext | None = getattr(self, "context", None)
        return None if context is None else context.runs.caller

    def header(self, name: str) -> str | None:
        """A header of the request; the last, if there are several."""
        lines = self.requestHeaders.getRawHeaders(name.encode("ascii"))
        return None if lines is None else _text(lines[-1])

    def header_lines(self, name: str) -> list[str]:
        """All headers of a name."""
        lines = self.requestHeaders.getRawHeaders(name.encode("ascii"), ())
        return [_text(each) for each in lines]

    @property
    def content_type(self) -> str:
        """The media type of the body, with its parameters; empty if it is not told."""
        return self.header("content-type") or ""

    def logged_headers(self) -> tuple[bytes | None, ...]:
        """The referrer and the user agent, which are still known at the end."""
        return self._logged or tuple(map(self.getHeader, _LOGGED))

    # The body, as it comes.

    def parseCookies(self) -> None:
        lines = self.requestHeaders.getRawHeaders(b"cookie", ())
        # Twisted takes 2 microseconds for each, and 16,000 fit into a header.
        if sum(line.count(b";") for line in lines) <= MAX_COOKIES:
            super().parseCookies()

    def gotLength(self, length: int | None) -> None:
        self.site = self.channel.site
        self.content = BytesIO()
        # Twisted tells the target only with the body. Were this renamed in Twisted, a
        # test would fail.
        self._set_target(self.channel._command, self.channel._path)
        if length != 0:
            self._check_coding()
        self._is_input = _STDIN.fullmatch(self.uri) is not None
        if length != 0 or self._is_input:
            self.site.resource.authorize_body(self, is_input=self._is_input)
        self.expect_body(length or 0)

    def _set_target(self, method: bytes, target: bytes) -> None:
        if target[:1] != b"/":
            absolute = _ABSOLUTE.fullmatch(target)
            assert absolute is not None, "check_request_line() lets nothing else in"
            # Whatever Host says (RFC 9112, 3.2.2).
            self.requestHeaders.setRawHeaders(b"host", [absolute[1]])
            target = b"/" + absolute[2]
        self.method, self.uri, self.path = method, target, target.partition(b"?")[0]
        self.prepath = []
        segments = self.path[1:].split(b"/", MAX_SEGMENTS)
        self.postpath = [unquote_to_bytes(each) for each in segments]

    def _check_coding(self) -> None:
        """@raise ContentCodingUnsupported: if the body is compressed."""
        for coding in self.header_lines("content-encoding"):
            if coding.strip().lower() not in ("", "identity"):
                raise ContentCodingUnsupported(coding)

    def handleContentChunk(self, data: bytes) -> None:
        self.expect_body(len(data))
        self._hold(len(data))
        super().handleContentChunk(data)

    def expect_body(self, size: int) -> None:
        """
        At least so many more bytes of the body will come.

        @raise BodyTooLarge: if these are too many.
        """
        size += self.content.tell()
        limits = self.site.limits
        if not self._is_input:
            if size > limits.body_size:
                raise BodyTooLarge(limits.body_size)
        elif size > limits.input_size:
            how = "send it in pieces, each with its offset"
            raise BodyTooLarge(limits.input_size, how)

    def _hold(self, size: int) -> None:
        """@raise Busy: if there is no memory for so much more of a body."""
        quota, spare = self.site.body_quota, 0
        why = "too many requests with a body are here already"
        if self._is_input:
            # A command may never read its input. Other requests need what is left then.
            why = "commands have to read what was sent to them already"
            spare = quota.limit - self.site.limits.inputs_of_all
        if not quota.acquire(client_of(self.client), size, spare):
            raise Busy(why, RETRY_AFTER)
        self._held += size

    def _release_body(self) -> None:
        if self._held:
            self.site.body_quota.release(client_of(self.client), self._held)
            self._held = 0

    def _release(self) -> None:
        """The request is over: others may use what it used."""
        self._release_body()
        if self._logged is not None and not self._released:
            self._released = True
            self.site.viewers -= 1

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # Twisted's own also parses the query and forms of several parts: those of
        # strangers too, and resources read the query for themselves.
        self.content.seek(0)
        self.clientproto = version
        try:
            self.site.resource.render(self)
        except Exception:  # noqa: BLE001  # InternalError tells of any
            self.processingFailed(Failure())

    # The response.

    def connectionLost(self, reason: Failure) -> None:
        self.disconnected = True
        self._release()
        super().connectionLost(reason)
        if self.on_disconnect is not None:
            self.on_disconnect()

    def finish(self) -> None:
        self._release()
        # A client may leave at any time, and Twisted takes an answer to it for a bug.
        if not self.disconnected:
            super().finish()

    def processingFailed(self, reason: Failure) -> Failure:
        error = reason.value
        if not isinstance(error, ShellstreamError):
            uri = self._masked_target
            self._log.failure("while answering {uri}", failure=reason, uri=uri)
            error = InternalError()
        self.record_refusal(error)
        if self.disconnected:
            return reason
        if self.startedWriting:  # it is too late for another status
            self.abort()
            return reason
        headers = error.headers
        if isinstance(error, Unauthenticated) and self._is_of_script:
            headers = error.without_basic()
        self.set_status(error.status)
        self.set_headers(headers)
        self.respond(PROBLEM, problem(error))
        return reason

    @property
    def _is_of_script(self) -> bool:
        """Whether a script of our page sent this, as far as it can tell."""
        # EventSource sends no header but this.
        is_event_source = self.header("accept") == "text/event-stream"
        return is_event_source or self.header(CSRF_HEADER) is not None

    def record_refusal(self, error: ShellstreamError) -> None:
        """Put a refusal into the audit, if it belongs there."""
        # The end of a failed run is there already, and requests for paths that do not
        # exist, as browsers make them, are in the access log.
        if not isinstance(error, PathNotFound | RunFailed):
            self.site.record(self.refusal(error))

    def refusal(self, error: ShellstreamError) -> AuditEntry:
        """A refusal of this request, for the audit."""
        address = self.address or host_of(self.getClientAddress())
        asked = ""
        if self.uri:
            path = self._masked_target.partition("?")[0]
            asked = f"{shown_method(self)} {path}"
        return refused(error, address, self.caller, asked)

    @property
    def _masked_target(self) -> str:
        return self.site.names.target(self.uri.decode("latin-1"))

    def set_status(self, status: int) -> None:
        """Set the status code and its phrase (RFC 9110, 15)."""
        self.setResponseCode(status, HTTPStatus(status).phrase.encode())

    def set_headers(self, headers: Mapping[str, HeaderValue]) -> None:
        """Set headers of the response."""
        for name, value in headers.items():
            self.responseHeaders.setRawHeaders(name, header_lines(value))

    def respond(
        self, media_type: bytes, body: bytes, cache_control: str = "no-store"
    ) -> None:
        """Send a whole response."""
        headers = self.responseHeaders
        headers.setRawHeaders(b"content-type", (media_type,))
        headers.setRawHeaders(b"content-length", (b"%d" % len(body),))
        headers.setRawHeaders(b"cache-control", (cache_control.encode(),))
        self.write(body)
        self.finish()

    def respond_no_content(self) -> None:
        """Send a response that says no more than that it is done (204)."""
        self.setResponseCode(204)
        self.finish()

    def check_viewer_limit(self) -> None:
        """@raise Busy: if as many responses are streamed as there may be."""
        viewers = self.site.viewers
        if viewers >= self.site.limits.viewers:
            raise Busy(f"{viewers} others are watching already", RETRY_AFTER)

    def start_streaming(self, data: bytes) -> None:
        """Send the headers now, and the beginning of a response that may take long."""
        self.write(data)
        self.site.viewers += 1
        # The head of the request would be half of what an idle viewer costs.
        self._logged = self.logged_headers()
        self.requestHeaders = self.responseHeaders = _NO_HEADERS
        self.content.close()
        self._release_body()
        self.received_cookies = _NO_FIELDS
        self.prepath = self.postpath = self.cookies = _NO_ITEMS

    def write(self, data: bytes) -> None:
        """Write a piece of the response; once it is streamed, at once."""
        if self._logged is None:
            super().write(data)
        elif data and not self.disconnected:
            self.sentLength += len(data)
            framed = (b"%x\r\n" % len(data), data, b"\r\n")
            write_now(self.channel.transport, framed if self.chunked else (data,))

    def finish_with_trailers(self, trailers: Mapping[str, str]) -> None:
        """Finish a streamed response; C{trailers} need chunks (RFC 9112, 7.1.2)."""
        if self.chunked:
            lines = [f"{name}: {value}\r\n" for name, value in trailers.items()]
            last = b"0\r\n" + "".join(lines).encode() + b"\r\n"
            write_now(self.channel.transport, (last,))
            self.chunked = 0  # or finish() writes a last chunk of its own
        self.finish()

    def abort_incomplete(self) -> None:
        """End the response so that no client takes what it has for the whole."""
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
