"""The state folder: the history and the outputs, which survive the daemon."""

import fcntl
import os
import sqlite3
from collections.abc import Container, Iterable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from shellstream.model.errors import ShellstreamError
from shellstream.model.events import WallClock
from shellstream.model.run_record import id_time

from .database import Database
from .schema import DatabaseDamaged, damaged, why
from .state.aside import Aside, AsideFull
from .state.files import make_folder, read_through, sync_folder
from .state.queued_secrets import QueuedSecrets
from .state.strict_modes import FolderUnsafe, check_content, check_folder, whose
from .state.wal import WalState, look_at_wal

#: Neither follow a link nor wait for a pipe that stands in the place of a file.
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

#: Microseconds after its creation by which a run is recorded, with much to spare.
LATEST_RECORD = 2_000_000

_LOG = ".log"
_SET_ASIDE = ".log.damaged"


class StateDirBusy(ShellstreamError):
    """Another daemon uses the state folder."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"{path} is used by another shellstream{holder}; "
            "stop it, or choose another --state-dir"
        )


class StateDirUnusable(ShellstreamError):
    """The state folder, or a file in it, cannot be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} cannot hold the state: {reason}; "
            "repair that, or choose another --state-dir"
        )


def default_state_dir(environ: Mapping[str, str]) -> Path | None:
    """
    Where the state belongs unless the operator says otherwise; L{None} if the
    environment names no place.

    See systemd.exec(5), and the XDG Base Directory Specification: a relative path
    must be ignored.
    """
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(given):
        return Path(given)
    states = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(states):
        return Path(states, "shellstream")
    home = environ.get("HOME", "")
    # System accounts have a home like / or /nonexistent.
    if os.path.isabs(home) and os.path.isdir(home) and home != "/":
        return Path(home, ".local", "state", "shellstream")
    return None


def is_unused(path: Path) -> bool:
    """Whether no daemon has left anything in a folder, as far as can be seen."""
    names = "runs.db", "tokens.json", "tokens.required"
    return not any(os.path.lexists(path / name) for name in names)


