"""The file of the audit, and its rotated predecessors."""

import errno
import os
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from attrs import define, field

from shellstream.model.errors import ShellstreamError
from shellstream.security.audit import AuditSettings

#: The audit in a state folder; and the link there that leads to the file if the
#: configuration names another. The token tool follows it: it reads no configuration.
_FILE, _LINK = "audit.jsonl", "audit"

#: How much of the file is read back when a daemon starts, in bytes: some 5,000 lines.
TAIL = 1 << 20

#: Append; do not wait for a reader, if the file is a pipe.
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK


class AuditUnusable(ShellstreamError):
    """The audit cannot be written where it belongs."""

    def __init__(self, path: Path, why: str | None) -> None:
        super().__init__(
            f"the audit cannot be kept in {path}: {why}; repair that, or name another "
            "file in the table [audit] of the configuration"
        )


@define(eq=False)
class AuditFile:
    """
    An append-only file of whole lines.

    It is created again when somebody has moved it away. When it is too large, it is
    renamed to C{NAME.1}, that one to C{NAME.2}, and so on.
    """

    _path: Path
    _max_size: int
    _keep: int
    _fd: int | None = field(default=None, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)
    _end: int = field(default=0, init=False)  # where the last line of ours ends

    @classmethod
    def from_settings(cls, settings: AuditSettings, folder: Path | None) -> Self | None:
        """
        Open the file that is configured; L{None} if there is no place for it. Call
        L{link} before it is used.

        @param folder: the state folder, which has it unless the configuration names
            another file.
        @raise AuditUnusable: if it cannot be written or rotated.
        """
        if settings.file is not None:
            path = Path(settings.file)
        elif folder is not None:
            path = folder / _FILE
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

    def link(self, folder: Path | None) -> None:
        """
        Let the token tool find it from the state folder.

        @raise AuditUnusable: if it cannot.
        """
        try:
            if folder is not None:
                _link(folder, None if self._path == folder / _FILE else self._path)
        except OSError as error:
            raise AuditUnusable(self._path, error.strerror) from None

    def write(self, text: str) -> None:
        """
        Append one or more lines.

        @param text: ASCII, without the end of the last line.
        @raise OSError: if they do not fit; then no part of them is in the file, except
            the first of lines that are together larger than a file may be.
        """
        together = len(text) < self._max_size
        for each in (text,) if together else text.split("\n"):
            self._write(each)

    def _write(self, text: str) -> None:
        size = self.open()
        if size and size + len(text) >= self._max_size:
            self._rotate()
            size = self.open()
        assert self._fd is not None
        # The token tool appends to the same file.
        is_ours = size == self._end
        self._end = size + _append(self._fd, text, size, is_whole=is_ours)

    def tail(self) -> list[bytes]:
        """
        The newest whole lines, up to L{TAIL} bytes of them.

        @raise OSError: if they cannot be read.
        """
        size = self.open()
        assert self._fd is not None
        begin = max(0, size - TAIL)
        lines = os.pread(self._fd, TAIL, begin).splitlines()
        return lines[1:] if begin else lines

    def open(self) -> int:
        """
        Open the file unless it is open and still in its place; return its size.

        @raise OSError: if it cannot be written.
        """
        with suppress(FileNotFoundError):
            there = os.stat(self._path)
            if (there.st_dev, there.st_ino) == self._identity:
                return there.st_size
        self.close()
        self._fd = os.open(self._path, _OPEN | os.O_CREAT, 0o600)
        there = os.fstat(self._fd)
        _check_regular(there)
        self._identity = there.st_dev, there.st_ino
        return there.st_size

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._identity = None
        self._end = 0

    def _rotate(self) -> None:
        # From the oldest down, which is overwritten; the current one goes last, so that
        # a crash in between loses no lines but leaves a gap in the numbers.
        for number in range(self._keep - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.replace(self._rotated(number), self._rotated(number + 1))
        os.replace(self._path, self._rotated(1))

    def _rotated(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def append_line(folder: Path, text: str) -> None:
    """
    Append a line to the audit of a state folder, whether or not a daemon runs. It is
    on the disk then. A daemon that runs rotates the file when it next writes.

    Root may do this for a daemon. The daemon's user can make links in its folder, so
    that root appends only to a file of that user, and creates one only in a folder of
    that user: neither gives that user anything new.

    @raise AuditUnusable: if the line cannot be written.
    """
    path = folder / _FILE
    try:
        with suppress(FileNotFoundError):
            path = Path(os.readlink(folder / _LINK))
        with ExitStack() as files:
            home = os.stat(folder)
            parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            files.callback(os.close, parent)
            fd = _open_for(home, parent, path.name)
            files.callback(os.close, fd)
            found = os.fstat(fd)
            _check_owner(home, found)
            _check_regular(found)
            _append(fd, text, found.st_size)
            os.fsync(fd)
    except OSError as error:
        raise AuditUnusable(path, error.strerror) from None


def _open_for(home: os.stat_result, parent: int, name: str) -> int:
    """Open a file in a folder, or create it for the user who owns the state folder."""
    try:
        return os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        _check_owner(home, os.fstat(parent))
    new = _OPEN | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL
    fd = os.open(name, new, 0o600, dir_fd=parent)
    if home.st_uid != os.geteuid():
        os.fchown(fd, home.st_uid, home.st_gid)
    return fd


def _check_owner(home: os.stat_result, found: os.stat_result) -> None:
    if found.st_uid != home.st_uid:
        raise OSError(errno.EPERM, "the user who owns the state does not own this")


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _link(folder: Path, path: Path | None) -> None:
    link = folder / _LINK
    with suppress(FileNotFoundError):
        os.unlink(link)
    if path is not None:
        os.symlink(os.path.realpath(path), link)


def _append(fd: int, text: str, size: int, *, is_whole: bool = False) -> int:
    """
    Append whole lines to a file, or nothing. Returns how many bytes that are.

    @param size: the size of the file.
    @param is_whole: whether its last line is known to be whole.
    @raise OSError: if there is no room.
    """
    data = f"{text}\n".encode("ascii")
    if size and not is_whole and os.pread(fd, 1, size - 1) != b"\n":
        data = b"\n" + data  # the machine stopped while the last line was written
    written = os.write(fd, data)
    if written < len(data):
        # Unless another process has appended in between, take the rest back.
        if os.fstat(fd).st_size == size + written:
            os.ftruncate(fd, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return written
