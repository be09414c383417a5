"""
Starting the process of a command, by posix_spawn(3).

Twisted's own way forks Python, keeps the child in our session and cannot say why a
program did not start. L{subprocess} waits until the child has closed every descriptor
that we have. With 5,000 descriptors open this way starts 540 runs/s, Twisted's 17.

The kernel lets the caller of posix_spawn go on only when the program is executed, and
on a busy machine that takes milliseconds. C{os.posix_spawn} keeps Python's lock
meanwhile, so the C library is called here: in a thread, this leaves the reactor free.
"""

import ctypes
import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from shellstream.config.command import Command, Invocation, Unbuffer
from shellstream.model.errors import Busy, CannotStart, ShellstreamError
from shellstream.model.run_input import Tty

from .child import ChildProcess
from .file_limits import restore_file_limit, scarce
from .launch_plan import LaunchPlan
from .pty import PTMX, open_output_pty, open_tty
from .tracking.cgroups import RunCgroup
from .tracking.process_scanner import ProcessScanner
from .tracking.run_processes import RunProcesses

_log = Logger()

#: Makes one call that blocks, and answers with what it returns or raises.
InThread = Callable[[Callable[[], int]], Awaitable[int]]

_LIBC = ctypes.CDLL(None)

_ENCODING = sys.getfilesystemencoding()

#: A C{posix_spawnattr_t}, a C{posix_spawn_file_actions_t} or a C{sigset_t}, with more
#: bytes than any libc has in them: in glibc there are 336, 80 and 128.
_Struct = ctypes.c_char * 1024

#: From spawn.h and sched.h, since Python does not have them.
_SETSIGDEF, _SETSIGMASK, _SETSID, _CLONE_FS = 0x04, 0x08, 0x80, 0x200


def _make_attributes() -> "ctypes.Array[ctypes.c_char]":
    """
    How each child begins: in a session of its own, with no signal ignored or blocked.

    execve(2) passes on which signals are ignored: some by Python, others by what
    started the daemon, as nohup(1) does. Programs rely on them, and so does a cancel.
    """
    made, signals = _Struct(), _Struct()
    _LIBC.posix_spawnattr_init(made)
    _LIBC.sigemptyset(signals)
    _LIBC.posix_spawnattr_setsigmask(made, signals)
    _LIBC.sigfillset(signals)
    _LIBC.posix_spawnattr_setsigdefault(made, signals)
    flags = _SETSID | _SETSIGDEF | _SETSIGMASK
    _LIBC.posix_spawnattr_setflags(made, ctypes.c_short(flags))
    return made


_ATTRIBUTES = _make_attributes()


async def spawn(
    reactor: Any,
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    run_id: str,
    plan: LaunchPlan,
    scanner: ProcessScanner,
    in_thread: InThread | None = None,
    cgroup: RunCgroup | None = None,
) -> ChildProcess:
    """
    Start a command's process.

    All of our own descriptors have to be close-on-exec, as Python's are.

    @param plan: that of this command.
    @param scanner: shared by all children.
    @param in_thread: calls posix_spawn(3); without it, it is called at once. With
        C{die_with_daemon} the kernel ends the child when the calling thread ends
        (prctl(2), PR_SET_PDEATHSIG).
    @param cgroup: that of the run, which is made.
    @raise CannotStart: if the program or the working directory does not exist or may
        not be used.
    @raise Busy: if the machine has no descriptor, memory, process or terminal to spare.
    """
    ends = _Connections()
    try:
        program, argv, env = plan.resolve(command, invocation, run_id, cgroup)
        if invocation.tty is not None:
            ends.connect_terminal(invocation.tty)
        else:
            ends.connect(command, invocation)
        ends.check()
        plan.hand_over(*ends.theirs)
        variables = _c_strings([f"{name}={value}" for name, value in env.items()])
        given = program, _c_strings(argv), variables, ends.actions
        start = partial(_start, command, *given, cgroup)
        pid = start() if in_thread is None else await in_thread(start)
    except Exception as error:
        ends.close_ours()
        if cgroup is not None:
            cgroup.remove()
        if isinstance(error, OSError):
            raise _start_error(command, invocation, error, cgroup) from None
        raise
    finally:
        ends.close_theirs()
    processes = RunProcesses(run_id, pid, scanner, cgroup=cgroup)
    try:
        if command.confine.open_files is None:
            restore_file_limit(pid)
        child = ChildProcess(protocol, pid, processes)
        child.start(reactor, ends.ours, ends.terminals)
    except Exception as error:
        # Nobody would know of it: neither its output nor its end would be seen.
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        ends.close_ours()
        processes.remove_cgroup()
        if isinstance(error, OSError):
            raise _start_error(command, invocation, error, cgroup) from None
        raise
    return child


def _c_strings(texts: Sequence[str]) -> "ctypes.Array[ctypes.c_char_p]":
    """C strings, as arguments or variables of a program."""
    strings = "\0".join(texts).encode(_ENCODING, "surrogateescape").split(b"\0")
    if len(strings) != len(texts):
        raise ValueError("an argument or a variable has a NUL")
    return (ctypes.c_char_p * (len(strings) + 1))(*strings)


def _start(
    command: Command,
    program: str,
    argv: object,
    env: object,
    actions: object,
    cgroup: RunCgroup | None,
) -> int:
    """
    Start a program, and return its process id.

    @raise OSError: as of mkdir(2), chdir(2) or execve(2).
    """
    if cgroup is not None:
        cgroup.make()
    pid = ctypes.c_int()
    name = program.encode(_ENCODING, "surrogateescape")
    given = ctypes.byref(pid), name, actions, _ATTRIBUTES, argv, env
    if command.cwd is None and command.confine.umask is None:
        why = _LIBC.posix_spawn(*given)
    else:
        with _directory_and_umask_of(command):
            why = _LIBC.posix_spawn(*given)
    if why:
        raise OSError(why, os.strerror(why), program)
    return pid.value


