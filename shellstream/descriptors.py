"""How many files this process may open, and when that comes to its end."""

import resource
import sys

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
