"""
A request: its bounded body, the context that access control gives it, its response.

Resources raise errors; here an error becomes a problem document (RFC 9457).
"""

import re
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from attrs import frozen
from twisted.python.failure import Failure
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
from .refusal_audit import refused
from .request_syntax import Head, HeaderValues
from .response_head import response_head

#: Where input for a run goes. Its body may be larger than others.
_STDIN = re.compile(rb"/runs/[^/?]*/stdin/*(?:\?.*)?", re.S)

#: The most segments of a path: resources have four at most. What follows them is one
#: more, which no resource has.
MAX_SEGMENTS = 16

#: The most cookies of a request; a browser keeps about 180 for one host.
MAX_COOKIES = 300

#: The header in which a script of our page sends the CSRF token, or that it has none.
CSRF_HEADER = "shellstream-csrf"

#: The codes of responses that have no content (RFC 9110, 6.4.1).
_NO_CONTENT = (204, 304)

#: Shared empty containers; they save about 1 kB for each idle viewer. They must never
#: be mutated.
_NO_HEADERS, _NO_ITEMS = dict[Any, Any](), list[Any]()


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

    @ivar received: its headers. Twisted's own C{requestHeaders}, and what sets the
        headers of a response there, are not used: each costs ten calls a header.
    @ivar response_headers: the headers of the response, by their names as they are
        written. L{response_head} adds those that every response has.
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
    received: HeaderValues = _NO_HEADERS
    response_headers: dict[str, HeaderValue] = _NO_HEADERS
    _logged: tuple[str, ...] | None = None  # once it is streamed
    _has_content = True
    _is_input = False
    _held = 0
    _released = False

    @property
    def caller(self) -> Caller | None:
        """Who sends this; L{None} before authentication."""
        context: RequestContext | None = getattr(self, "context", None)
        return None if context is None else context.runs.caller

    def header(self, name: str) -> str | None:
        """A header of the request, by its name in lower case; the last of several."""
        values = self.received.get(name)
        return None if values is None else _text(values[-1])

    def header_lines(self, name: str) -> list[str]:
        """All headers of a name."""
        values = self.received.get(name)
        return [] if values is None else [_text(each) for each in values]

    def getHeader(self, key: Any) -> Any:
        # Twisted's getPassword() calls it.
        values = self.received.get(key.decode("ascii").lower())
        return None if values is None else values[-1].encode("latin-1")

    def getCookie(self, key: bytes) -> bytes | None:
        lines = self.received.get("cookie", ())
        # A cookie takes a microsecond, and 16,000 fit into a header.
        if sum(line.count(";") for line in lines) > MAX_COOKIES:
            return None
        cookies = (each.lstrip() for line in lines for each in line.split(";"))
        name = f"{key.decode('ascii')}="
        found = [each[len(name) :] for each in cookies if each.startswith(name)]
        return found[-1].encode("latin-1") if found else None

    @property
    def content_type(self) -> str:
        """The media type of the body, with its parameters; empty if it is not told."""
        return self.header("content-type") or ""

    def logged_headers(self) -> tuple[str, ...]:
        """The referrer and the user agent, which are still known at the end."""
        if self._logged is not None:
            return self._logged
        none, received = ("-",), self.received
        return (received.get("referer", none)[-1], received.get("user-agent", none)[-1])

    # The body, as it comes.

    def receive_head(self, head: Head, size: int | None) -> None:
        """
        Take in the head, and decide whether the body may come.

        @param size: of the body, in bytes; L{None} if it comes in chunks.
        @raise ShellstreamError: if it may not.
        """
        self.site = self.channel.site
        self.content = BytesIO()
        # Of Twisted's own, these two are not used.
        del self.requestHeaders, self.responseHeaders
        self.received, self.response_headers = head.headers, {}
        self.method, self.uri, self.clientproto = head.method, head.target, head.version
        self.path = self.uri.partition(b"?")[0]
        segments = self.path[1:].split(b"/", MAX_SEGMENTS)
        self.postpath = [unquote_to_bytes(each) for each in segments]
        if not head.persists and head.version == b"HTTP/1.1":
            self.response_headers["Connection"] = "close"
        if size != 0:
            self._check_coding()
        if _STDIN.fullmatch(self.uri) is not None:
            self._is_input = True
        if size != 0 or self._is_input:
            self.site.resource.authorize_body(self, is_input=self._is_input)
        if size:
            self.expect_body(size)

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

    def process(self) -> None:
        self.content.seek(0)
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
        self.setResponseCode(error.status)
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
        address = self.address or self.channel.peer_host
        asked = ""
        if self.uri:
            path = self._masked_target.partition("?")[0]
            asked = f"{shown_method(self)} {path}"
        return refused(error, address, self.caller, asked)

    @property
    def _masked_target(self) -> str:
        return self.site.access_log.names.target(self.uri.decode("latin-1"))

    def set_headers(self, headers: Mapping[str, HeaderValue]) -> None:
        """Set headers of the response."""
        self.response_headers.update(headers)

    def respond(
        self, media_type: bytes, body: bytes, cache_control: str = "no-store"
    ) -> None:
        """Send a whole response."""
        headers = self.response_headers
        headers["Content-Type"] = media_type.decode("ascii")
        headers["Content-Length"] = str(len(body))
        headers["Cache-Control"] = cache_control
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
        self.received = self.response_headers = _NO_HEADERS
        self.received_cookies = _NO_HEADERS
        self.postpath = self.cookies = _NO_ITEMS
        del self.content
        self._release_body()

    def write(self, data: bytes) -> None:
        """Write a piece of the response at once; the first one behind the head."""
        if self.disconnected:
            return
        parts: tuple[bytes, ...] = ()
        if not self.startedWriting:
            parts = (self._begin_response(),)
        if data and self._has_content:
            size = len(data)
            self.sentLength += size
            if self.chunked:
                parts = (*parts, b"%x\r\n" % size, data, b"\r\n")
            else:
                parts = (*parts, data)
        if parts:
            write_now(self.channel.transport, parts)

    def _begin_response(self) -> bytes:
        """The head of the response."""
        self.startedWriting = 1
        headers = self.response_headers
        if self.method == b"HEAD" or self.code in _NO_CONTENT:
            self._has_content = False
        elif self.clientproto == b"HTTP/1.1" and "Content-Length" not in headers:
            headers["Transfer-Encoding"] = "chunked"
            self.chunked = 1
        if self.cookies:
            headers["Set-Cookie"] = tuple(each.decode() for each in self.cookies)
        return response_head(self.clientproto.decode("ascii"), self.code, headers)

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


def _text(value: str) -> str:
    """A header's value, of any encoding (RFC 9110, 5.5): UTF-8 if it can be."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value
