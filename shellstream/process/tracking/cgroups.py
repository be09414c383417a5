"""
A cgroup for each run, where the daemon's own cgroup is delegated to it (cgroups(7)).

A process begins in the cgroup of its parent and stays there, whether it calls fork(2)
or setsid(2) and whatever is in its environment. So the kernel has a list of all
processes of a run, and needs no look through C{/proc}.
"""

import errno
import os
import re
from collections.abc import Container, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from attrs import define, field, frozen
from twisted.logger import Logger

_log = Logger()

#: The cgroup that the daemon moves to, since one with others in it should be empty.
_DAEMON = "daemon"

_PREFIX = "run-"

#: How many cgroups are looked at in one turn that may not be removable.
_MOST = 30

#: Moves itself into the cgroup of which $0 is cgroup.procs, and executes a program.
_ENTER = 'echo 0 > "$0" && unset _{unset} && exec "$@"'

#: What one sh or another exports by itself; bash keeps C{SHLVL=0} all the same.
_OF_SH = ("OLDPWD", "PWD", "SHLVL")


@frozen
class RunCgroup:
    """The cgroup of one run, which may have others in it that its programs made."""

    path: str
    _cgroups: "RunCgroups"

    def enter(self, env: Container[str]) -> tuple[str, ...]:
        """
        Argv items before those of a program, which then begins in the cgroup.

        posix_spawn(3) cannot do that everywhere, and a program that is moved once it
        runs may have forked already.

        @param env: the names of the variables that the program is to have.
        """
        unset = "".join(f" {name}" for name in _OF_SH if name not in env)
        script = _ENTER.format(unset=unset)
        return ("/bin/sh", "-c", script, f"{self.path}/cgroup.procs")

    def make(self) -> None:
        """Make it. @raise OSError: if there may be no more of them."""
        os.makedirs(self.path, exist_ok=True)

    def pids(self) -> Iterator[list[int]]:
        """
        Its processes without the zombies, by and by; none once it is removed.

        @raise OSError: if there is no descriptor left.
        """
        for folder, _, _ in os.walk(self.path, onerror=_raise_unless_empty):
            try:
                with open(f"{folder}/cgroup.procs") as file:
                    yield [*map(int, file.read().split())]
            except OSError as error:
                _raise_unless_empty(error)

    def kill(self) -> bool:
        """
        Kill all its processes at once, those of other users too.

        @return: whether that was possible: it needs Linux 5.14, and a descriptor.
        """
        try:
            # Without O_CREAT, which open() would set.
            fd = os.open(f"{self.path}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"1")
            finally:
                os.close(fd)
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it; at a later sweep, if a process is left in it."""
        self._cgroups.remove(self.path)


@define(eq=False)
class RunCgroups:
    """
    The cgroups of all runs, in the cgroup that is delegated to the daemon.

    @ivar path: that one.
    """

    path: str
    #: Those that were not empty; what was looked at last is the last.
    _left: dict[str, None] = field(factory=dict, init=False)

    @classmethod
    def delegated(cls, proc: str = "/proc/self") -> "RunCgroups | None":
        """
        Move this process into a cgroup of its own, so that those of runs can be beside
        it. L{None} if nobody delegated a cgroup to it.
        """
        path = _own_cgroup(proc)
        if path is None or not _is_delegated(path):
            return None
        try:
            own = f"{path}/{_DAEMON}"
            os.makedirs(own, exist_ok=True)
            with open(f"{own}/cgroup.procs", "w") as file:
                file.write("0")
        except OSError as error:
            _log.warn(
                "the cgroup {path} is delegated to this service, but cannot be used "
                "({error}); with ProtectControlGroups=no, each run has its own",
                path=path,
                error=error,
            )
            return None
        _log.info("each run has a cgroup of its own in {path}", path=path)
        found = cls(path)
        for run_id in found._ids():
            found.remove(found.of(run_id).path)
        return found

    def of(self, run_id: str) -> RunCgroup:
        """The cgroup of a run, which need not be there."""
        return RunCgroup(f"{self.path}/{_PREFIX}{run_id}", self)

    def left(self) -> dict[str, list[int]]:
        """What the last daemon has left: processes by the ids of their runs."""
        found = {run_id: [*chain(*self.of(run_id).pids())] for run_id in self._ids()}
        return {run_id: pids for run_id, pids in found.items() if pids}

    def remove(self, path: str) -> None:
        """Remove one, or remember it for the next sweep."""
        self._left.pop(path, None)
        if not _remove(path):
            self._left[path] = None

    def sweep(self) -> None:
        """Remove those that have become empty since the end of their runs."""
        looked = 0
        for path in tuple(self._left):
            self.remove(path)
            looked += path in self._left
            if looked == _MOST:
                break

    def _ids(self) -> Iterator[str]:
        for name in os.listdir(self.path):
            if name.startswith(_PREFIX):
                yield name.removeprefix(_PREFIX)


def _raise_unless_empty(error: OSError) -> None:
    # It is removed, or it is threaded: then its parent has its processes.
    if error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
        raise error


def _remove(path: str) -> bool:
    """Returns whether it is gone, and all in it: it is not while it has a process."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        inner = islice(os.walk(path, topdown=False), _MOST)
        with suppress(OSError):
            for folder, _, _ in inner:
                os.rmdir(folder)
        return not os.path.isdir(path)
    return True


def _own_cgroup(proc: str) -> str | None:
    """
    The folder of this process's cgroup; L{None} if there is no cgroup2 file system.

    @param proc: its folder in C{/proc}: see C{mountinfo} in proc(5).
    """
    try:
        lines = Path(proc, "cgroup").read_text("utf-8", "surrogateescape")
        mounts = Path(proc, "mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:  # a kernel without cgroups, or /proc is hidden
        return None
    name = re.search(r"^0::(/.*)$", lines, re.MULTILINE)
    if name is None:
        return None
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, point = map(_unescaped, mount.split(" ")[3:5])
            inside = os.path.relpath(name[1], root)
            if not inside.startswith(".."):
                return os.path.normpath(f"{point}/{inside}")
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _is_delegated(path: str) -> bool:
    """
    Whether the service manager has marked this cgroup as the service's to divide.

    That we may write to it is not enough: root may write to all, and a user to that of
    a terminal, where other programs are.

    @see: U{https://systemd.io/CGROUP_DELEGATION/}
    """
    try:
        return os.getxattr(path, "user.delegate") == b"1"
    except OSError:  # there is no such attribute, or none at all
        return False
