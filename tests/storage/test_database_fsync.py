"""Tests for L{shellstream.storage.run_store}: a disk that cannot sync, and a kill."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.run_record import IdempotencyKey
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

#: Adds a run with a key, is refused another, and is killed.
PROGRAM = """
import os, sys
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from shellstream.config.live import LiveConfig
from shellstream.config.loader import DEMO
from shellstream.model.events import OnDisconnect
from shellstream.model.run_record import IdempotencyKey, RunRecord
from shellstream.runs.history import History
from shellstream.storage.database import Database
from shellstream.storage.log_store import MemoryLogs
from shellstream.storage.run_store import RunStore

database = Database.open(sys.argv[1])
store = RunStore(database, execute, Clock())
history = History(LiveConfig(DEMO), Clock(), lambda: 1, store, MemoryLogs())

def add(name):
    record = RunRecord(
        id=name, command="c", params={}, created=1, on_disconnect=OnDisconnect.KEEP
    )
    added = Deferred.fromCoroutine(history.add(record, IdempotencyKey(name, "print")))
    added.addErrback(lambda failure: print(failure.getErrorMessage(), flush=True))

add("taken")
open(os.environ["NO_SYNC"], "w").close()
add("refused")
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
            told = b"the disk that holds the state fails (Input/output error)"
            self.assertIn(told, done.stdout, done.stderr)
            database = Database.open(path)
            self.addCleanup(database.close)
            self.assertEqual([each.id for each in database.unended()], ["taken"])
            for name, run in (("taken", "taken"), ("refused", None)):
                found = database.run_of_key(IdempotencyKey(name, "print"))
                self.assertEqual(found, run)
