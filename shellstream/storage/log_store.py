"""Where the output of runs is kept: in files, or in memory alone."""

import errno
import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.model.errors import Busy
from shellstream.model.events import Chunk
from shellstream.model.limits import Limits, Sync
from shellstream.model.run_record import Retention, RunRecord
from shellstream.output.log import OVERHEAD, READ_SIZE, LogDamaged, OutputLog

from .ring_file import RingFile
from .state_dir import StateDir

_log = Logger()

#: What of an output is in memory, in bytes: viewers who keep up, more or less, have no
#: need of the file.
TAIL = 3 * (READ_SIZE + OVERHEAD)

#: What output leaves free of a disk for what has to be recorded, in bytes; of a
#: small one an eighth.
RESERVE = 1 << 26

#: Without files: what is kept of one output, and of all ended runs, in bytes.
IN_MEMORY, ALL_IN_MEMORY = 1 << 18, 1 << 26


class InThread(Protocol):
    """Makes a call where it may block."""

    def __call__(self, call: Callable[[], None], /) -> Deferred[None]:
        """Fires when C{call} is done, or with what it raised."""


@define(eq=False)
class FileLogs:
    """
    A file for each run.

    @ivar limit: what all of them may take, in bytes.
    """

    _dir: StateDir
    _limit: int
    _in_thread: InThread
    _active: dict[str, RingFile] = field(factory=dict, init=False)
    _active_size: int = field(default=0, init=False)  # to begin with, and growth

    def keep(self, wanted: Retention) -> Retention:
        self._active_size = sum(file.stored for file in self._active.values())
        return evolve(wanted, bytes=max(0, wanted.bytes - self._active_size))

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        path = str(self._dir.log_path(run_id))  # a Path takes three times as much
        file = self._active[run_id] = RingFile(path, limits.retain, self._may_grow)
        publish_later = limits.sync is Sync.ALWAYS
        return OutputLog(TAIL, file, publish_later, partial(_not_whole, run_id))

    def ended(self, record: RunRecord) -> OutputLog:
        file: RingFile | None = None
        try:
            file = RingFile.open(self._dir.log_path(record.id))
        except FileNotFoundError:
            if record.stored:
                _log.error("the output of run {id} is gone", id=record.id)
        except OSError as error:
            _log.error("the output of run {id}: {error}", id=record.id, error=error)
            if error.errno in (errno.EMFILE, errno.ENFILE):  # it is all there
                raise Busy("too many files are open to read this output", 5) from None
        except LogDamaged as error:
            _log.error(
                "the output of run {id}: {error}; {then}",
                id=record.id,
                error=error,
                then=self._set_aside(record.id),
            )
        end = record.size
        if file is not None and not record.state.ended:
            end = file.end
        if file is not None and file.end < end:
            _log.error(
                "the output of run {id} is cut short: it has {size} bytes, {left} "
                "are left",
                id=record.id,
                size=end,
                left=file.end - file.start,
            )
        return OutputLog.from_storage(_Kept(end, file), partial(_not_whole, record.id))

    def sync(self, run_id: str, log: OutputLog) -> Deferred[None]:
        file = self._active[run_id]
        what = f"the output of run {run_id} is not on the disk"
        return self._in_thread(file.sync).addErrback(_failed, what)

    def settled(self, run_id: str, log: OutputLog) -> None:
        del self._active[run_id]

    def remove(self, ids: Iterable[str]) -> Deferred[None]:
        removing = self._in_thread(partial(self._dir.remove_logs, tuple(ids)))
        return removing.addErrback(_failed, "old outputs are not removed")

    def _set_aside(self, run_id: str) -> str:
        try:
            return f"it has been moved to {self._dir.set_aside_log(run_id)}"
        except OSError as error:
            return f"it cannot be moved: {error}"

    def _may_grow(self, size: int) -> bool:
        if self._active_size + size > self._limit:
            return False
        disk = os.statvfs(self._dir.path)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // 8)
        if disk.f_bavail * disk.f_frsize - size < reserve:
            return False
        self._active_size += size
        return True


def _not_whole(run_id: str, error: OSError | LogDamaged) -> None:
    what = "the output of run {id} is not kept whole: {error}"
    _log.error(what, id=run_id, error=error)


def _failed(failure: Failure, what: str) -> None:
    """Log what the disk refused in a line, and what nobody foresaw in full."""
    if failure.check(OSError):
        _log.error("{what}: {error}", what=what, error=failure.value)
    else:
        _log.failure("{what}", failure, what=what)


@define
class _Kept:
    """
    What is still there of an ended run's output.

    @ivar end: where it ended once, though less may be left of it.
    """

    end: int
    _file: RingFile | None

    @property
    def start(self) -> int:
        # An empty file begins nowhere.
        if self._file is None or self._file.start == self._file.end:
            return self.end
        return self._file.start

    @property
    def stored(self) -> int:
        return 0 if self._file is None else self._file.stored

    def append(self, chunk: Chunk) -> None:
        raise AssertionError("an ended run says no more")

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
    """Nothing outlives the daemon, and little is kept at all."""

    _logs: dict[str, OutputLog] = field(factory=dict, init=False)

    def keep(self, wanted: Retention) -> Retention:
        return evolve(wanted, bytes=min(wanted.bytes, ALL_IN_MEMORY))

    def create(self, run_id: str, limits: Limits) -> OutputLog:
        log = self._logs[run_id] = OutputLog(min(limits.retain, IN_MEMORY))
        return log

    def ended(self, record: RunRecord) -> OutputLog:
        log = self._logs.get(record.id)
        return log or OutputLog.from_storage(_Kept(record.size, None))

    def sync(self, run_id: str, log: OutputLog) -> Deferred[None]:
        return succeed(None)

    def settled(self, run_id: str, log: OutputLog) -> None:
        """It stays where it is."""

    def remove(self, ids: Iterable[str]) -> Deferred[None]:
        for run_id in ids:
            self._logs.pop(run_id, None)
        return succeed(None)
