"""This machine: what it is, its processes, memory, ports and limits."""

import ctypes
import os
import platform
import resource
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path
from time import sleep

_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def everything_ended() -> Iterator[None]:
    """
    End all processes that were started inside, however the block ends.

    Orphans become children of this process (PR_SET_CHILD_SUBREAPER, prctl(2)), so that
    none escapes.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("this kernel has no PR_SET_CHILD_SUBREAPER")

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        end_orphans()


def end_orphans() -> None:
    """End all our descendants."""
    while left := tree([os.getpid()])[1:]:
        end(left)


def end(pids: Sequence[int]) -> None:
    """Kill processes, and wait until they are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while pids := [pid for pid in pids if not _is_gone(pid)]:
        sleep(0.01)  # some become our children only meanwhile


def _is_gone(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not Path(f"/proc/{pid}").exists()


def _stat(pid: str | int) -> list[str]:
    """What proc(5) says of a process after its name; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def tree(pids: Sequence[int]) -> list[int]:
    """These processes and all their descendants, parents first."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if stat := _stat(name):
            children.setdefault(int(stat[1]), []).append(int(name))
    found = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    for pid in found:
        found += (each for each in children.get(pid, ()) if each not in found)
    return found


def program_of(pid: int) -> str:
    """The program that a process executes; empty if it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def cpu_seconds(pids: Sequence[int]) -> float:
    """The processor time of these processes, without their children."""
    ticks = [sum(map(int, stat[11:13])) for pid in pids if (stat := _stat(pid))]
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def memory(pids: Sequence[int]) -> int:
    """The memory of these processes in bytes; shared memory counts once (PSS)."""
    held = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            held += int(_first(f"/proc/{pid}/smaps_rollup", "Pss").split()[0]) * 1024
    return held


def allow_open_files(wanted: int) -> int:
    """Raise the limit of open files for this process and its children; returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(hard, wanted), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (ValueError, OSError):
            continue
        return limit
    return hard


def _ports() -> Iterator[int]:
    # Not the ephemeral ports: the kernel could give one to a client of ours.
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(max(below - 20_000, 1024), below)
    first = os.getpid() % len(ports)  # nor those of another benchmark
    return cycle((*ports[first:], *ports[:first]))


_PORTS = _ports()


def free_port() -> int:
    """An unused TCP port of the loopback interface; a new one each time."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a cycle has no end")


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        name, _, value = line.replace("=", ":", 1).partition(":")
        if name.strip() == key:
            return value.strip().strip('"')
    return "unknown"


def description(folder: Path) -> Mapping[str, str]:
    """A description of this machine; C{folder} is where output is kept."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    there = [
        (len(each[1]), each[2]) for each in mounts if folder.is_relative_to(each[1])
    ]
    memory = int(_first("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20)
    busy = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return {
        "processor": f"{os.cpu_count()} x {_first('/proc/cpuinfo', 'model name')}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{_first('/etc/os-release', 'PRETTY_NAME')}, "
        f"Linux {platform.release()}, Python {platform.python_version()}",
        "state folder on": max(there)[1],
        "load before": busy,
    }


def versions(packages: tuple[str, ...]) -> Mapping[str, str]:
    """The versions of the Python packages that were measured."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
