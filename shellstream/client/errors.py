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


class _At(ClientError):
    """Something at a URL."""

    means: ClassVar[str] = ""

    def __init__(self, url: str, what: str = "") -> None:
        parts = [url, self.means, what]
        super().__init__(": ".join(part for part in parts if part))
        self.url = url


class Refused(_At):
    """The server refused the request, with a status of 4xx (C{EX_DATAERR})."""

    code = 65


class NoSuchHost(_At):
    """The host's name cannot be resolved (C{EX_NOHOST})."""

    code = 68
    means = "no such host"


class CannotConnect(_At):
    """Nobody answers there (C{EX_UNAVAILABLE})."""

    code = 69
    means = "cannot connect"


class ServerFailed(_At):
    """The server failed, with a status of 5xx (C{EX_SOFTWARE})."""

    code = 70


class CannotWrite(ClientError):
    """Standard output does not take the output (C{EX_IOERR})."""

    code = 74


class CutShort(_At):
    """The output ended before its end (C{EX_TEMPFAIL})."""

    code = 75
    means = "the connection broke off: what was shown is not all of the output"


class NotHTTP(_At):
    """What answers there does not speak HTTP (C{EX_PROTOCOL})."""

    code = 76
    means = "no HTTP answer"


class TLSFailed(_At):
    """No trusted connection could be made (C{EX_NOPERM})."""

    code = 77
    means = "TLS failed"
