"""The errors of the client, with the exit codes of the command line."""

from typing import TYPE_CHECKING, ClassVar

from .escape import printable

if TYPE_CHECKING:
    from .events import Result


#: Bytes of a command's standard error that an error repeats.
_MOST_OF_STDERR = 500


class ClientError(Exception):
    """
    A request failed, or output is missing. The text is one line for a user.

    @cvar code: exit code of the command line, from C{sysexits.h} of BSD.
    """

    code: ClassVar[int]


class Usage(ClientError):
    """The command line is malformed (C{EX_USAGE})."""

    code = 64


class NoSuchRun(ClientError):
    """No run is the one that the user names, or several may be (C{EX_DATAERR})."""

    code = 65


class ConfigError(ClientError):
    """A configuration file, or a file that it names, is malformed (C{EX_CONFIG})."""

    code = 78


class ServerError(ClientError):
    """
    Something went wrong at a URL.

    @cvar summary: what all errors of this class have in common.
    @ivar why: the reason in few words.
    @ivar hint: what else the user may have meant, if anything.
    """

    summary: ClassVar[str] = ""

    def __init__(self, url: str, reason: str = "") -> None:
        parts = [url, self.summary, reason]
        super().__init__(": ".join(part for part in parts if part))
        self.url = url
        self.why = reason or self.summary
        self.hint = ""


class _ErrorStatus(ServerError):
    """
    The server answered with an error.

    @ivar status: the HTTP status.
    @ivar is_ours: whether a shellstream server answered, and not a proxy before it or
        another kind of server.
    """

    def __init__(
        self, url: str, status: int, reason: str, *, is_ours: bool = True
    ) -> None:
        super().__init__(url, reason)
        self.status = status
        self.is_ours = is_ours


class Refused(_ErrorStatus):
    """The server refused the request, with a status of 3xx or 4xx (C{EX_DATAERR})."""

    code = 65


class ServerFailed(_ErrorStatus):
    """The server failed, with a status of 5xx (C{EX_SOFTWARE})."""

    code = 70


class NoSuchHost(ServerError):
    """The host's name cannot be resolved (C{EX_NOHOST})."""

    code = 68
    summary = "no such host; check the spelling of its name, and your network"


class CannotConnect(ServerError):
    """The server accepts no connection (C{EX_UNAVAILABLE})."""

    code = 69
    summary = "cannot connect"


class CannotRead(ClientError):
    """Standard input cannot be read (C{EX_NOINPUT})."""

    code = 66


class CannotWrite(ClientError):
    """Standard output cannot be written (C{EX_IOERR})."""

    code = 74


class CutShort(ServerError):
    """The output ended before its end (C{EX_TEMPFAIL})."""

    code = 75
    summary = "the connection broke; part of the output is missing"


class TooMuchOutput(ServerError):
    """The output is more than the caller wants to hold; only the library raises it."""

    summary = "too much output to hold"

    def __init__(self, run: str, most: int) -> None:
        how = f"it has more than {most} bytes; read it piece by piece (async for)"
        super().__init__(f"run {run}", how)


class CommandFailed(ClientError):
    """
    A command did not exit with 0, and the caller wants an error then; only the library
    raises it.

    @ivar result: the run, with its output.
    """

    def __init__(self, result: "Result") -> None:
        end = result.end
        how = "ended by signal" if end.signal else f"{end.state} with"
        result_of = end.signal or end.code
        ended = end.state if result_of is None else f"{how} {result_of}"
        lines = result.stderr[-_MOST_OF_STDERR:].decode("utf-8", "replace").split("\n")
        said = printable("; ".join(filter(None, map(str.strip, lines[-4:]))))
        super().__init__(": ".join(filter(None, [f"run {result.run}", ended, said])))
        self.result = result


class NotHTTP(ServerError):
    """The server does not speak HTTP (C{EX_PROTOCOL})."""

    code = 76
    summary = "no HTTP response"


class NoResponse(NotHTTP):
    """The connection ended before a response began; the server may have acted."""


class ContractViolation(NotHTTP):
    """The response breaks the server's contract."""

    summary = "unexpected response"


class TLSFailed(ServerError):
    """
    No trusted connection could be made (C{EX_NOPERM}).

    @ivar fingerprint: of the certificate that the server has, where it is not trusted.
    """

    code = 77
    summary = "TLS failed"

    def __init__(
        self, url: str, reason: str = "", fingerprint: str | None = None
    ) -> None:
        super().__init__(url, reason)
        self.fingerprint = fingerprint
