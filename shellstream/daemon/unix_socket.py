"""The files of UNIX sockets: what a daemon that was killed has left of them."""

import os
import socket
import stat
from contextlib import suppress


def is_heard(path: bytes) -> bool:
    """Whether somebody listens on a UNIX socket (connect(2))."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its queue is full, or it is another user's
            return True
        return True


def remove_stale(path: bytes) -> bool:
    """
    Remove a socket on which nobody listens, and Twisted's lock of it.

    The lock names a process. After a C{kill -9} another one may have the same id, and
    in a container the next daemon always has. Only C{connect} tells the truth.

    @return: whether they are removed, so that it may be worth listening once more.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
    except FileNotFoundError:
        if not os.path.lexists(path + b".lock"):
            return False
    except (OSError, ValueError):  # a folder that is closed to us, or no path
        return False
    if is_heard(path):
        return False
    try:
        for each in (path, path + b".lock"):
            with suppress(FileNotFoundError):
                os.unlink(each)
    except OSError:
        return False
    return True
