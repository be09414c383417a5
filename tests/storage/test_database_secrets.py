"""Tests for L{shellstream.storage.database}: the secrets of queued runs."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from unittest.mock import patch

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_record import RunRecord
from shellstream.storage.database import Database
from shellstream.storage.schema import MIGRATIONS, checksum
from shellstream.storage.state.queued_secrets import QueuedSecrets

SECRETS = {"p": "tr0ub4dor", "q": "caf\udce9"}
WAITING = RunRecord(
    id="1",
    command="login",
    params={"p": "***", "q": "***"},
    created=0,
    on_disconnect=OnDisconnect.KEEP,
    secrets=SECRETS,
)
BEGUN = evolve(WAITING, state=State.RUNNING, secrets={})


class SecretTests(SynchronousTestCase):
    """Secrets are on the disk while their run is queued, and at no other time."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def open(self) -> Database:
        database = Database.open(
            str(self.folder / "runs.db"),
            secrets=QueuedSecrets(self.folder / "secrets"),
        )
        self.addCleanup(database.close)
        return database

    def killed(self) -> None:
        """Go on with a copy of the folder, as a kill leaves it."""
        copy = Path(self.mktemp())
        shutil.copytree(self.folder, copy)
        self.folder = copy

    def holders(self) -> list[str]:
        """The files that have the secret."""
        files = sorted(each for each in self.folder.rglob("*") if each.is_file())
        return [each.name for each in files if b"tr0ub4dor" in each.read_bytes()]

    def add(self, database: Database, record: RunRecord = WAITING) -> None:
        with database.transaction():
            database.add(record, None)

    def update(self, database: Database, record: RunRecord) -> None:
        with database.transaction():
            database.save(record)

    def test_begun(self) -> None:
        """They are in one file, and once the run has begun in none: no log, no page."""
        database = self.open()
        self.add(database)
        self.assertEqual(self.holders(), ["1"])
        self.assertEqual((self.folder / "secrets" / "1").stat().st_mode & 0o777, 0o600)
        with database.transaction():
            self.assertEqual(database.unended(), [WAITING])
        self.update(database, BEGUN)
        self.assertEqual(self.holders(), [])
        with database.transaction():
            self.assertEqual(database.unended(), [BEGUN])
        self.update(database, WAITING)  # the daemon stops before it was started
        self.assertEqual(self.holders(), ["1"])
        self.update(database, evolve(BEGUN, state=State.CANCELLED))
        self.assertEqual(os.listdir(self.folder / "secrets"), [])

    def test_overwritten(self) -> None:
        """The file is overwritten, not only removed."""
        database = self.open()
        self.add(database)
        os.link(self.folder / "secrets" / "1", self.folder / "again")
        self.update(database, BEGUN)
        self.assertEqual(set((self.folder / "again").read_bytes()), {0})

    def test_restart(self) -> None:
        """The next daemon has them, for queued runs alone."""
        database = self.open()
        self.add(database)
        self.killed()
        with self.open().transaction():
            pass
        self.assertEqual(self.open().unended(), [WAITING])
        with contextlib.closing(sqlite3.connect(self.folder / "runs.db")) as other:
            other.execute("DELETE FROM runs")  # the commit did not come so far
            other.commit()
        self.open()
        self.assertEqual(self.holders(), [])

    def test_not_committed(self) -> None:
        """A commit that fails leaves things as they were, in both directions."""
        database = self.open()
        with contextlib.suppress(ZeroDivisionError), database.transaction():
            database.add(WAITING, None)
            raise ZeroDivisionError
        self.assertEqual(self.holders(), [])
        self.add(database)
        with contextlib.suppress(ZeroDivisionError), database.transaction():
            database.save(BEGUN)
            raise ZeroDivisionError
        self.assertEqual(database.unended(), [WAITING])

    def test_lost(self) -> None:
        """A run whose secrets are lost, cut or changed is not started without them."""
        for harm in (b"", b"00000000{}", None, b"x"):
            with self.subTest(harm=harm):
                self.folder = Path(self.mktemp())
                self.folder.mkdir()
                database = self.open()
                self.add(database)
                file = self.folder / "secrets" / "1"
                if harm is None:
                    file.unlink()
                else:
                    file.write_bytes(
                        file.read_bytes()[:-1] + b"?" if harm == b"x" else harm
                    )
                (found,) = database.unended()
                self.assertEqual(found.secrets, {})
                self.assertIn("its secret parameters", found.failure or "")

    def test_cannot_be_written(self) -> None:
        """A run whose secrets cannot be written is not recorded."""
        database = self.open()
        (self.folder / "secrets").touch()
        self.assertRaises(sqlite3.OperationalError, self.add, database)
        self.assertFalse(database.in_transaction)
        with database.transaction():
            self.assertIsNone(database.get("1"))

    def test_cannot_be_destroyed(self) -> None:
        """If the disk refuses to let them go, it is told, and tried again."""
        database = self.open()
        self.add(database)
        with patch("os.fdatasync", side_effect=OSError(5, "Input/output error")):
            self.update(database, BEGUN)
        self.assertEqual(os.listdir(self.folder / "secrets"), ["1"])
        with database.transaction():
            database.get("1")
        self.assertEqual(os.listdir(self.folder / "secrets"), [])

    def test_older(self) -> None:
        """Secrets in the rows of an older version move to their files, at once."""
        path = self.folder / "runs.db"
        with contextlib.closing(sqlite3.connect(path)) as older:
            older.create_function("checksum", -1, lambda *values: checksum(values))
            older.execute("PRAGMA journal_mode = WAL")
            older.executescript("".join(MIGRATIONS[:4]) + "PRAGMA user_version = 4")
            older.execute(
                "INSERT INTO runs (id, command, params, created, on_disconnect, state, "
                "principal, start, size, stored, secrets) VALUES ('1', 'login', "
                """'{"p":"***","q":"***"}', 0, 'keep', 'queued', 'anonymous', 0, 0, """
                """0, '{"p":"tr0ub4dor","q":"caf\\udce9"}')"""
            )
            older.commit()
            self.killed()
        self.assertEqual(self.holders(), ["runs.db-wal"])
        database = self.open()
        self.assertEqual(database.unended(), [WAITING])
        self.assertEqual(self.holders(), ["1"])


class MemoryTests(SynchronousTestCase):
    """Without a folder they are in memory, by the same rule."""

    def test_memory(self) -> None:
        """They are there while the run is queued."""
        database = Database.open(":memory:")
        self.addCleanup(database.close)
        with database.transaction():
            database.add(WAITING, None)
        self.assertEqual(database.unended(), [WAITING])
        with database.transaction():
            database.save(BEGUN)
        self.assertIsNone(database.secrets.read("1"))
