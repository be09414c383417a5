"""Tests for L{shellstream.process.tracking.orphans}, with real processes."""

import os
import signal
from unittest.mock import patch

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.run_record import RunRecord
from shellstream.process.tracking.orphans import (
    POLL_INTERVAL,
    SLOW_INTERVAL,
    end_orphans,
    find_orphans,
)
from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.process_table import ProcessTable, process_start
from shellstream.process.tracking.run_processes import RunProcesses
from tests.support.orphans import JOBS, LEAVING, RUN, STUBBORN, Started
from tests.support.programs import needs

#: Leaves a process in a session of its own, and stays.
APART = "setsid sh -c 'echo $$; exec sleep 99' & wait"


class OrphanTestCase(SynchronousTestCase):
    """Processes that were left, and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    def find(self, *records: RunRecord) -> list[RunProcesses]:
        """Return what is left of runs."""
        table = ProcessTable()
        self.assertEqual({*table.fill(marks=True)}, {None})
        found = find_orphans(records, table, ProcessScanner(self.clock, lambda: 0.0))
        return [each for processes in found.values() for each in processes]

    def found(self, *records: RunRecord) -> set[int]:
        """Return the leaders of sessions that are left of runs."""
        return {each.leader for each in self.find(*records)}


class FindTests(OrphanTestCase):
    """L{find_orphans} finds the sessions that are a run's, and no others."""

    def test_leader(self) -> None:
        """A leader is known by its id and its start, however it changed its mark."""
        started = Started(self, STUBBORN, env={})
        self.assertEqual(self.found(started.record), {started.pid})

    def test_stranger(self) -> None:
        """A process with the same id and another start time is a stranger."""
        started = Started(self, STUBBORN, env={})
        for start in (0, None):
            record = evolve(started.record, pid_start=start)
            self.assertEqual(self.found(record), set())

    def test_zombie(self) -> None:
        """An ended process is not left over, even if it is not reaped."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(self.found(record), set())

    def test_no_session(self) -> None:
        """A process that leads no session was not started as a run."""
        started = Started(self, "echo; exec sleep 99", own_session=False)
        self.assertEqual(self.found(started.record), set())

    def test_members(self) -> None:
        """A session whose leader has ended is known by the mark of its members."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        self.assertEqual(self.found(record), {started.pid})
        self.assertEqual(self.found(evolve(record, id="another")), set())

    def test_never_recorded(self) -> None:
        """The same for a process whose daemon had no time to record its id."""
        started = Started(self, STUBBORN)
        self.assertEqual(self.found(RUN), {started.pid})
        self.assertEqual(self.found(), set())

    def test_session_of_its_own(self) -> None:
        """A process in a session of its own is left alone."""
        started = Started(self, APART)
        self.addCleanup(os.kill, int(started.said), signal.SIGKILL)
        self.assertEqual(self.found(started.record), {started.pid})

    test_session_of_its_own.skip = needs("setsid")

    def test_ourselves(self) -> None:
        """The daemon's own session, and that of the kernel, are never found."""
        ours = os.getpgrp()
        records = [
            evolve(RUN, id=str(pid), pid=pid, pid_start=process_start(pid))
            for pid in (0, 1, ours)
        ]
        self.assertEqual(self.found(*records), set())


class EndTests(OrphanTestCase):
    """L{end_orphans} ends what is left of a run."""

    def end(self, record: RunRecord, grace: float = 5) -> Deferred[None]:
        (processes,) = self.find(record)
        return Deferred.fromCoroutine(end_orphans(processes, self.clock, grace))

    def wait(self, ended: Deferred[None], interval: float = POLL_INTERVAL) -> None:
        """Let time pass until it has ended."""
        while not ended.called:
            self.clock.advance(interval)
        self.successResultOf(ended)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_term(self) -> None:
        """A run gets time to end after TERM, even if it was stopped."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGSTOP)
        ended = self.end(record)
        self.assertEqual(started.wait(), -signal.SIGTERM)
        self.wait(ended)

    def test_kill(self) -> None:
        """An orphan that ignores TERM is killed after the grace time."""
        started = Started(self, STUBBORN)
        ended = self.end(started.record)
        self.clock.pump([POLL_INTERVAL] * 99)
        self.assertNoResult(ended)
        self.assertIsNotNone(process_start(started.pid))
        self.clock.pump([POLL_INTERVAL] * 2)
        self.assertEqual(started.wait(), -signal.SIGKILL)
        self.wait(ended)

    def test_members(self) -> None:
        """Processes whose leader has ended are ended as well."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        ended = self.end(record, 0)
        self.assertEqual(started.rest(), "")
        self.wait(ended)

    def test_groups(self) -> None:
        """All groups of the session are ended."""
        started = Started(self, JOBS)
        ended = self.end(started.record)
        self.assertEqual(started.rest(), "")
        self.wait(ended)

    test_groups.skip = needs("bash")

    def test_stranger(self) -> None:
        """A process id that now belongs to a stranger is left alone."""
        started = Started(self, STUBBORN)
        (processes,) = self.find(started.record)
        assert processes.start is not None
        processes._start = processes.start - 1
        ending = end_orphans(processes, self.clock, 0)
        self.wait(Deferred.fromCoroutine(ending))
        self.assertIsNotNone(process_start(started.pid))

    def test_zombies(self) -> None:
        """Orphans that stay zombies are not waited for."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        ended = self.end(record)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.wait(ended)

    def test_another_users(self) -> None:
        """
        A process that we may not end counts until it is gone, is looked at rarely after
        a while, and is told of once.
        """
        started = Started(self, STUBBORN)
        refused = patch("os.killpg", side_effect=PermissionError)
        with refused, capturedLogs() as logged:
            ended = self.end(started.record, 0)
            self.clock.pump([POLL_INTERVAL] * 21 + [SLOW_INTERVAL] * 3)
        self.assertNoResult(ended)
        refusal, left = map(formatEvent, logged)
        self.assertIn(f"{started.pid} is another user's", refusal)
        self.assertIn(f"process {started.pid} of the last daemon is left", left)
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        self.wait(ended, SLOW_INTERVAL)
