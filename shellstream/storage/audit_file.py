"""The file that the audit is in, and those that it was in before."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from shellstream.model.errors import ShellstreamError
from shellstream.security.audit import Auditing


class AuditUnusable(ShellstreamError):
    """The audit could not be kept where it is to be."""

    def __init__(self, path: Path, why: str | None) -> None:
        super().__init__(
            f"the audit cannot be kept in {path}: {why}; repair that, or name another "
            "file in the table [audit] of the configuration"
        )


@define(eq=False)
class AuditFile:
    """
    A file of lines that is appended to, whole lines only.

    If it was moved away another is begun, and likewise when it has become too
    large: it is moved away then, to C{NAME.1}, that one to C{NAME.2}, and so on.
    """

    _path: Path
    _max_size: int
    _keep: int
    _fd: int | None = field(default=None, init=False)
    _ours: tuple[int, int] | None = field(default=None, init=False)
    _torn: bool = field(default=False, init=False)

    @classmethod
    def of(cls, settings: Auditing, folder: Path | None) -> Self | None:
        """
        The file that the operator wants, open; L{None} if there is none.

        @param folder: where it is if nobody says.
        @raise AuditUnusable: if it could not be written, or rotated.
        """
        if settings.file is not None:
            path = Path(settings.file)
        elif folder is not None:
            path = folder / "audit.jsonl"
        else:
            return None
        self = cls(path, settings.max_size, settings.keep)
        try:
            self.open()
        except OSError as error:
            raise AuditUnusable(path, error.strerror) from None
        if not os.access(path.parent, os.W_OK):
            raise AuditUnusable(path, "its folder is not writable, for rotation")
        return self

    def write(self, text: str) -> None:
        """
        Append a line.

        @param text: ASCII, without the end of the line.
        @raise OSError: if the file does not take it whole: then nothing of it is there.
        """
        data = text.encode("ascii") + b"\n"
        size = self.open()
        if size and size + len(data) > self._max_size:
            self._rotate()
            size = self.open()
        assert self._fd is not None
        if self._torn:
            data = b"\n" + data
        written = os.write(self._fd, data)
        if written < len(data):
            self._torn, before = True, self._torn
            os.ftruncate(self._fd, size)
            self._torn = before
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._torn = False

    def open(self) -> int:
        """
        See that the file is there, and ours; returns its size.

        @raise OSError: if it cannot be written.
        """
        with suppress(FileNotFoundError):
            there = os.stat(self._path)
            if (there.st_dev, there.st_ino) == self._ours:
                return there.st_size
        self.close()
        # One that nobody reads from would have us wait, if it were a pipe.
        how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._fd = os.open(self._path, how, 0o600)
        there = os.fstat(self._fd)
        if not stat.S_ISREG(there.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is no regular file", str(self._path))
        self._ours = there.st_dev, there.st_ino
        # The machine may have stopped while a line was written.
        last = os.pread(self._fd, 1, there.st_size - 1) if there.st_size else b"\n"
        self._torn = last != b"\n"
        return there.st_size

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._ours = None

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(self._before(number), self._before(number + 1))
        os.replace(self._path, self._before(1))

    def _before(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
