"""Tests for L{shellstream.storage.state.wal_sync}: when the log is copied."""

import os
from typing import Any, cast

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.state.wal_sync import CHECKPOINT_AFTER, WalSync


@define
class Connection:
    """A connection whose checkpoints go as the test says."""

    busy: bool = False
    asked: list[str] = field(factory=list)

    def execute(self, sql: str) -> "Connection":
        self.asked.append(sql)
        return self

    def fetchone(self) -> tuple[int, int, int]:
        return (int(self.busy), 9, 0 if self.busy else 9)

    def close(self) -> None:
        """There is nothing to close."""


class CheckpointTests(SynchronousTestCase):
    """The log is copied into the file after so many changed rows."""

    def setUp(self) -> None:
        self.connection = Connection()
        fd = os.open(self.mktemp(), os.O_CREAT | os.O_RDWR)
        self.wal = WalSync(fd, cast(Any, self.connection))
        self.addCleanup(self.wal.close)

    def test_copied(self) -> None:
        """A log that is copied is left alone until as many rows are changed again."""
        for changes in (CHECKPOINT_AFTER - 1, CHECKPOINT_AFTER, CHECKPOINT_AFTER + 1):
            self.wal.sync(changes)
        self.assertEqual(len(self.connection.asked), 1)
        self.wal.sync(2 * CHECKPOINT_AFTER)
        self.assertEqual(len(self.connection.asked), 2)

    def test_busy(self) -> None:
        """One that another connection is copying is not copied: the next sync tries."""
        self.connection.busy = True
        self.wal.sync(CHECKPOINT_AFTER)
        self.wal.sync(CHECKPOINT_AFTER)
        self.connection.busy = False
        for _ in range(3):
            self.wal.sync(CHECKPOINT_AFTER)
        self.assertEqual(len(self.connection.asked), 3)
