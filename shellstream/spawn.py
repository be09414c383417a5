"""
Starting the process of a command.

By posix_spawn(3): Twisted's own way forks Python, keeps the child in our session and
cannot say why a program did not start; L{subprocess} waits until the child has closed
every descriptor that we have.
"""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from attrs import define, field
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from .child import Child
from .command import Command, Invocation
from .descriptors import file_limit, scarce
from .errors import Busy, CannotStart, ShellstreamError
from .input import Tty
from .prepare import Prepared
from .processes import process_start
from .terminal import PTMX, open_console, open_terminal
from .unbuffer import Unbuffer

_log = Logger()

#: The process may open as many files as it likes; its children get what was
#: the custom before (see L{raise_file_limit}).
_INHERITED_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)

#: What Python ignores, and programs rely on: execve(2) would hand it on.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


def spawn(
    reactor: Any,
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    run: str,
    prepared: Prepared,
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


def raise_file_limit() -> int:
    """
    Let this process open as many descriptors as it is ever allowed to; returns how
    many that is.
    """
    soft, hard = _INHERITED_FILES
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS: the hard limit is a fiction
            _log.info("the limit of open files stays {soft}: {e}", soft=soft, e=error)
    return file_limit()


def keep_descriptors() -> None:
    """
    See that no child inherits what we were given, such as a listening socket, and
    that 0, 1 and 2 are in use: what is opened there would not get to a child.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with suppress(OSError):  # what the folder itself was read through
                os.set_inheritable(int(name), False)


def _restore_file_limit(pid: int) -> None:
    # Programs that use select(2), or close every possible descriptor, suffer
    # under a high limit. Where there is no prlimit(2) they inherit ours.
    if hasattr(resource, "prlimit"):
        # Gone already, or set-user-id: not ours to limit.
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _INHERITED_FILES)
