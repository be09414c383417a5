"""What the kernel knows of processes and their groups, by C{/proc} (proc(5))."""

import os

from attrs import frozen
from twisted.logger import Logger

_log = Logger()


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


def process_start(pid: int) -> int | None:
    """
    When a process began, in clock ticks since the machine was started; L{None} if there
    is no such process. It tells two processes apart that had the same id.
    """
    process = process_info(pid)
    return None if process is None else process.start


def pids() -> list[int]:
    """The ids of all processes; an empty list if no descriptor is left to ask."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def living_member(group: int, last: int | None = None) -> int | None:
    """
    A process of a group that is more than a zombie; L{None} if the group has none.

    For kill(2) zombies exist, and in a container without an init process they exist for
    ever. Without a descriptor to look any closer, the group counts as alive.

    @param last: the last answer, which is probably still right.
    @raise PermissionError: if all of them are another user's.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return None
    if last is not None and _is_member(last, group):
        return last
    found = pids()
    if not found:
        return group
    return next((pid for pid in found if _is_member(pid, group)), None)


def session_groups(session: int) -> set[int]:
    """The process groups of a session that have more than zombies."""
    return {
        process.group
        for pid in pids()
        if _session(pid) == session and (process := process_info(pid)) and process.alive
    }


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group; if it is another user's, log that."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # it is empty
    except PermissionError:
        _log.warn(
            "process group {group} is another user's; signal {number} not sent",
            group=group,
            number=number,
        )


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)  # takes a twentieth of the time of reading /proc
    except ProcessLookupError:
        return None


def _is_member(pid: int, group: int) -> bool:
    try:
        if os.getpgid(pid) != group:  # takes a twentieth of the time of reading /proc
            return False
    except ProcessLookupError:
        return False
    process = process_info(pid)
    return process is not None and process.alive


def process_info(pid: int) -> ProcessInfo | None:
    """One process; L{None} if there is no such process, or it is hidden from us."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name comes second and may hold anything, parentheses and spaces too.
    state, _, group, session, *rest = stat[stat.rindex(b")") + 1 :].split()
    # A process whose first thread has ended looks like a zombie: count its threads.
    alive = state not in (b"Z", b"X") or int(rest[13]) > 1
    return ProcessInfo(alive, int(group), int(session), int(rest[15]))
