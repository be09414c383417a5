"""
The result of an examination: findings as values, and how figures are worded.

Where there is no result, an error says why; its exit code is that of sysexits.h.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import frozen

from shellstream.client.errors import ClientError

from .exchange import Exchange


class Layer(Enum):
    """Which part has to be changed."""

    SERVER = "server"
    PROXY = "proxy"
    CLIENT = "client"
    COMMAND = "command"


class Kind(Enum):
    """What is wrong."""

    NO_CHUNKS = "no-chunks"
    NO_CHUNKS_BEHIND = "no-chunks-behind"
    MALFORMED = "malformed"
    TRAILERS = "trailers"
    AT_THE_END = "at-the-end"
    BATCHES = "batches"
    WHOLE_LINES = "whole-lines"
    LATE = "late"
    CUT = "cut"
    CUT_WHEN_IDLE = "cut-when-idle"
    COMPRESSED = "compressed"
    SNIFFED = "sniffed"
    TLS_UNTRUSTED = "tls-untrusted"
    TLS_REPLACED = "tls-replaced"
    COMMAND_BUFFERS = "command-buffers"
    NEEDS_TERMINAL = "needs-terminal"


@frozen(kw_only=True)
class Finding:
    """
    Something that holds output back, or loses it.

    @ivar where: the address or command that was examined.
    @ivar what: who does what, in plain words.
    @ivar seen: the figures that show it.
    @ivar cure: lines that change it: settings, and comments (C{#}) that name the
        program to set.
    @ivar certain: whether nothing else would look like this; else the report says
        "perhaps".
    """

    kind: Kind
    layer: Layer
    where: str
    what: str
    seen: str
    cure: tuple[str, ...] = ()
    certain: bool = True


@frozen
class Report:
    """
    The result of an examination.

    @ivar facts: about each address, or each trial of a command.
    @ivar notes: what could not be found out, and oddities that are no fault.
    """

    facts: tuple[Mapping[str, object], ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether there are no findings."""
        return not self.findings


class NotExamined(ClientError):
    """The response is none that can be examined (C{EX_DATAERR})."""

    code = 65


class CannotRun(ClientError):
    """The command cannot be started (C{EX_NOINPUT})."""

    code = 66


class NothingSeen(ClientError):
    """No output came while it was watched (C{EX_TEMPFAIL})."""

    code = 75


def where_first_seen(by_address: Iterable[Iterable[Finding]]) -> tuple[Finding, ...]:
    """
    Keep each kind of finding only at the first address that shows it.

    @param by_address: the findings at each address, from the server outwards. What
        stands at the first of them causes it; the others only pass it on.
    """
    kept: list[Finding] = []
    known: set[Kind] = set()
    for findings in by_address:
        new = [each for each in findings if each.kind not in known]
        kept += new
        known |= {each.kind for each in new}
    return tuple(kept)


def response_facts(url: str, exchange: Exchange) -> dict[str, object]:
    """What is reported about an address, whatever answers there."""
    certificate = exchange.certificate
    return {
        "url": url,
        "http": exchange.version,
        "framing": exchange.framing.value,
        "server": exchange.headers.get("server"),
        "via": exchange.headers.get("via"),
        "certificate_issuer": None if certificate is None else certificate.issuer,
    }


def duration(seconds: float) -> str:
    """A duration for people: 206 ms, 1.5 s."""
    if abs(seconds) >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms"


def in_bursts(count: int) -> str:
    """How output arrived: all at once, in 3 pieces."""
    return "all at once" if count == 1 else f"in {count} pieces"
