"""Tests for L{shellstream.storage.run_store}."""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, execute, gatherResults
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.model.errors import CannotRecord, IdempotencyKeyReused
from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import IdempotencyKey, RunQuery, RunRecord
from shellstream.storage.database import Database
from shellstream.storage.run_store import MAX_WAITING, SLICE, RunStore

T = TypeVar("T")

RUN = RunRecord(
    id="1", command="build", params={}, created=1, on_disconnect=OnDisconnect.KEEP
)
ENDED = evolve(RUN, state=State.EXITED, ended=2)
#: Of a transaction.
ENDS = ("BEGIN IMMEDIATE", "COMMIT")


@define
class Thread:
    """A thread that makes a call when the test says so."""

    _calls: list[tuple[Callable[[], Any], Deferred[Any]]] = field(factory=list)

    def __call__(self, call: Callable[[], T], /) -> Deferred[T]:
        made: Deferred[T] = Deferred()
        self._calls.append((call, made))
        return made

    @property
    def waiting(self) -> int:
        return len(self._calls)

    def work(self) -> None:
        """Make the waiting calls."""
        calls, self._calls = self._calls, []
        for call, made in calls:
            execute(call).chainDeferred(made)

    def fail(self, error: Exception) -> None:
        """Make no call, but an error instead."""
        calls, self._calls = self._calls, []
        for _, made in calls:
            made.errback(error)


class StoreTestCase(SynchronousTestCase):
    """Calls of a database, by way of C{self.store}."""

    store: RunStore

    def add(
        self, record: RunRecord, key: IdempotencyKey | None = None
    ) -> Deferred[None]:
        return self.store.transact(lambda database: database.add(record, key))

    def update(self, record: RunRecord) -> Deferred[bool]:
        return self.store.transact(lambda database: database.save(record))

    def get(self, run_id: str) -> Deferred[RunRecord | None]:
        return self.store.transact(lambda database: database.get(run_id))

    def delete(self, run_id: str) -> Deferred[bool]:
        return self.store.transact(lambda database: database.delete(run_id))

    def key(self, fingerprint: str) -> Deferred[str | None]:
        """The run of the key C{k}."""
        key = IdempotencyKey("k", fingerprint)
        return self.store.transact(lambda base: base.run_of_key(key))


class SynchronousTests(StoreTestCase):
    """With synchronous calls, a L{RunStore} answers at once."""

    def setUp(self) -> None:
        self.database = Database.open(":memory:")
        self.addCleanup(self.database.close)
        self.store = RunStore(self.database, execute, Clock())

    def result(self, answer: Deferred[T]) -> T:
        return self.successResultOf(answer)

    def test_all(self) -> None:
        """A call gets the database's answer."""
        result = self.result
        self.assertIsNone(result(self.add(RUN, IdempotencyKey("k", "p"))))
        self.assertEqual(result(self.key("p")), "1")
        self.assertEqual(result(self.store.transact(Database.unended)), [RUN])
        self.assertTrue(result(self.update(ENDED)))
        self.assertEqual(result(self.get("1")), ENDED)
        self.assertTrue(self.store.exceeds(0, 0))
        self.assertFalse(self.store.exceeds(1, 0))

    def test_refused(self) -> None:
        """A key that was used for another request is refused."""
        self.result(self.add(RUN, IdempotencyKey("k", "p")))
        self.failureResultOf(self.key("q"), IdempotencyKeyReused)

    def test_damaged_row(self) -> None:
        """A run that cannot be read is no run, but a state that is damaged."""
        self.result(self.add(RUN))
        with self.database.transaction():
            self.database._do("UPDATE runs SET state = '?'")
        failure = self.failureResultOf(self.get("1"), CannotRecord)
        self.assertIn("the state is damaged", str(failure.value))

    def test_no_such_table(self) -> None:
        """An SQLite error of one call fails only that call."""
        with self.database.transaction():
            self.database._do("DROP TABLE keys")
        self.failureResultOf(self.add(RUN, IdempotencyKey("k", "p")), CannotRecord)
        self.result(self.add(RUN))

    def test_not_text(self) -> None:
        """The same for a value that cannot be passed to the database."""
        answer = self.add(evolve(RUN, command="\ud800"))
        self.failureResultOf(answer, UnicodeEncodeError)
        self.result(self.add(RUN))

    def test_close(self) -> None:
        """A closed store takes no more calls, and can be closed again."""
        self.result(self.store.close())
        self.failureResultOf(self.get("1"), CannotRecord)
        self.assertRaises(sqlite3.ProgrammingError, self.database.newest_id)
        self.result(self.store.close())


