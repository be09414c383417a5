"""The transactions of the run history, and what has to follow each of them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from shellstream.model.run_record import RunRecord
from shellstream.security.shares import UsageLedger

from .schema import MIGRATIONS, DatabaseGone
from .state.age_clock import AgeClock
from .state.outbox import Outbox
from .state.queued_secrets import QueuedSecrets
from .state.wal_sync import WalSync

_log = Logger()


@define(eq=False)
class Transactions:
    """
    A connection to SQLite whose transactions keep what is beside the file in step: the
    usage of each principal, and the secrets of queued runs.

    @ivar age: the clock by which runs and keys grow old.
    @ivar secrets: those of queued runs, which are not in the file.
    @ivar outbox: the notifications that are to be delivered.
    @ivar changes: how many rows were changed by what is committed. Any thread may ask.
    """

    _connection: sqlite3.Connection
    age: AgeClock = field(factory=AgeClock)
    secrets: QueuedSecrets = field(factory=QueuedSecrets)
    outbox: Outbox = field(init=False)
    changes: int = field(default=0, init=False)
    _wal: WalSync | None = field(default=None, init=False)
    #: The files of SQLite as they were at the start: path, device and inode.
    _files: tuple[tuple[str, int, int], ...] = field(default=(), init=False)
    _missed: bool = field(default=False, init=False)  # one of them, at the last look
    _usage: UsageLedger = field(factory=lambda: UsageLedger({}), init=False)

    def __attrs_post_init__(self) -> None:
        self.outbox = Outbox(self._connection)

    def watch(self, path: str) -> None:
        """From now on no transaction begins unless the file is in its place."""
        self._files = tuple(_identities(path))
        self._wal = WalSync.open(path)

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        if self._wal is not None:
            self._wal.close()
        self._connection.close()

    def sync(self) -> None:
        """
        Wait until all that is committed is on the disk itself. For any thread.

        @raise OSError: if that fails.
        @raise sqlite3.Error: the same, when pages go from the log to the file.
        """
        if self._wal is not None:
            self._wal.sync(self.changes)

    @property
    def on_disk(self) -> bool:
        """Whether there is a file that L{sync} has to bring to the disk."""
        return self._wal is not None

    def look(self) -> None:
        """
        @raise DatabaseGone: if a file is not in its place any more. Then no transaction
            begins before it is there again.
        """
        self._missed = True
        for file in self._files:
            _require(*file)
        self._missed = False

    def check(self) -> None:
        """
        Find out whether the disk takes a write, by writing what is there already.

        This writes one page, where a run takes five. On a disk that is almost full it
        may succeed a few times more, until it has used up what is left.
        """
        self._do(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """
        A context in which all is done, or nothing: committed at its end, or undone
        if it raises.

        What is committed survives the end of the process, and the loss of power after
        the next L{sync}.

        @raise DatabaseGone: if the file is not in its place any more.
        """
        # The file that is open takes every write, even if it has no name any more: but
        # the next daemon would know nothing of it. Its log is looked for less often.
        if self._missed:
            self.look()
        elif self._files:
            _require(*self._files[0])
        self._usage.forget_changes()
        done, before = False, self._connection.total_changes
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
            done = True
        finally:
            if done:
                # SQLite counts what is undone as well.
                self.changes += self._connection.total_changes - before
            else:
                self._usage.undo(0)
                if self.in_transaction:
                    self._do("ROLLBACK")
            if self.secrets.changed:
                self._settle_secrets()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """
        A part of a transaction that leaves nothing behind if it fails, for a call that
        writes in several statements. SQLite itself undoes one that fails.
        """
        mark, done = self._usage.mark(), False
        self._do("SAVEPOINT attempt")
        try:
            yield
            done = True
        finally:
            if not done:
                self._usage.undo(mark)
            if self.in_transaction:  # otherwise all of it was undone
                if not done:
                    self._do("ROLLBACK TO attempt")
                self._do("RELEASE attempt")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is still open: some errors undo all of it at once."""
        return self._connection.in_transaction

    def _keep_secrets(self, record: RunRecord) -> None:
        try:
            self.secrets.keep(record.id, record.secrets)
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error

    def _settle_secrets(self) -> None:
        def is_queued(run_id: str) -> bool:
            sql = "SELECT 1 FROM runs WHERE id = ? AND state = 'queued'"
            return self._one(sql, run_id) is not None

        try:
            self.secrets.settle(is_queued)
        except (OSError, sqlite3.Error) as error:  # tried again after the next one
            _log.error("secrets of runs that have begun stay: {error}", error=error)

    def _do(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> Any:
        return self._do(sql, *values).fetchone()


def _identities(path: str) -> Iterator[tuple[str, int, int]]:
    """The files that hold what was committed: path, device and inode."""
    for name in (path, f"{path}-wal"):
        there = os.stat(name)
        yield name, there.st_dev, there.st_ino


def _require(path: str, device: int, number: int) -> None:
    """@raise DatabaseGone: if this file is not in its place any more."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        raise DatabaseGone(path) from None
    if (there.st_ino, there.st_dev) != (number, device):
        raise DatabaseGone(path)
