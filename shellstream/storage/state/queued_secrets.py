"""
The values of secret parameters, while their runs wait.

Theory of operation
===================

A run that waits has to survive the daemon, and so have its secrets. Once it begins
they must be nowhere on the disk. A database cannot promise that: SQLite overwrites what
it deletes, but old pages stay in its log until the log is reused, and for ever if the
daemon is killed. So the history has only their names, and each run's values are in a
file of their own.

The rule is: B{the file is there only while the run is queued}. The file is written
before the row is committed. After each transaction that changed such a run the history
is asked whether the run is queued now; if it is not, the file is overwritten, and
removed. So neither a commit that fails, nor a kill at any moment, leaves a queued run
without its secrets, or secrets without a queued run: the next start looks through all
files by the same rule. A run whose file is lost or damaged is not started.

Overwriting reaches the medium only where the filesystem and the device write in place,
which a card or an SSD does not promise. Against a reader of the raw device, encrypt it.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from attrs import define, field

from .files import sync_folder


@define(eq=False)
class QueuedSecrets:
    """
    Secrets of queued runs, by the ids of the runs.

    One thread at a time may use it.

    @ivar folder: where the files are; L{None} keeps all in memory.
    @ivar changed: the ids of runs that L{settle} has to look at.
    """

    folder: Path | None = None
    _kept: dict[str, Mapping[str, str]] = field(factory=dict, init=False, repr=False)
    changed: set[str] = field(factory=set, init=False)

    def find(self) -> None:
        """Find what the last daemon left, for L{settle}."""
        if self.folder is not None:
            with suppress(FileNotFoundError):
                self._kept.update({name: {} for name in os.listdir(self.folder)})
        self.changed.update(self._kept)

    def keep(self, run_id: str, secrets: Mapping[str, str]) -> None:
        """
        Keep the secrets of a run that is about to be queued, on the disk itself.

        @raise OSError: if they cannot be written.
        """
        self.changed.add(run_id)
        self._kept[run_id] = secrets if self.folder is None else {}
        if self.folder is not None:
            self.folder.mkdir(0o700, exist_ok=True)
            text = json.dumps(dict(secrets)).encode("ascii")
            path = self.folder / run_id
            with open(os.open(path, _WRITE | os.O_TRUNC, 0o600), "wb") as file:
                file.write(b"%08x%b" % (crc32(text), text))
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.folder)

    def note_change(self, run_id: str) -> None:
        """A run is about to be changed, and may be queued no more."""
        if run_id in self._kept:
            self.changed.add(run_id)

    def read(self, run_id: str) -> Mapping[str, str] | None:
        """
        The secrets of a queued run; L{None} if they are lost, or damaged.

        @raise OSError: if they cannot be read.
        """
        if self.folder is None:
            return self._kept.get(run_id)
        try:
            data = (self.folder / run_id).read_bytes()
        except FileNotFoundError:
            return None
        if data[:8] != b"%08x" % crc32(data[8:]) or not data[8:]:
            return None
        secrets: dict[str, str] = json.loads(data[8:])
        return secrets

    def settle(self, is_queued: Callable[[str], bool]) -> None:
        """
        Destroy the secrets of changed runs that are not queued.

        @raise OSError: if that fails; it is tried again the next time.
        """
        for run_id in tuple(self.changed):
            if not is_queued(run_id):
                if self.folder is not None:
                    _destroy(self.folder / run_id)
                self._kept.pop(run_id, None)
            self.changed.remove(run_id)


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def _destroy(path: Path) -> None:
    with suppress(FileNotFoundError):
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(os.fstat(file.fileno()).st_size))
            os.fdatasync(file.fileno())
        path.unlink()
