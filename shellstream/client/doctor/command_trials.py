"""
Runs a command in several setups, records how its output comes, and ends it.

Synchronous: there is nothing else to wait for but signals that ask us to leave, and
these come by a descriptor.
"""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from select import select

from .command_diagnosis import (
    CURES,
    PIPE,
    PTY,
    PYTHON_OPTION,
    Setup,
    Trial,
    diagnose,
    helps,
    seems_held,
    together,
)
from .exchange import Arrival
from .findings import CannotRun, NothingSeen, Report, duration
from .process_watch import ProcessWatch, ignores_environment

#: How much output is read in one trial, in bytes and in pieces. Whether a command holds
#: back shows in far less; `yes` writes as much in 10 ms.
MAX_BYTES, MAX_ARRIVALS = 1 << 22, 4096

#: Seconds that a command has to exit after its output has ended, and again after TERM.
GRACE = 1.0

#: Seconds between two looks whether a command has exited. (A pidfd would tell, but only
#: Linux has them.)
_LOOK = 0.02

#: Seconds between two looks at what the processes of a trial read and write. A program
#: that a person calls live writes less often than that.
_WATCH = 0.05

#: Signals that end a program by default, of those that a user or a supervisor sends.
_LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def check_command(argv: Sequence[str], watch: float) -> Report:
    """
    Run a command on a terminal and on a pipe. If output seems to be held back, run it
    with all cures at once, and then with each up to the first that works. Only one runs
    at a time.

    @param watch: the most seconds for each run.
    @raise CannotRun: if there is no such program.
    @raise NothingSeen: if it wrote nothing.
    @raise SystemExit: if a signal asked us to leave.
    """
    if shutil.which(argv[0]) is None:
        raise CannotRun(f"{argv[0]}: there is no such program, or it is not executable")
    with _signals() as leave:

        def run(setup: Setup) -> Trial:
            return run_trial(argv, setup, watch, leave)

        terminal, pipe = run(PTY), run(PIPE)
        cures = _try_cures(argv, pipe, terminal, run)
    if not any(trial.arrivals for trial in (pipe, terminal, *cures)):
        raise NothingSeen(_silence(argv[0], pipe))
    unbuffering = [name for each in CURES for name in each.env if os.environ.get(name)]
    return diagnose(argv, pipe, terminal, cures, unbuffering)


def _try_cures(
    argv: Sequence[str], pipe: Trial, terminal: Trial, run: Callable[[Setup], Trial]
) -> list[Trial]:
    """
    All cures at once, as a shellstream gives them by default; then, if these help, each
    by itself up to the first that does.
    """
    if not seems_held(pipe, terminal):
        return []
    at_hand = [s for s in CURES if not s.prefix or shutil.which(s.prefix[0])]
    tried = [run(together(at_hand))]
    if not helps(tried[0], pipe, terminal):
        return [*tried, run(PYTHON_OPTION)] if ignores_environment(argv) else tried
    for setup in at_hand:
        tried.append(run(setup))
        if helps(tried[-1], pipe, terminal):
            break
    return tried


def _silence(program: str, trial: Trial) -> str:
    """Why nothing was seen, and what to do."""
    if trial.code is None:
        return (
            f"{program} wrote nothing to standard output in "
            f"{trial.ended - trial.began:.0f} seconds, so nothing can be found out; "
            "watch it for longer (--seconds)"
        )
    return (
        f"{program} ended after {duration(trial.ended - trial.began)} (exit code: "
        f"{trial.code}) and wrote nothing to standard output, so nothing can be found "
        "out; run it by itself, to see what it says"
    )


@contextmanager
def _signals() -> Iterator[int]:
    """
    Turn signals into bytes that can be read from a descriptor.

    Handlers that raise would lose a child if the signal came while it was started.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)  # as set_wakeup_fd() wants it
    before = {
        number: signal.signal(number, lambda number, frame: None)
        for number in _LEAVING
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup(1)
    }
    wakeup = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    try:
        yield readable
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)


def run_trial(argv: Sequence[str], setup: Setup, watch: float, leave: int) -> Trial:
    """
    Run a command for at most C{watch} seconds, read its standard output, and end it
    with all its processes.

    @param leave: the descriptor that brings a signal's number if we are to leave.
    @raise CannotRun: if it cannot be started.
    """
    output, writable = pty.openpty() if setup.pty else os.pipe()
    try:
        try:
            if setup.pty:
                tty.setraw(writable)  # or it would make \\r\\n of \\n
            began = time.monotonic()
            process = subprocess.Popen(  # noqa: S603
                setup.argv(argv),
                stdin=subprocess.DEVNULL,
                stdout=writable,
                stderr=subprocess.DEVNULL,
                env=_environment(setup),
                start_new_session=True,
            )
        except OSError as error:
            raise CannotRun(f"{argv[0]}: {error.strerror}") from None
        finally:
            os.close(writable)
        try:
            watched = ProcessWatch(process.pid)
            arrivals, at_end = _read(output, began + watch, leave, watched)
            ended = time.monotonic()
            code = _exit_code(process.pid, leave) if at_end else None
        finally:
            _end(process, leave)
    finally:
        os.close(output)
    return Trial(setup, began, tuple(arrivals), ended, code, watched.stages())


def _environment(setup: Setup) -> dict[str, str]:
    environment = {**os.environ, **setup.env}
    ours = os.environ.get("PERL5OPT")
    if ours and "PERL5OPT" in setup.env:  # a list of options (perlrun(1))
        environment["PERL5OPT"] = f"{ours} {setup.env['PERL5OPT']}"
    return environment


def _wait(descriptors: Sequence[int], seconds: float, leave: int) -> bool:
    """
    Wait until one of these can be read, for at most so many seconds.

    @return: whether one can.
    @raise SystemExit: if a signal asks us to leave.
    """
    ready, _, _ = select([*descriptors, leave], [], [], max(0.0, seconds))
    if leave in ready:
        for number in os.read(leave, 64):
            if number in _LEAVING:
                sys.exit(128 + number)
    return any(each in ready for each in descriptors)


def _read(
    output: int, deadline: float, leave: int, watched: ProcessWatch
) -> tuple[list[Arrival], bool]:
    """
    Read output up to its end, the deadline or the bounds.

    @param watched: looks at the processes meanwhile.
    @return: the output, and whether it has ended.
    """
    arrivals: list[Arrival] = []
    size = 0
    look = 0.0
    while size < MAX_BYTES and len(arrivals) < MAX_ARRIVALS:
        now = time.monotonic()
        if now >= deadline:
            break
        if now >= look:
            watched.look()
            look = time.monotonic() + _WATCH
        if not _wait([output], min(deadline, look) - now, leave):
            continue
        try:
            data = os.read(output, 1 << 16)
        except OSError:  # EIO: nobody has the terminal open any more (Linux, pty(7))
            data = b""
        if not data:
            return arrivals, True
        size += len(data)
        arrivals.append(Arrival(time.monotonic(), data))
    return arrivals, False


def _exit_code(pid: int, leave: int) -> int | None:
    """The exit code of a command that exits soon; it is not reaped: see L{_end}."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            exited = found.si_code == os.CLD_EXITED
            return found.si_status if exited else -found.si_status
        _wait([], _LOOK, leave)
    return None


def _end(process: "subprocess.Popen[bytes]", leave: int) -> None:
    """
    End all processes of a trial: TERM, then KILL.

    Until the first of them is reaped, no other process group can get the group's id.
    """
    os.killpg(process.pid, signal.SIGTERM)
    try:
        _exit_code(process.pid, leave)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
