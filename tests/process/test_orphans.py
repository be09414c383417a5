"""Tests for L{shellstream.process.orphans}, with real processes."""

import os
import signal
from typing import Any
from unittest.mock import patch

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.run_input import Tty
from shellstream.process import orphans
from shellstream.process.orphans import POLL_INTERVAL, end_orphans, find_orphans
from shellstream.process.process_table import process_start
from tests.support.orphans import JOBS, LEAVING, RUN, STUBBORN, Started
from tests.support.programs import needs

#: Leaves a process in a session of its own, and stays.
APART = "setsid sh -c 'echo $$; exec sleep 99' & wait"


class FindTests(SynchronousTestCase):
    """L{find} finds the process groups that are a run's, and no others."""

    def test_leader(self) -> None:
        """A leader is known by its id and its start, however it changed its mark."""
        started = Started(self, STUBBORN, env={})
        self.assertEqual(find_orphans([started.record]), {RUN.id: {started.pid}})

    def test_stranger(self) -> None:
        """A process with the same id and another start time is a stranger."""
        started = Started(self, STUBBORN, env={})
        for start in (0, None):
            record = evolve(started.record, pid_start=start)
            self.assertEqual(find_orphans([record]), {})

    def test_zombie(self) -> None:
        """An ended process is not left over, even if it is not reaped."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(find_orphans([record]), {})

    def test_no_session(self) -> None:
        """A process that leads no session was not started as a run."""
        started = Started(self, "echo; exec sleep 99", own_session=False)
        self.assertEqual(find_orphans([started.record]), {})

    def test_members(self) -> None:
        """A group whose leader has ended is known by the mark of its members."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        self.assertEqual(find_orphans([record]), {RUN.id: {started.pid}})
        self.assertEqual(find_orphans([evolve(record, id="another")]), {})

    def test_never_recorded(self) -> None:
        """The same for a process whose daemon had no time to record its id."""
        started = Started(self, STUBBORN)
        self.assertEqual(find_orphans([RUN]), {RUN.id: {started.pid}})
        self.assertEqual(find_orphans([]), {})

    def test_session_of_its_own(self) -> None:
        """A process in a session of its own does not belong to the run's group."""
        started = Started(self, APART)
        self.addCleanup(os.kill, int(started.said), signal.SIGKILL)
        self.assertEqual(find_orphans([started.record]), {RUN.id: {started.pid}})

    test_session_of_its_own.skip = needs("setsid")

    def test_terminal(self) -> None:
        """
        On a terminal a shell's jobs, in groups of their own, belong to the run too.
        """
        started = Started(self, JOBS)
        self.addCleanup(os.killpg, int(started.said), signal.SIGKILL)
        record = started.record
        self.assertEqual(find_orphans([record]), {RUN.id: {started.pid}})
        record = evolve(record, tty=Tty())
        both = {started.pid, int(started.said)}
        self.assertEqual(find_orphans([record]), {RUN.id: both})
        self.assertEqual(find_orphans([evolve(record, pid=None)]), {RUN.id: both})

    test_terminal.skip = needs("bash")

    def test_ourselves(self) -> None:
        """The daemon's own group, and that of all processes, are never found."""
        ours = os.getpgrp()
        started = Started(self, STUBBORN)
        with patch("os.getpgrp", return_value=started.pid):
            self.assertEqual(find_orphans([started.record]), {})
        records = [
            evolve(RUN, id=str(pid), pid=pid, pid_start=process_start(pid))
            for pid in (0, 1, ours)
        ]
        self.assertEqual(find_orphans(records), {})


class EndTests(SynchronousTestCase):
    """L{end_orphans} ends orphaned processes of runs."""

    def setUp(self) -> None:
        self.clock = Clock()

    def end(self, *given: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(end_orphans(*given))

    def test_nothing(self) -> None:
        """Without orphans, ending them is done at once."""
        self.successResultOf(self.end([], self.clock, 5))
        self.successResultOf(self.end([RUN], self.clock, 5))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_term(self) -> None:
        """A run gets time to end after TERM, even if it was stopped."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGSTOP)
        ended = self.end([record], self.clock, 5)
        self.assertEqual(started.wait(), -signal.SIGTERM)
        if not ended.called:  # it was looked for before it heeded
            self.clock.advance(POLL_INTERVAL)
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kill(self) -> None:
        """An orphan that ignores TERM is killed with its group after the grace time."""
        started = Started(self, STUBBORN)
        ended = self.end([started.record], self.clock, 5)
        self.clock.pump([POLL_INTERVAL] * 99)
        self.assertNoResult(ended)
        self.assertIsNotNone(process_start(started.pid))
        self.clock.pump([POLL_INTERVAL] * 2)
        self.successResultOf(ended)
        self.assertEqual(started.wait(), -signal.SIGKILL)

    def test_members(self) -> None:
        """Processes whose leader has ended are ended as well."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        ended = self.end([record], self.clock, 0)
        self.successResultOf(ended)
        self.assertEqual(started.rest(), "")

    def test_stranger(self) -> None:
        """A process id that now belongs to a stranger is left alone."""
        started = Started(self, STUBBORN)
        with patch.object(
            orphans, "find_orphans", side_effect=[{RUN.id: {started.pid}}, {}]
        ):
            self.successResultOf(self.end([RUN], self.clock, 0))
        self.assertIsNotNone(process_start(started.pid))

    def test_zombies(self) -> None:
        """Orphans that stay zombies are not waited for."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        ended = self.end([record], self.clock, 5)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.clock.advance(POLL_INTERVAL)
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_another_users(self) -> None:
        """
        A process that now belongs to another user is neither ended nor waited for.
        """
        started = Started(self, STUBBORN)
        with patch("os.killpg", side_effect=PermissionError):
            self.successResultOf(self.end([started.record], self.clock, 5))
        self.assertIsNotNone(process_start(started.pid))
