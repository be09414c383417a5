"""Daemons that share a state directory, and the machine's view of their runs."""

import os
import re
from collections.abc import Container
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.support.programs import Daemon, Program, readable, run, script, start_daemon


async def processes_gone(runs: Container[str | None]) -> None:
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
    """The id of the run that a process belongs to; empty if it has ended."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return ""
    mark = re.search(rb"(?:^|\0)SHELLSTREAM_RUN=([^\0]+)", environ)
    return mark[1].decode() if mark else ""


def refusal(program: Program) -> str:
    """Return the line by which a daemon says why it does not start."""
    said = (program.out + program.err).decode()
    assert "Traceback" not in said, said
    (line,) = re.findall("shellstream: (.*)", said)
    assert said.rstrip().endswith(line), said
    return str(line)


class StateTestCase(TestCase):
    """Daemons on one state directory, one after the other."""

    timeout = 180  # two starts of a daemon took 30 s on a machine with much to do

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()

    async def start(self, config: str | None = None) -> Daemon:
        """Start a daemon that keeps its runs there."""
        return await start_daemon(self, config, "--state-dir", str(self.state))

    def twistd(self) -> Program:
        """Start one that may fail to start."""
        options = ("--port", "0", "--state-dir", str(self.state))
        return run(self, script("twistd"), "-n", "shellstream", *options)

    async def stop(self, daemon: Daemon, signal: str = "INT") -> int:
        """End a daemon; returns its exit status."""
        daemon.program.signal(signal)
        return await daemon.program.ended()
