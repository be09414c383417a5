"""What a client can meet, and the exit code that says so (sysexits.h)."""

from typing import ClassVar


class ClientError(Exception):
    """
    The output did not come, or not whole; the text is one line for a person.

    @cvar code: exit code of the command line, from C{sysexits.h} of BSD.
    """

    code: ClassVar[int]


class Usage(ClientError):
    """The command line cannot be understood (C{EX_USAGE})."""

    code = 64


class ConfigError(ClientError):
    """A file that was to be read is not right (C{EX_CONFIG})."""

    code = 78


class ServerError(ClientError):
    """
    Something at a URL.

    @ivar why: in few words.
    """

    means: ClassVar[str] = ""

    def __init__(self, url: str, what: str = "") -> None:
        parts = [url, self.means, what]
        super().__init__(": ".join(part for part in parts if part))
        self.url = url
        self.why = what or self.means


class _Answered(ServerError):
    """
    The server said no.

    @ivar status: the HTTP status.
    """

    def __init__(self, url: str, status: int, what: str) -> None:
        super().__init__(url, what)
        self.status = status


class Refused(_Answered):
    """The server refused the request, with a status of 3xx or 4xx (C{EX_DATAERR})."""

    code = 65


class ServerFailed(_Answered):
    """The server failed, with a status of 5xx (C{EX_SOFTWARE})."""

    code = 70


class NoSuchHost(ServerError):
    """The host's name cannot be resolved (C{EX_NOHOST})."""

    code = 68
    means = "no such host"


class CannotConnect(ServerError):
    """Nobody answers there (C{EX_UNAVAILABLE})."""

    code = 69
    means = "cannot connect"


class CannotRead(ClientError):
    """Standard input cannot be read (C{EX_NOINPUT})."""

    code = 66


class CannotWrite(ClientError):
    """Standard output does not take the output (C{EX_IOERR})."""

    code = 74


class CutShort(ServerError):
    """The output ended before its end (C{EX_TEMPFAIL})."""

    code = 75
    means = "the connection broke off: what was shown is not all of the output"


class NotHTTP(ServerError):
    """What answers there does not speak HTTP (C{EX_PROTOCOL})."""

    code = 76
    means = "no HTTP answer"


class NoResponse(NotHTTP):
    """The connection ended before an answer began: nobody knows what was done."""


class ContractViolation(NotHTTP):
    """What came is not what the server's contract says."""

    means = "the answer makes no sense"


class TLSFailed(ServerError):
    """No trusted connection could be made (C{EX_NOPERM})."""

    code = 77
    means = "TLS failed"
