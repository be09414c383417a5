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
    """

    status: ClassVar[int] = 500

    def headers(self) -> Mapping[str, str]:
        """What the answer's headers say beside the status."""
        return {}

    def facts(self) -> Mapping[str, object]:
        """Members of the problem document beyond those of RFC 9457."""
        return {}


@frozen
class Refusal:
    """One parameter that was not taken, and what would have been."""

    name: str
    detail: str


class ParametersRefused(ShellstreamError):
    """One or more parameters of a request do not fit the command."""

    status = 400

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("; ".join(f"{one.name}: {one.detail}" for one in refusals))
        self.refusals = tuple(refusals)

    def facts(self) -> Mapping[str, object]:
        return {
            "parameters": [
                {"name": one.name, "detail": one.detail} for one in self.refusals
            ]
        }


class RequestMalformed(ShellstreamError):
    """What came is no request that an HTTP server can make sense of."""

    status = 400

    def __init__(self) -> None:
        super().__init__(
            "this is no well-formed HTTP/1.1 request (RFC 9112), or has too many "
            "headers; use an HTTP client, such as curl -N"
        )


class BodyMalformed(ShellstreamError):
    """The query or the body cannot be read as what it says it is."""

    status = 400


class CrossSite(ShellstreamError):
    """A page of another site asked a browser to run something here."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "a page of another site may not run commands here; "
            "open the address itself, or use the page at /"
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


class NothingHere(ShellstreamError):
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


class BodyTooLarge(ShellstreamError):
    """The request's body is larger than any set of parameters may be."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send less")


class MediaTypeUnsupported(ShellstreamError):
    """The request's body is of a type that holds no parameters."""

    status = 415

    def __init__(self, media_type: str) -> None:
        super().__init__(
            f"cannot read parameters from {media_type!r}; send "
            "application/x-www-form-urlencoded or application/json"
        )


class HeadersTooLarge(ShellstreamError):
    """The request's line and headers are larger than the server reads."""

    status = 431

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the request line and headers are larger than {limit} bytes; "
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


class OffsetGone(ShellstreamError):
    """The log no longer holds the bytes at this offset, or never did."""

    status = 410

    def __init__(self, offset: int, start: int) -> None:
        super().__init__(f"offset {offset} is not kept; the log starts at {start}")
        self.offset = offset
        self.start = start
