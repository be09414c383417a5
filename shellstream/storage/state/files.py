"""Small helpers for the files and folders of the state."""

import os
from pathlib import Path

#: Differs as soon as a file has changed, in its content or its permissions.
FileStamp = tuple[int, ...]


def file_stamp(found: os.stat_result) -> FileStamp:
    """The stamp of a file."""
    times = found.st_mtime_ns, found.st_ctime_ns  # chmod(1) changes only the second
    return found.st_dev, found.st_ino, found.st_size, *times


def sync_folder(path: str | Path) -> None:
    """Sync the names in a folder, or a new one may be lost with the power."""
    # The folder may be a link, such as that of a service with DynamicUser=.
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: Path) -> None:
    """Make a folder, and missing ones above it, that no other user may enter."""
    if not path.is_dir():
        # Those above, too: a user who may write there could put in another one.
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(path.parent)


def read_through(path: Path) -> None:
    """
    Read a file to its end, for the errors of the disk.

    @raise OSError: if a part of it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
