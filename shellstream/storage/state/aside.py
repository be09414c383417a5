"""
What is put aside: files that are damaged, and outputs that no run of the history owns.

They may be the only copy of something, so nothing here is ever deleted by the daemon.
Moving them takes no room on the disk. What bounds them: a damaged history is as large
as C{keep} allowed it to be; after L{MAX_HISTORIES} of them the daemon does not start,
since a disk that damages so many needs a person. Each start tells the operator that
there is something to look at.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from shellstream.model.errors import ShellstreamError
from shellstream.model.events import rfc3339

from .files import sync_folder

#: How many histories may be here before the daemon does not start any more.
MAX_HISTORIES = 16

#: Beside the histories: single outputs, single rows of histories, and copies of logs
#: of which a part could not be read.
_OUTPUTS, _ROWS, _LOGS = "output", "runs.jsonl", "wal"

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC


class AsideFull(ShellstreamError):
    """So much was put aside that a person has to look at it."""

    def __init__(self) -> None:
        super().__init__(
            f"it holds {MAX_HISTORIES} histories that were put aside. Find out why the "
            "disk damages them, then remove those that you do not need"
        )


@frozen
class Aside:
    """The folder for what was put aside; it is made when it is needed."""

    path: Path

    def notices(self) -> list[str]:
        """Messages for the operator about what is here already."""
        histories, outputs = len(self._histories()), len(_names(self.path / _OUTPUTS))
        if not _names(self.path):
            return []
        return [
            f"{self.path} holds what earlier starts put aside: {histories} histories, "
            f"{outputs} outputs. They may be the only copies, so the daemon never "
            "deletes them; look at them, and remove the folder"
        ]

    def take(self, paths: Iterable[Path], now: int) -> Path:
        """
        Move files or folders into a new folder, and return that.

        @param now: microseconds since 1970, for its name.
        @raise AsideFull: if there are too many of these folders.
        @raise OSError: if they cannot be moved.
        """
        folder = self.make(now)
        for path in paths:
            with suppress(FileNotFoundError):
                path.rename(folder / path.name)
        sync_folder(folder)
        return folder

    def make(self, now: int) -> Path:
        """Make a new folder: see L{take}."""
        if len(self._histories()) >= MAX_HISTORIES:
            raise AsideFull
        self.path.mkdir(0o700, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{_stamp(now)}-", dir=self.path))

    def take_output(self, path: Path) -> None:
        """
        Move one output.

        @raise OSError: if it cannot be moved; L{FileNotFoundError} if it is gone.
        """
        folder = self.path / _OUTPUTS
        folder.mkdir(0o700, parents=True, exist_ok=True)
        new, number = folder / path.name, 0
        while new.exists():  # never in place of another
            number += 1
            new = folder / f"{path.name}.{number}"
        path.rename(new)

    def copy_log(self, path: Path, now: int) -> Path | None:
        """
        Copy the log of a history, which the next commit overwrites. Returns the copy;
        L{None} if there are L{MAX_HISTORIES} of them already.

        @raise OSError: if it cannot be copied.
        """
        folder = self.path / _LOGS
        if len(_names(folder)) >= MAX_HISTORIES:
            return None
        folder.mkdir(0o700, parents=True, exist_ok=True)
        copy = folder / f"{_stamp(now)}-{path.name}"
        with open(os.open(copy, _CREATE, 0o600), "wb") as file, path.open("rb") as log:
            shutil.copyfileobj(log, file)
        return copy

    def write_rows(self, rows: Iterable[Sequence[object]]) -> Path:
        """
        Append rows of a history to a file, a JSON array in each line.

        @return: that file, which is on the disk then.
        @raise OSError: if it cannot be written.
        """
        self.path.mkdir(0o700, exist_ok=True)
        path = self.path / _ROWS
        fd = os.open(path, _CREATE | os.O_APPEND, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            for row in rows:
                file.write(json.dumps(row, default=_as_text) + "\n")
            file.flush()
            os.fsync(fd)
        sync_folder(self.path)
        return path

    def _histories(self) -> list[str]:
        return [each for each in _names(self.path) if each[:1].isdigit()]


def _stamp(now: int) -> str:
    return rfc3339(now).replace(":", "")


def _as_text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode("utf-8", "backslashreplace")


def _names(folder: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return os.listdir(folder)
    return []
