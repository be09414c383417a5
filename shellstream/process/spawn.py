"""
Starting the process of a command.

By posix_spawn(3): Twisted's own way forks Python, keeps the child in our session and
cannot say why a program did not start; L{subprocess} waits until the child has closed
every descriptor that we have.
"""

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from attrs import define, field
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from shellstream.config.command import Command, Invocation
from shellstream.config.unbuffer import Unbuffer
from shellstream.model.errors import Busy, CannotStart, ShellstreamError
from shellstream.model.run_input import Tty

from .child import Child
from .file_limits import _restore_file_limit, scarce
from .launch_plan import LaunchPlan
from .process_table import process_start
from .pty import PTMX, open_console, open_terminal

_log = Logger()


#: What Python ignores, and programs rely on: execve(2) would hand it on.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def spawn(
    reactor: Any,
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    run: str,
    prepared: LaunchPlan,
) -> Child:
    """
    Start a command's process.

    All of our own descriptors have to be closed by execve(2), as Python's are.

    @param run: the id of its run.
    @param prepared: how to, for this command.
    @raise CannotStart: if the program or the working directory is not there,
        or may not be used.
    @raise Busy: if the machine has no descriptor, memory, process or terminal to
        spare.
    """
    ends = _Ends()
    try:
        program, argv, env = prepared.settle(command, invocation, run)
        if invocation.tty is not None:
            ends.sit_at(invocation.tty)
        else:
            ends.connect(command, invocation)
        ends.check()
        prepared.give(*ends.theirs)
        with _like(command):
            pid = os.posix_spawn(
                program,
                argv,
                env,
                file_actions=ends.actions,
                setsid=True,
                setsigdef=_IGNORED_BY_PYTHON,
            )
    except OSError as error:
        ends.close_ours()
        raise _why(command, error) from None
    finally:
        ends.close_theirs()
    if command.confine.open_files is None:
        _restore_file_limit(pid)
    child = Child(protocol, pid, process_start(pid))
    child.start(reactor, ends.ours)
    return child


@define
class _Ends:
    """
    What a child is connected by.

    @ivar ours: the ends that we keep, by the child's number for the other.
    @ivar theirs: those that are the child's, for as long as we have them, too.
    @ivar actions: what makes them its own: see posix_spawn(3).
    """

    ours: dict[int, int] = field(factory=dict)
    theirs: list[int] = field(factory=list)
    actions: list[tuple[Any, ...]] = field(factory=list)

    def connect(self, command: Command, invocation: Invocation) -> None:
        """By pipes, or what is like one."""
        if invocation.stdin:
            reading, self.ours[0] = os.pipe()
            self._hand(reading, 0)
        else:
            null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            self.actions.append(null)
        pty = command.unbuffer is Unbuffer.PTY
        self.ours[1], writing = open_terminal() if pty else os.pipe()
        self._hand(writing, 1)
        self.ours[2], writing = os.pipe()
        self._hand(writing, 2)

    def sit_at(self, tty: Tty) -> None:
        """
        By a terminal.

        It becomes the one that controls the child's session since the child, which
        by then leads one without any, opens it (tty_ioctl(2), TIOCSCTTY).
        """
        self.ours[1], slave, name = open_console(tty)
        self.theirs.append(slave)
        # Written to by another descriptor than it is read from, or what the
        # reactor finds out of one would be done to both.
        self.ours[0] = os.dup(self.ours[1])
        self.actions += (
            (os.POSIX_SPAWN_OPEN, 0, name, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_DUP2, 0, 2),
        )

    def check(self) -> None:
        """
        Twice as many descriptors are left as clients leave, who may want to end a run.

        @raise OSError: if they are not.
        """
        if scarce(max(self.ours.values()), 2):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def close_ours(self) -> None:
        for fd in self.ours.values():
            os.close(fd)

    def close_theirs(self) -> None:
        for fd in self.theirs:
            os.close(fd)

    def _hand(self, fd: int, number: int) -> None:
        self.theirs.append(fd)
        self.actions.append((os.POSIX_SPAWN_DUP2, fd, number))


@contextmanager
def _like(command: Command) -> Iterator[None]:
    """
    Have a command's working directory and umask, which what is started inherits.

    All of the process has them meanwhile, its threads too: no path of ours is
    relative, and SQLite sees to the modes of its files itself.
    """
    with ExitStack() as restoring:
        if command.cwd is not None:
            here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
            restoring.callback(os.close, here)
            restoring.callback(os.fchdir, here)
            os.chdir(command.cwd)
        if command.confine.umask is not None:
            restoring.callback(os.umask, os.umask(command.confine.umask))
        yield


_FOR_NOW = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}

_WHY = {
    errno.ENOENT: "was not found",
    errno.ENOTDIR: "was not found",
    errno.EACCES: "may not be used by the daemon (permission denied)",
    errno.EPERM: "may not be used by the daemon (not permitted)",
    errno.ENOEXEC: "is in no format that this machine can execute",
    errno.ELOOP: "is a loop of symbolic links",
    errno.ENAMETOOLONG: "has too long a name",
}


def _why(command: Command, error: OSError) -> ShellstreamError:
    _log.error(
        "command {name} cannot be started: {error}", name=command.name, error=error
    )
    number = error.errno or 0
    if number in _FOR_NOW:
        room = "terminal" if error.filename == PTMX else "process"
        return Busy(f"the machine has no room for a {room} ({error.strerror})", 5)
    if number == errno.E2BIG:
        return CannotStart(command.name, "its parameters are too long; send less")
    parts = {command.cwd: "working directory", PTMX: "terminal"}
    what = parts.get(error.filename, "program")
    why = _WHY.get(number, f"cannot be used ({os.strerror(number)})")
    ask = "whoever runs the daemon finds more in its log"
    return CannotStart(command.name, f"its {what} {why}; {ask}")
