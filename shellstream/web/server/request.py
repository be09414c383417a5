"""
What every request gets: a bounded body, errors as problem documents, trailers.

Resources raise; here it becomes an answer (RFC 9457).
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, AnyStr

from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource
from twisted.web.server import Request as TwistedRequest

from shellstream.model.errors import BodyTooLarge, Busy, ShellstreamError
from shellstream.security.authorization import Caller

from .access_log import masked
from .channel import Channel
from .connection_limits import RETRY_AFTER, client_network
from .immediate_write import write_now
from .problem_details import PROBLEM, SERVER, problem
from .refusal_audit import host_of, is_noted, refused

if TYPE_CHECKING:
    from shellstream.runs.authorized_runs import AuthorizedRuns

    from .authentication import Authenticator
    from .site import Site


#: Where input goes, in all forms that a target has (RFC 9112, 3.2).
_INPUT = re.compile(rb"(?:(?i:https?)://[^/?]*)?/runs/[^/?]*/stdin/*(?:\?.*)?", re.S)


class InternalError(ShellstreamError):
    """Something went wrong that nobody foresaw; the log has it."""

    def __init__(self) -> None:
        super().__init__("the daemon failed to answer; its log says why")


class Request(TwistedRequest):
    """A request with a bounded body, whose failures are problem documents."""

    defaultContentType = None
    channel: Channel  # until the client leaves
    site: "Site"
    #: What decides who asks, and what they may know of and do: before any resource
    #: is looked for.
    gate: "Authenticator"
    runs: "AuthorizedRuns"
    content: BytesIO
    #: Whether the client has left.
    gone = False
    #: Called when the client leaves before it has the whole answer.
    when_gone: Callable[[], object] | None = None
    _logged: tuple[bytes | None, ...] | None = None  # once the answer has begun
    _is_input = False
    _held = 0
    _left = False

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
            self._check_welcome()
        self._check_size(length or 0)

    def handleContentChunk(self, data: bytes) -> None:
        self._check_size(self.content.tell() + len(data))
        if self._is_input:
            self._hold(len(data))
        super().handleContentChunk(data)

    def announce(self, size: int) -> None:
        """So much more of the body is to come at least."""
        self._check_size(self.content.tell() + size)

    def _check_welcome(self) -> None:
        """Nothing large is taken of whoever may not send it."""
        welcome = self.channel.site.welcome
        if welcome is not None:
            try:
                welcome(self)
            except ShellstreamError as error:
                path = self.channel._path.partition(b"?")[0].decode("latin-1")
                asked = f"POST {masked(path, ())}"
                noted = refused(error, self.address, self.caller, asked)
                self.channel.refuse(error, noted)

    def _check_size(self, size: int) -> None:
        bounds = self.channel.site.bounds
        if self._is_input and size > bounds.input_size:
            pieces = "send it in pieces, each with its offset"
            self.channel.refuse(BodyTooLarge(bounds.input_size, pieces))
        elif not self._is_input and size > bounds.body_size:
            self.channel.refuse(BodyTooLarge(bounds.body_size))

    def _hold(self, size: int) -> None:
        if not self.channel.site.inputs.take(client_network(self.client), size):
            why = "commands have to read what was sent to them already"
            self.channel.refuse(Busy(why, RETRY_AFTER))
        self._held += size

    def _let_go(self) -> None:
        """It is over: what it held is for others."""
        if self._held:
            self.channel.site.inputs.give_back(client_network(self.client), self._held)
            self._held = 0
        if self._logged is not None and not self._left:
            self._left = True
            self.channel.site.viewers -= 1

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

    def check_room(self) -> None:
        """@raise Busy: if there are as many long answers as there may be."""
        site = self.channel.site
        if site.viewers >= site.bounds.viewers:
            raise Busy(f"{site.viewers} others are watching already", RETRY_AFTER)

    def begin(self, data: bytes) -> None:
        """Send the headers now, and the first of an answer that may take long."""
        self.write(data)
        self.channel.site.viewers += 1
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
