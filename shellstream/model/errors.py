"""
The errors of the server: what happened, its HTTP status, and what the client can do.

They stand by subject: requests, access, commands and parameters, runs, output.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from http import HTTPMethod
from typing import ClassVar

from attrs import field, frozen

#: The most characters of a text of a client that a message repeats: a response must
#: not grow with its request.
MAX_SHOWN = 80

#: The most refusals that one response lists.
MAX_REFUSALS = 20

#: What one hint may cost, in comparisons of two characters: about 5 ms. Names that are
#: compared are up to 40 characters long.
_HINT_WORK, _HINT_LENGTH = 40_000, 40


def shown(text: str) -> str:
    """A text of a client as a message repeats it: quoted, and cut if it is long."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…")


#: The text for logs in place of a parameter's name that is not known.
UNKNOWN_NAME = "a name that is unknown"

#: The value of a header, or those of several lines.
HeaderValue = str | tuple[str, ...]


def header_lines(value: HeaderValue) -> tuple[str, ...]:
    """A header's value on each of its lines."""
    return (value,) if isinstance(value, str) else value


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """C{" (did you mean …?)"} if something known looks like C{name}, or nothing."""
    size = len(name)
    if size > _HINT_LENGTH:
        return ""
    # difflib compares each character of one name with each of the other, and a
    # configuration may have thousands of names. Names of other lengths differ too much.
    left, some = _HINT_WORK, []
    for each in known:
        if size / 3 < len(each) < size * 3 and len(each) <= _HINT_LENGTH:
            left -= size * len(each)
            if left < 0:
                break
            some.append(each)
    close = get_close_matches(name, some, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class ShellstreamError(Exception):
    """
    Base of all errors that this package raises on purpose. Their text is for the
    client: it says what happened and what to do, and names no path of the server.

    @cvar status: the HTTP status of the response.
    @cvar text: the text of an error that always has the same one.
    @ivar headers: headers of the response; of one that it has several times, all
        values.
    @ivar extensions: extension members of the problem document (RFC 9457, 3.2).
    @ivar requested: the command that the request was about, and its parameters with
        secrets masked; for the audit.
    @ivar logged: the text for logs: without what the client sent, if that may be a
        secret in the wrong place.
    """

    status: ClassVar[int] = 500
    text: ClassVar[str] = ""
    requested: tuple[str, Mapping[str, str]] = ("", {})

    def __init__(
        self,
        text: str = "",
        *,
        retry_after: int | None = None,
        headers: Mapping[str, HeaderValue] = {},
        logged: str = "",
        **extensions: object,
    ) -> None:
        """@param retry_after: seconds after which the same request may succeed."""
        super().__init__(text or self.text)
        self.logged = logged or text or self.text
        again = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.headers: Mapping[str, HeaderValue] = {**headers, **again}
        self.extensions: Mapping[str, object] = extensions


# Requests


class RequestMalformed(ShellstreamError):
    """The bytes that came are not an HTTP/1.1 request."""

    status = 400

    def __init__(self, what: str) -> None:
        super().__init__(
            f"this is no well-formed HTTP/1.1 request (RFC 9112): {what}; use an "
            "HTTP client, such as curl -N"
        )


class SpeaksTLS(ShellstreamError):
    """A client speaks TLS on a port that speaks plain HTTP."""

    status = 400
    text = "this port speaks plain http; write http:// in place of https://"


class BodyMalformed(ShellstreamError):
    """The query or the body does not have the syntax of its media type."""

    status = 400


class PathNotFound(ShellstreamError):
    """There is no resource at this path."""

    status = 404
    text = "nothing lives at this path; GET / lists what there is"


class MethodNotAllowed(ShellstreamError):
    """The resource does not have this method."""

    status = 405

    def __init__(self, method: str, allowed: Sequence[str], why: str = "") -> None:
        names = ", ".join(allowed)
        allow = f"{names}, OPTIONS"
        advice = f"use one of: {names}"
        if names == "POST":
            advice = "send POST, such as curl -d '' URL"
        text = f"{method[:MAX_SHOWN]} is not allowed here{why}; {advice}"
        known = method if method in HTTPMethod.__members__ else "this method"
        logged = f"{known} is not allowed here"
        super().__init__(text, headers={"Allow": allow}, logged=logged)


class NotAcceptable(ShellstreamError):
    """The client names a format that the output does not come in."""

    status = 406

    def __init__(self, formats: Mapping[str, str], wanted: str) -> None:
        """@param formats: the media types of all formats, by name."""
        hint = did_you_mean(wanted, formats)
        known = ", ".join(f"{name} ({kind})" for name, kind in formats.items())
        super().__init__(
            f"there is no format {shown(wanted)}{hint}; "
            f"ask with ?format=NAME or Accept for one of: {known}",
            logged="there is no such format",
            formats=[
                {"name": name, "media_type": kind} for name, kind in formats.items()
            ],
        )


class RequestTooSlow(ShellstreamError):
    """The rest of a request did not come in time."""

    status = 408
    text = "the rest of the request did not come in time; send it again"


class PreconditionFailed(ShellstreamError):
    """C{If-Match} or C{If-None-Match} asks for another state of the resource."""

    status = 412
    text = (
        "the resource has another ETag than this request asks for; GET it again, and "
        "send If-Match or If-None-Match with the ETag of that answer"
    )


class BodyTooLarge(ShellstreamError):
    """The request's body is larger than its resource allows."""

    status = 413

    def __init__(self, limit: int, instead: str = "send less") -> None:
        super().__init__(f"the body is larger than {limit} bytes; {instead}")


class MediaTypeUnsupported(ShellstreamError):
    """The request's body has a media type that its resource does not read."""

    status = 415

    def __init__(
        self,
        media_type: str,
        wanted: str = "application/x-www-form-urlencoded or application/json",
    ) -> None:
        super().__init__(
            f"cannot read parameters from {shown(media_type)}; send {wanted}",
            logged="cannot read parameters from this media type",
        )


class ContentCodingUnsupported(ShellstreamError):
    """The request's body is compressed."""

    status = 415

    def __init__(self, coding: str) -> None:
        super().__init__(
            f"cannot read a body in the Content-Encoding {coding[:80]!r}; send it as "
            "it is",
            headers={"Accept-Encoding": "identity"},  # RFC 9110, 12.5.3
            logged="cannot read a body in this Content-Encoding",
        )


class ExpectationUnknown(ShellstreamError):
    """The C{Expect} header asks for something unknown (RFC 9110, 10.1.1)."""

    status = 417
    text = "the only Expect that this server knows is 100-continue; leave out others"


class IdempotencyKeyReused(ShellstreamError):
    """An C{Idempotency-Key} came again with another request."""

    status = 422  # as draft-ietf-httpapi-idempotency-key-header has it
    text = (
        "this Idempotency-Key was sent before, with another request; send "
        "the same request again, or a key of its own with each request"
    )


class TooManyKeys(ShellstreamError):
    """A principal has as many idempotency keys as it may have."""

    status = 429

    def __init__(self, own: int, used: int) -> None:
        super().__init__(
            f"{own} of {used} idempotency keys are yours, and the rest is for others; "
            "to repeat a request, send it with the key that it had before; to send a "
            "new one now, leave the key out (keys are forgotten with their runs, after "
            "a day at the earliest)",
            retry_after=3600,
        )


class TooManyConnections(ShellstreamError):
    """A client address has as many connections as it may have."""

    status = 429

    def __init__(self, count: int, retry_after: int) -> None:
        super().__init__(
            f"this address has {count} connections already; close some, or try again "
            f"in {retry_after} seconds",
            retry_after=retry_after,
        )


class HeadersTooLarge(ShellstreamError):
    """The request line and the headers are more than the server reads."""

    status = 431

    def __init__(self, limit: int, of: str = "bytes") -> None:
        what = "larger" if of == "bytes" else "more"
        super().__init__(
            f"the request line and headers are {what} than {limit} {of}; "
            "send fewer, or send parameters in a POST body"
        )


# Access


#: The challenge for programs (RFC 6750, 3).
BEARER = 'Bearer realm="shellstream"'


class Unauthenticated(ShellstreamError):
    """The request has no credential, or one that is not valid."""

    status = 401

    def __init__(self, why: str = "this needs a token") -> None:
        super().__init__(
            f"{why}; send Authorization: Bearer TOKEN (curl -u :TOKEN; shellstream "
            "takes $SHELLSTREAM_TOKEN or --token-file FILE). To make one, type on the "
            "machine of this server: shellstreamd tokens make NAME",
            # Basic (RFC 7617, 2) is for programs that know no Bearer. A line each: one
            # for both is allowed (RFC 9110, 11.6.1), but many clients read it wrongly.
            headers={
                "WWW-Authenticate": (
                    BEARER,
                    'Basic realm="shellstream", charset="UTF-8"',
                )
            },
        )

    def without_basic(self) -> Mapping[str, HeaderValue]:
        """
        The headers for a browser with a page of ours, which asks for the token. For
        Basic the browser would ask in a window of its own, above the page, and then
        send it along with requests that pages of other sites make.
        """
        return {**self.headers, "WWW-Authenticate": BEARER}


class Forbidden(ShellstreamError):
    """The caller may not do this to anything."""

    status = 403

    def __init__(self, name: str, action: str) -> None:
        super().__init__(
            f"{name} may not do this: it takes the action {action!r}, which this "
            "credential does not have"
        )


class CrossSiteRequest(ShellstreamError):
    """A browser sent this on behalf of another site's page."""

    status = 403
    text = (
        "a page of another site may not run commands here; "
        "open the address itself, or use the page at /"
    )


class WrongHost(ShellstreamError):
    """The C{Host} header has a name that is not one of this daemon's."""

    # Another site can have its own name resolve to our address (DNS rebinding). Its
    # page's requests then look like those of our own pages but for this header.
    status = 421

    def __init__(self, host: str) -> None:
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        line = f"[access] hosts = [{name!r}]" if len(name) < MAX_SHOWN else "[access]"
        # Not the hosts that are listed: this is told to strangers.
        super().__init__(
            f"this daemon does not go by the name {shown(host)}, and a page of "
            "another site could use it to get here; it knows localhost, addresses of "
            "loopback, and hosts of its configuration. If this name is right, write "
            f"it there: {line}; or send a token, with which any name is right"
        )


class NotAProxy(ShellstreamError):
    """A peer that is no listed proxy connects to an endpoint C{haproxy:}."""

    status = 403
    text = (
        "this port is for proxies, which begin with a PROXY header, and this address "
        "is not that of one; list it as one of proxies in the table [access] of the "
        "configuration"
    )


class TooManyFailures(ShellstreamError):
    """A client address sent too many wrong credentials."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "too many wrong credentials came from this address; "
            f"try again in {retry_after} seconds",
            retry_after=retry_after,
        )


# Commands and their parameters


@frozen
class RefusedParameter:
    """
    A parameter that does not fit, and what would.

    @ivar logged: the text for logs, where the name or the detail repeats what the
        client sent.
    """

    name: str
    detail: str
    logged: str = field(default="", eq=False)


class ParametersRefused(ShellstreamError):
    """Parameters of a request do not fit."""

    status = 400

    def __init__(self, refused: Sequence[RefusedParameter]) -> None:
        listed, more = refused[:MAX_REFUSALS], len(refused) - MAX_REFUSALS
        texts = [f"{one.name}: {one.detail}" for one in listed]
        super().__init__(
            "; ".join([*texts, f"and {more} more"] if more > 0 else texts),
            parameters=[{"name": one.name, "detail": one.detail} for one in listed],
            logged="; ".join(
                one.logged or f"{one.name}: {one.detail}" for one in listed
            ),
        )
        self.refused = tuple(refused)


class Unconfirmed(ParametersRefused):
    """The page asks a question before it starts a command. All else fits."""


class CommandUnknown(ShellstreamError):
    """No command of this name is configured."""

    status = 404

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no command {shown(name)}{did_you_mean(name, known)}; "
            "GET /commands lists those there are",
            logged="there is no such command",
        )


class NoDefaultCommand(ShellstreamError):
    """C{/stream} needs a default command; the configuration has no default."""

    status = 404
    text = (
        "no default command is configured; ask for /stream/NAME "
        "(GET /commands lists the names)"
    )


class CannotStart(ShellstreamError):
    """
    The process of a command could not be started.

    @ivar for_operator: why, with what clients are not told.
    """

    # 500: the configuration or the machine is at fault, not the request.
    def __init__(self, command: str, why: str, cause: OSError | None = None) -> None:
        more = "" if cause is None else "; the operator finds more in the daemon's log"
        super().__init__(f"command {command!r} cannot be started: {why}{more}")
        self.for_operator = why if cause is None else f"{why}: {cause}"


# Runs


class Busy(ShellstreamError):
    """The daemon is at one of its limits; later there may be room."""

    status = 503

    def __init__(self, why: str, retry_after: int) -> None:
        text = f"{why}; try again in {retry_after} seconds"
        super().__init__(text, retry_after=retry_after)


class TooManyWaiting(Busy):
    """A principal has as many runs in the queue as it may have."""

    status = 429

    def __init__(self, own: int, retry_after: int) -> None:
        why = f"{own} runs of yours are waiting already, and the rest is for others"
        super().__init__(why, retry_after)


class CannotRecord(ShellstreamError):
    """The records of runs cannot be written or read."""

    status = 503

    def __init__(self, why: str) -> None:
        super().__init__(
            f"runs cannot be recorded: {why}; try again in 30 seconds, "
            "or ask the operator of the daemon",
            retry_after=30,  # an operator may have made room by then
        )


class RunUnknown(ShellstreamError):
    """No run has this id, or the run is not kept any more."""

    status = 404

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"there is no run {shown(run_id)}, or it is not kept any more; "
            "GET /runs lists those that are",
            logged="there is no such run, or it is not kept any more",
        )


class RunForgotten(ShellstreamError):
    """The run that this C{Idempotency-Key} started is not kept any more."""

    # Not 404 and not a new run: the client retries, and must never run a command twice.
    status = 410

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"this Idempotency-Key started the run {run_id}, which is not kept any "
            "more; nothing was run again: to run the command once more, send the "
            "request with another key",
            run=run_id,
        )


class RunFailed(ShellstreamError):
    """A run never started, and so has no output."""

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(why, run=run_id)


class RunActive(ShellstreamError):
    """Only an ended run can be deleted."""

    status = 409

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the run is active; first POST /runs/{run_id}/cancel")


class RunNotRunning(ShellstreamError):
    """Only a run that has a process can be controlled."""

    status = 409

    def __init__(self, state: str) -> None:
        super().__init__(f"the run is not running, it is {state}")


# Output


class OffsetGone(ShellstreamError):
    """The log does not have the bytes at this offset, any more or at all."""

    status = 410

    def __init__(self, offset: int, start: int) -> None:
        super().__init__(
            f"the output at offset {offset} is not kept any more; it starts at "
            f"{start} now: ask for offset={start}, or add gap=skip",
            offset=offset,
            start=start,
        )
        self.start = start


class RangeNotSatisfiable(ShellstreamError):
    """The output of an ended run ends before the offset that was asked for."""

    status = 416

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"the output ends at {size}, before offset {offset}; nothing follows",
            headers={"Content-Range": f"bytes */{size}"},
            size=size,
        )
