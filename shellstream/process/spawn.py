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

from .child import ChildProcess
from .file_limits import restore_file_limit, scarce
from .launch_plan import LaunchPlan
from .process_table import process_start
from .pty import PTMX, open_output_pty, open_tty

_log = Logger()


#: What Python ignores, and programs rely on: execve(2) would hand it on.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def spawn(
    reactor: Any,
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    run_id: str,
    plan: LaunchPlan,
) -> ChildProcess:
    """
    Start a command's process.

    All of our own descriptors have to be closed by execve(2), as Python's are.

    @param run_id: the id of its run.
    @param plan: how to, for this command.
    @raise CannotStart: if the program or the working directory is not there,
        or may not be used.
    @raise Busy: if the machine has no descriptor, memory, process or terminal to
        spare.
    """
    ends = _Connections()
    try:
        program, argv, env = plan.resolve(command, invocation, run_id)
        if invocation.tty is not None:
            ends.connect_terminal(invocation.tty)
        else:
            ends.connect(command, invocation)
        ends.check()
        plan.hand_over(*ends.theirs)
        with _directory_and_umask_of(command):
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
        raise _start_error(command, error) from None
    finally:
        ends.close_theirs()
    if command.confine.open_files is None:
        restore_file_limit(pid)
    child = ChildProcess(protocol, pid, process_start(pid))
    child.start(reactor, ends.ours)
    return child


@define
class _Connections:
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
            self._duplicate_to(reading, 0)
        else:
            null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            self.actions.append(null)
        pty = command.unbuffer is Unbuffer.PTY
        self.ours[1], writing = open_output_pty() if pty else os.pipe()
        self._duplicate_to(writing, 1)
        self.ours[2], writing = os.pipe()
        self._duplicate_to(writing, 2)

    def connect_terminal(self, tty: Tty) -> None:
        """
        By a terminal.

        It becomes the one that controls the child's session since the child, which
        by then leads one without any, opens it (tty_ioctl(2), TIOCSCTTY).
        """
        self.ours[1], slave, name = open_tty(tty)
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

    def _duplicate_to(self, fd: int, number: int) -> None:
        self.theirs.append(fd)
        self.actions.append((os.POSIX_SPAWN_DUP2, fd, number))


@contextmanager
def _directory_and_umask_of(command: Command) -> Iterator[None]:
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


_TEMPORARY = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}

_REASONS = {
    errno.ENOENT: "was not found",
    errno.ENOTDIR: "was not found",
    errno.EACCES: "may not be used by the daemon (permission denied)",
    errno.EPERM: "may not be used by the daemon (not permitted)",
    errno.ENOEXEC: "is in no format that this machine can execute",
    errno.ELOOP: "is a loop of symbolic links",
    errno.ENAMETOOLONG: "has too long a name",
}


def _start_error(command: Command, error: OSError) -> ShellstreamError:
    _log.error(
        "command {name} cannot be started: {error}", name=command.name, error=error
    )
    number = error.errno or 0
    if number in _TEMPORARY:
        room = "terminal" if error.filename == PTMX else "process"
        return Busy(f"the machine has no room for a {room} ({error.strerror})", 5)
    if number == errno.E2BIG:
        return CannotStart(command.name, "its parameters are too long; send less")
    parts = {command.cwd: "working directory", PTMX: "terminal"}
    what = parts.get(error.filename, "program")
    why = _REASONS.get(number, f"cannot be used ({os.strerror(number)})")
    ask = "whoever runs the daemon finds more in its log"
    return CannotStart(command.name, f"its {what} {why}; {ask}")
