"""
A request: the context that access control gives it, and its response.

Resources raise errors; here an error becomes a response, as the site represents it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.python.failure import Failure

from shellstream.model.errors import (
    Busy,
    HeaderValue,
    PathNotFound,
    RunFailed,
    ShellstreamError,
    Unconfirmed,
)
from shellstream.model.trace_context import trace_context
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.audit import AuditEntry
from shellstream.security.authorization import Caller
from shellstream.security.login_sessions import LoginSession

from .access_log import shown_method
from .connection_limits import RETRY_AFTER
from .immediate_write import write_now
from .received_request import NO_HEADERS, ReceivedRequest
from .refusal_audit import refused
from .request_syntax import Head
from .response_head import response_head

#: The header in which a script of our page sends the CSRF token, or that it has none.
CSRF_HEADER = "shellstream-csrf"

#: What L{Request.logged_headers} returns.
Logged = tuple[str, str, str | None, str | None]

#: The codes of responses that have no content (RFC 9110, 6.4.1).
_NO_CONTENT = (204, 304)

#: Of idle viewers, as L{NO_HEADERS}: together these save 1 kB for each.
_NO_ITEMS = list[Any]()


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


class Request(ReceivedRequest):
    """
    A request and its response.

    @ivar response_headers: the headers of the response, by their names as they are
        written. L{response_head} adds those that every response has.
    @ivar address: where the client is, as far as a trusted proxy says.
    @ivar context: the answers of access control, once it has identified the caller.
    @ivar disconnected: whether the client has left.
    @ivar on_disconnect: called when the client leaves before it has the whole response.
    """

    defaultContentType = None
    address = ""
    #: Its C{Host}, if that is no name of this daemon: see L{Authenticator.check_host}.
    unknown_host: str | None = None
    context: RequestContext
    disconnected = False
    on_disconnect: Callable[[], object] | None = None
    response_headers: dict[str, HeaderValue] = NO_HEADERS
    _logged: Logged | None = None  # once it is streamed
    _has_content = True
    _released = False

    @property
    def caller(self) -> Caller | None:
        """Who sends this; L{None} before authentication."""
        context: RequestContext | None = getattr(self, "context", None)
        return None if context is None else context.runs.caller

    def receive_head(self, head: Head, size: int | None) -> None:
        # Of Twisted's own, these two are not used.
        del self.requestHeaders, self.responseHeaders
        self.response_headers = {}
        if not head.persists and head.version == b"HTTP/1.1":
            self.response_headers["Connection"] = "close"
        super().receive_head(head, size)

    def logged_headers(self) -> Logged:
        """
        The referrer, the user agent, the run and the trace: all are still known at the
        end.
        """
        run: Any = self.response_headers.get("Shellstream-Run")
        if self._logged is not None:
            return self._logged if run is None else (*self._logged[:2], run, None)
        none, received = ("-",), self.received
        trace = None
        if "traceparent" in received:
            found = trace_context(received["traceparent"])
            trace = None if found is None else found.trace_id
        referrer, agent = (
            received.get("referer", none),
            received.get("user-agent", none),
        )
        return referrer[-1], agent[-1], run, trace

    def _release(self) -> None:
        """The request is over: others may use what it used."""
        self.release_body()
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
        headers, body = self.site.represent(self, error)
        self.setResponseCode(error.status)
        self.set_headers(headers)
        self.respond(str(headers["Content-Type"]).encode("ascii"), body)
        return reason

    @property
    def is_of_script(self) -> bool:
        """Whether a script of our page sent this, as far as it can tell."""
        # EventSource sends no header but this.
        is_event_source = self.header("accept") == "text/event-stream"
        return is_event_source or self.header(CSRF_HEADER) is not None

    def record_refusal(self, error: ShellstreamError) -> None:
        """Put a refusal into the audit, if it belongs there."""
        # The end of a failed run is there already, and requests for paths that do not
        # exist, as browsers make them, are in the access log. A question is none.
        if not isinstance(error, PathNotFound | RunFailed | Unconfirmed):
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
        self.begin_to_view()
        # The head of the request would be half of what an idle viewer costs.
        self.received = self.response_headers = NO_HEADERS
        self.received_cookies = NO_HEADERS
        self.postpath = self.cookies = _NO_ITEMS

    def begin_to_view(self) -> None:
        """Count as a viewer from now on, without the body: this may take long."""
        self.site.viewers += 1
        self._logged = self.logged_headers()
        del self.content
        self.release_body()

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
            self.site.sent += size
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