@define(eq=False)
class StateDir:
    """
    The state folder of one daemon: locked against others, readable by no other user.

    Open it after the daemon's last fork: the lock names a process, and a connection to
    SQLite must not cross a fork.

    @ivar database: the history.
    @ivar notices: messages for the operator.
    @ivar logs: the ids of runs whose logs were found at the start, until L{sweep}.
    @ivar outputs: the folder of the logs.
    @ivar aside: where damaged files go, and those that no run of the history owns.
    @ivar pepper: random bytes that are in no other file.
    """

    path: Path
    _lock: int
    _clock: WallClock
    outputs: str = field(init=False)
    aside: Aside = field(init=False)
    database: Database = field(init=False)
    notices: list[str] = field(factory=list, init=False)
    logs: set[str] = field(factory=set, init=False)
    pepper: bytes = field(init=False, repr=False)
    #: When the last daemon recorded something last, if it was killed after that.
    _last_change: int | None = field(default=None, init=False)
    #: Whether L{close} unlocks the folder, or leaves it as a killed daemon does.
    _unlocks: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self.outputs = str(self.path / "output")
        self.aside = Aside(self.path / "aside")

    @classmethod
    def open(cls, path: Path, clock: WallClock) -> Self:
        """
        Lock a folder, which is made if it is missing, and open what is in it. A damaged
        history is put aside, together with its outputs.

        @raise StateDirBusy: if another daemon uses the folder.
        @raise StateDirUnusable: if the folder cannot be written or read, or another
            user could change it.
        @raise DatabaseNewer: if a later version of this program made the history.
        """
        with ExitStack() as on_error:
            try:
                make_folder(path)
                check_folder(path, os.geteuid())
                check_content(path, os.geteuid())
                lock, last_change = _take(path / "lock")
                on_error.callback(os.close, lock)
                self = cls(path, lock, clock)
                self._last_change = last_change
                self._unlocks = last_change is None
                self.notices += self.aside.notices()
                self._open_database()
                on_error.callback(self.database.close)
                there = {*os.listdir(path)}
                os.makedirs(self.outputs, 0o700, exist_ok=True)
                self._put_rows_aside()
                self.logs = _ids(self.outputs)
                self.pepper = _pepper(path / "pepper")
                if not there >= {"output", "pepper"}:
                    sync_folder(path)
            except OSError as error:
                where = Path(os.fsdecode(error.filename or path))
                reason = os.strerror(error.errno or 0)
                if isinstance(error, PermissionError):
                    reason += whose(path, os.geteuid())
                raise StateDirUnusable(where, reason) from None
            except FolderUnsafe as error:
                raise StateDirUnusable(error.path, str(error)) from None
            except AsideFull as error:
                raise StateDirUnusable(path / "aside", str(error)) from None
            except sqlite3.Error as error:
                raise StateDirUnusable(path / "runs.db", why(error)) from None
            on_error.pop_all()
        return self

    @property
    def killed(self) -> bool:
        """Whether the last daemon was killed, or the machine stopped under it."""
        return self._last_change is not None

    def never_recorded(self, run_id: str) -> bool:
        """
        Whether the last daemon was killed before it could record this run, which is not
        in the history. Then nobody was told of it.

        Such a run is one of this folder's, and younger than all that was recorded. If
        it was forgotten instead, its end was recorded after it had begun.
        """
        time = id_time(run_id, self.pepper)
        if time is None or self._last_change is None:
            return False
        return time > self._last_change - LATEST_RECORD

    def unrecorded_gone(self) -> None:
        """
        Nothing lives of the runs that were L{never_recorded}. Until then the next
        daemon has to look for them as this one did, however this one ends.
        """
        self._unlocks = True
        with suppress(OSError):
            _write_lock(self._lock, None)

    def close(self) -> None:
        """Unlock the folder. Close the database before."""
        # On a disk that takes nothing the lock stays as a killed daemon leaves it: the
        # next one then looks for runs that were not recorded, which is harmless.
        with suppress(OSError):
            if self._unlocks:
                os.ftruncate(self._lock, 0)
        # What is ended meanwhile must not write to a file that gets this number next.
        lock, self._lock = self._lock, -1
        os.close(lock)

    def log_path(self, run_id: str) -> str:
        """Where the output of a run is. Not a C{Path}: that takes 20 calls to make."""
        return f"{self.outputs}/{run_id}{_LOG}"

    def set_aside_log(self, run_id: str) -> str:
        """
        Rename a damaged log, so that it is not read again. It is deleted with its run.
        Returns its new path.

        @raise OSError: if it cannot be renamed.
        """
        aside = f"{self.outputs}/{run_id}{_SET_ASIDE}"
        os.replace(self.log_path(run_id), aside)
        return aside

    def remove_logs(self, ids: Iterable[str]) -> None:
        """Delete what there is of the outputs of these runs."""
        for run_id in ids:
            for suffix in (_LOG, _SET_ASIDE):
                with suppress(FileNotFoundError):
                    os.unlink(f"{self.outputs}/{run_id}{suffix}")

    def sweep(self, known: Container[str], removed: Container[str]) -> list[str]:
        """
        Delete the logs of forgotten runs, which a crash left, and of those that were
        never recorded. Put aside those that no run owns: their rows were lost. Returns
        the ids of the latter.

        Only logs that were found at the start: the log of a new run may be there
        before the run is in the history.

        @param known: those of L{logs} that are in the history.
        @param removed: the ids of forgotten runs.
        @raise OSError: if they cannot be moved.
        """
        left = [run_id for run_id in sorted(self.logs) if run_id not in known]
        self.logs = set()
        gone = [one for one in left if one in removed or self.never_recorded(one)]
        self.remove_logs(gone)
        lost = sorted({*left} - {*gone})
        self._put_logs_aside(lost)
        return lost

    def _open_database(self) -> None:
        file = self.path / "runs.db"
        try:
            self.database = self._open_file(file)
        except DatabaseDamaged:
            # SQLite calls some errors of the disk damage, too (SQLITE_IOERR_CORRUPTFS).
            # A disk that fails now fails here as well, or does not fail again.
            for each in self.path.glob("runs.db*"):
                read_through(each)
            self.database = self._open_again(file)
        self.notices += self.database.notices

    def _open_file(self, file: Path) -> Database:
        self._find_lost(file)
        file.touch(mode=0o600)  # SQLite gives its other files the same mode
        return Database.open(str(file), secrets=QueuedSecrets(self.path / "secrets"))

    def _open_again(self, file: Path) -> Database:
        try:
            return self._open_file(file)
        except DatabaseDamaged as error:
            aside = self._put_history_aside()
            self.notices.append(
                f"the run history was damaged ({error.detail}) and has been moved to "
                f"{aside}, its outputs too; starting with an empty one"
            )
        file.touch(mode=0o600)
        return Database.open(str(file), secrets=QueuedSecrets(self.path / "secrets"))

    def _find_lost(self, file: Path) -> None:
        """
        Tell of a history, or its last commits, that should be there and are not.

        @raise DatabaseDamaged: if it is no history.
        """
        if not file.exists() or not file.stat().st_size:
            # The pepper is made after the first history.
            if (self.path / "pepper").exists():
                self.notices.append(
                    f"the run history {file} is gone; starting with an empty one. A "
                    "request with an Idempotency-Key of before may start a second run. "
                    f"What was beside it has been moved to {self._put_history_aside()}"
                )
            return
        before = look_at_wal(file)
        if before == WalState():
            return
        with closing(sqlite3.connect(file, timeout=1)) as connection:
            # What it can read of its log, SQLite takes over with the first statement.
            # Nothing is overwritten there before the next commit.
            sql = "PRAGMA wal_checkpoint(PASSIVE)"
            try:
                (_, found, _) = connection.execute(sql).fetchone()
            except sqlite3.DatabaseError as error:
                if damaged(error):
                    raise DatabaseDamaged(str(error)) from None
                raise
            if before.has_lost(found):
                self._report_lost(Path(f"{file}-wal"))

    def _report_lost(self, log: Path) -> None:
        copy = self.aside.copy_log(log, self._clock()) if log.exists() else None
        self.notices.append(
            "the last changes of the run history cannot be read, by damage or a loss "
            "of power: newest runs, their ends or their Idempotency-Keys may be "
            "missing, and a request with such a key may start a second run"
            + (f"; a copy of their file is {copy}" if copy else "")
        )

    def _put_history_aside(self) -> Path:
        # The main file goes last: after a kill before that, it is found damaged again.
        files = sorted(self.path.glob("runs.db*"), reverse=True)
        return self.aside.take([Path(self.outputs), *files], self._clock())

    def _put_rows_aside(self) -> None:
        """Put aside the rows that were found damaged, and their outputs."""
        rows = self.database.damaged
        if not rows:
            return
        file = self.aside.write_rows([row.values for row in rows])
        there = _ids(self.outputs)
        self._put_logs_aside(row.id for row in rows if row.id in there)
        self.database.discard_damaged()
        ids = ", ".join(row.id for row in rows[:10])
        self.notices.append(
            f"{len(rows)} runs in the history were damaged ({ids}) and have been moved "
            f"to {file}, their outputs beside it"
        )

    def _put_logs_aside(self, ids: Iterable[str]) -> None:
        for run_id in ids:
            for suffix in (_LOG, _SET_ASIDE):
                with suppress(FileNotFoundError):
                    self.aside.take_output(Path(f"{self.outputs}/{run_id}{suffix}"))


