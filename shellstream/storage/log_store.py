"""Where the output of runs is kept: in files, or in memory alone."""

import errno
import os
from collections.abc import Callable, Iterable
from functools import partial

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import Busy, CannotRecord
from shellstream.model.events import Chunk
from shellstream.model.limits import Limits, Sync
from shellstream.model.run_record import RunRecord
from shellstream.output.log import OVERHEAD, READ_SIZE, LogDamaged, OutputLog
from shellstream.output.short_output import ShortOutput, decode

from .ring_file import RingFile
from .run_store import InThread
from .state_dir import StateDir

_log = Logger()

#: How much of an output is in memory, in bytes: enough for viewers that keep up, more
#: or less, which then never read the file.
TAIL = 3 * (READ_SIZE + OVERHEAD)

#: How much of a disk output leaves free for what has to be recorded, in bytes; on a
#: small disk an eighth of it.
RESERVE = 1 << 26

#: Without files: how much is kept of one output, and of all ended runs, in bytes.
IN_MEMORY, ALL_IN_MEMORY = 1 << 18, 1 << 26


@define(eq=False)
class FileLogs:
    """
    A ring file for each run that has more to say than fits into its record.

    @ivar _limit: returns how much all of them may take on disk, in bytes.
    """

    _dir: StateDir
    _limit: Callable[[], int]
    _in_thread: InThread
    _active: dict[str, ShortOutput] = field(factory=dict, init=False)
    _files: dict[str, RingFile] = field(factory=dict, init=False)  # of active runs
    #: The size of the active files when one was retired last, and their growth since.
    #: A file asks for each sector that it grows by: adding up all files there would
    #: make growth slow with many runs.
    _active_size: int = field(default=0, init=False)
    #: The files of L{sync_dirty}, and the end of each when it was last called.
    _periodic: dict[str, RingFile] = field(factory=dict, init=False)
    _ends: dict[str, int] = field(factory=dict, init=False)
    _syncing: DeferredLock = field(factory=DeferredLock, init=False)

    def room(self, wanted: int) -> int:
        return max(0, wanted - self._active_size)

    def check(self) -> None:
        try:
            # The dot: a file in place of the folder is none.
            disk = os.statvfs(f"{self._dir.outputs}/.")
        except OSError as error:
            raise CannotRecord(
                f"the folder of outputs is not in its place ({error.strerror})"
            ) from None
        # Some filesystems do not count inodes: they say that there are none at all.
        if disk.f_files and not disk.f_favail:
            raise CannotRecord("the disk that holds the state has too many files")

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        make_file = partial(self._make_file, run_id, limits)
        output = self._active[run_id] = ShortOutput(make_file, limits.retain)
        publish_later = limits.sync is Sync.ALWAYS
        if publish_later:
            output.settle()
        return OutputLog(TAIL, output, publish_later, partial(_not_whole, run_id))

    def _make_file(self, run_id: str, limits: Limits) -> RingFile:
        path = self._dir.log_path(run_id)
        flushes = limits.sync is not Sync.NEVER
        file = RingFile(path, limits.retain, self._may_grow, flushes, run_id)
        self._files[run_id] = file
        if limits.sync in (Sync.SECOND, Sync.NEVER):
            self._periodic[run_id] = file
        return file

    def short(self, run_id: str) -> bytes:
        return self._active[run_id].encoded()

    def settle(self, run_id: str) -> None:
        try:
            self._active[run_id].settle()
        except OSError as error:
            _not_whole(run_id, error)

    def open_ended(self, record: RunRecord) -> OutputLog:
        found = self._open_file(record)
        file: RingFile | ShortOutput | None = found
        try:
            short = ShortOutput(_no_file, chunks=decode(record.output))
        except LogDamaged as error:
            _not_whole(record.id, error)
        else:
            # A daemon that was killed may have begun to move it into the file.
            if short.end and (found is None or found.end < short.end):
                file = short
                if found is not None:
                    found.close()
        end = record.size
        if file is not None and not record.state.ended:
            end = file.end
        if file is not None and file.end < end:
            _log.error(
                "the output of run {run} is cut short: it has {size} bytes, {left} "
                "are left",
                run=record.id,
                size=end,
                left=file.end - file.start,
            )
        return OutputLog.from_storage(_Kept(end, file), partial(_not_whole, record.id))

    def _open_file(self, record: RunRecord) -> RingFile | None:
        try:
            return RingFile.open(self._dir.log_path(record.id), run=record.id)
        except FileNotFoundError:
            if record.stored and not record.output:
                _log.error("the output of run {run} is gone", run=record.id)
        except OSError as error:
            _log.error("the output of run {run}: {error}", run=record.id, error=error)
            # Nothing is lost then: the client may come again.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise Busy("too many files are open to read this output", 5) from None
            if record.state.ended:
                why = f"this output cannot be read just now ({error.strerror})"
                raise Busy(why, 30) from None
        except LogDamaged as error:
            _log.error(
                "the output of run {run}: {error}; {then}",
                run=record.id,
                error=error,
                then=self._set_aside(record.id),
            )
        return None

    def sync(self, run_id: str) -> Deferred[None]:
        what = f"the output of run {run_id} is not on the disk"
        return maybeDeferred(self._sync, run_id).addErrback(_failed, what)

    def _sync(self, run_id: str) -> Deferred[None]:
        file = self._files.get(run_id)
        return succeed(None) if file is None else self._in_thread(file.prepare_sync())

    def sync_dirty(self) -> Deferred[None]:
        """
        Bring all output of runs with C{sync = "second"} to the disk that is not there,
        and write the sums of those with C{sync = "never"} that have ended: or an
        orderly restart of the machine would cost their output. Never fails. While one
        call is under way, others do nothing.

        No chunk waits for this, and no other thread: a slow disk makes it late.
        """
        if self._syncing.locked:
            return succeed(None)
        return self._syncing.run(self._sync_dirty)

    def sync_last(self) -> Deferred[None]:
        return self._syncing.run(self._sync_dirty)

    def _sync_dirty(self) -> Deferred[None]:
        jobs: dict[str, Callable[[], None]] = {}
        for run_id, file in tuple(self._periodic.items()):
            last, self._ends[run_id] = self._ends.get(run_id, 0), file.end
            active = run_id in self._active
            if file.end == file.synced:
                if not active:
                    self._forget(run_id)
            # What is overwritten within a second is not worth a write to the disk.
            elif not active or (file.flushes and file.end - last < file.retain):
                jobs[run_id] = file.prepare_sync()
        if not jobs:
            return succeed(None)
        done = self._in_thread(partial(_sync_each, jobs)).addCallback(self._synced)
        return done.addErrback(_failed, "output is not on the disk")

    def _synced(self, errors: dict[str, Failure]) -> None:
        for run_id, failure in errors.items():
            # Once for each run: a broken disk would repeat it every second.
            self._forget(run_id)
            deleted = failure.check(FileNotFoundError) and run_id not in self._active
            if not deleted:
                _failed(failure, f"the output of run {run_id} is not on the disk")

    def _forget(self, run_id: str) -> None:
        del self._periodic[run_id], self._ends[run_id]

    def retire(self, run_id: str) -> None:
        del self._active[run_id]
        if self._files.pop(run_id, None) is not None:
            self._active_size = sum(file.stored for file in self._files.values())

    def remove(self, ids: Iterable[str]) -> Deferred[bool]:
        removing = self._in_thread(partial(self._dir.remove_logs, tuple(ids)))
        removing.addCallback(lambda _: True)
        return removing.addErrback(_failed, "old outputs are not removed").addCallback(
            bool
        )

    def _set_aside(self, run_id: str) -> str:
        try:
            return f"it has been moved to {self._dir.set_aside_log(run_id)}"
        except OSError as error:
            return f"it cannot be moved: {error}"

    def _may_grow(self, size: int) -> bool:
        if self._active_size + size > self._limit():
            return False
        # Asked anew each time: other programs use the disk, too.
        disk = os.statvfs(self._dir.path)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 8)
        if disk.f_bavail * disk.f_frsize - size < reserve:
            return False
        self._active_size += size
        return True


