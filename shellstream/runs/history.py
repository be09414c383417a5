"""All runs as they are recorded. Only the history holds the store and the logs."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary, finalize

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.config.live import LiveConfig
from shellstream.model.errors import CannotRecord, RunUnknown
from shellstream.model.events import State, WallClock
from shellstream.model.limits import Limits
from shellstream.model.run_input import StdinState
from shellstream.model.run_record import IdempotencyKey, Retention, RunQuery, RunRecord
from shellstream.output.interfaces import IRun, IViewer
from shellstream.output.log import OutputLog
from shellstream.output.unforeseen import UNFORESEEN, contained, log_unforeseen

_log = Logger()

T = TypeVar("T")

#: Of how many ended runs it is looked up at a start whether the audit has their ends.
MOST_ENDED = 10_000

#: Seconds between two attempts to record an end.
RETRY = 5.0

# These protocols stand for classes of the storage, which this room may not import.


class Store(Protocol):
    """
    Calls methods of L{shellstream.storage.database.Database} in a thread.

    @see: L{shellstream.storage.run_store.RunStore}
    """

    def transact(
        self, call: Callable[[Any], T], *, synced: bool = False
    ) -> Deferred[T]: ...
    @property
    def failing(self) -> bool: ...
    def exceeds(self, runs: int, stored: int) -> bool: ...
    def flush(self) -> Deferred[None]: ...
    def sync(self) -> Deferred[None]: ...


class Logs(Protocol):
    """Where output is kept: in files, or in memory (L{storage.log_store})."""

    def room(self, wanted: int) -> int:
        """How much of ended runs there is room for beside the active ones, in bytes."""

    def check(self) -> None:
        """@raise CannotRecord: if the output of a new run could not be kept."""

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        """The log of a new run."""

    def open_ended(self, record: RunRecord) -> OutputLog:
        """The log of an ended run; an empty one, if it is gone."""

    def short(self, run_id: str) -> bytes:
        """
        The output of an active run for its record, if it is short. Any thread may ask.
        """

    def settle(self, run_id: str) -> None:
        """
        Keep what L{short} did not return when it was asked last, and all that comes
        from now on, outside the record: viewers may come. Never fails.
        """

    def sync(self, run_id: str) -> Deferred[None]:
        """Bring the log of an active run to the disk itself. Never fails."""

    def sync_dirty(self) -> Deferred[None]:
        """
        The same for all that was written since the last time, as far as it has to be on
        the disk each second. Never fails.
        """

    def sync_last(self) -> Deferred[None]:
        """The same before the daemon stops: behind a call that is under way."""

    def retire(self, run_id: str) -> None:
        """A run has ended, and its log with it."""

    def remove(self, ids: Iterable[str]) -> Deferred[bool]:
        """Delete the output of these ended runs. Fires with whether it is gone."""


@implementer(IRun)
@define(eq=False)
class EndedRun:
    """A run that has ended: its record, and the part of its output that is kept."""

    record: RunRecord
    _open_log: Callable[[RunRecord], OutputLog]
    _log: OutputLog | None = field(default=None, init=False)

    stall_timeout = Limits().stall_timeout

    def snapshot(self) -> RunRecord:
        return self.record

    @property
    def log(self) -> OutputLog:
        if self._log is None or self._log.storage_closed:
            self._log = self._open_log(self.record)
            # Its last subscriber closes it; a caller that only reads does not.
            finalize(self, self._log.close)
        return self._log

    def attach(self, viewer: IViewer) -> None:
        """It has no process that would wait for a viewer."""

    def detach(self, viewer: IViewer) -> None:
        """It has no process that would wait for a viewer."""

    def apply_backpressure(self) -> None:
        """It has no process to pause."""


@define(eq=False)
class History:
    """
    The runs as they are recorded, and those that have ended as clients find them.

    An end that cannot be recorded is true nevertheless: the history itself knows it
    until it can be recorded, or the daemon stops.

    @ivar logs: the output of runs.
    """

    _live: LiveConfig
    _clock: IReactorTime
    _wall: WallClock
    _store: Store
    logs: Logs
    # Weak: all who look at an ended run share one log, and its memory goes with them.
    _ended: "WeakValueDictionary[str, EndedRun]" = field(
        factory=WeakValueDictionary, init=False
    )
    #: Lost runs whose processes live.
    _left: dict[str, EndedRun] = field(factory=dict, init=False)
    _closed: bool = field(default=False, init=False)
    _told: str | None = field(default=None, init=False)
    _tidies: bool = field(default=False, init=False)
    #: Forgotten runs whose output is off the disk, until the store knows that.
    _removed: list[str] = field(factory=list, init=False)

    @property
    def failing(self) -> bool:
        """Whether the disk did not take what it was given last."""
        return self._store.failing

    async def add(self, record: RunRecord, key: IdempotencyKey | None) -> None:
        """
        Record a new run before it is started. With a key this survives a loss of power:
        or the next request with that key would start the command again.

        @raise TooManyKeys: if the principal has its share of the keys.
        @raise CannotRecord: if the disk does not take it.
        """

        def add(tables: Any) -> None:
            if key is not None:
                tables.require_share(key, self._live.now.keep.keys)
            tables.add(record, key)

        self.logs.check()
        try:
            await self._store.transact(add, synced=key is not None)
        except CannotRecord:
            if key is not None:
                await self._withdraw(record.id, key)
            raise

    async def _withdraw(self, run_id: str, key: IdempotencyKey) -> None:
        # If only the sync failed, it is in the page cache, and the next daemon would
        # find there what was refused.
        try:
            await self._store.transact(lambda tables: tables.withdraw(run_id, key))
        except CannotRecord as error:
            _log.error(
                "run {run} is refused, but stays: {error}", run=run_id, error=error
            )

    def join(self, record: RunRecord, key: IdempotencyKey) -> Deferred[None]:
        """
        Record that a new key leads to a run that is there.

        @raise TooManyKeys: if the principal has its share of the keys.
        """

        def add(tables: Any) -> None:
            tables.require_share(key, self._live.now.keep.keys)
            tables.add_key(record.id, key)

        return self._store.transact(add, synced=True)

    def run_of_key(self, key: IdempotencyKey) -> Deferred[str | None]:
        """
        The id of the run that a key leads to; L{None} for a new key.

        @raise IdempotencyKeyReused: if the key was sent with another request.
        """
        return self._store.transact(lambda tables: tables.run_of_key(key))

    def delete_key(self, key: IdempotencyKey) -> Deferred[None]:
        """A request was refused after all: it may come again with this key."""
        return self._store.transact(lambda tables: tables.delete_key(key), synced=True)

    def check(self) -> Deferred[None]:
        """@raise CannotRecord: if the disk takes nothing."""
        self.logs.check()
        return self._store.transact(lambda tables: tables.check())

    async def look(self) -> None:
        """
        Tell the operator once, if the state is not in its place any more, or full.

        Nothing is written: the daemon looks often, and cards wear out.
        """
        try:
            self.logs.check()
            await self._store.transact(lambda tables: tables.look())
        except CannotRecord as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.critical("{error}", error=error)
        else:
            if self._told is not None:
                self._told = None
                _log.info("runs can be recorded again")

    async def sync(self) -> None:
        """
        Bring to the disk itself what was recorded and written since the last time.

        Outputs first: so an end that is on the disk has its output there, except one
        that was recorded meanwhile.
        """
        await self.logs.sync_dirty()
        await self._store.sync()

    def flush(self) -> Deferred[None]:
        """Fires when all that was asked so far is done, well or not."""
        return self._store.flush()

    async def unended(self) -> tuple[list[RunRecord], str | None]:
        """
        The runs that another daemon left queued or running, oldest first, and the id
        of the newest run of all.
        """
        return await self._store.transact(
            lambda tables: (tables.unended(), tables.newest_id())
        )

    async def ended_since(self, time: int) -> list[RunRecord]:
        """Runs that ended at this time or later, oldest first: L{MOST_ENDED}."""
        return await self._store.transact(
            lambda tables: tables.ended_since(time, MOST_ENDED)
        )

    async def find(self, run_id: str, record: RunRecord | None = None) -> EndedRun:
        """
        A run that has ended.

        @param record: how it ended, if that may not be recorded yet.
        @raise RunUnknown: if there is none, or it is forgotten.
        """
        ended = self._ended.get(run_id)
        if ended is not None:
            return ended
        record = record or await self._store.transact(lambda tables: tables.get(run_id))
        if record is None:
            raise RunUnknown(run_id)
        # Others may have asked for it meanwhile: they share one log.
        return self._ended.setdefault(run_id, EndedRun(record, self.logs.open_ended))

    async def page(self, query: RunQuery) -> list[RunRecord]:
        """@see: L{shellstream.runs.interfaces.IRuns.page}"""
        page = await self._store.transact(lambda tables: tables.page(query))
        known = (self._ended.get(each.id) for each in page)
        return [
            each if ended is None else ended.record
            for each, ended in zip(page, known, strict=True)
        ]

    async def delete(self, run_id: str) -> None:
        """
        Forget a run that has ended, and its output.

        @raise RunUnknown: if there is none.
        """
        if not await self._store.transact(lambda tables: tables.delete(run_id)):
            raise RunUnknown(run_id)
        # The record first: after a crash in between, the next daemon sweeps the output.
        self._ended.pop(run_id, None)
        await self._remove_logs([run_id])

    def write(
        self, latest: Callable[[], RunRecord], *, synced: bool
    ) -> Deferred[RunRecord]:
        """
        Record how a run stands when the disk comes to it, and return that.

        @param latest: returns that; called in another thread.
        @param synced: whether it has to survive a loss of power, too.
        @raise CannotRecord: if the disk does not take it.
        """

        def write(tables: Any) -> RunRecord:
            record = latest()
            tables.save(record)
            return record

        return self._store.transact(write, synced=synced)

    def update(self, record: RunRecord, *, synced: bool = False) -> Deferred[bool]:
        """
        Record how a run stands.

        @param synced: whether it has to survive a loss of power, too.
        @raise CannotRecord: if the disk does not take it.
        """
        return self._store.transact(lambda tables: tables.save(record), synced=synced)

    async def save(
        self, record: RunRecord, *, synced: bool = False
    ) -> CannotRecord | None:
        """Record how a run stands. Returns why it is not recorded, which is logged."""
        try:
            await self.update(record, synced=synced)
        except CannotRecord as error:
            _log.error("run {run}: {error}", run=record.id, error=error)
            return error
        except Exception:  # noqa: BLE001  # an end must not be lost by any
            log_unforeseen(record.id)
            return CannotRecord(UNFORESEEN)
        return None

    async def save_late(self, record: RunRecord) -> None:
        """Record an end that could not be, as soon as it can be or the daemon stops."""
        while not self._closed:
            await deferLater(self._clock, RETRY)
            if await self.save(record) is None:
                return

    def mark_lost(self, record: RunRecord, *, left: bool = False) -> RunRecord:
        """
        A run died with the daemon that had it. Returns how it ended, with the output
        that is there.

        @param left: whether its processes live. Then that is not recorded before
            L{record_lost}: if this daemon is killed, too, the next one has to find
            them.
        """
        stdin = record.stdin and StdinState(offset=None, open=False)
        lost = evolve(record, state=State.LOST, ended=self._wall(), stdin=stdin)
        with contained(record.id):
            log = self.logs.open_ended(record)
            lost = evolve(lost, start=log.start, size=log.end, stored=log.stored)
            log.close()  # thousands may be lost at once: no file stays open for each
        if left:
            self._left[record.id] = self._adopt(lost)
        else:
            in_background(self.adopt_ended(lost), lost.id)
        return lost

    def record_lost(self, run_id: str) -> RunRecord:
        """The processes of a lost run are gone. Returns how it ended."""
        record = self._left.pop(run_id).record
        in_background(self.adopt_ended(record), run_id)
        return record

    def has_left(self, run_id: str) -> bool:
        """Whether processes of a lost run still live."""
        return run_id in self._left

    def _adopt(self, record: RunRecord) -> EndedRun:
        # The store still says otherwise: until it is written, this object is the truth.
        return self._ended.setdefault(record.id, EndedRun(record, self.logs.open_ended))

    async def adopt_ended(self, record: RunRecord) -> None:
        """Record how a run ended that was never active in this daemon."""
        ended = self._adopt(record)
        if await self.save(ended.record) is not None:
            await self.save_late(ended.record)

    async def make_room(self) -> None:
        """Forget the oldest runs, if there are more than may be kept."""
        retention = self._live.now.keep
        if self._store.exceeds(retention.runs, self.logs.room(retention.bytes)):
            await self.tidy()

    async def tidy(self) -> None:
        """Forget the runs that have been kept long enough, if the disk lets us."""
        if self._tidies or self._closed:
            return
        self._tidies = more = True
        try:
            while more:
                room = self.logs.room(self._live.now.keep.bytes)
                expired = await self._expire(evolve(self._live.now.keep, bytes=room))
                await self._remove_logs(expired.runs)
                more = expired.more
        except CannotRecord as error:
            _log.error("old runs are not forgotten: {error}", error=error)
        finally:
            self._tidies = False

    def close(self) -> None:
        """Begin nothing more that takes time."""
        self._closed = True

    def _expire(self, retention: Retention) -> Deferred[Any]:
        removed, self._removed = self._removed, []
        return self._store.transact(lambda tables: tables.expire(retention, removed))

    async def _remove_logs(self, ids: Sequence[str]) -> None:
        if await self.logs.remove(ids):
            self._removed += ids


def in_background(
    work: Coroutine[Any, Any, Any], run_id: str | None = None
) -> Deferred[Any]:
    """
    Begin work for which no caller waits. Its errors are logged.

    @param run_id: the run that it is for; L{None}: for runs in general.
    """

    def log(failure: Failure) -> None:
        if run_id is None:
            _log.failure("while looking after runs", failure)
        else:
            log_unforeseen(run_id, failure)

    return Deferred.fromCoroutine(work).addErrback(log)
