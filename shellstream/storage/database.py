"""
The run history: runs and idempotency keys in a SQLite file, which survives the daemon.

Every call blocks; L{shellstream.storage.run_store} makes them in a thread.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Self

from attrs import define, evolve, field, frozen
from twisted.logger import Logger

from shellstream.model.errors import IdempotencyKeyReused, TooManyKeys
from shellstream.model.events import Outcome
from shellstream.model.run_record import IdempotencyKey, Retention, RunQuery, RunRecord
from shellstream.security.shares import Usage, UsageLedger, has_share

from .integrity import DamagedRow, damaged_rows, prepare
from .schema import (
    INSERT,
    SAVE,
    SELECT,
    SELECT_ALL,
    SELECT_KEY,
    DatabaseDamaged,
    checksum,
    code,
    damaged,
    from_row,
    to_row,
)
from .state.age_clock import AgeClock
from .state.queued_secrets import QueuedSecrets
from .transactions import Transactions

#: An ended run has either outcome, one that goes on has none.
_OUTCOMES = {
    Outcome.SUCCESS: "(state = 'exited' AND code = 0)",
    Outcome.FAILURE: (
        "(state NOT IN ('queued', 'running', 'exited') "
        "OR (state = 'exited' AND code <> 0))"
    ),
}

_log = Logger()

#: How long a key is remembered even if its run is not, in microseconds of the age
#: clock.
KEY_AGE = 24 * 3600 * 1_000_000

#: How many rows of a kind one L{Database.expire} changes: some 10 ms of work, in which
#: no run can start.
BATCH = 250


@frozen
class Expired:
    """
    The result of L{Database.expire}.

    @ivar runs: the ids of those that are forgotten.
    @ivar more: whether there may be more to do at once.
    """

    runs: tuple[str, ...]
    more: bool


@define(eq=False)
class Database(Transactions):
    """
    Runs, and the idempotency keys that they were asked for with.

    One thread at a time may use it, and not across a fork. All methods but L{open},
    L{close} and L{exceeds} belong into a L{transaction}, and may raise
    C{sqlite3.Error}; L{shellstream.storage.schema.why} tells what that means.

    @ivar damaged: rows that were found at the start; they are never shown as runs.
    @ivar notices: messages for the operator, from the start.
    """

    damaged: list[DamagedRow] = field(factory=list, init=False)
    notices: list[str] = field(factory=list, init=False)

    @classmethod
    def open(
        cls,
        path: str,
        age: AgeClock | None = None,
        secrets: QueuedSecrets | None = None,
    ) -> Self:
        """
        Open a file, or make it. C{":memory:"} is a history that is not kept.

        @param secrets: where those of queued runs are; by default in memory.

        If rows are L{damaged}, save them and call L{discard_damaged} before all else.

        @raise DatabaseNewer: if a later version of this program made it.
        @raise DatabaseDamaged: if the file is damaged, or of another program.
        @raise sqlite3.Error: if the file cannot be used for another reason.
        """
        with ExitStack() as on_error:
            # No implicit transactions: Python would begin them without IMMEDIATE, and
            # then another program's lock is found in their middle.
            connection = sqlite3.connect(
                path, timeout=1, isolation_level=None, check_same_thread=False
            )
            on_error.callback(connection.close)
            self = cls(connection, age or AgeClock(), secrets or QueuedSecrets())
            try:
                self._prepare()
                if path != ":memory:":
                    self.watch(path)
            except sqlite3.DatabaseError as error:
                # Our statements are right. If SQLite refuses one, the tables were made
                # by another program.
                if damaged(error) or code(error) == sqlite3.SQLITE_ERROR:
                    raise DatabaseDamaged(str(error)) from None
                raise
            on_error.pop_all()
        return self

    def add(self, record: RunRecord, key: IdempotencyKey | None) -> None:
        """
        Add a new run, and the key that it was asked for with.

        @raise sqlite3.IntegrityError: if the id, or the key of this principal, was
            added before.
        """
        if record.secrets:
            self._keep_secrets(record)
        if key is None:
            self._connection.execute(INSERT, to_row(record, self.age.now()))
        else:
            with self.attempt():
                self.add_key(record.id, key)
                self._connection.execute(INSERT, to_row(record, self.age.now()))
        if record.state.ended:
            self._usage.add(record.principal, 1, record.stored)

    def withdraw(self, run_id: str, key: IdempotencyKey) -> None:
        """Forget a run that was refused before it was started, and its key."""
        with self.attempt():
            self._do("DELETE FROM runs WHERE id = ? AND since IS NULL", run_id)
            self.delete_key(key)

    def require_share(self, key: IdempotencyKey, limit: int) -> None:
        """
        @param limit: how many keys all principals may have.
        @raise TooManyKeys: if the principal of a new key has its share of these.
        """
        own, used = self._usage.of(key.principal).keys, self._usage.total.keys
        if not has_share(key.principal, own, used, limit):
            raise TooManyKeys(own, used)

    def add_key(self, run_id: str, key: IdempotencyKey) -> None:
        """
        Remember that a key leads to a run, which may belong to another principal.

        @raise sqlite3.IntegrityError: if this principal used the key before.
        """
        values = key.principal, key.key, key.fingerprint, run_id, self.age.now()
        self._do(
            "INSERT INTO keys (principal, key, fingerprint, run, created, checksum) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            *values,
            checksum(values),
        )
        self._usage.add(key.principal, keys=1)

    def run_of_key(self, key: IdempotencyKey) -> str | None:
        """
        The id of the run that a key leads to; L{None} for a new key.

        @raise IdempotencyKeyReused: if the key was sent with another request.
        @raise DatabaseDamaged: if the key is known, but not to which run it leads. A
            run that may be the second one must not be started.
        """
        known = self._one(
            f"{SELECT_KEY} WHERE principal = ? AND key = ?", key.principal, key.key
        )
        if known is None:
            return None
        *values, found = known
        if checksum(values) != found:
            raise DatabaseDamaged("an Idempotency-Key does not match its checksum")
        if values[2] != key.fingerprint:
            raise IdempotencyKeyReused
        return str(values[3])

    def delete_key(self, key: IdempotencyKey) -> None:
        """Forget a key: the next request with it begins a run."""
        sql = "DELETE FROM keys WHERE principal = ? AND key = ?"
        gone = self._do(sql, key.principal, key.key).rowcount
        self._usage.add(key.principal, keys=-gone)

    def save(self, record: RunRecord, *, tell: bool = True) -> bool:
        """
        Write down how a run stands now. Returns L{False}, and changes nothing, if
        the run has ended: that is final.

        @param record: if the run is there already, with the id, command, parameters,
            principal and creation that it was added with; these are not written again.
        @param tell: whether its end goes to the subscribers of the L{outbox}, in the
            same step: an end that is recorded is never forgotten to be told.
        """
        if record.secrets:
            self._keep_secrets(record)
        self.secrets.note_change(record.id)
        if tell and record.state.ended and self.outbox.subscribers is not None:
            names = self.outbox.subscribers(record)
            if names:
                with self.attempt():
                    done = self.save(record, tell=False)
                    if done:
                        self.outbox.put("ended", record, names, self.age.now())
                return done
        row = to_row(record, self.age.now())
        done = self._connection.execute(SAVE, row).rowcount > 0
        if done and record.state.ended:
            self._usage.add(record.principal, 1, record.stored)
        return done

    def get(self, run_id: str) -> RunRecord | None:
        """A run, or L{None} if there is none of this id."""
        return next(self._runs("WHERE id = ?", run_id, sql=SELECT_ALL), None)

    def page(self, query: RunQuery) -> list[RunRecord]:
        """The newest runs that a query asks for, newest first."""
        wanted = {
            "id < ?": query.after,
            "state = ?": None if query.state is None else query.state.value,
            "command = ?": query.command,
            "principal = ?": query.owner,
            "code = ?": query.code,
        }
        given = {term: value for term, value in wanted.items() if value is not None}
        terms, values = list(given), list(given.values())
        if "*" not in query.visible:
            patterns = " OR ".join("command GLOB ?" for _ in query.visible)
            terms.append(f"({patterns})")
            values.extend(query.visible)
        if query.state is not None and not query.state.ended:
            terms.append("since IS NULL")  # the index has these alone
        if query.outcome is not None:
            terms.append(_OUTCOMES[query.outcome])
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        last = "ORDER BY id DESC LIMIT ?"
        return list(self._runs(f"{where} {last}", *values, query.limit))

    def unended(self) -> list[RunRecord]:
        """
        The runs that are queued or running, oldest first, with their secrets. A queued
        run whose secrets are lost has a C{failure}: it must not be started without.

        @raise OSError: if secrets cannot be read.
        """
        runs = self._runs("WHERE since IS NULL ORDER BY id", sql=SELECT_ALL)
        return [self._with_secrets(each) if each.secrets else each for each in runs]

    def ended_since(self, time: int, most: int) -> list[RunRecord]:
        """Runs that ended at this time (microseconds since 1970) or later, in order."""
        return list(self._runs("WHERE ended >= ? ORDER BY id LIMIT ?", time, most))

    def newest_id(self) -> str | None:
        """The id of the run that was created last, if any is kept."""
        found: str | None = self._one("SELECT max(id) FROM runs")[0]
        return found

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those ids that belong to runs; it takes about 2 microseconds for each."""
        rows = self._do(
            "SELECT id FROM runs WHERE id IN (SELECT value FROM json_each(?))",
            json.dumps(list(ids)),
        )
        return {row[0] for row in rows}

    def delete(self, run_id: str) -> bool:
        """Forget an ended run, but not its key; L{False} if there is no such run."""
        row = self._one(
            "SELECT principal, stored FROM runs WHERE id = ? AND since IS NOT NULL",
            run_id,
        )
        if row is None:
            return False
        self._forget(run_id, *row)
        return True

    @property
    def kept(self) -> Usage:
        """What is kept of all principals. Any thread may ask."""
        return self._usage.total

    def exceeds(self, runs: int, stored: int) -> bool:
        """
        Whether more ended runs are kept than this, or their output takes more bytes
        than this on disk. Any thread may ask.
        """
        kept = self._usage.total
        return kept.runs > runs or kept.stored > stored

    def removed(self) -> set[str]:
        """The ids of forgotten runs whose output may still be on the disk."""
        return {row[0] for row in self._do("SELECT id FROM removed")}

    def forget_removed(self, ids: Iterable[str]) -> None:
        """The output of these forgotten runs is not on the disk any more."""
        sql = "DELETE FROM removed WHERE id IN (SELECT value FROM json_each(?))"
        self._do(sql, json.dumps(list(ids)))

    def expire(self, retention: Retention, removed: Iterable[str] = ()) -> Expired:
        """
        Forget the ended runs that are too old. Then, while the rest are too many or
        too large, forget the oldest of the principal that has the most: so nobody can
        fill the history with runs of their own and drive out those of others. Last,
        after L{KEY_AGE}, forget the keys of forgotten runs. At most L{BATCH} of a kind.

        Ages are by the L{age} clock, never by the machine's.

        @param retention: how much may be kept.
        @param removed: forgotten runs whose output is off the disk by now.
        """
        with self.attempt():
            self.forget_removed(removed)
            now = self.age.now()
            self._save_age(now)
            keys = self._expire_keys(now)
            runs = tuple(self._expire_runs(now, retention))
        return Expired(runs, max(keys, len(runs)) == BATCH)

    def discard_damaged(self) -> None:
        """Drop the damaged rows, which the caller has saved."""
        with self.transaction():
            for row in self.damaged:
                self._do("DELETE FROM runs WHERE rowid = ?", row.number)
        self.damaged = []
        self._begin()

    def _expire_keys(self, now: int) -> int:
        gone = self._do(
            "DELETE FROM keys WHERE (principal, key) IN (SELECT principal, key "
            "FROM keys WHERE gone AND created < ? ORDER BY created LIMIT ?) "
            "RETURNING principal",
            now - KEY_AGE,
            BATCH,
        ).fetchall()
        for (principal,) in gone:
            self._usage.add(principal, keys=-1)
        return len(gone)

    def _expire_runs(self, now: int, retention: Retention) -> Iterator[str]:
        aged = self._do(
            "SELECT id, principal, stored FROM runs WHERE since IS NOT NULL "
            "AND since < ? ORDER BY since, id LIMIT ?",
            now - retention.age * 1_000_000,
            BATCH,
        ).fetchall()
        for row in aged:
            self._forget(*row)
            yield row[0]
        for _ in range(BATCH - len(aged)):
            usage = self._usage
            if usage.total.runs > retention.runs:
                heaviest = usage.most_runs()
            elif usage.total.stored > retention.bytes:
                heaviest = usage.most_stored()
            else:
                break
            oldest = self._one(
                "SELECT id, stored FROM runs WHERE principal = ? "
                "AND since IS NOT NULL ORDER BY since, id LIMIT 1",
                heaviest,
            )
            if oldest is None:  # somebody else has changed the file
                break
            self._forget(oldest[0], heaviest, oldest[1])
            yield oldest[0]

    def _forget(self, run_id: str, principal: str, stored: int) -> None:
        self._do("DELETE FROM runs WHERE id = ?", run_id)
        self._usage.add(principal, -1, -stored)

    def _prepare(self) -> None:
        self.notices += prepare(self._connection)
        self.damaged = damaged_rows(self._connection)
        if not self.damaged:
            self._begin()

    def _begin(self) -> None:
        """Find out where the last daemon was, once all rows are sound."""
        each = self._do(
            "SELECT principal, sum(runs), sum(stored), sum(keys) FROM ("
            "SELECT principal, count(*) AS runs, sum(stored) AS stored, 0 AS keys "
            "FROM runs WHERE since IS NOT NULL GROUP BY principal UNION ALL "
            "SELECT principal, 0, 0, count(*) FROM keys GROUP BY principal) "
            "GROUP BY principal"
        )
        self._usage = UsageLedger({name: Usage(*counts) for name, *counts in each})
        saved = [
            seen
            for seen, found in self._do("SELECT seen, checksum FROM clock")
            if checksum([seen]) == found
        ]
        newest = self._one("SELECT max(since) FROM runs WHERE since IS NOT NULL")[0]
        self.age.seen = max([0, newest or 0, *saved])
        # So each start writes something, and the file of the log is there from now on.
        with self.transaction():
            self._save_age(self.age.seen)
        self._move_secrets()
        self.secrets.find()
        self._settle_secrets()
        # The daemon could not start if one of these were damaged: find out now.
        self.unended()

    def _move_secrets(self) -> None:
        """Move secrets that older versions kept in the rows to their files."""
        queued = list(self._runs("WHERE state = 'queued' AND secrets != '{}'"))
        old = [each for each in queued if any(each.secrets.values())]
        if old:
            with self.transaction():
                for record in old:
                    self.save(record)
            self._one("PRAGMA wal_checkpoint(TRUNCATE)")  # the old rows are there

    def _save_age(self, seen: int) -> None:
        self._do("DELETE FROM clock")
        self._do("INSERT INTO clock VALUES (?, ?)", seen, checksum([seen]))

    def _with_secrets(self, record: RunRecord) -> RunRecord:
        found = self.secrets.read(record.id)
        if found is not None and found.keys() == record.secrets.keys():
            return evolve(record, secrets=found)
        return evolve(
            record,
            secrets={},
            failure="its secret parameters, which are kept apart, are lost or damaged; "
            "start it again",
        )

    def _runs(self, rest: str, *values: Any, sql: str = SELECT) -> Iterator[RunRecord]:
        return map(from_row, self._do(f"{sql} {rest}", *values).fetchall())
