"""Running a command to see how its output comes; its processes are ended after."""

import asyncio
import os
import pty
import shutil
import signal
import subprocess
import tty
from collections.abc import Callable, Sequence

from .command_diagnosis import (
    CURES,
    PIPE,
    PTY,
    Cure,
    Trial,
    cured,
    diagnose,
    holds_back,
    silent,
)
from .errors import CannotRun, NothingSeen
from .exchange import Piece
from .findings import Report

#: The most that is read of a command, in bytes and in pieces.
MAX_BYTES, MAX_PIECES = 1 << 22, 4096

#: Seconds that a command has to end by itself once its output has ended, and then
#: after TERM.
GRACE = 1.0

#: Seconds between two looks.
_LOOK = 0.02


async def examine_command(argv: Sequence[str], watch: float) -> Report:
    """
    Run a command: on a pipe, on a terminal, and as each cure would, up to the first
    that works. One run at a time, and each for at most C{watch} seconds.

    @raise CannotRun: if there is no such program.
    @raise NothingSeen: if it wrote nothing.
    """
    if shutil.which(argv[0]) is None:
        raise CannotRun(f"{argv[0]}: there is no such program, or it is not executable")
    terminal = await run(argv, PTY, watch)
    pipe = await run(argv, PIPE, watch)
    if silent(pipe, terminal):
        raise NothingSeen(
            f"{argv[0]} wrote nothing to standard output in {watch:g} seconds (exit "
            f"code: {pipe.code}), so nothing can be said of it; watch it for longer "
            "(--seconds)"
        )
    tried: list[Trial] = []
    if holds_back(pipe, terminal):
        for cure in CURES:
            if not cure.prefix or shutil.which(cure.prefix[0]):
                tried.append(await run(argv, cure, watch))
                if cured(tried[-1], terminal):
                    break
    helped = [name for cure in CURES for name in cure.env if os.environ.get(name)]
    return diagnose(argv, pipe, terminal, tried, helped)


async def run(argv: Sequence[str], cure: Cure, watch: float) -> Trial:
    """
    Run a command, and watch its standard output.

    @raise CannotRun: if it does not start.
    """
    loop = asyncio.get_running_loop()
    reading, writing = pty.openpty() if cure.pty else os.pipe()
    try:
        if cure.pty:
            tty.setraw(writing)  # it does not make \\r\\n of \\n
        os.set_blocking(reading, False)
        began = loop.time()
        try:
            process = subprocess.Popen(  # noqa: S603
                [*cure.prefix, *argv],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.DEVNULL,
                env=_environment(cure),
                start_new_session=True,
            )
        except OSError as error:
            raise CannotRun(f"{argv[0]}: {error.strerror}") from None
        finally:
            os.close(writing)
        try:
            pieces, over = await _read(reading, watch, loop.time)
            ended = loop.time()
            code = await _code(process.pid) if over else None
        finally:
            await _end(process)
    finally:
        os.close(reading)
    return Trial(cure, began, tuple(pieces), ended, code)


def _environment(cure: Cure) -> dict[str, str]:
    ours = dict(os.environ)
    for name, value in cure.env.items():
        given = ours.get(name)
        ours[name] = f"{given} {value}" if given and name == "PERL5OPT" else value
    return ours


async def _read(
    fd: int, watch: float, now: Callable[[], float]
) -> tuple[list[Piece], bool]:
    """
    What comes until the output ends, the time is over or it is enough; and whether
    the output has ended.
    """
    loop = asyncio.get_running_loop()
    pieces: list[Piece] = []
    over: asyncio.Future[bool] = loop.create_future()
    size = 0

    def read() -> None:
        nonlocal size
        try:
            data = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:  # a terminal's way to say that nobody has it open any more
            data = b""
        size += len(data)
        if data:
            pieces.append(Piece(now(), data))
        if not data or size >= MAX_BYTES or len(pieces) >= MAX_PIECES:
            loop.remove_reader(fd)
            over.set_result(not data)

    loop.add_reader(fd, read)
    try:
        async with asyncio.timeout(watch):
            return pieces, await over
    except TimeoutError:
        return pieces, False
    finally:
        loop.remove_reader(fd)


async def _code(pid: int) -> int | None:
    """Its exit code, if it exits soon. It is left to be reaped: see L{_end}."""
    for _ in range(int(GRACE / _LOOK)):
        found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            exited = found.si_code == os.CLD_EXITED
            return found.si_status if exited else -found.si_status
        await asyncio.sleep(_LOOK)
    return None


async def _end(process: "subprocess.Popen[bytes]") -> None:
    """
    End all its processes: TERM, then KILL.

    As long as the first of them is not reaped the id of their group is nobody else's.
    """
    os.killpg(process.pid, signal.SIGTERM)
    try:
        await _code(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
