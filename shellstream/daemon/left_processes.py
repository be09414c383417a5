"""What the last daemon left running, if it was killed."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from shellstream.model.run_record import RunRecord
from shellstream.process.tracking.cgroups import RunCgroups
from shellstream.process.tracking.orphans import (
    end_orphans,
    find_orphans,
    find_unrecorded,
)
from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.process_table import ProcessTable
from shellstream.process.tracking.run_processes import RunProcesses

_log = Logger(namespace="shellstream")

#: Seconds between TERM and KILL.
GRACE = 5.0


@define(eq=False)
class LeftProcesses:
    """
    The sessions that live of lost runs, and of runs that were never recorded. They are
    found before the reactor runs, and ended after that.
    """

    _clock: IReactorTime
    _scanner: ProcessScanner
    _cgroups: RunCgroups | None = None
    _sessions: dict[str, list[RunProcesses]] = field(factory=dict, init=False)
    _unrecorded: dict[str, list[RunProcesses]] = field(factory=dict, init=False)
    _table: ProcessTable | None = field(default=None, init=False)

    def find(self, lost: Iterable[RunRecord]) -> Collection[str]:
        """The ids of the lost runs of which processes live."""
        lost = tuple(lost)
        if lost:
            self._sessions = find_orphans(lost, self._look(), self._scanner)
        return self._sessions.keys()

    def runs(self) -> Collection[str]:
        """The ids of all runs of which processes live, those of other daemons too."""
        return self._look().marked.keys()

    def find_unrecorded(self, ids: Iterable[str]) -> int:
        """How many of these runs, which the last daemon never recorded, live."""
        for run_id in ids:
            found = find_unrecorded(run_id, self._look(), self._scanner)
            if found:
                self._unrecorded[run_id] = found
        return len(self._unrecorded)

    def end(self, gone: Callable[[str], object]) -> Deferred[Any]:
        """
        End them, and call C{gone} with the id of each lost run when nothing is left.
        Fires when nothing is left of those that were never recorded.
        """
        for run_id, sessions in self._sessions.items():
            self._begin_to_end(run_id, sessions, gone)
        return DeferredList(
            [
                self._begin_to_end(run_id, sessions, lambda _: None)
                for run_id, sessions in self._unrecorded.items()
            ]
        )

    def _look(self) -> ProcessTable:
        if self._table is None:
            self._table = ProcessTable()
            for _ in self._table.fill(marks=True):  # in one go: nothing else runs yet
                pass
            # Those too that have cleaned their environment.
            left = {} if self._cgroups is None else self._cgroups.left()
            for run_id, pids in left.items():
                marked = self._table.marked
                marked[run_id] = sorted({*marked.get(run_id, ()), *pids})
        return self._table

    def _begin_to_end(
        self, run_id: str, sessions: list[RunProcesses], gone: Callable[[str], object]
    ) -> Deferred[None]:
        ending = Deferred.fromCoroutine(self._end(run_id, sessions, gone))
        ending.addErrback(
            lambda failure: _log.failure("while ending what is left", failure)
        )
        return ending

    async def _end(
        self, run_id: str, sessions: list[RunProcesses], gone: Callable[[str], object]
    ) -> None:
        try:
            for each in sessions:
                await end_orphans(each, self._clock, GRACE)
        finally:
            gone(run_id)
