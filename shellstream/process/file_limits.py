"""How many files this process may open, and when that comes to its end."""

import os
import resource
import sys
from contextlib import suppress

from twisted.logger import Logger

_log = Logger()

#: How many are kept for what has begun: its output, its database, its end.
SPARE = 32


def file_limit() -> int:
    """How many files may be open."""
    found, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if found == resource.RLIM_INFINITY else found


def scarce(fd: int, parts: int = 1) -> bool:
    """
    Whether something new had better not begin, which was given this descriptor.

    The system gives the lowest one that is free (POSIX, open()), so its number tells
    how many are in use. To be left without any is worse: nothing that goes on could
    open a file, and accept(2) would fail again and again.

    @param parts: how many times the spare ones are to be left.
    """
    limit = file_limit()
    return fd >= limit - parts * min(SPARE, limit // 8)


#: The process may open as many files as it likes; its children get what was
#: the custom before (see L{raise_file_limit}).
_INHERITED_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_file_limit() -> int:
    """
    Let this process open as many descriptors as it is ever allowed to; returns how
    many that is.
    """
    soft, hard = _INHERITED_FILES
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS: the hard limit is a fiction
            _log.info("the limit of open files stays {soft}: {e}", soft=soft, e=error)
    return file_limit()


def keep_descriptors() -> None:
    """
    See that no child inherits what we were given, such as a listening socket, and
    that 0, 1 and 2 are in use: what is opened there would not get to a child.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with suppress(OSError):  # what the folder itself was read through
                os.set_inheritable(int(name), False)


def restore_file_limit(pid: int) -> None:
    # Programs that use select(2), or close every possible descriptor, suffer
    # under a high limit. Where there is no prlimit(2) they inherit ours.
    if hasattr(resource, "prlimit"):
        # Gone already, or set-user-id: not ours to limit.
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _INHERITED_FILES)
