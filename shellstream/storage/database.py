"""
What is known of the runs, in a file that survives the daemon.

Every call blocks; L{shellstream.storage.run_store} makes them where nobody waits.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, Self

from attrs import define, field, frozen

from shellstream.model.errors import IdempotencyKeyReused
from shellstream.model.events import State
from shellstream.model.run_record import IdempotencyKey, Retention, RunFilter, RunRecord

from .schema import (
    INSERT,
    MIGRATIONS,
    SELECT,
    UPDATE,
    DatabaseDamaged,
    DatabaseNewer,
    code,
    damaged,
    from_row,
    to_row,
)

#: How long a key is remembered even if its run is not, in microseconds.
KEY_AGE = 24 * 3600 * 1_000_000

#: How many rows of a kind one L{Database.expire} changes, or one statement names.
BATCH = 250


@frozen
class Expired:
    """
    What L{Database.expire} did.

    @ivar runs: the ids of those that are forgotten.
    @ivar more: whether there may be more to do at once.
    """

    runs: tuple[str, ...]
    more: bool


@frozen
class _Totals:
    """How many runs have ended, and what they take on disk, in bytes."""

    runs: int = 0
    stored: int = 0

    def plus(self, stored: int) -> "_Totals":
        return _Totals(self.runs + 1, self.stored + stored)

    def minus(self, stored: int) -> "_Totals":
        return _Totals(self.runs - 1, self.stored - stored)


@define(eq=False)
class Database:
    """
    Runs, and the idempotency keys that they were asked for with.

    It is used by one thread at a time, and not across a fork. All but L{open}
    and L{close} belong into a L{transaction}, and may raise C{sqlite3.Error};
    L{shellstream.storage.schema.why}
    tells what that means.
    """

    _connection: sqlite3.Connection
    _totals: _Totals = field(factory=_Totals, init=False)

    @classmethod
    def open(cls, path: str) -> Self:
        """
        Open a file, or make it; C{":memory:"} is one that nobody keeps.

        @raise DatabaseNewer: if a later version of this program made it.
        @raise DatabaseDamaged: if it is not sound, or not ours.
        @raise sqlite3.Error: if it cannot be used for another reason.
        """
        with ExitStack() as on_error:
            connection = sqlite3.connect(
                path, timeout=1, isolation_level=None, check_same_thread=False
            )
            on_error.callback(connection.close)
            self = cls(connection)
            try:
                self._prepare()
            except sqlite3.DatabaseError as error:
                # Our statements are right: if one is not, the tables are another's.
                if damaged(error) or code(error) == sqlite3.SQLITE_ERROR:
                    raise DatabaseDamaged(str(error)) from None
                raise
            on_error.pop_all()
        return self

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._connection.close()

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        """
        What is done within is done for good at its end, or else not at all.

        @param synced: whether it is to survive a loss of power, too, and so has to
            wait for the disk; if not, it survives the end of the process only.
        """
        self._do(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        with self._undoable("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"):
            yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A part of a transaction that leaves nothing behind if it fails."""
        undo = "ROLLBACK TO attempt", "RELEASE attempt"
        with self._undoable("SAVEPOINT attempt", "RELEASE attempt", *undo):
            yield

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is still open: some errors undo all of it at once."""
        return self._connection.in_transaction

    def add(self, record: RunRecord, key: IdempotencyKey | None) -> str | None:
        """
        Add a run; but if its key is known, only tell the run it was first used for.

        @raise IdempotencyKeyReused: if that one was asked for in other words.
        """
        first = None if key is None else self.join(record, key, record.principal)
        if first is not None:
            return first
        self._do(INSERT, *to_row(record), _since(record))
        if record.state.ended:
            self._totals = self._totals.plus(record.stored)
        return None

    def join(
        self, record: RunRecord, key: IdempotencyKey, principal: str
    ) -> str | None:
        """
        Note that a key was used for a run; but if it is known, only tell the run
        that it was first used for.

        @param principal: whose key it is; the run may be another's.
        @raise IdempotencyKeyReused: if that one was asked for in other words.
        """
        first = self.first(principal, key)
        if first is None:
            self._do(
                "INSERT INTO keys (principal, key, fingerprint, run, created) "
                "VALUES (?, ?, ?, ?, ?)",
                principal,
                key.key,
                key.fingerprint,
                record.id,
                record.created,
            )
        return first

    def first(self, principal: str, key: IdempotencyKey) -> str | None:
        """
        The run that a key was first used for, if it was.

        @raise IdempotencyKeyReused: if that one was asked for in other words.
        """
        known = self._one(
            "SELECT run, fingerprint FROM keys WHERE principal = ? AND key = ?",
            principal,
            key.key,
        )
        if known is None:
            return None
        if known[1] != key.fingerprint:
            raise IdempotencyKeyReused
        return str(known[0])

    def free(self, principal: str, key: IdempotencyKey) -> None:
        """A key was used for nothing: the next request with it begins a run."""
        self._do("DELETE FROM keys WHERE principal = ? AND key = ?", principal, key.key)

    def put(self, record: RunRecord) -> bool:
        """Note how a run stands; L{False} if it was forgotten, as it then stays."""
        old = self._one("SELECT since, stored FROM runs WHERE id = ?", record.id)
        if old is None:
            return False
        since, stored = old
        if since is not None:
            self._totals = self._totals.minus(stored)
        if record.state.ended:
            self._totals = self._totals.plus(record.stored)
        if since is None or not record.state.ended:
            since = _since(record)
        self._do(UPDATE, *to_row(record), since, record.id)
        return True

    def get(self, run_id: str) -> RunRecord | None:
        """A run, or L{None} if there is none of this id."""
        return next(self._runs("WHERE id = ?", run_id), None)

    def page(
        self,
        limit: int,
        after: str | None = None,
        state: State | None = None,
        command: str | None = None,
        within: RunFilter | None = None,
    ) -> list[RunRecord]:
        """The newest C{limit} runs among those older than C{after}, newest first."""
        wanted = {
            "id < ?": after,
            "state = ?": None if state is None else state.value,
            "command = ?": command,
            "principal = ?": None if within is None else within.owner,
        }
        given = {term: value for term, value in wanted.items() if value is not None}
        terms, values = list(given), list(given.values())
        if within is not None:
            patterns = " OR ".join("command GLOB ?" for _ in within.commands)
            terms.append(f"({patterns})")
            values.extend(within.commands)
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        last = "ORDER BY id DESC LIMIT ?"
        return list(self._runs(f"{where} {last}", *values, limit))

    def unended(self) -> list[RunRecord]:
        """The runs that are queued or running, oldest first."""
        states = [one.value for one in State if not one.ended]
        return list(self._runs(f"WHERE state {_among(states)} ORDER BY id", *states))

    def newest_id(self) -> str | None:
        """The id of the run that was created last, if any is kept."""
        found: str | None = self._one("SELECT max(id) FROM runs")[0]
        return found

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those ids that are a run's; of 100,000 it takes some 0.2 s to tell."""
        left, found = iter(ids), set[str]()
        while some := list(islice(left, BATCH)):
            rows = self._do(f"SELECT id FROM runs WHERE id {_among(some)}", *some)  # noqa: S608  # nosec B608  # marks
            found.update(row[0] for row in rows)
        return found

    def delete(self, run_id: str) -> bool:
        """Forget an ended run, but not its key; L{False} if there is no such run."""
        row = self._one(
            "SELECT stored FROM runs WHERE id = ? AND since IS NOT NULL", run_id
        )
        if row is None:
            return False
        self._forget(run_id, row[0])
        return True

    def exceeds(self, keep: Retention) -> bool:
        """Whether more is kept than may be, apart from age. For any thread."""
        totals = self._totals
        return totals.runs > keep.runs or totals.stored > keep.bytes

    def expire(self, now: int, keep: Retention) -> Expired:
        """
        Forget ended runs, oldest first, until all that is left may be kept, and after
        L{KEY_AGE} the keys of forgotten runs; L{BATCH} of a kind at most.

        If the clock was set back, some have ended in the future. These age from
        now on: or they would stay too long, and whatever ends now would have to
        go before them.

        @param now: microseconds since 1970 (UTC).
        """
        done = [
            self._bring_back(now, "runs", "id", "since", "since IS NOT NULL"),
            self._bring_back(now, "keys", "principal, key", "created", "gone"),
            self._do(
                "DELETE FROM keys WHERE (principal, key) IN (SELECT principal, key "
                "FROM keys WHERE gone AND created < ? ORDER BY created LIMIT ?)",
                now - KEY_AGE,
                BATCH,
            ).rowcount,
        ]
        runs = tuple(self._expire_runs(now, keep))
        return Expired(runs, max(*done, len(runs)) == BATCH)

    def check(self) -> None:
        """
        Change nothing, but write as if there were something to change: one page,
        where a run takes five. So on a disk that fills up a few of these may still
        succeed, each of which takes some of what is left.
        """
        self._do(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _bring_back(self, now: int, table: str, key: str, time: str, some: str) -> int:
        sql = (
            f"UPDATE {table} SET {time} = ? WHERE ({key}) IN (SELECT {key} "  # noqa: S608  # nosec B608  # names of ours
            f"FROM {table} WHERE {some} AND {time} > ? ORDER BY {time} LIMIT ?)"
        )
        return self._do(sql, now, now, BATCH).rowcount

    def _expire_runs(self, now: int, keep: Retention) -> Iterator[str]:
        oldest = self._do(
            "SELECT id, since, stored FROM runs WHERE since IS NOT NULL "
            "ORDER BY since, id LIMIT ?",
            BATCH,
        )
        for run_id, since, stored in oldest.fetchall():
            if since >= now - keep.age * 1_000_000 and not self.exceeds(keep):
                break
            self._forget(run_id, stored)
            yield run_id

    def _forget(self, run_id: str, stored: int) -> None:
        self._do("DELETE FROM runs WHERE id = ?", run_id)
        self._totals = self._totals.minus(stored)

    def _prepare(self) -> None:
        version = self._one("PRAGMA user_version")[0]
        if version > len(MIGRATIONS):
            raise DatabaseNewer
        found = self._one("PRAGMA quick_check(1)")[0]
        if found != "ok":
            raise DatabaseDamaged(found.splitlines()[-1])
        self._one("PRAGMA journal_mode = WAL")
        self._one("PRAGMA secure_delete = ON")  # secrets are not to stay
        self._one(f"PRAGMA journal_size_limit = {16 << 20}")
        for number, migration in enumerate(MIGRATIONS[version:], version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {number}; COMMIT"
            )
        totals = self._one(
            "SELECT count(*), coalesce(sum(stored), 0) FROM runs "
            "WHERE since IS NOT NULL"
        )
        self._totals = _Totals(*totals)
        self.unended()  # nobody could start with these damaged: better to know now

    @contextmanager
    def _undoable(self, begin: str, end: str, *undo: str) -> Iterator[None]:
        totals, done = self._totals, False
        self._do(begin)
        try:
            yield
            self._do(end)
            done = True
        finally:
            if not done:
                self._totals = totals
                for statement in undo if self.in_transaction else ():
                    self._do(statement)

    def _do(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> Any:
        return self._do(sql, *values).fetchone()

    def _runs(self, rest: str, *values: Any) -> Iterator[RunRecord]:
        return map(from_row, self._do(f"{SELECT} {rest}", *values).fetchall())


def _since(record: RunRecord) -> int | None:
    """Since when a run ages: its end, as far as that is known."""
    if not record.state.ended:
        return None
    return record.created if record.ended is None else record.ended


def _among(values: Sequence[str]) -> str:
    return f"IN ({', '.join('?' * len(values))})"
