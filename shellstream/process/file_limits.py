"""How many files this process may open, and whether some are left."""

import os
import resource
import sys
from contextlib import suppress

from twisted.logger import Logger

_log = Logger()

#: How many are left for runs that have begun: their output, the database.
SPARE = 32


def file_limit() -> int:
    """How many files this process may have open."""
    found, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if found == resource.RLIM_INFINITY else found


def scarce(fd: int, parts: int = 1) -> bool:
    """
    Whether too few descriptors are left to begin something new.

    Without any, no run could open a file, and accept(2) would fail again and again.

    @param fd: a descriptor that was just opened. The system gives the lowest free one
        (POSIX, open()), so its number tells how many are in use.
    @param parts: how many times L{SPARE} must be left.
    """
    limit = file_limit()
    return fd >= limit - parts * min(SPARE, limit // 8)


#: The limits that this process was started with; children get them back.
_INHERITED_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_file_limit() -> int:
    """
    Let this process open as many files as it is ever allowed to.

    @return: how many that is.
    """
    soft, hard = _INHERITED_FILES
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # above fs.nr_open
            _log.info("the limit of open files stays {soft}: {e}", soft=soft, e=error)
    return file_limit()


def keep_descriptors() -> None:
    """
    Keep our descriptors, such as a listening socket, from being inherited by children.

    Descriptors 0, 1 and 2 are opened if they are not: whatever else got these numbers
    could not be passed to a child.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the descriptor that read the folder is closed
                os.set_inheritable(int(name), False)


def restore_file_limit(pid: int) -> None:
    """
    Give a child the limits that we were started with.

    Programs that use select(2), or close every possible descriptor, suffer under a high
    limit.
    """
    try:  # noqa: SIM105  # each start comes this way, and suppress takes three calls
        resource.prlimit(pid, resource.RLIMIT_NOFILE, _INHERITED_FILES)
    except (ProcessLookupError, PermissionError):
        pass  # a child that is gone already, or set-user-id, keeps ours
