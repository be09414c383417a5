"""
Tests for L{shellstream.process.tracking.run_processes}: commands that spread, and end.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from shellstream.config.command import Command
from shellstream.model.events import Stream
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.process_table import ProcessTable, process_info
from shellstream.process.tracking.run_processes import RunProcesses
from tests.support.orphans import LEAVING, STUBBORN, Started
from tests.support.processes import Told, start, turn
from tests.support.programs import needs

#: In another group of the session: as timeout(1) does, and a shell with job control.
SPREAD = {
    "timeout": "timeout 99 sh -c 'echo $$; exec sleep 99'; sleep 99",
    "bash": "exec bash -c 'set -m; sh -c \"echo \\$\\$; exec sleep 99\" & wait'",
}

#: In a session of its own, with its pipes closed, as daemons have.
STRAY = "setsid sh -c 'echo $$; exec sleep 99 >&- 2>&-' & sleep 99"


#: Ends its first thread; another goes on.
THREADS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(99,)).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def lives(pid: int) -> bool:
    """Whether a process is more than a zombie."""
    process = process_info(pid)
    return process is not None and process.alive


def kill(pid: int) -> None:
    """End a process, if it is there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class SessionTests(TestCase):
    """The session is the unit of ending, on pipes as on terminals."""

    timeout = 60

    async def started(self, script: str) -> tuple[ChildProcess, Told, int]:
        """A script, and the process that it told of."""
        told_of = f"{uuid4()}"
        child, told = start(self, Command(name="c", shell=script), run_id=told_of)
        while b"\n" not in told.output_.get(Stream.STDOUT, b""):
            await turn()
        return child, told, int(told.output_[Stream.STDOUT].split()[0])

    async def gone(self, child: ChildProcess) -> None:
        while child.session_lives():
            await turn()

    async def test_groups(self) -> None:
        """A signal reaches every group of the session."""
        for tool, script in SPREAD.items():
            if needs(tool):
                continue
            child, told, other = await self.started(script)
            self.assertNotEqual(os.getpgid(other), child.pid)
            self.assertTrue(child.session_lives())
            child.signal(signal.SIGTERM)
            await told.ended
            await self.gone(child)
            self.assertFalse(lives(other))

    async def test_leader_gone(self) -> None:
        """The same when the leader has ended and is reaped."""
        script = "timeout 99 sh -c 'echo $$; exec sleep 99 >&- 2>&-' & exit"
        with patch.object(ChildProtocol, "LINGER", 0.1):
            child, told, other = await self.started(script)
            await told.ended
        self.assertTrue(child.session_lives())
        child.signal(signal.SIGTERM)
        await self.gone(child)
        self.assertFalse(lives(other))

    async def test_strays(self) -> None:
        """What left the session is ended only where that is asked for."""
        child, told, other = await self.started(STRAY)
        self.addCleanup(kill, other)
        self.assertNotEqual(os.getsid(other), child.pid)
        child.signal(signal.SIGTERM)
        await told.ended
        await self.gone(child)
        self.assertTrue(lives(other))
        # It is found by the run's id, which other runs do not have.
        _, told, another = await self.started(STRAY)
        child.signal(signal.SIGTERM, strays=True)
        while lives(other):
            await turn()
        self.assertTrue(lives(another))
        kill(another)

    test_strays.skip = needs("setsid")

    async def test_strays_live(self) -> None:
        """A run that is cancelled lasts until its strays are gone."""
        child, told, other = await self.started(STRAY.replace("exec", "trap '' TERM;"))
        child.signal(signal.SIGTERM, strays=True)
        await told.ended
        await turn()
        self.assertTrue(child.session_lives())
        child.signal(signal.SIGKILL)
        await self.gone(child)
        self.assertFalse(lives(other))

    test_strays_live.skip = needs("setsid")

    async def test_many_strays(self) -> None:
        """Thousands of processes are signalled in several turns."""
        child, told, other = await self.started(STRAY)
        self.addCleanup(kill, other)
        fill = ProcessTable.fill

        def crowded(table: ProcessTable, marks: bool) -> Iterator[None]:
            yield from fill(table, marks)
            for pids in table.marked.values():
                pids[:0] = [1 << 22] * 5000

        self.patch(ProcessTable, "fill", crowded)
        child.signal(signal.SIGKILL, strays=True)
        self.assertTrue(lives(other))
        await told.ended
        await self.gone(child)
        self.assertFalse(lives(other))

    test_many_strays.skip = needs("setsid")


def member(session: int) -> int | None:
    """Return a living process of a session."""
    scanner = ProcessScanner(Clock(), lambda: 0.0)
    processes = RunProcesses("none", session, scanner)
    processes.leader_reaped = True
    return processes.known_pid if processes.live() else None


class LiveTests(SynchronousTestCase):
    """L{RunProcesses.live} finds a process of a session, if one lives."""

    def test_leader(self) -> None:
        """A living leader is one."""
        started = Started(self, STUBBORN)
        self.assertEqual(member(started.pid), started.pid)

    def test_member(self) -> None:
        """So is what the leader left behind."""
        started = Started(self, LEAVING)
        started.wait()
        self.assertEqual(member(started.pid), int(started.said))

    def test_none(self) -> None:
        """An empty session has none."""
        started = Started(self, "echo")
        started.wait()
        self.assertIsNone(member(started.pid))

    def test_zombie(self) -> None:
        """Neither has one of unreaped zombies."""
        started = Started(self, "echo; exec sleep 99")
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(member(started.pid))

    def test_first_thread_ended(self) -> None:
        """A process without its first thread looks like a zombie, but is alive."""
        started = Started(self, f"exec '{sys.executable}' -c '{THREADS}'")
        stat = Path(f"/proc/{started.pid}/stat")
        while b") Z " not in stat.read_bytes():
            os.sched_yield()
        self.assertEqual(member(started.pid), started.pid)