def _take(path: Path) -> tuple[int, int | None]:
    """
    Lock a file while the descriptor is open, and write our process id into it. Returns
    the descriptor; and, if the id of a process was there that did not unlock it, when
    that one recorded something last.
    """
    lock = os.open(path, _OPEN, 0o600)
    with ExitStack() as on_error:
        on_error.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 20).partition(b"\n")[0].decode("ascii", "replace")
            holder = f" (process {pid})" if pid.isdecimal() else ""
            raise StateDirBusy(path.parent, holder) from None
        # It may be another name of any file, made while others could write here.
        left = os.read(lock, 99)
        if left.strip(b"0123456789\n"):
            why = "it is not a lock of shellstream; look at it, and remove it"
            raise StateDirUnusable(path, why)
        _, *since = left.split() or [b""]
        last_change: int | None = None
        if since:  # that one had not ended what another had left
            last_change = int(since[0])
        elif left:
            last_change = _last_change(path.parent)
        _write_lock(lock, last_change)
        on_error.pop_all()
    return lock, last_change


def _write_lock(lock: int, last_change: int | None) -> None:
    """
    The lock itself ends with the process: for the message of one that comes now, and
    for the one that comes next.

    @param last_change: since when runs may not be recorded whose processes live.
    """
    numbers = [os.getpid()] if last_change is None else [os.getpid(), last_change]
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"".join(b"%d\n" % number for number in numbers), 0)


def _last_change(folder: Path) -> int:
    """When a history was changed last, in microseconds since 1970."""
    times = [0]
    for name in ("runs.db", "runs.db-wal"):
        with suppress(FileNotFoundError):
            times.append(os.stat(folder / name).st_mtime_ns // 1000)
    return max(times)


def _pepper(path: Path) -> bytes:
    """The random bytes in a file, which is made if it is missing or cut short."""
    # In a file of its own: a copy of the history alone must not be enough to try out
    # what a secret parameter was.
    file = os.open(path, _OPEN, 0o600)
    with open(file, "r+b", buffering=0) as opened:
        found = opened.read(32)
        if len(found) < 32:
            found = os.urandom(32)
            opened.seek(0)
            opened.write(found)
            os.fsync(file)
        return found


def _ids(folder: str) -> set[str]:
    """The ids of the runs whose logs are in a folder."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries)
        ours = (name for name in names if name.endswith((_LOG, _SET_ASIDE)))
        return {name.partition(".")[0] for name in ours}