def _no_actions() -> "ctypes.Array[ctypes.c_char]":
    made = _Struct()
    _LIBC.posix_spawn_file_actions_init(made)
    return made


@define
class _Connections:
    """
    The pipes or the terminal between a child and us.

    @ivar ours: our ends, by the child's number for the other end.
    @ivar theirs: the child's ends, to be closed here once it has them.
    @ivar terminals: the numbers in C{ours} that are a terminal.
    @ivar actions: how the child gets its ends: C{posix_spawn_file_actions_t}.
    """

    ours: dict[int, int] = field(factory=dict)
    theirs: list[int] = field(factory=list)
    terminals: tuple[int, ...] = ()
    actions: "ctypes.Array[ctypes.c_char]" = field(factory=_no_actions)

    def connect(self, command: Command, invocation: Invocation) -> None:
        """By pipes; C{unbuffer = "pty"} replaces that of stdout by a terminal."""
        if invocation.stdin:
            reading, self.ours[0] = os.pipe()
            self._duplicate_to(reading, 0)
        else:
            self._open_as_0(b"/dev/null", os.O_RDONLY)
        pty = command.unbuffer is Unbuffer.PTY
        self.terminals = (1,) if pty else ()
        self.ours[1], writing = open_output_pty() if pty else os.pipe()
        self._duplicate_to(writing, 1)
        self.ours[2], writing = os.pipe()
        self._duplicate_to(writing, 2)

    def connect_terminal(self, tty: Tty) -> None:
        """
        By a terminal.

        The child leads a new session without a terminal when it opens this one, which
        so becomes its controlling terminal (tty_ioctl(2), TIOCSCTTY).
        """
        self.ours[1], slave, name = open_tty(tty)
        self.theirs.append(slave)
        # A second descriptor for writing: the reactor would take the end of reading for
        # the end of both.
        self.ours[0] = os.dup(self.ours[1])
        self.terminals = 0, 1
        self._open_as_0(os.fsencode(name), os.O_RDWR)
        for number in (1, 2):
            _LIBC.posix_spawn_file_actions_adddup2(self.actions, 0, number)

    def check(self) -> None:
        """
        Leave some descriptors for clients, who may want to end a run.

        @raise OSError: C{EMFILE} if fewer than twice L{SPARE} are left.
        """
        if scarce(max(self.ours.values()), 2):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def close_ours(self) -> None:
        for fd in self.ours.values():
            os.close(fd)

    def close_theirs(self) -> None:
        for fd in self.theirs:
            os.close(fd)
        _LIBC.posix_spawn_file_actions_destroy(self.actions)

    def _duplicate_to(self, fd: int, number: int) -> None:
        self.theirs.append(fd)
        _LIBC.posix_spawn_file_actions_adddup2(self.actions, fd, number)

    def _open_as_0(self, path: bytes, flags: int) -> None:
        _LIBC.posix_spawn_file_actions_addopen(self.actions, 0, path, flags, 0)


@contextmanager
def _directory_and_umask_of(command: Command) -> Iterator[None]:
    """
    Set a command's working directory and umask for the child to inherit.

    posix_spawn(3) cannot set them, so the calling thread has them meanwhile. Where
    unshare(2) is forbidden, the whole daemon has. That is safe: no path of ours is
    relative, and SQLite sets the modes of its files itself.
    """
    _LIBC.unshare(_CLONE_FS)
    with ExitStack() as restoring:
        if command.cwd is not None:
            here = os.open(".", os.O_PATH | os.O_CLOEXEC)
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
    errno.ENOEXEC: "is in no format that this machine can execute (a script begins "
    "with #! and its interpreter, and with nothing before that)",
    errno.EISDIR: "is a folder",
    errno.ELOOP: "is a loop of symbolic links",
    errno.ENAMETOOLONG: "has too long a name",
}


def _start_error(
    command: Command,
    invocation: Invocation,
    error: OSError,
    cgroup: RunCgroup | None,
) -> ShellstreamError:
    _log.error(
        "command {name} cannot be started: {error}", name=command.name, error=error
    )
    number = error.errno or 0
    if number in _TEMPORARY:
        room = "terminal" if error.filename == PTMX else "process"
        return Busy(f"the machine has no room for a {room} ({error.strerror})", 5)
    if number == errno.E2BIG:
        return CannotStart(command.name, "its parameters are too long; send less")
    what = {PTMX: "terminal"}.get(error.filename, "program")
    if cgroup is not None and error.filename == cgroup.path:
        what = "cgroup"
    if command.cwd is not None and error.filename == command.cwd:
        what = "working directory"
    why = _REASONS.get(number, f"cannot be used ({os.strerror(number)})")
    if number == errno.EACCES and what == "program":
        why = "may not be executed by the daemon (permission denied; try chmod +x)"
    elif number == errno.ENOENT and str(error.filename).endswith("\r"):
        why = "is a script with the line ends of Windows (convert it with dos2unix)"
    elif number == errno.ENOENT and what == "program":
        # execve(2) says the same of a program and of what it needs in order to start.
        name = os.fspath(error.filename or "")
        if name != invocation.argv[0] or (os.path.isabs(name) and os.path.exists(name)):
            why = "needs an interpreter or a loader that was not found"
    return CannotStart(command.name, f"its {what} {why}", error)