class BatchTests(StoreTestCase):
    """Calls during a transaction are batched into the next one."""

    def setUp(self) -> None:
        self.database = Database.open(":memory:")
        self.addCleanup(self.database.close)
        self.thread, self.clock = Thread(), Clock()
        self.store = RunStore(self.database, self.thread, self.clock)
        self.statements: list[str] = []
        self.database._connection.set_trace_callback(self.statements.append)

    def count(self, statement: str) -> int:
        return self.statements.count(statement)

    def test_one_commit(self) -> None:
        """All waiting calls share a commit, and are answered after it."""
        answers = [self.add(evolve(RUN, id=str(n))) for n in range(9)]
        self.assertEqual(self.thread.waiting, 1)
        self.thread.work()
        self.successResultOf(answers[0])
        self.assertNoResult(answers[1])
        self.assertEqual(self.thread.waiting, 1)
        self.thread.work()
        self.assertEqual(self.successResultOf(gatherResults(answers)), [None] * 9)
        self.assertEqual(self.count("COMMIT"), 2)
        self.assertEqual(self.thread.waiting, 0)

    def test_in_order(self) -> None:
        """Calls are made, and answered, in the order in which they came."""
        told: list[object] = []
        for answer in (
            self.add(RUN),
            self.update(ENDED),
            self.get("1"),
            self.delete("1"),
            self.get("1"),
        ):
            answer.addCallback(told.append)
        self.thread.work()
        self.thread.work()
        self.assertEqual(told, [None, True, ENDED, True, None])

    def test_asks_again(self) -> None:
        """Calls made from answers share the next commit."""
        self.store.flush()
        answers = [self.get("1").addCallback(lambda _: self.get("1")) for _ in range(9)]
        for _ in range(3):
            self.thread.work()
        self.assertEqual(self.successResultOf(gatherResults(answers)), [None] * 9)
        self.assertEqual(self.count("COMMIT"), 3)

    def test_statements(self) -> None:
        """A run costs one statement beside those of its transaction."""
        self.store.flush()
        answers = [self.add(evolve(RUN, id=str(n))) for n in range(16)]
        self.thread.work()
        self.statements.clear()
        self.thread.work()
        self.successResultOf(gatherResults(answers))
        self.assertEqual(len(self.statements), 18)
        self.assertEqual((self.statements[0], self.statements[-1]), ENDS)

    def test_one_fails(self) -> None:
        """A call that fails leaves nothing, and fails no other."""
        self.add(RUN, IdempotencyKey("k", "p"))
        before = self.add(evolve(ENDED, id="2"))
        reused = self.key("q")
        twice = self.add(RUN, IdempotencyKey("l", "p"))
        after = self.add(evolve(RUN, id="4"), IdempotencyKey("l", "p"))
        self.thread.work()
        self.thread.work()
        self.failureResultOf(reused, IdempotencyKeyReused)
        self.failureResultOf(twice, sqlite3.IntegrityError)
        self.assertEqual(
            self.successResultOf(gatherResults([before, after])), [None] * 2
        )

    def test_cancelled(self) -> None:
        """A cancelled call does not stop others."""
        answer, another = self.add(RUN), self.get("1")
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.thread.work()
        self.thread.work()
        self.assertEqual(self.successResultOf(another), RUN)

    def test_slices(self) -> None:
        """
        Answers that lead to long work, such as a process that starts, have some
        milliseconds of each turn together; the next transaction comes after the last.
        """
        given: list[int] = []

        def work(_: object, number: int) -> None:
            given.append(number)
            self.clock.advance(SLICE * 0.6)

        self.get("1")  # the others become one transaction
        for number in range(5):
            self.get("1").addCallback(work, number)
        self.thread.work()
        self.thread.work()
        self.assertEqual(given, [0, 1])
        later = self.get("1")
        self.assertFalse(self.thread.waiting)
        self.clock.advance(0)
        self.assertEqual(given, [0, 1, 2, 3, 4])
        self.thread.work()
        self.assertIsNone(self.successResultOf(later))

    def test_last_answer(self) -> None:
        """After long work for the last answer, the next call begins at once."""
        self.get("1").addCallback(lambda _: self.clock.advance(SLICE * 2))
        self.thread.work()
        later = self.get("1")
        self.thread.work()
        self.assertIsNone(self.successResultOf(later))

    def test_flush(self) -> None:
        """A flush waits for all before it, and does not mind how they end."""
        self.successResultOf(RunStore(self.database, execute, Clock()).flush())
        self.add(RUN)
        refused = self.add(RUN)
        flushed = self.store.flush()
        self.thread.work()
        self.assertNoResult(flushed)
        self.thread.work()
        self.assertIsNone(self.successResultOf(flushed))
        self.failureResultOf(refused, sqlite3.IntegrityError)

    def test_close(self) -> None:
        """Calls before the close are completed."""
        answers = [self.get("1"), self.get("1")]
        closed = self.store.close()
        for _ in range(3):
            self.assertNoResult(closed)
            self.thread.work()
        self.successResultOf(closed)
        self.assertEqual(self.successResultOf(gatherResults(answers)), [None] * 2)

    def test_bounded(self) -> None:
        """Too much that waits is refused, instead of kept in memory."""
        self.store.flush()
        answers = [self.get("1") for _ in range(MAX_WAITING)]
        failure = self.failureResultOf(self.get("1"), CannotRecord)
        self.assertIn("too slow", str(failure.value))
        self.thread.work()
        self.thread.work()
        self.successResultOf(gatherResults(answers))
        again = self.get("1")
        self.thread.work()
        self.successResultOf(again)


