"""What the kernel knows of processes, and of groups of them."""

import os
import subprocess
import sys
from calendar import timegm
from time import strptime

from attrs import frozen


@frozen
class ProcessInfo:
    """
    What C{/proc} or ps(1) know of a process.

    @ivar alive: whether it is more than a zombie, which only waits for its parent.
    """

    alive: bool
    group: int
    session: int
    start: int


def process_start(pid: int) -> int | None:
    """
    When a process began; L{None} if there is none.

    On Linux in clock ticks since the machine was started, elsewhere in seconds
    since 1970: enough to tell two apart that had the same id.
    """
    process = process_info(pid)
    return None if process is None else process.start


def pids() -> list[int]:
    """All processes; none where there is no C{/proc}, or no descriptor for it."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def living_member(group: int, last: int | None = None) -> int | None:
    """
    A process of a group that is more than a zombie; L{None} if there is none.

    For kill(2) a zombie is there, and where nobody looks after orphans, as in many
    a container, it is so for ever. Without a C{/proc} it cannot be told from others.

    @param last: what was answered last, which is likely to be true still.
    @raise PermissionError: if all of them are another user's.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return None
    if last is not None and _is_member(last, group):
        return last
    there = pids()
    if not there:
        return group
    # getpgid(2) first: to look into each takes twenty times as long.
    return next((pid for pid in there if _is_member(pid, group)), None)


def session_groups(session: int) -> set[int]:
    """
    The process groups of a session in which there are more than zombies.

    None where there is no C{/proc}.
    """
    return {
        process.group
        for pid in pids()
        if _session(pid) == session and (process := process_info(pid)) and process.alive
    }


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)  # a twentieth of what it takes to look into it
    except ProcessLookupError:
        return None


def _is_member(pid: int, group: int) -> bool:
    try:
        if os.getpgid(pid) != group:
            return False
    except ProcessLookupError:
        return False
    process = process_info(pid)
    return process is not None and process.alive


def process_info(pid: int) -> ProcessInfo | None:
    """What is known of a process; L{None} if there is none."""
    return _ask_proc(pid) if sys.platform == "linux" else _ask_ps(pid)


def _ask_proc(pid: int) -> ProcessInfo | None:
    """@see: proc_pid_stat(5)"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:  # gone, or hidden from us
        return None
    # The name comes second and may hold anything, parentheses and spaces too.
    state, _, group, session, *rest = stat[stat.rindex(b")") + 1 :].split()
    # What began as its first thread may have ended before the others.
    lives = state not in (b"Z", b"X") or int(rest[13]) > 1
    return ProcessInfo(lives, int(group), int(session), int(rest[15]))


def _ask_ps(pid: int) -> ProcessInfo | None:
    """For those without a C{/proc}: macOS and the BSDs."""
    asked = ["ps", "-o", "state=,pgid=,lstart=", "-p", str(pid)]
    env = {**os.environ, "LC_ALL": "C", "TZ": "UTC0"}
    answer = subprocess.run(asked, env=env, stdout=subprocess.PIPE, check=False).stdout  # noqa: S603
    try:
        state, group, *start = answer.decode().split()
        began = timegm(strptime(" ".join(start), "%a %b %d %H:%M:%S %Y"))
        return ProcessInfo(state[0] != "Z", int(group), os.getsid(pid), began)
    except (ValueError, ProcessLookupError):
        return None
