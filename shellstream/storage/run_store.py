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

B{Failures.} A call that fails alone leaves no trace and takes no other with it: what is
one statement is undone by SQLite, and a call that writes in several makes a savepoint.
If the transaction fails as a whole (at its begin, at its commit, or because SQLite
undid it after a disk error), each call in it fails with L{CannotRecord}, and each
caller decides: a new run is refused, a queued one waits, an end is tried again later.
From then on the store is C{failing}, until it has taken something again.

B{What is durable when.} The file is in WAL mode, and a commit is in the page cache of
the kernel. It survives the death of the daemon, C{kill -9} included, but perhaps not a
loss of power; after that the history is whole, only older. A I{synced} call is answered
only after the log was synced as well (L{storage.state.wal_sync}), which makes all that
was committed before durable, too. That is done in another thread. So the next
transactions do not wait for the disk, and all that is committed while one sync is under
way shares the next. If a sync fails, its calls fail, though they are committed: their
callers undo what nobody may find. These are synced:

  - what has an C{Idempotency-Key}, before the run starts: or a repeated request would
    start it again after a loss of power;
  - that a run leaves the queue: or the next daemon would start it again;
  - the end of a run whose command says C{sync = "end"} or C{"always"}.

For all else the daemon calls L{RunStore.sync} once a second, which does nothing if
nothing was changed: so a loss of power takes the last second at most.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import CannotRecord
from shellstream.model.histogram import LONG, Histogram
from shellstream.security.shares import Usage

from .database import Database
from .schema import DatabaseDamaged, why

_log = Logger()

T = TypeVar("T")

#: Of so many transactions the time of one is taken.
SAMPLE = 4

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


#: A call, and what it returned, or its failure.
_Answer = tuple[_Call, Any]


