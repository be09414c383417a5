"""What the end-to-end tests ask of the machine, and of a daemon's log."""

import os
import re
from collections.abc import Container
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon, Program, readable, run, script, start_daemon


async def processes_gone(runs: Container[str]) -> None:
    """Wait until no process of these runs is left (proc(5), pidfd_open(2))."""
    while found := [pid for pid in map(int, _processes()) if _run_of(pid) in runs]:
        for pid in found:
            try:
                fd = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            await readable(fd)
            os.close(fd)


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal()]


def _run_of(pid: int) -> str:
    """The run that a process belongs to, if it lives."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return ""
    mark = re.search(rb"(?:^|\0)SHELLSTREAM_RUN=([^\0]+)", environ)
    return mark[1].decode() if mark else ""


def refusal(program: Program) -> str:
    """The one line with which a daemon said why it does not start."""
    said = (program.out + program.err).decode()
    assert "Traceback" not in said, said
    (line,) = re.findall("shellstream: (.*)", said)
    assert said.rstrip().endswith(line), said
    return str(line)


class StateTestCase(TestCase):
    """Daemons on one state folder, one after the other."""

    timeout = 60

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()

    async def start(self, config: str | None = None) -> Daemon:
        """A daemon that keeps its runs in the folder."""
        return await start_daemon(self, config, "--state-dir", str(self.state))

    def twistd(self) -> Program:
        """The same, as a program that may not come to listen."""
        options = ("--port", "0", "--state-dir", str(self.state))
        return run(self, script("twistd"), "-n", "shellstream", *options)

    async def stop(self, daemon: Daemon, signal: str = "INT") -> int:
        """Have it end; fires with its exit status."""
        daemon.program.signal(signal)
        return await daemon.program.ended()
