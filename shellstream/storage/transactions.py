"""The transactions of the run history, and what has to follow each of them."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from attrs import define, field
from twisted.logger import Logger

from shellstream.model.run_record import RunRecord
from shellstream.security.shares import UsageLedger

from .schema import MIGRATIONS, DatabaseGone
from .state.age_clock import AgeClock
from .state.queued_secrets import QueuedSecrets

_log = Logger()


@define(eq=False)
class Transactions:
    """
    A connection to SQLite whose transactions keep what is beside the file in step: the
    usage of each principal, and the secrets of queued runs.

    @ivar age: the clock by which runs and keys grow old.
    @ivar secrets: those of queued runs, which are not in the file.
    """

    _connection: sqlite3.Connection
    age: AgeClock = field(factory=AgeClock)
    secrets: QueuedSecrets = field(factory=QueuedSecrets)
    #: The files of SQLite as they were at the start: path, device and inode.
    _files: tuple[tuple[str, int, int], ...] = field(default=(), init=False)
    _usage: UsageLedger = field(factory=lambda: UsageLedger({}), init=False)
    _synced: bool | None = field(default=None, init=False)  # the last PRAGMA

    def watch(self, path: str) -> None:
        """From now on no transaction begins unless the files are in their place."""
        self._files = tuple(_identities(path))

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        self._connection.close()

    def transaction(self, *, synced: bool = True) -> AbstractContextManager[None]:
        """
        A context in which all is done, or nothing: committed at its end, or undone
        if it raises.

        @param synced: whether it has to survive a loss of power, too, and so waits
            for the disk; if not, it survives the end of the process only.
        @raise DatabaseGone: if the file is not in its place any more.
        """
        # The file that is open takes every write, even if it has no name any more: but
        # the next daemon would know nothing of it.
        for path, device, number in self._files:
            try:
                there = os.stat(path)
            except FileNotFoundError:
                raise DatabaseGone(path) from None
            if (there.st_ino, there.st_dev) != (number, device):
                raise DatabaseGone(path)
        if synced is not self._synced:
            self._do(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced
        return self._undoable("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")

    def check(self) -> None:
        """
        Find out whether the disk takes a write, by writing what is there already.

        This writes one page, where a run takes five. On a disk that is almost full it
        may succeed a few times more, until it has used up what is left.
        """
        self._do(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def attempt(self) -> AbstractContextManager[None]:
        """A part of a transaction that leaves nothing behind if it fails."""
        undo = "ROLLBACK TO attempt", "RELEASE attempt"
        return self._undoable("SAVEPOINT attempt", "RELEASE attempt", *undo)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is still open: some errors undo all of it at once."""
        return self._connection.in_transaction

    @contextmanager
    def _undoable(self, begin: str, end: str, *undo: str) -> Iterator[None]:
        if not self.in_transaction:
            self._usage.forget_changes()
        mark, done, ending = self._usage.mark(), False, False
        self._do(begin)
        try:
            yield
            ending = True
            self._do(end)
            done = True
        finally:
            if not done:
                self._usage.undo(mark)
                for statement in undo if self.in_transaction else ():
                    self._do(statement)
                if ending and self._synced and not self.in_transaction:
                    self._overwrite()
            if self.secrets.changed and not self.in_transaction:
                self._settle_secrets()

    def _keep_secrets(self, record: RunRecord) -> None:
        synced = self._synced is not False
        try:
            self.secrets.keep(record.id, record.secrets, synced=synced)
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

    def _overwrite(self) -> None:
        """
        Write over what a failed commit has left in the WAL.

        If only C{fsync} fails, the whole transaction is in that file, and the next
        daemon would read it after C{kill -9}: it would start runs that were refused.
        The next transaction begins in the same place, so any will do; this one does not
        wait for the disk, since that failed. If it fails as well, the next one of a
        caller does it.
        """
        with (
            suppress(sqlite3.Error),
            self.transaction(synced=False),
        ):
            self.check()

    def _do(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> Any:
        return self._do(sql, *values).fetchone()


def _identities(path: str) -> Iterator[tuple[str, int, int]]:
    """The files that hold what was committed: path, device and inode."""
    for name in (path, f"{path}-wal"):
        there = os.stat(name)
        yield name, there.st_dev, there.st_ino
