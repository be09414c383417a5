"""
The run history as the daemon uses it: without waiting for the disk.

Theory of operation: batching, and what is durable when
=======================================================

SQLite blocks: a commit takes microseconds where the page cache takes it, and 1 to
10 ms where it waits for the disk. So all calls are made in one worker thread, and
the reactor goes on meanwhile.

B{Batching.} L{RunStore.transact} puts a call into a list. If no transaction is under
way, the list becomes one at once. Otherwise the calls of the meantime gather, and
become the next one. So a caller waits for two commits at most, and a disk that commits
100 times a second takes thousands of calls a second. Calls are made, and answered, in
the order in which they came; an answer comes after the commit. The next transaction
begins only when all answers of the last are given, so that it includes the calls that
these answers led to. An answer may lead to much, such as to the start of a process. So
the answers of a large transaction are given in slices of some milliseconds, and the
reactor goes on between them.

B{Failures.} A call that fails alone leaves no trace and takes no other with it: in a
transaction of several calls each has a savepoint of its own. One call alone needs none,
since the transaction itself is undone. If the transaction fails as a whole (at its
begin, at its commit, or because SQLite undid it after a disk error), each call in it
fails with L{CannotRecord}, and each caller decides: a new run is refused, a queued one
waits, an end is tried again later. The database writes over what a failed commit left
in the file, or the next daemon might start what was refused.

B{What is durable when.} The file is in WAL mode. A commit in a transaction that is
I{not} synced (C{synchronous = NORMAL}) is in the page cache of the kernel. It survives
the death of the daemon, C{kill -9} included, but perhaps not a loss of power; after
that the history is whole, only older. A I{synced} one (C{FULL}) waits for C{fsync} of
the WAL, and makes all that was committed before durable as well. One synced call makes
its whole transaction synced. These are synced:

  - what has an C{Idempotency-Key}, before the run starts: or a repeated request would
    start it again after a loss of power;
  - that a run leaves the queue: or the next daemon would start it again;
  - the end of a run, unless its command says C{sync = "never"}: a viewer that was told
    of an end finds the same end later.

All else (a new run without a key, its process id, a deletion) needs to survive only the
daemon: if the power fails, the process is gone as well.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import CannotRecord

from .database import Database
from .schema import DatabaseDamaged, why

_log = Logger()

T = TypeVar("T")

#: How many calls may wait for the disk: about 10 s of a busy daemon's.
MAX_WAITING = 10_000

#: Seconds of one turn of the reactor in which answers are given. Each may take a few
#: milliseconds.
SLICE = 0.01

#: Makes a blocking call where it may block. Fires with what that returns or raises.
InThread = Callable[[Callable[[], Any]], Deferred[Any]]


@define(eq=False)
class _Call:
    make: Callable[[Database], Any]
    synced: bool
    answer: Deferred[Any] = field(factory=Deferred)


@define(eq=False)
class RunStore:
    """
    Makes calls of a L{Database} in batches, in a thread.

    @ivar in_thread: makes one call at a time, in the order in which they come.
    """

    _database: Database
    _in_thread: InThread
    _clock: IReactorTime
    _waiting: list[_Call] = field(factory=list, init=False)
    _under_way: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def transact(
        self, call: Callable[[Database], T], *, synced: bool = False
    ) -> Deferred[T]:
        """
        Make a call within the next transaction. Fires, after its commit, with what
        the call returns or raises.

        @param synced: whether it has to survive a loss of power, too.
        @raise CannotRecord: if the disk does not take it, or the store is closed.
        """
        if self._closed:
            return fail(CannotRecord("the daemon is stopping"))
        if len(self._waiting) >= MAX_WAITING:
            return fail(CannotRecord("the disk that holds the state is too slow"))
        return self._enqueue(call, synced)

    def exceeds(self, runs: int, stored: int) -> bool:
        """@see: L{Database.exceeds}; as of the last commit, without waiting."""
        return self._database.exceeds(runs, stored)

    def flush(self) -> Deferred[None]:
        """Fires when all that was asked before is done, well or not."""
        done = self._enqueue(lambda database: None, synced=False)
        return done.addErrback(lambda failure: None)

    def close(self) -> Deferred[None]:
        """Take no more calls, finish those that wait, and close the database."""
        self._closed = True
        return self.flush().addCallback(lambda _: self._in_thread(self._database.close))

    def _enqueue(self, make: Callable[[Database], T], synced: bool) -> Deferred[T]:
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
        self._answer(deque(zip(batch, results, strict=True)))

    def _answer(self, answers: deque[tuple[_Call, Any]]) -> None:
        end = self._clock.seconds() + SLICE
        while answers:
            call, result = answers.popleft()
            call.answer.callback(result)  # a Failure makes it fail
            # After the last one nothing is left to wait for: while the daemon starts,
            # its next call must not wait for the reactor, which does not run yet.
            if answers and self._clock.seconds() >= end:
                self._clock.callLater(0, self._answer, answers)
                return
        # Only now: a caller that was answered may have asked again, and its call shares
        # the next commit.
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

    @raise sqlite3.Error: if there were several, and all failed together.
    """
    synced = any(call.synced for call in calls)
    if len(calls) > 1:
        with database.transaction(synced=synced):
            return [_attempt(database, call.make) for call in calls]
    try:
        with database.transaction(synced=synced):
            return [calls[0].make(database)]
    except Exception as error:  # noqa: BLE001  # it goes to the caller
        return [_failed(error)]


def _attempt(database: Database, make: Callable[[Database], object]) -> object:
    try:
        with database.attempt():
            return make(database)
    except Exception as error:
        if not database.in_transaction:  # with it went all that was done before
            raise
        return _failed(error)


def _failed(error: Exception) -> Failure:
    """The failure of one call: an error of the disk says so in words of ours."""
    if isinstance(error, DatabaseDamaged):
        return Failure(CannotRecord(str(error)))
    refused = isinstance(error, sqlite3.IntegrityError)
    if isinstance(error, sqlite3.Error) and not refused:
        return Failure(CannotRecord(why(error)))
    return Failure(error)
