"""
Starting the process of a command.

By C{vfork} in C: Twisted's own way forks Python, keeps the child in our session
and cannot say why a program did not start.
"""

import errno
import os
import resource
import subprocess
from contextlib import suppress
from typing import Any

from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from .child import Child
from .command import Command, Invocation, environment
from .errors import Busy, CannotStart, ShellstreamError
from .processes import process_start

_log = Logger()

#: The process may open as many files as it likes; its children get what was
#: the custom before (see L{raise_file_limit}).
_INHERITED_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)


def spawn(
    reactor: Any,
    command: Command,
    invocation: Invocation,
    protocol: ProcessProtocol,
    run: str,
) -> Child:
    """
    Start a command's process.

    @param run: the id of its run.
    @raise CannotStart: if the program or the working directory is not there,
        or may not be used.
    @raise Busy: if the machine has no descriptor, memory or process to spare.
    """
    env = environment(os.environ, command, invocation, run)
    fds: list[int] = []
    try:
        for _ in range(2):
            fds += os.pipe()
        out, out_child, err, err_child = fds
        process = subprocess.Popen(  # noqa: S603  # argv is the operator's
            invocation.argv,
            stdin=subprocess.DEVNULL,
            stdout=out_child,
            stderr=err_child,
            cwd=command.cwd,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _why(command, error) from None
    os.close(out_child)
    os.close(err_child)
    _restore_file_limit(process.pid)
    child = Child(protocol, process, process_start(process.pid))
    child.start(reactor, {1: out, 2: err})
    return child


_FOR_NOW = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

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
        return Busy(f"the machine has no room for a process ({error.strerror})", 5)
    if number == errno.E2BIG:
        return CannotStart(command.name, "its parameters are too long; send less")
    what = "working directory" if error.filename == command.cwd else "program"
    why = _WHY.get(number, f"cannot be used ({os.strerror(number)})")
    ask = "whoever runs the daemon finds more in its log"
    return CannotStart(command.name, f"its {what} {why}; {ask}")


def raise_file_limit() -> None:
    """Let this process open as many descriptors as it is ever allowed to."""
    soft, hard = _INHERITED_FILES
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError) as error:  # macOS: the hard limit is a fiction
            _log.info("the limit of open files stays {soft}: {e}", soft=soft, e=error)


def _restore_file_limit(pid: int) -> None:
    # Programs that use select(2), or close every possible descriptor, suffer
    # under a high limit. Where there is no prlimit(2) they inherit ours.
    if hasattr(resource, "prlimit"):
        # Gone already, or set-user-id: not ours to limit.
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _INHERITED_FILES)
