"""What the kernel knows of processes, by C{/proc} (proc(5)), and signals to them."""

import os
import re
import signal
from collections.abc import Callable, Iterator

from attrs import define, field, frozen

from .cgroups import RunCgroup

#: The variable that tells a command, and all that it starts, the id of its run.
RUN = "SHELLSTREAM_RUN"

_MARK = re.compile(rb"(?:^|\0)%s=([^\0]+)" % RUN.encode())


@frozen
class ProcessInfo:
    """
    One process.

    @ivar alive: whether it is more than a zombie, which only waits for its parent.
    @ivar start: when it began, in clock ticks since the machine was started.
    """

    alive: bool
    group: int
    session: int
    start: int


@define(eq=False)
class ProcessTable:
    """
    Processes by their sessions, and by the runs that they belong to.

    It is made by L{shellstream.process.tracking.process_scanner}, or by the run's
    cgroup. A process may have ended since then, and others may have begun.

    @ivar sessions: the ids of their processes.
    @ivar marked: the ids of processes by the id of the run in their environment; empty
        if that was not asked for. Another user's processes are not in it.
    @ivar complete: whether there was a descriptor left to look for all.
    """

    sessions: dict[int, list[int]] = field(factory=dict, init=False)
    marked: dict[str, list[int]] = field(factory=dict, init=False)
    complete: bool = field(default=True, init=False)

    def fill(self, marks: bool) -> Iterator[None]:
        """Look through all processes, and yield after each."""
        own = os.getsid(0)
        try:
            with os.scandir("/proc") as entries:
                for entry in entries:
                    if entry.name.isdecimal():
                        pid = int(entry.name)
                        if self._add(pid, own) and marks:
                            self._mark(pid, run_of(pid))
                        yield
        except OSError:
            self.complete = False

    def fill_from(self, cgroup: RunCgroup, run_id: str) -> Iterator[None]:
        """Look through the processes of one run, and yield after each."""
        own = os.getsid(0)
        try:
            for pids in cgroup.pids():
                for pid in pids:
                    if self._add(pid, own):
                        self._mark(pid, run_id)
                    yield
                yield
        except OSError:
            self.complete = False

    def is_of(self, session: int, start: int | None) -> bool:
        """
        Whether a session is the one whose leader began at this time, and not another
        that got its id; L{True} if its leader has ended, or began at an unknown time.
        """
        leader = process_info(session)
        return leader is None or start in (None, leader.start)

    def _add(self, pid: int, own: int) -> bool:
        """Returns whether a run may have this process."""
        try:
            session = os.getsid(pid)  # takes a twentieth of the time of reading /proc
        except OSError:
            return False
        if session in (0, own):  # the kernel's threads, and ourselves
            return False
        self.sessions.setdefault(session, []).append(pid)
        return True

    def _mark(self, pid: int, run_id: str | None) -> None:
        if run_id is not None:
            self.marked.setdefault(run_id, []).append(pid)


@frozen
class Member:
    """A process that is found again, or is gone: ids are given again, times are not."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether it is still more than a zombie."""
        process = process_info(self.pid)
        return process is not None and process.alive and process.start == self.start

    def signal(self, number: int) -> bool:
        """
        Send it a signal, and not to a process that got its id meanwhile.

        @return: whether we may.
        """
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        except OSError:  # an old kernel, or no descriptor: the time between is short
            return not self.alive or _send(os.kill, self.pid, number)
        try:
            # Then the descriptor is of this process, and stays so.
            return not self.alive or _send(signal.pidfd_send_signal, fd, number)
        finally:
            os.close(fd)


def group_in(pid: int, session: int) -> int | None:
    """The group of a process; L{None} if it is gone, or in another session."""
    try:
        group = os.getpgid(pid)
        return group if os.getsid(pid) == session else None
    except ProcessLookupError:
        return None


def process_start(pid: int) -> int | None:
    """
    When a process began, in clock ticks since the machine was started; L{None} if there
    is no such process. It tells two processes apart that had the same id.
    """
    process = process_info(pid)
    return None if process is None else process.start


def run_of(pid: int) -> str | None:
    """The run in whose environment a process began; L{None} for another user's."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            mark = _MARK.search(file.read())
    except OSError:  # gone, or another user's
        return None
    return os.fsdecode(mark[1]) if mark else None


def group_exists(group: int) -> bool:
    """Whether a process group has a process, which may be a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group. Returns L{False} if it is another user's."""
    return _send(os.killpg, group, number)


def process_info(pid: int) -> ProcessInfo | None:
    """One process; L{None} if there is no such process, or it is hidden from us."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.read(fd, 4096)  # the kernel makes it in one piece
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name comes second and may hold anything, parentheses and spaces too.
    state, _, group, session, *rest = stat[stat.rindex(b")") + 1 :].split()
    # A process whose first thread has ended looks like a zombie: count its threads.
    alive = state not in (b"Z", b"X") or int(rest[13]) > 1
    return ProcessInfo(alive, int(group), int(session), int(rest[15]))


def _send(send: Callable[[int, int], None], target: int, number: int) -> bool:
    """Returns L{False} if the target is another user's."""
    try:
        send(target, number)
    except ProcessLookupError:
        pass  # it is gone
    except PermissionError:
        return False
    return True
