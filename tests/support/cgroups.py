"""Cgroups for tests: made beside those of this machine, where that is allowed."""

import os
import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase, TestCase


def _mount() -> Path | None:
    """The cgroup2 file system of this machine."""
    mounts = Path("/proc/self/mountinfo").read_text()
    found = re.search(r"^(?:\S+ ){4}(\S+) .* - cgroup2 ", mounts, re.MULTILINE)
    return None if found is None else Path(found[1])


def needs_cgroups() -> str | None:
    """Why cgroups cannot be made here; L{None} if they can."""
    mount = _mount()
    if mount is None:
        return "there is no cgroup2 file system"
    folder = mount / f"shellstream-{uuid4()}"
    try:
        folder.mkdir()
        try:
            os.setxattr(folder, "user.delegate", b"1")
            if not (folder / "cgroup.kill").exists():
                return "the kernel has no cgroup.kill"
        finally:
            folder.rmdir()
    except OSError as error:
        return f"no cgroup can be made here ({error.strerror})"
    return None


def make_cgroup(test: SynchronousTestCase | TestCase) -> Path:
    """
    A cgroup that looks as systemd leaves it to a service with C{Delegate=yes}. All that
    is in it is killed after the test.
    """
    mount = _mount()
    assert mount is not None
    folder = mount / f"shellstream-{uuid4()}"
    folder.mkdir()
    os.setxattr(folder, "user.delegate", b"1")

    def remove() -> None:
        (folder / "cgroup.kill").write_text("1")
        while "populated 1" in (folder / "cgroup.events").read_text():
            os.sched_yield()
        for each, _, _ in os.walk(folder, topdown=False):
            with suppress(FileNotFoundError):
                os.rmdir(each)

    test.addCleanup(remove)
    return folder


def entering(folder: Path) -> tuple[str, ...]:
    """A program that executes another one in a cgroup, as systemd does."""
    return ("/bin/sh", "-c", 'echo 0 > "$0" && exec "$@"', f"{folder}/cgroup.procs")


def runs_in(folder: Path) -> dict[str, list[int]]:
    """The processes in the cgroups of runs, by the runs' ids."""
    return {
        each.name.removeprefix("run-"): [
            *map(int, (each / "cgroup.procs").read_text().split())
        ]
        for each in folder.glob("run-*")
    }
