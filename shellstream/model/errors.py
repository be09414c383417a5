"""What can go wrong, what HTTP should say about it, and what to do about it."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import ClassVar

from attrs import frozen


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """C{" (did you mean …?)"} if something known looks like C{name}, or nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class ShellstreamError(Exception):
    """
    Base of every error this package raises on purpose.

    @cvar status: the HTTP status that a server should answer with.
    @ivar requested: the command that was ordered, and its parameters as they may be
        shown, if it was about that.
    """

    status: ClassVar[int] = 500
    requested: tuple[str, Mapping[str, str]] = ("", {})

    def headers(self) -> Mapping[str, str]:
        """What the answer's headers say beside the status."""
        return {}

    def extensions(self) -> Mapping[str, object]:
        """Members of the problem document beyond those of RFC 9457."""
        return {}


@frozen
class RefusedParameter:
    """One parameter that was not taken, and what would have been."""

    name: str
    detail: str


class ParametersRefused(ShellstreamError):
    """One or more parameters of a request do not fit the command."""

    status = 400

    def __init__(self, refusals: Sequence[RefusedParameter]) -> None:
        super().__init__("; ".join(f"{one.name}: {one.detail}" for one in refusals))
        self.refusals = tuple(refusals)

    def extensions(self) -> Mapping[str, object]:
        return {
            "parameters": [
                {"name": one.name, "detail": one.detail} for one in self.refusals
            ]
        }


class RequestMalformed(ShellstreamError):
    """What came is no request that an HTTP server can make sense of."""

    status = 400

    def __init__(self, what: str) -> None:
        super().__init__(
            f"this is no well-formed HTTP/1.1 request (RFC 9112): {what}; use an "
            "HTTP client, such as curl -N"
        )


class BodyMalformed(ShellstreamError):
    """The query or the body cannot be read as what it says it is."""

    status = 400


class CrossSiteRequest(ShellstreamError):
    """A page of another site asked a browser to run something here."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "a page of another site may not run commands here; "
            "open the address itself, or use the page at /"
        )


class Unauthenticated(ShellstreamError):
    """Nobody may do this without saying who they are, or what they said is no good."""

    status = 401

    def __init__(self, why: str = "this needs a token") -> None:
        super().__init__(
            f"{why}; send Authorization: Bearer TOKEN (curl -u :TOKEN; shellstream "
            "--token-file FILE); twistd shellstream tokens make NAME makes one"
        )

    def headers(self) -> Mapping[str, str]:
        # A browser asks its user for the second (RFC 6750, 3; RFC 7617, 2).
        return {
            "WWW-Authenticate": 'Bearer realm="shellstream", '
            'Basic realm="shellstream", charset="UTF-8"'
        }


class Forbidden(ShellstreamError):
    """Who asks may not do this, whatever it would be done to."""

    status = 403

    def __init__(self, name: str, action: str) -> None:
        super().__init__(
            f"{name} may not do this: it takes the action {action!r}, which this "
            "credential does not have"
        )


class TooManyFailures(ShellstreamError):
    """Wrong credentials came from one address, again and again."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "too many wrong credentials came from this address; "
            f"try again in {retry_after} seconds"
        )
        self.retry_after = retry_after

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}


class WrongHost(ShellstreamError):
    """The request is for a name that this daemon does not go by."""

    status = 421

    def __init__(self, host: str) -> None:
        super().__init__(
            f"this daemon does not go by the name {host[:80]!r}, and a page of "
            "another site could use it to get here; if it is right, add it to hosts "
            "in the table [access] of the configuration"
        )


class CommandUnknown(ShellstreamError):
    """No command of this name is configured."""

    status = 404

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no command {name!r}{did_you_mean(name, known)}; "
            "GET /commands lists those there are"
        )
        self.name = name


class NoDefaultCommand(ShellstreamError):
    """C{/stream} was asked for, and no command is the default one."""

    status = 404

    def __init__(self) -> None:
        super().__init__(
            "no default command is configured; ask for /stream/NAME "
            "(GET /commands lists the names)"
        )


class PathNotFound(ShellstreamError):
    """No resource lives at this path."""

    status = 404

    def __init__(self) -> None:
        super().__init__("nothing lives at this path; GET / lists what there is")


class MethodNotAllowed(ShellstreamError):
    """The resource is there, but not for this method."""

    status = 405

    def __init__(self, method: str, allowed: Sequence[str], why: str = "") -> None:
        names = ", ".join(allowed)
        super().__init__(f"{method} is not allowed here{why}; use one of: {names}")
        self.allowed = tuple(allowed)

    def headers(self) -> Mapping[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class NotAcceptable(ShellstreamError):
    """
    The output does not come in any format that the client takes.

    @ivar formats: the media types of those there are, by name.
    """

    status = 406

    def __init__(self, formats: Mapping[str, str], wanted: str | None = None) -> None:
        if wanted is None:
            what = "output comes in no media type that the Accept header allows"
        else:
            hint = did_you_mean(wanted[:80], formats)
            what = f"there is no format {wanted[:80]!r}{hint}"
        known = ", ".join(f"{name} ({kind})" for name, kind in formats.items())
        super().__init__(f"{what}; ask with ?format=NAME or Accept for one of: {known}")
        self.formats = dict(formats)

    def extensions(self) -> Mapping[str, object]:
        return {
            "formats": [
                {"name": name, "media_type": kind}
                for name, kind in self.formats.items()
            ]
        }


class BodyTooLarge(ShellstreamError):
    """The request's body is larger than what it is for may be."""

    status = 413

    def __init__(self, limit: int, instead: str = "send less") -> None:
        super().__init__(f"the body is larger than {limit} bytes; {instead}")


class MediaTypeUnsupported(ShellstreamError):
    """The request's body is of a type that holds no parameters."""

    status = 415

    def __init__(
        self,
        media_type: str,
        wanted: str = "application/x-www-form-urlencoded or application/json",
    ) -> None:
        super().__init__(f"cannot read parameters from {media_type!r}; send {wanted}")


class IdempotencyKeyReused(ShellstreamError):
    """An C{Idempotency-Key} came again, with another request than before."""

    status = 422

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was sent before, with another request; send "
            "the same request again, or a key of its own with each request"
        )


