"""Reaping processes whose parents have ended, where that is the daemon's task."""

import ctypes
import os
from collections.abc import Callable, Container
from contextlib import suppress

from twisted.internet.process import reapProcessHandlers

from .process_table import process_info

#: From linux/prctl.h, since Python has no function for it.
_PR_GET_CHILD_SUBREAPER = 37


def adopts_orphans() -> bool:
    """
    Whether the kernel gives us the processes whose parents have ended: if we are
    process 1, as in a container without an init process, or a subreaper (prctl(2)).
    """
    answer = ctypes.c_int(0)
    with suppress(OSError, AttributeError):  # a libc without it
        ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer))
    return os.getpid() == 1 or bool(answer.value)


class OrphanReaper:
    """
    Reaps adopted children that have ended. Otherwise each stays a zombie for ever, and
    in the end no process can be started any more.

    It takes no exit status that somebody waits for: not of the processes of runs, nor
    of those that Twisted waits for, nor of what else this program starts, which is in
    its own session. Whoever starts a process in a session of its own has until the
    second look.
    """

    def __init__(self, own: Callable[[], Container[int]]) -> None:
        """
        @param own: returns the processes of runs, which are reaped elsewhere.
        """
        self._own = own
        self._seen: set[int] = set()

    def look(self) -> None:
        """Reap what had ended by the last look already."""
        how = os.WEXITED | os.WNOHANG
        try:
            first = os.waitid(os.P_ALL, 0, how | os.WNOWAIT)
        except ChildProcessError:
            return
        if first is None:
            return  # the usual case: no zombie at all
        own, session = self._own(), os.getsid(0)
        ended: set[int] = set()
        # The kernel shows one zombie at a time. Without its list of children others are
        # found when that one is reaped.
        for pid in {first.si_pid, *_children()}:
            process = process_info(pid)
            if process is None or process.alive or process.session == session:
                continue
            if pid in own or pid in reapProcessHandlers:
                continue
            if pid in self._seen:
                with suppress(ChildProcessError):
                    os.waitid(os.P_PID, pid, how)
            else:
                ended.add(pid)
        self._seen = ended


def _children() -> list[int]:
    """Our children, from C{/proc/PID/task/TID/children} (proc(5))."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        path = f"/proc/self/task/{thread}/children"
        with suppress(OSError), open(path) as file:  # or the thread has ended
            found += map(int, file.read().split())
    return found
