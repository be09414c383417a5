"""The run history as the daemon uses it: without waiting for the disk."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import CannotRecord
from shellstream.model.events import State
from shellstream.model.run_record import IdempotencyKey, Retention, RunFilter, RunRecord

from .database import Database, Expired
from .schema import DatabaseDamaged, why

_log = Logger()

T = TypeVar("T")

#: How many calls may wait for the disk.
MAX_WAITING = 10_000


class InThread(Protocol):
    """Makes a blocking call where it may block, one at a time."""

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        """Fires with what C{call} returns or raises."""


@frozen
class _Call:
    make: Callable[[Database], Any]
    synced: bool
    answer: Deferred[Any] = field(factory=Deferred)


@define(eq=False)
class Store:
    """
    A L{Database} that is never waited for; the methods are the same.

    While one transaction is under way, all that is asked meanwhile is gathered
    for the next: so a disk that commits 1,000 times a second takes many times
    as many calls. Nobody hears of a success before it is done. Every
    method fails with L{CannotRecord} if the disk does not take it.
    """

    _database: Database
    _in_thread: InThread
    _waiting: list[_Call] = field(factory=list, init=False)
    _under_way: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def add(
        self, record: RunRecord, key: IdempotencyKey | None = None
    ) -> Deferred[str | None]:
        """
        @see: L{Database.add}; what has a key survives a loss of power, or the next
            request with that key would be carried out again.
        """
        return self._ask(lambda database: database.add(record, key), key is not None)

    def join(
        self, record: RunRecord, key: IdempotencyKey, principal: str
    ) -> Deferred[str | None]:
        """@see: L{Database.join}"""
        return self._ask(
            lambda database: database.join(record, key, principal), synced=True
        )

    def first(self, principal: str, key: IdempotencyKey) -> Deferred[str | None]:
        """@see: L{Database.first}"""
        return self._ask(lambda database: database.first(principal, key))

    def free(self, principal: str, key: IdempotencyKey) -> Deferred[None]:
        """@see: L{Database.free}"""
        return self._ask(lambda database: database.free(principal, key), synced=True)

    def put(self, record: RunRecord, *, synced: bool = False) -> Deferred[bool]:
        """
        @see: L{Database.put}
        @param synced: whether it is to survive a loss of power, too.
        """
        return self._ask(lambda database: database.put(record), synced)

    def get(self, run_id: str) -> Deferred[RunRecord | None]:
        """@see: L{Database.get}"""
        return self._ask(lambda database: database.get(run_id))

    def page(
        self,
        limit: int,
        after: str | None = None,
        state: State | None = None,
        command: str | None = None,
        within: RunFilter | None = None,
    ) -> Deferred[list[RunRecord]]:
        """@see: L{Database.page}"""
        return self._ask(
            lambda database: database.page(limit, after, state, command, within)
        )

    def unended(self) -> Deferred[list[RunRecord]]:
        """@see: L{Database.unended}"""
        return self._ask(lambda database: database.unended())

    def newest_id(self) -> Deferred[str | None]:
        """@see: L{Database.newest_id}"""
        return self._ask(lambda database: database.newest_id())

    def known(self, ids: Iterable[str]) -> Deferred[set[str]]:
        """@see: L{Database.known}"""
        return self._ask(lambda database: database.known(ids))

    def delete(self, run_id: str) -> Deferred[bool]:
        """@see: L{Database.delete}"""
        return self._ask(lambda database: database.delete(run_id))

    def expire(self, now: int, keep: Retention) -> Deferred[Expired]:
        """@see: L{Database.expire}"""
        return self._ask(lambda database: database.expire(now, keep))

    def exceeds(self, keep: Retention) -> bool:
        """@see: L{Database.exceeds}; as of the last commit."""
        return self._database.exceeds(keep)

    def check(self) -> Deferred[None]:
        """@see: L{Database.check}"""
        return self._ask(lambda database: database.check())

    def flush(self, *, synced: bool = False) -> Deferred[None]:
        """
        Fires when all that was asked before is done, well or not.

        @param synced: whether it is to survive a loss of power then.
        """
        done = self._enqueue(lambda database: None, synced)
        return done.addErrback(lambda failure: None)

    def close(self) -> Deferred[None]:
        """Take no more calls, finish those that wait, and close the database."""
        self._closed = True
        return self.flush().addCallback(lambda _: self._in_thread(self._database.close))

    def _ask(self, call: Callable[[Database], T], synced: bool = False) -> Deferred[T]:
        if self._closed:
            return fail(CannotRecord("the daemon is stopping"))
        if len(self._waiting) >= MAX_WAITING:
            return fail(CannotRecord("the disk that holds the state is too slow"))
        return self._enqueue(call, synced)

    def _enqueue(
        self, make: Callable[[Database], T], synced: bool = False
    ) -> Deferred[T]:
        call = _Call(make, synced)
        self._waiting.append(call)
        if not self._under_way:
            self._next()
        return call.answer

    def _next(self) -> None:
        batch, self._waiting = self._waiting, []
        self._under_way = True
        done = self._in_thread(partial(_perform, self._database, batch))
        done.addErrback(_all_failed, len(batch))
        done.addCallback(self._deliver, batch)

    def _deliver(self, results: list[Any], batch: list[_Call]) -> None:
        for call, result in zip(batch, results, strict=True):
            call.answer.callback(result)  # a Failure makes it fail
        # Only now: who was answered may have asked again, and shares this commit.
        self._under_way = False
        if self._waiting:
            self._next()


def _all_failed(failure: Failure, count: int) -> list[Failure]:
    error = failure.value
    if not isinstance(error, sqlite3.Error):
        return [failure] * count
    reason = why(error)
    _log.error("{count} calls failed: {reason}", count=count, reason=reason)
    return [Failure(CannotRecord(reason)) for _ in range(count)]


def _perform(database: Database, calls: list[_Call]) -> list[object]:
    """
    Make calls as one transaction: the result of each, or its failure.

    @raise sqlite3.Error: if none of them was made.
    """
    with database.transaction(synced=any(call.synced for call in calls)):
        return [_attempt(database, call.make) for call in calls]


def _attempt(database: Database, call: Callable[[Database], object]) -> object:
    try:
        with database.attempt():
            return call(database)
    except DatabaseDamaged as error:
        return Failure(CannotRecord(str(error)))
    except sqlite3.DatabaseError as error:
        if not database.in_transaction:  # with it went all that was done before
            raise
        refused = not isinstance(error, sqlite3.IntegrityError)
        return Failure(CannotRecord(why(error)) if refused else error)
    except Exception:  # noqa: BLE001  # it goes to whoever asked
        return Failure()