def _sync_each(jobs: dict[str, Callable[[], None]]) -> dict[str, Failure]:
    """Make these calls, and return the errors of those that failed."""
    errors: dict[str, Failure] = {}
    for run_id, sync in jobs.items():
        try:
            sync()
        except Exception:  # noqa: BLE001  # the others have to be synced, too
            errors[run_id] = Failure()
    return errors


def _not_whole(run_id: str, error: OSError | LogDamaged) -> None:
    what = "the output of run {run} is not kept whole: {error}"
    _log.error(what, run=run_id, error=error)


def _no_file() -> RingFile:
    raise AssertionError("an ended run says no more")


def _failed(failure: Failure, what: str) -> None:
    """Log an error of the disk in one line, a mistake of ours with its traceback."""
    if failure.check(OSError):
        _log.error("{what}: {error}", what=what, error=failure.value)
    else:
        _log.failure("{what}", failure, what=what)


@define
class _Kept:
    """
    What is left of an ended run's output.

    @ivar end: where the output ended, though less of it may be left.
    """

    end: int
    _file: RingFile | ShortOutput | None

    @property
    def start(self) -> int:
        # An empty file has no start of its own.
        if self._file is None or self._file.start == self._file.end:
            return self.end
        return self._file.start

    @property
    def stored(self) -> int:
        return 0 if self._file is None else self._file.stored

    def append(self, chunk: Chunk) -> None:
        _no_file()

    def read(self, offset: int, size: int) -> list[Chunk]:
        if self._file is not None and offset < self._file.end:
            return self._file.read(offset, size)
        raise LogDamaged(f"nothing is left of it from {offset} on")

    def reserve(self, size: int) -> int:
        return self.start

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@define(eq=False)
class MemoryLogs:
    """Logs in memory: they end with the daemon, and little is kept of each."""

    _logs: dict[str, OutputLog] = field(factory=dict, init=False)

    def room(self, wanted: int) -> int:
        return min(wanted, ALL_IN_MEMORY)

    def check(self) -> None:
        """Nothing to do: memory takes it."""

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        log = self._logs[run_id] = OutputLog(min(limits.retain, IN_MEMORY))
        return log

    def open_ended(self, record: RunRecord) -> OutputLog:
        log = self._logs.get(record.id)
        return log or OutputLog.from_storage(_Kept(record.size, None))

    def short(self, run_id: str) -> bytes:
        return b""

    def settle(self, run_id: str) -> None:
        """Nothing to do: memory has it."""

    def sync(self, run_id: str) -> Deferred[None]:
        return succeed(None)

    def sync_dirty(self) -> Deferred[None]:
        return succeed(None)

    def sync_last(self) -> Deferred[None]:
        return succeed(None)

    def retire(self, run_id: str) -> None:
        """Nothing to do: it stays in memory."""

    def remove(self, ids: Iterable[str]) -> Deferred[bool]:
        for run_id in ids:
            self._logs.pop(run_id, None)
        return succeed(True)
