"""
Commits of a history that were lost: SQLite passes over damage in its log in silence.

A daemon that was killed leaves its last commits in C{runs.db-wal}. SQLite takes them
over at the next start, up to the first frame whose checksum is wrong. It cannot know
whether that is the end or a damaged place in the middle. But the index C{runs.db-shm}
tells, in which SQLite counts the frames that are committed; and without it, as after a
loss of power, frames behind that place that end a commit in the same log. So these are
looked at before the history is opened, and compared with what SQLite then found.

See U{https://www.sqlite.org/walformat.html} for the format of both files.
"""

import struct
from pathlib import Path

from attrs import frozen

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">4I")
_FRAME_SIZE = 24
_MAGIC = 0x377F0682  # the lowest bit tells the order of bytes of its checksums
_INDEX = struct.Struct("=12I")  # in the order of bytes of this machine


@frozen
class WalState:
    """
    The log of a history before SQLite has opened it.

    @ivar expected: how many frames are committed, at least.
    @ivar unreadable: whether it has frames, but no header of a log.
    """

    expected: int = 0
    unreadable: bool = False

    def has_lost(self, found: int) -> bool:
        """
        @param found: how many frames SQLite found; -1 if there is no log.
        """
        return found < self.expected or (self.unreadable and found < 1)


def look_at_wal(database: Path) -> WalState:
    """
    Look at the log of a history. Nothing in this process may have the files open: to
    close them would end the locks of SQLite.

    @raise OSError: if they cannot be read.
    """
    index = _read(Path(f"{database}-shm"), 136)
    try:
        with open(f"{database}-wal", "rb") as file:
            head = file.read(_HEADER.size)
            size = file.seek(0, 2)
            if size <= _HEADER.size:
                return WalState(_committed(index, None) or 0)
            if not _is_header(head):
                return WalState(unreadable=True)
            page, salts = _HEADER.unpack(head)[2], head[16:24]
            committed = _committed(index, salts)
            if committed is not None:
                return WalState(committed)
            # Later frames may be left of an earlier log: their salts are others.
            step, last = _FRAME_SIZE + page, 0
            for number in range((size - _HEADER.size) // step):
                file.seek(_HEADER.size + number * step)
                frame = file.read(_FRAME.size)
                if frame[8:] == salts and frame[4:8] != b"\0\0\0\0":  # a commit
                    last = number + 1
    except FileNotFoundError:
        return WalState(_committed(index, None) or 0)
    return WalState(last)


def _read(path: Path, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return b""


def _is_header(head: bytes) -> bool:
    magic, _, page, *_ = _HEADER.unpack(head)
    if magic & ~1 != _MAGIC or not 512 <= page <= 65536:
        return False
    order = ">" if magic & 1 else "<"
    return _checksum(order, head[:24]) == _HEADER.unpack(head)[6:]


def _committed(index: bytes, salts: bytes | None) -> int | None:
    """
    How many frames were committed and are not in the main file yet, by the index;
    L{None} if there is none for this log.

    @param salts: of the log; L{None} if there is no log.
    """
    if len(index) < 136 or index[:48] != index[48:96]:  # no index, or being written
        return None
    words = _INDEX.unpack(index[:48])
    order = "<" if struct.pack("=I", 1)[0] else ">"
    if _checksum(order, index[:40]) != words[10:]:
        return None
    if salts is not None and index[32:40] != salts:  # of an earlier log
        return None
    frames = words[4]
    (copied,) = struct.unpack("=I", index[96:100])
    return frames if copied < frames else 0


def _checksum(order: str, data: bytes) -> tuple[int, int]:
    """The checksum of SQLite's logs: of 32-bit words, two at a time."""
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    one = two = 0
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
