"""
Bringing what was committed to the disk itself, beside the thread that commits.

Theory of operation
===================

In WAL mode a commit appends pages to C{runs.db-wal}; a checkpoint copies them into
C{runs.db}. With C{synchronous = NORMAL} a commit waits for no disk: it is in the page
cache, which outlives the process. Here its log is synced, as often as that is asked
for, through a descriptor of its own. What SQLite itself would do for
C{synchronous = FULL} is the same call, but in the thread that commits: with a disk that
takes 200 ms for it, every other run would wait there.

Checkpoints wait for the disk as well, twice: first the log is synced, then the file. So
a second connection makes them here, and writers go on meanwhile. The first connection
makes one only if the log grows to L{MAX_FRAMES}: under a load that never pauses, the
log is never copied as a whole, and could not begin anew. It waits for the disk in one
more place: when a log begins anew, its header is synced before any page of it, or a
loss of power could join pages of two logs.

The descriptor is of the log, never of the file: to close one of that would end the
locks of SQLite (fcntl(2)).
"""

import os
import sqlite3
from threading import Lock
from typing import Self

from attrs import define, field

#: After so many changed rows the log is copied into the file: some thousand pages.
CHECKPOINT_AFTER = 250

#: How long the log may become, in pages of 4 KiB, before the thread that commits has to
#: wait until it is copied.
MAX_FRAMES = 8000

_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


@define(eq=False)
class WalSync:
    """Syncs the log of a history. For any thread, one at a time."""

    _fd: int
    _connection: sqlite3.Connection
    _lock: Lock = field(factory=Lock, init=False)
    _copied: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)

    @classmethod
    def open(cls, path: str) -> Self:
        """
        @param path: of a history that is open, and has a log.
        @raise OSError: if the log cannot be opened.
        """
        fd = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False
        )
        return cls(fd, connection)

    def sync(self, changes: int) -> None:
        """
        Wait until all that is committed is on the disk.

        @param changes: how many rows were changed so far, since the start.
        @raise OSError: if that fails.
        @raise sqlite3.Error: if the log cannot be copied into the file.
        """
        with self._lock:
            if self._closed:
                return
            try:
                os.fdatasync(self._fd)
                if changes - self._copied >= CHECKPOINT_AFTER:
                    busy, _, _ = self._connection.execute(_CHECKPOINT).fetchone()
                    if not busy:  # or another connection copies: the next sync tries
                        self._copied = changes
            except (OSError, sqlite3.Error):
                # After an error the kernel takes what was not written for written: so
                # the next sync has to copy all of it.
                self._copied = changes - CHECKPOINT_AFTER
                raise

    def close(self) -> None:
        """Close the log. Harmless when repeated."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()
                os.close(self._fd)
