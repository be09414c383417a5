"""Keeps the audit (see L{security.audit}): nobody waits for it, or goes without."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from shellstream.model.events import WallClock

from .audit import AuditAction, Entry, RefusalLimiter, line

_log = Logger()

#: Seconds for which refusals are counted, and between two log lines that say that the
#: audit cannot be written.
MINUTE, COMPLAIN = 60.0, 60.0

#: Of how many pairs of a run and somebody it is known that there was input before.
INPUTS = 1024


@define(eq=False)
class AuditLog:
    """
    Notes what was done, at once, where no client can reach it.

    Runs go on though it cannot be written; then it is told how much is missing.
    """

    _clock: IReactorTime
    _wall: WallClock
    _write: Callable[[str], None]
    _refusals: RefusalLimiter = field(factory=RefusalLimiter, init=False)
    _inputs: dict[tuple[str, ...], None] = field(factory=dict, init=False)
    _missing: int = field(default=0, init=False)
    _complained: float | None = field(default=None, init=False)
    _minute: IDelayedCall | None = field(default=None, init=False)

    def record(self, entry: Entry) -> None:
        """
        Something was done. Never fails.

        Of many refusals only some have a line (see L{RefusalLimiter}). Of the input
        to a run only the first piece has one.
        """
        if entry.what is AuditAction.REFUSED:
            if self._minute is None:
                self._minute = self._clock.callLater(MINUTE, self._next_minute)
            if not self._refusals.admit(entry.address):
                return
        if entry.what is AuditAction.INPUT and not self._is_first(entry):
            return
        self._put(entry)

    def close(self) -> None:
        """Write what is only counted yet: nothing is noted any more."""
        if self._minute is not None:
            self._minute.cancel()
            self._next_minute()

    def _is_first(self, entry: Entry) -> bool:
        key = (entry.run, entry.who, entry.credential, entry.address)
        if key in self._inputs:
            return False
        self._inputs[key] = None
        if len(self._inputs) > INPUTS:
            del self._inputs[next(iter(self._inputs))]
        return True

    def _next_minute(self) -> None:
        self._minute, refusals = None, self._refusals
        self._refusals = RefusalLimiter()
        for entry in refusals.close():
            self._put(entry)

    def _put(self, entry: Entry) -> None:
        now = self._wall()
        try:
            if self._missing:
                gap = Entry(what=AuditAction.GAP, facts={"times": self._missing})
                self._write(line(gap, now))
                self._missing = 0
            self._write(line(entry, now))
        except OSError as error:
            self._missing += 1
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        now = self._clock.seconds()
        if self._complained is not None and now < self._complained + COMPLAIN:
            return
        self._complained = now
        _log.error(
            "the audit cannot be written: {error}; {missing} lines are missing so far",
            error=error,
            missing=self._missing,
        )
