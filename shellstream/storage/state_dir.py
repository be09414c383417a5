"""The folder that holds what is to survive the daemon: the history, and outputs."""

import fcntl
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Container, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from shellstream.model.errors import ShellstreamError
from shellstream.model.events import WallClock, rfc3339

from .database import Database
from .schema import DatabaseDamaged, why

#: How many damaged histories are kept, with their outputs: each may take as much
#: of the disk as the one in use. The newest are, since the oldest was looked at
#: first, if ever.
KEEP_DAMAGED = 3

_LOG = ".log"
_SET_ASIDE = ".log.damaged"


class StateDirBusy(ShellstreamError):
    """Another daemon uses the folder."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"{path} is used by another shellstream{holder}; "
            "stop it, or choose another --state-dir"
        )


class StateDirUnusable(ShellstreamError):
    """The folder, or something in it, cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot hold the state: {reason}; "
            "repair that, or choose another --state-dir"
        )


def default_state_dir(environ: Mapping[str, str]) -> Path | None:
    """
    Where the state belongs if nobody says; L{None} where there is no home for it.

    See systemd.exec(5) and the XDG Base Directory Specification, by which a path
    that is relative is to be ignored.
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(given):
        return Path(given)
    states = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(states):
        return Path(states, "shellstream")
    home = environ.get("HOME", "")
    # Who lives nowhere has a home like / or /nonexistent.
    if os.path.isabs(home) and os.path.isdir(home) and home != "/":
        return Path(home, ".local", "state", "shellstream")
    return None


@define(eq=False)
class StateDir:
    """
    The one daemon's own folder: nobody else reads it, no other daemon uses it.

    It is to be opened after the daemon's last fork: neither the lock's process
    id nor SQLite would survive one.

    @ivar database: the history.
    @ivar notices: what the operator should know of.
    @ivar logs: the ids whose logs were there at first, until L{sweep}.
    @ivar pepper: random bytes that are in no other file.
    """

    path: Path
    _lock: int
    database: Database = field(init=False)
    notices: list[str] = field(factory=list, init=False)
    logs: set[str] = field(factory=set, init=False)
    pepper: bytes = field(init=False, repr=False)

    @classmethod
    def open(cls, path: Path, clock: WallClock) -> Self:
        """
        Take a folder, which is made if it is not there, and what is in it.

        A history that is damaged is put aside, and its outputs with it.

        @raise StateDirBusy: if another daemon has it.
        @raise StateDirUnusable: if it cannot be written.
        @raise DatabaseNewer: if a later version of this program has used it.
        """
        with ExitStack() as on_error:
            try:
                make_folder(path)
                writable = _check(path)
                lock = _take(path / "lock")
                on_error.callback(os.close, lock)
                self = cls(path, lock)
                self.notices += writable
                self._open_database(clock)
                on_error.callback(self.database.close)
                self._outputs.mkdir(mode=0o700, exist_ok=True)
                self.logs = _ids(self._outputs)
                self.pepper = _pepper(path / "pepper")
            except OSError as error:
                where = Path(os.fsdecode(error.filename or path))
                reason = os.strerror(error.errno or 0)
                raise StateDirUnusable(where, reason) from None
            except sqlite3.Error as error:
                raise StateDirUnusable(path / "runs.db", why(error)) from None
            on_error.pop_all()
        return self

    def close(self) -> None:
        """Let others have the folder; the database must be closed before."""
        os.close(self._lock)

    def log_path(self, run_id: str) -> Path:
        """Where the output of a run is."""
        return self._outputs / f"{run_id}{_LOG}"

    def set_aside_log(self, run_id: str) -> Path:
        """
        Make room for a new log where a damaged one is; it goes when its run does.

        @raise OSError: if that one is not there, or may not be renamed.
        """
        aside = self._outputs / f"{run_id}{_SET_ASIDE}"
        os.replace(self.log_path(run_id), aside)
        return aside

    def remove_logs(self, ids: Iterable[str]) -> None:
        """Delete the outputs of runs, those that are there."""
        for run_id in ids:
            for suffix in (_LOG, _SET_ASIDE):
                with suppress(FileNotFoundError):
                    os.unlink(self._outputs / f"{run_id}{suffix}")

    def sweep(self, known: Container[str]) -> int:
        """
        Delete the logs of unknown runs, which a crash may have left; how many.

        Only those that were there when the folder was opened: a new run's may be
        there before the run is in the history.

        @param known: those of L{logs} that are in the database.
        """
        orphans = [run_id for run_id in self.logs if run_id not in known]
        self.logs = set()
        self.remove_logs(orphans)
        return len(orphans)

    @property
    def _outputs(self) -> Path:
        return self.path / "output"

    def _open_database(self, clock: WallClock) -> None:
        file = self.path / "runs.db"
        try:
            file.touch(mode=0o600)  # SQLite gives its other files the same mode
            self.database = Database.open(str(file))
        except DatabaseDamaged as error:
            aside = self._put_aside(clock)
            self.notices.append(
                f"the run history was damaged ({error.detail}) and has been moved to "
                f"{aside}, its outputs too; starting with an empty one"
            )
            file.touch(mode=0o600)
            self.database = Database.open(str(file))

    def _put_aside(self, clock: WallClock) -> Path:
        older = sorted(self.path.glob("damaged-*"))
        for folder in older[: len(older) - KEEP_DAMAGED + 1]:
            shutil.rmtree(folder)
        stamp = rfc3339(clock()).replace(":", "")
        aside = Path(tempfile.mkdtemp(prefix=f"damaged-{stamp}-", dir=self.path))
        # The main file goes last: if we are killed before, it is found damaged again.
        for found in (self._outputs, *sorted(self.path.glob("runs.db*"), reverse=True)):
            with suppress(FileNotFoundError):
                found.rename(aside / found.name)
        return aside


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are not there, for nobody else."""
    if not path.is_dir():
        # Whoever may write there may put another in its place.
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def _check(path: Path) -> list[str]:
    """
    What the operator should know of who may change what is in a folder.

    @raise StateDirUnusable: if it is another's, who may have put links there to files
        of ours, runs that wait, or nothing where there were tokens.
    """
    found = os.stat(path)
    if found.st_uid not in (os.geteuid(), 0):
        why = f"it belongs to another user ({found.st_uid}), who could change anything"
        raise StateDirUnusable(path, why)
    if found.st_mode & stat.S_IWOTH:
        all_users = "may be written by all users of this machine"
        return [f"{path} {all_users}; type: chmod 700 {path}"]
    return []


def _take(path: Path) -> int:
    """Lock a file for as long as the descriptor is open, and write who has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with ExitStack() as on_error:
        on_error.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).decode("ascii", "replace").strip()
            holder = f" (process {pid})" if pid.isdecimal() else ""
            raise StateDirBusy(path.parent, holder) from None
        os.ftruncate(lock, 0)
        os.write(lock, b"%d\n" % os.getpid())
        on_error.pop_all()
    return lock


def _pepper(path: Path) -> bytes:
    """The random bytes of a file, which is made if it is not whole."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(file, "r+b", buffering=0) as opened:
        found = opened.read(32)
        if len(found) < 32:
            found = os.urandom(32)
            opened.seek(0)
            opened.write(found)
        return found


def _ids(folder: Path) -> set[str]:
    """The ids of those runs that have a file, or two, in a folder."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        ours = (name for name in names if name.endswith((_LOG, _SET_ASIDE)))
        return {name.partition(".")[0] for name in ours}
