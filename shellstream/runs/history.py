"""What is written down of runs; of those that are over nothing else is left."""

from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakValueDictionary

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import CannotRecord, RunUnknown
from shellstream.model.events import State, WallClock
from shellstream.model.limits import Limits
from shellstream.model.run_input import StdinState
from shellstream.model.run_record import IdempotencyKey, Retention, RunFilter, RunRecord
from shellstream.output.log import OutputLog

from .ended_run import EndedRun

_log = Logger()

#: Seconds between two attempts to write down an end.
RETRY = 5.0


class Store(Protocol):
    """What survives a restart, apart from output; see L{storage.run_store}."""

    def add(
        self, record: RunRecord, key: IdempotencyKey | None
    ) -> Deferred[str | None]: ...
    def join(
        self, record: RunRecord, key: IdempotencyKey, principal: str
    ) -> Deferred[str | None]: ...
    def first(self, principal: str, key: IdempotencyKey) -> Deferred[str | None]: ...
    def free(self, principal: str, key: IdempotencyKey) -> Deferred[None]: ...
    def put(self, record: RunRecord, *, synced: bool = False) -> Deferred[bool]: ...
    def get(self, run_id: str) -> Deferred[RunRecord | None]: ...
    def page(
        self,
        limit: int,
        after: str | None,
        state: State | None,
        command: str | None,
        within: RunFilter | None,
    ) -> Deferred[list[RunRecord]]: ...
    def delete(self, run_id: str) -> Deferred[bool]: ...
    def exceeds(self, keep: Retention) -> bool: ...
    def expire(self, now: int, keep: Retention) -> Deferred[Any]: ...
    def check(self) -> Deferred[None]: ...
    def flush(self) -> Deferred[None]: ...


class Logs(Protocol):
    """Where output is kept; see L{shellstream.storage.log_store}."""

    def keep(self, wanted: Retention) -> Retention:
        """What of ended runs there is room for, beside the active ones."""

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        """The log of a new run."""

    def ended(self, record: RunRecord) -> OutputLog:
        """The log of an ended run; an empty one, if it is gone."""

    def sync(self, run_id: str, log: OutputLog) -> Deferred[None]:
        """Bring a log to the disk itself; never fails."""

    def settled(self, run_id: str, log: OutputLog) -> None:
        """A run has ended, and its log with it."""

    def remove(self, ids: Iterable[str]) -> Deferred[None]:
        """Forget the output of these ended runs."""


@define(eq=False)
class History:
    """
    All runs as they are written down, and those that are over as one finds them.

    An end that cannot be written down is true all the same: it is known from here
    until it can be, or the daemon stops.
    """

    _keep: Retention
    _clock: IReactorTime
    _wall: WallClock
    _store: Store
    _logs: Logs
    _ended: "WeakValueDictionary[str, EndedRun]" = field(
        factory=WeakValueDictionary, init=False
    )
    _closed: bool = field(default=False, init=False)
    _tidies: bool = field(default=False, init=False)

    async def find(self, run_id: str, record: RunRecord | None = None) -> EndedRun:
        """
        A run that is over.

        @param record: what is known of it, if that is not written down yet.
        @raise RunUnknown: if there is none, or it is forgotten.
        """
        ended = self._ended.get(run_id)
        if ended is not None:
            return ended
        record = record or await self._store.get(run_id)
        if record is None:
            raise RunUnknown(run_id)
        # Others may have asked for it meanwhile: they share one log.
        return self._ended.setdefault(run_id, EndedRun(record, self._logs.ended))

    async def page(
        self,
        limit: int,
        after: str | None,
        state: State | None,
        command: str | None,
        within: RunFilter | None,
    ) -> list[RunRecord]:
        """@see: L{shellstream.runs.interfaces.IRuns.page}"""
        page = await self._store.page(limit, after, state, command, within)
        known = (self._ended.get(each.id) for each in page)
        return [
            each if ended is None else ended.record
            for each, ended in zip(page, known, strict=True)
        ]

    async def forget(self, run_id: str) -> None:
        """
        Delete a run that is over, and its output.

        @raise RunUnknown: if there is none.
        """
        if not await self._store.delete(run_id):
            raise RunUnknown(run_id)
        self._ended.pop(run_id, None)
        await self._logs.remove([run_id])

    async def recorded(self, record: RunRecord, *, synced: bool = False) -> bool:
        """Write down how a run stands; whether that could be done."""
        try:
            await self._store.put(record, synced=synced)
        except CannotRecord as error:
            _log.error("run {id}: {error}", id=record.id, error=error)
            return False
        return True

    async def record_late(self, record: RunRecord) -> None:
        """Write down an end that could not be, until it can or the daemon stops."""
        while not self._closed:
            await deferLater(self._clock, RETRY)
            if await self.recorded(record):
                return

    def save_soon(self, record: RunRecord) -> None:
        """The same, for who does not wait for it."""
        Deferred.fromCoroutine(self.recorded(record)).addErrback(_unforeseen)

    def mark_lost(self, record: RunRecord) -> RunRecord:
        """
        A run died with the daemon that had it: there is what it said until then.

        Returns how it ended.
        """
        log = self._logs.ended(record)
        lost = evolve(
            record,
            state=State.LOST,
            ended=self._wall(),
            stdin=record.stdin and StdinState(offset=None, open=False),
            start=log.start,
            size=log.end,
            stored=log.stored,
        )
        log.close()
        self.adopt_ended(lost)
        return lost

    def adopt_ended(self, record: RunRecord) -> None:
        """Write down how a run ended that this daemon never had."""
        Deferred.fromCoroutine(self._buried(record)).addErrback(_unforeseen)

    async def make_room(self) -> None:
        """Forget the oldest runs, if there are more than may be kept."""
        if self._store.exceeds(self._logs.keep(self._keep)):
            await self.tidy()

    async def tidy(self) -> None:
        """Forget the runs that have been kept long enough, if the disk lets us."""
        if self._tidies or self._closed:
            return
        self._tidies = more = True
        try:
            while more:
                keep = self._logs.keep(self._keep)
                expired = await self._store.expire(self._wall(), keep)
                await self._logs.remove(expired.runs)
                more = expired.more
        except CannotRecord as error:
            _log.error("old runs are not forgotten: {error}", error=error)
        finally:
            self._tidies = False

    def close(self) -> None:
        """Begin nothing more that takes its time."""
        self._closed = True

    async def _buried(self, record: RunRecord) -> None:
        # The store still says otherwise: it is known from here until it does not.
        ended = self._ended[record.id] = EndedRun(record, self._logs.ended)
        if not await self.recorded(ended.record):
            await self.record_late(ended.record)


def _unforeseen(failure: Failure) -> None:
    _log.failure("while keeping the history", failure=failure)
