"""The audit log: which entries are written, and what happens if that fails."""

from collections import Counter
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from shellstream.model.events import WallClock

from .audit import AuditAction, AuditEntry, RefusalLimiter, render_line
from .audit_share import AuditShares

_log = Logger()

#: Seconds for which entries without a line are counted, and between two lines of the
#: daemon's log that say that the audit cannot be written.
MINUTE, COMPLAINT_INTERVAL = 60.0, 60.0

#: The most pairs of a run and a caller of which it remembers that there was input.
MAX_INPUTS = 1024


@define(eq=False)
class AuditLog:
    """
    Writes entries at once.

    Runs go on while they cannot be written; a C{gap} tells later how many are missing.
    A daemon that refused to work without its audit would stop on a full disk.

    @ivar _write: appends lines, or raises L{OSError}.
    @ivar _total: returns how much of the audit is kept, in bytes.
    @ivar refused: how many requests were refused with each status.
    @ivar _missing: the lines that could not be written since the last one that could.
    """

    _clock: IReactorTime
    _wall: WallClock
    _write: Callable[[str], None]
    _total: Callable[[], int]
    refused: Counter[str] = field(factory=Counter, init=False)
    _shares: AuditShares = field(init=False)
    _refusals: RefusalLimiter = field(factory=RefusalLimiter, init=False)
    _inputs: dict[tuple[str, ...], None] = field(factory=dict, init=False)
    _missing: int = field(default=0, init=False)
    _complained: float | None = field(default=None, init=False)
    _minute: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._shares = AuditShares(self._clock.seconds, self._total)

    def record(self, *entries: AuditEntry) -> None:
        """
        Write entries, all at once. This never fails.

        Only some of many refusals have a line: see L{RefusalLimiter}; and no principal
        may fill the audit: see L{AuditShares}. Of a caller's input to a run only the
        first piece has a line.
        """
        now = self._wall()
        lines = [line for each in entries if (line := self._line(each, now))]
        if lines:
            self._put(lines, now)

    def _line(self, entry: AuditEntry, now: int) -> str:
        """The line of an entry; empty if it has none."""
        if entry.action is AuditAction.REFUSED:
            self.refused[str(entry.facts.get("status", ""))] += 1
            self._count_until_next_minute()
            if not self._refusals.admit(entry.address):
                return ""
        # A terminal sends a piece of input for each key.
        if entry.action is AuditAction.INPUT and not self._is_first(entry):
            return ""
        line = render_line(entry, now)
        if self._shares.admit(entry, len(line)):
            return line
        self._count_until_next_minute()
        return ""

    def close(self) -> None:
        """Write how many entries have no line, at the end of the daemon."""
        if self._minute is not None:
            self._minute.cancel()
            self._next_minute()

    def _is_first(self, entry: AuditEntry) -> bool:
        key = (entry.run, entry.principal, entry.credential, entry.address)
        if key in self._inputs:
            return False
        self._inputs[key] = None
        if len(self._inputs) > MAX_INPUTS:
            del self._inputs[next(iter(self._inputs))]  # the oldest
        return True

    def _count_until_next_minute(self) -> None:
        if self._minute is None:
            self._minute = self._clock.callLater(MINUTE, self._next_minute)

    def _next_minute(self) -> None:
        self._minute, refusals, now = None, self._refusals, self._wall()
        self._refusals = RefusalLimiter()
        for entry in (*refusals.summaries(), *self._shares.summaries()):
            self._put([render_line(entry, now)], now)

    def _put(self, lines: list[str], now: int) -> None:
        try:
            # First, so that a reader finds the gap where the lines are missing.
            if self._missing:
                gap = AuditEntry(action=AuditAction.GAP, facts={"times": self._missing})
                self._write(render_line(gap, now))
                self._missing = 0
            self._write("\n".join(lines))
        except OSError as error:
            self._missing += len(lines)
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        # A full disk fails each write, and the daemon's log is often on the same disk.
        now = self._clock.seconds()
        if self._complained is not None and now < self._complained + COMPLAINT_INTERVAL:
            return
        self._complained = now
        _log.error(
            "the audit cannot be written: {error}; {missing} lines are missing so far",
            error=error,
            missing=self._missing,
        )