@define(eq=False)
class RunStore:
    """
    Makes calls of a L{Database} in batches, in a thread.

    @ivar in_thread: makes one call at a time, in the order in which they come.
    @ivar beside: makes the calls that wait for the disk, at the same time; by default
        the same thread.
    @ivar failing: whether the disk did not take what it was given last.
    @ivar commits: the time of each L{SAMPLE}th transaction, until its answer is here.
    @ivar failures: how many calls the disk did not take.
    """

    _database: Database
    _in_thread: InThread
    _clock: IReactorTime
    _beside: InThread = Factory(lambda self: self._in_thread, takes_self=True)
    failing: bool = field(default=False, init=False)
    commits: Histogram = field(factory=lambda: Histogram(LONG), init=False)
    failures: int = field(default=0, init=False)
    _count: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _waiting: list[_Call] = field(factory=list, init=False)
    _under_way: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)
    #: What is committed, and answered after the next sync; and what is synced already.
    _committed: list[_Answer] = field(factory=list, init=False)
    _syncing: bool = field(default=False, init=False)
    _synced: int = field(default=0, init=False)
    _changes: int = field(default=0, init=False)  # as of the last transaction

    def transact(
        self, call: Callable[[Database], T], *, synced: bool = False
    ) -> Deferred[T]:
        """
        Make a call within the next transaction. Fires, after its commit, with what
        the call returns or raises.

        @param synced: whether it has to survive a loss of power, too, before it fires.
        @raise CannotRecord: if the disk does not take it, or the store is closed. It
            may have been committed nevertheless, if it was to be synced.
        """
        if self._closed:
            return fail(CannotRecord("the daemon is stopping"))
        if len(self._waiting) >= MAX_WAITING:
            return fail(CannotRecord("the disk that holds the state is too slow"))
        return self._enqueue(call, synced)

    @property
    def kept(self) -> Usage:
        """@see: L{Database.kept}; as of the last commit, without waiting."""
        return self._database.kept

    def exceeds(self, runs: int, stored: int) -> bool:
        """@see: L{Database.exceeds}; as of the last commit, without waiting."""
        return self._database.exceeds(runs, stored)

    def flush(self) -> Deferred[None]:
        """Fires when all that was asked before is done, well or not."""
        # Synced, as the last of those before may be.
        done = self._enqueue(_nothing, synced=True)
        return done.addErrback(lambda failure: None)

    def sync(self) -> Deferred[None]:
        """Bring to the disk what is committed, unless it is there. Never fails."""
        done: Deferred[None] = Deferred()
        if self._syncing or self._database.changes == self._synced:
            done.callback(None)
        else:
            self._sync([(_Call(_nothing, True, done), None)])
        return done.addErrback(lambda failure: None)

    def close(self) -> Deferred[None]:
        """Take no more calls, finish those that wait, and close the database."""
        self._closed = True
        return self.flush().addCallback(lambda _: self._in_thread(self._database.close))

    def _enqueue(self, make: Callable[[Database], T], synced: bool) -> Deferred[T]:
        call = _Call(make, synced and self._database.on_disk)
        self._waiting.append(call)
        if not self._under_way:
            self._next()
        return call.answer

    def _next(self) -> None:
        batch, self._waiting = self._waiting, []
        self._under_way = True
        self._began = self._clock.seconds()
        done = self._in_thread(partial(_perform, self._database, batch))
        done.addCallbacks(self._deliver, self._all_failed, (batch,), {}, (batch,))

    def _deliver(self, results: list[Any], batch: list[_Call]) -> None:
        self._count += 1
        if not self._count % SAMPLE:  # a run makes several, and this costs three calls
            self.commits.observe(self._clock.seconds() - self._began)
        if self._database.changes != self._changes:
            self._changes, self.failing = self._database.changes, False
        answers = deque[_Answer]()
        for call, result in zip(batch, results, strict=True):
            failed = isinstance(result, Failure)
            if failed and result.check(CannotRecord):
                self.failing = True
                self.failures += 1
            later = call.synced and not failed
            (self._committed if later else answers).append((call, result))
        self._sync_committed()
        self._answer(answers, self._answered)

    def _all_failed(self, failure: Failure, batch: list[_Call]) -> None:
        self._answer(self._refusals(failure, batch), self._answered)

    def _answered(self) -> None:
        # Only now: a caller that was answered may have asked again, and its call shares
        # the next commit.
        self._under_way = False
        if self._waiting:
            self._next()

    def _sync_committed(self) -> None:
        if self._committed and not self._syncing:
            answers, self._committed = self._committed, []
            self._sync(answers)

    def _sync(self, answers: list[_Answer]) -> None:
        self._syncing = True
        changes = self._database.changes

        def synced(_: object) -> deque[_Answer]:
            self._synced = changes
            return deque(answers)

        def failed(failure: Failure) -> deque[_Answer]:
            return self._refusals(failure, [call for call, _ in answers])

        done = self._beside(self._database.sync).addCallbacks(synced, failed)
        done.addCallback(self._answer, self._sync_answered)

    def _sync_answered(self) -> None:
        self._syncing = False
        self._sync_committed()

    def _answer(self, answers: deque[_Answer], then: Callable[[], None]) -> None:
        end = self._clock.seconds() + SLICE
        while answers:
            call, result = answers.popleft()
            call.answer.callback(result)  # a Failure makes it fail
            # After the last one nothing is left to wait for: while the daemon starts,
            # its next call must not wait for the reactor, which does not run yet.
            if answers and self._clock.seconds() >= end:
                self._clock.callLater(0, self._answer, answers, then)
                return
        then()

    def _refusals(self, failure: Failure, batch: list[_Call]) -> deque[_Answer]:
        """The answers of calls that failed together."""
        error = failure.value
        if not isinstance(error, sqlite3.Error | OSError):
            return deque((call, failure) for call in batch)
        reason = why(error)
        if not self.failing:
            count = len(batch)
            _log.error("{count} calls failed: {reason}", count=count, reason=reason)
        self.failing = True
        self.failures += len(batch)
        return deque((call, Failure(CannotRecord(reason))) for call in batch)


def _nothing(database: Database) -> None:
    """A call that is made for its answer alone."""


def _perform(database: Database, calls: list[_Call]) -> list[object]:
    """
    Make calls as one transaction: the result of each, or its failure.

    @raise sqlite3.Error: if there were several, and all failed together.
    """
    if len(calls) > 1:
        with database.transaction():
            return [_attempt(database, call.make) for call in calls]
    try:
        with database.transaction():
            return [calls[0].make(database)]
    except Exception as error:  # noqa: BLE001  # it goes to the caller
        return [_failed(error)]


def _attempt(database: Database, make: Callable[[Database], object]) -> object:
    try:
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
