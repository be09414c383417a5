"""Tests for L{shellstream.storage.database}: a disk that cannot sync, and a kill."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.storage.database import Database
from tests.support.programs import ROOT, needs

#: Fails C{fsync} while a file is there. SQLite calls one or the other.
PRELOAD = r"""
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int fsync(int fd) {
    if (access(getenv("NO_SYNC"), F_OK) == 0) { errno = EIO; return -1; }
    return 0;
}
int fdatasync(int fd) { return fsync(fd); }
"""

#: Adds a run, is refused another, and is killed.
PROGRAM = """
import os, sqlite3, sys
from shellstream.model.events import OnDisconnect
from shellstream.model.run_record import RunRecord
from shellstream.storage.database import Database

database = Database.open(sys.argv[1])

def add(name):
    record = RunRecord(
        id=name, command="c", params={}, created=1, on_disconnect=OnDisconnect.KEEP
    )
    with database.transaction(synced=True):
        database.add(record, None)

add("taken")
open(os.environ["NO_SYNC"], "w").close()
try:
    add("refused")
except sqlite3.OperationalError as error:
    print(error, flush=True)
if sys.argv[2] == "once":
    os.unlink(os.environ["NO_SYNC"])
os.kill(os.getpid(), 9)
"""


class FsyncTests(SynchronousTestCase):
    """What the disk did not take is not there later."""

    skip = needs("cc")

    def test_refused(self) -> None:
        """A run that was refused since C{fsync} failed is unknown after a kill."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        source, library = folder / "preload.c", folder / "preload.so"
        source.write_text(PRELOAD)
        built = ["cc", "-shared", "-fPIC", "-o", str(library), str(source)]
        subprocess.run(built, check=True)
        for how in ("once", "always"):
            path = str(folder / f"{how}.db")
            no_sync = str(folder / f"{how}.fails")
            env = {"LD_PRELOAD": str(library), "NO_SYNC": no_sync}
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, path, how],
                env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                check=False,
            )
            self.assertEqual(done.stdout, b"disk I/O error\n", done.stderr)
            database = Database.open(path)
            self.addCleanup(database.close)
            self.assertEqual([each.id for each in database.unended()], ["taken"])

    def test_not_overwritten(self) -> None:
        """A disk that takes nothing at all fails the transaction, and no more."""
        database = Database.open(":memory:")
        self.addCleanup(database.close)
        real, failed = Database._do, []

        def full(self: Database, sql: str, *values: object) -> sqlite3.Cursor:
            if sql == "COMMIT":
                failed.append(sql)
                raise sqlite3.OperationalError("database or disk is full")
            return real(self, sql, *values)

        self.patch(Database, "_do", full)
        with (
            self.assertRaises(sqlite3.OperationalError),
            database.transaction(synced=True),
        ):
            database.check()
        self.assertEqual(len(failed), 2)
        self.assertFalse(database.in_transaction)