class SyncTests(StoreTestCase):
    """What is synced waits for the disk, and nothing else does."""

    def setUp(self) -> None:
        self.database = Database.open(self.mktemp())
        self.addCleanup(self.database.close)
        self.disk = Thread()
        self.store = RunStore(self.database, execute, Clock(), self.disk)

    def synced(self, run_id: str) -> Deferred[None]:
        """Add a run that has to survive a loss of power."""
        run = evolve(RUN, id=run_id)
        return self.store.transact(lambda base: base.add(run, None), synced=True)

    def test_beside(self) -> None:
        """While one call waits for the disk others are made and answered."""
        synced = self.synced("1")
        self.successResultOf(self.add(evolve(RUN, id="2")))
        self.assertNoResult(synced)
        self.disk.work()
        self.successResultOf(synced)

    def test_shared(self) -> None:
        """All calls that come while the disk is busy share the next sync."""
        calls = [self.synced(str(number)) for number in range(9)]
        self.disk.work()
        self.successResultOf(calls[0])
        self.assertNoResult(calls[1])
        self.assertEqual(self.disk.waiting, 1)
        self.disk.work()
        self.successResultOf(gatherResults(calls))
        self.assertEqual(self.disk.waiting, 0)

    def test_refused(self) -> None:
        """A call that changes nothing waits for no disk."""
        self.add(RUN)
        self.failureResultOf(self.synced("1"), sqlite3.IntegrityError)
        self.assertEqual(self.disk.waiting, 0)

    def test_fails(self) -> None:
        """If the disk fails, so do all calls that waited for it: it is said once."""
        calls = [self.synced(str(number)) for number in range(3)]
        with capturedLogs() as logged:
            for _ in range(2):
                self.disk.fail(OSError(5, "Input/output error"))
        for call in calls:
            failure = self.failureResultOf(call, CannotRecord)
            self.assertIn("the disk that holds the state fails", str(failure.value))
        self.assertEqual(len(logged), 1)
        self.assertTrue(self.store.failing)
        self.successResultOf(self.add(evolve(RUN, id="4")))
        self.assertFalse(self.store.failing)

    def test_each_second(self) -> None:
        """A sync of all is made only if something was committed since the last."""
        self.store.sync()  # of the tables
        self.disk.work()
        self.successResultOf(self.store.sync())
        self.assertEqual(self.disk.waiting, 0)
        self.add(RUN)
        done = self.store.sync()
        self.successResultOf(self.store.sync())  # one at a time
        self.assertEqual(self.disk.waiting, 1)
        self.disk.work()
        self.successResultOf(done)
        self.successResultOf(self.get("1"))
        self.successResultOf(self.store.sync())
        self.assertEqual(self.disk.waiting, 0)

    def test_each_second_fails(self) -> None:
        """What could not be synced is synced the next time."""
        self.add(RUN)
        for _ in range(2):
            done = self.store.sync()
            self.disk.fail(OSError(5, "Input/output error"))
            self.successResultOf(done)
        done = self.store.sync()
        self.disk.work()
        self.successResultOf(done)

    def test_close(self) -> None:
        """The last that was committed is synced before the end."""
        self.add(RUN)
        closed = self.store.close()
        self.assertNoResult(closed)
        self.disk.work()
        self.successResultOf(closed)


