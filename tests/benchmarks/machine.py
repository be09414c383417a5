"""This machine: what it is, its processes, memory, ports and limits."""

import ctypes
import os
import platform
import resource
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_ERRORS = (psutil.NoSuchProcess, psutil.AccessDenied)


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
    while left := psutil.Process().children(recursive=True):
        end(left)


def end(processes: list[psutil.Process]) -> None:
    """Kill processes, and wait until they are gone."""
    for each in processes:
        with suppress(*_ERRORS):
            each.kill()
    left = processes
    while left:  # again and again: some become our children only meanwhile
        _, left = psutil.wait_procs(left, timeout=0.2)


def tree(pids: list[int]) -> list[psutil.Process]:
    """These processes and all their descendants."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with suppress(*_ERRORS):
            root = psutil.Process(pid)
            for each in (root, *root.children(recursive=True)):
                found[each.pid] = each
    return list(found.values())


def program_of(process: psutil.Process) -> str:
    """The program that a process executes; empty if it has ended."""
    try:
        return str(process.exe())
    except _ERRORS:
        return ""


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """The processor time of these processes, without their children."""
    took = 0.0
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            took += times.user + times.system
    return took


def memory(processes: list[psutil.Process]) -> int:
    """The memory of these processes in bytes; shared memory counts once (PSS)."""
    held = 0
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            held += each.memory_full_info().pss
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
    where = [
        each
        for each in psutil.disk_partitions(all=True)
        if folder.is_relative_to(each.mountpoint)
    ]
    disk = max(where, key=lambda each: len(each.mountpoint))
    busy = " ".join(f"{load:.2f}" for load in os.getloadavg())
    return {
        "processor": f"{os.cpu_count()} x {_first('/proc/cpuinfo', 'model name')}",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "system": f"{_first('/etc/os-release', 'PRETTY_NAME')}, "
        f"Linux {platform.release()}, Python {platform.python_version()}",
        "state folder on": disk.fstype,
        "load before": busy,
    }


def versions(packages: tuple[str, ...]) -> Mapping[str, str]:
    """The versions of the Python packages that were measured."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