class RequestTooSlow(ShellstreamError):
    """A request began, and the rest of it did not come in time."""

    status = 408

    def __init__(self) -> None:
        super().__init__("the rest of the request did not come in time; send it again")


class ExpectationUnknown(ShellstreamError):
    """The client expects something that nobody here knows of."""

    status = 417

    def __init__(self) -> None:
        super().__init__("of what Expect may ask only 100-continue is done here")


class TooManyConnections(ShellstreamError):
    """One address has as many connections as it may have."""

    status = 429

    def __init__(self, count: int, retry_after: int) -> None:
        super().__init__(
            f"this address has {count} connections already; close some, or try again "
            f"in {retry_after} seconds"
        )
        self.retry_after = retry_after

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}


class HeadersTooLarge(ShellstreamError):
    """The request's line and headers are more than the server reads."""

    status = 431

    def __init__(self, limit: int, of: str = "bytes") -> None:
        what = "larger" if of == "bytes" else "more"
        super().__init__(
            f"the request line and headers are {what} than {limit} {of}; "
            "send fewer, or send parameters in a POST body"
        )


class CannotStart(ShellstreamError):
    """The command's process could not be started; the text names no path."""

    status = 500

    def __init__(self, command: str, why: str) -> None:
        super().__init__(f"command {command!r} cannot be started: {why}")


class Busy(ShellstreamError):
    """The daemon is at one of its limits; later there may be room."""

    status = 503

    def __init__(self, why: str, retry_after: int) -> None:
        super().__init__(f"{why}; try again in {retry_after} seconds")
        self.retry_after = retry_after

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}


class RunUnknown(ShellstreamError):
    """No run has this id, or it is forgotten."""

    status = 404

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"there is no run {run_id[:80]!r}, or it is not kept any more; "
            "GET /runs lists those that are"
        )


class RunForgotten(ShellstreamError):
    """The run that an C{Idempotency-Key} was used for is not kept any more."""

    status = 410

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"with this Idempotency-Key the run {run_id} was begun, which is not kept "
            "any more; nothing was run again: to run the command once more, send the "
            "request with another key"
        )
        self.run_id = run_id

    def extensions(self) -> Mapping[str, object]:
        return {"run": self.run_id}


class RunFailed(ShellstreamError):
    """The run whose output was asked for never started, and so has none."""

    status = 500

    def __init__(self, run_id: str, why: str) -> None:
        super().__init__(why)
        self.run_id = run_id

    def extensions(self) -> Mapping[str, object]:
        return {"run": self.run_id}


class RunActive(ShellstreamError):
    """What was asked for can only be done to a run that has ended."""

    status = 409

    def __init__(self, run_id: str) -> None:
        super().__init__(f"the run is active; first POST /runs/{run_id}/cancel")


class RunNotRunning(ShellstreamError):
    """What was asked for can only be done to a run that has a process."""

    status = 409

    def __init__(self, state: str) -> None:
        super().__init__(f"the run is not running, it is {state}")


class CannotRecord(ShellstreamError):
    """What is known of the runs can be neither kept nor read; the text has no path."""

    status = 503

    #: Seconds after which somebody may have made room.
    RETRY_AFTER = 30

    def __init__(self, why: str) -> None:
        super().__init__(
            f"runs cannot be recorded: {why}; try again in {self.RETRY_AFTER} seconds, "
            "or ask whoever runs the daemon"
        )

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.RETRY_AFTER)}


class OffsetGone(ShellstreamError):
    """The log no longer holds the bytes at this offset, or never did."""

    status = 410

    def __init__(self, offset: int, start: int) -> None:
        super().__init__(
            f"the output at offset {offset} is not kept any more; it starts at "
            f"{start} now: ask for offset={start}, or add gap=skip"
        )
        self.offset = offset
        self.start = start

    def extensions(self) -> Mapping[str, object]:
        return {"offset": self.offset, "start": self.start}


class RangeNotSatisfiable(ShellstreamError):
    """The output of an ended run is shorter than what was asked for."""

    status = 416

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(
            f"the output ends at {size}, before offset {offset}; nothing follows"
        )
        self.size = size

    def headers(self) -> Mapping[str, str]:
        return {"Content-Range": f"bytes */{self.size}"}

    def extensions(self) -> Mapping[str, object]:
        return {"size": self.size}