class FailingDisk(sqlite3.Connection):
    """A connection that fails as told."""

    gives_up = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failing: dict[str, int] = {}

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        number = self.failing.get(sql.split()[0])
        if number is None:
            return super().execute(sql, *values)
        if self.gives_up:
            super().execute("ROLLBACK")
        error = sqlite3.OperationalError("the disk says no")
        error.sqlite_errorcode = number
        raise error


class FailingTests(StoreTestCase):
    """If the disk refuses a transaction, all its callers get the error."""

    def setUp(self) -> None:
        self.disk = sqlite3.connect(
            ":memory:", isolation_level=None, factory=FailingDisk
        )
        self.addCleanup(self.disk.close)
        database = Database(self.disk)
        database._prepare()
        self.thread = Thread()
        self.store = RunStore(database, self.thread, Clock())

    def both_fail(self, why: str) -> None:
        """Two calls in one transaction fail for this reason; the next is made."""
        self.store.flush()
        answers = [self.add(ENDED), self.add(evolve(ENDED, id="2"))]
        self.thread.work()
        self.thread.work()
        failures = [self.failureResultOf(one, CannotRecord) for one in answers]
        for failure in failures:
            self.assertIn(why, str(failure.value))
        self.assertIsNot(failures[0].value, failures[1].value)
        self.disk.failing = {}
        self.assertFalse(self.disk.in_transaction)
        known = self.store.transact(lambda database: database.known(["1", "2"]))
        self.thread.work()
        self.assertEqual(self.successResultOf(known), set())
        self.assertFalse(self.store.exceeds(0, 0))
        # It has read, but the disk has taken nothing since.
        self.assertTrue(self.store.failing)
        self.add(RUN)
        self.thread.work()
        self.assertFalse(self.store.failing)

    def test_begin(self) -> None:
        """No transaction can begin on a disk that is read-only."""
        self.disk.failing = {"BEGIN": sqlite3.SQLITE_READONLY}
        self.both_fail("the disk that holds the state is read-only")

    def test_commit(self) -> None:
        """A disk may be full when it comes to the commit."""
        self.disk.failing = {"COMMIT": sqlite3.SQLITE_FULL}
        self.both_fail("the disk that holds the state is full")

    def test_undone_by_sqlite(self) -> None:
        """
        Some errors of a call undo the whole transaction, and so fail all of its calls.
        """
        self.disk.failing = {"INSERT": sqlite3.SQLITE_IOERR}
        self.disk.gives_up = True
        self.both_fail("the disk that holds the state fails")

    def test_thread(self) -> None:
        """If no thread can be started, every caller gets the error."""
        self.store.flush()
        answers = [self.get("1"), self.get("1")]
        self.thread.work()
        self.thread.fail(RuntimeError("no thread can be started"))
        for answer in answers:
            self.failureResultOf(answer, RuntimeError)


class ThreadTests(TestCase):
    """A L{RunStore} on a real disk, with a real thread."""

    async def test_durable(self) -> None:
        """An answered call is durable in the file."""
        path = self.mktemp()
        pool = ThreadPool(1, 1)
        pool.start()
        self.addCleanup(pool.stop)
        here: Any = reactor
        in_thread = partial(deferToThreadPool, here, pool)
        store = RunStore(Database.open(path), in_thread, here)
        runs = [evolve(RUN, id=f"{n:03}") for n in range(100)]
        await gatherResults(
            [
                store.transact(partial(Database.add, record=one, key=None))
                for one in runs
            ]
        )
        other = Database.open(path)
        self.addCleanup(other.close)
        with other.transaction():
            self.assertEqual(len(other.page(RunQuery(200))), 100)
        await store.close()
