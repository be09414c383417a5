"""Tests for L{shellstream.process.orphans}, with real processes."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from unittest.mock import patch
from uuid import uuid4

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import OnDisconnect, State
from shellstream.model.run_input import Tty
from shellstream.model.run_record import RunRecord
from shellstream.process import orphans
from shellstream.process.environment import RUN as MARK
from shellstream.process.orphans import LOOK, end, find
from shellstream.process.process_table import process_start
from tests.support import needs

LINUX = None if sys.platform == "linux" else "there is no /proc"

RUN = RunRecord(
    id=str(uuid4()),  # others may run these tests, too
    command="build",
    params={},
    created=1,
    on_disconnect=OnDisconnect.KEEP,
    state=State.RUNNING,
)
MARKED = {MARK: RUN.id}

#: Ends only when it is killed, and says when it has come that far.
STUBBORN = "trap '' TERM; echo; while :; do sleep 9; done"
#: Leaves a process in its group, of which it tells the id, and ends.
LEAVING = "sleep 99 & echo $!"
#: Leaves a process in a group of its own, and stays.
JOBS = "exec bash -c 'set -m; sleep 99 & echo $!; wait' 2> /dev/null"
#: Leaves a process in a session of its own, and stays.
APART = "setsid sh -c 'echo $$; exec sleep 99' & wait"


class Started:
    """A process that a daemon might have left."""

    def __init__(
        self,
        test: SynchronousTestCase,
        script: str,
        env: Mapping[str, str] = MARKED,
        own_session: bool = True,
    ) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            start_new_session=own_session,
        )
        self._own = own_session
        test.addCleanup(self._end)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        #: What it said first: it has come that far.
        self.said = self._process.stdout.readline().decode().strip()

    @property
    def record(self) -> RunRecord:
        """Its run, as it was when it began."""
        return evolve(RUN, pid=self.pid, pid_start=process_start(self.pid))

    def wait(self) -> int:
        """How it ended; a process that has is there until somebody asks."""
        return self._process.wait(10)

    def rest(self) -> str:
        """What else was said, once nobody is left who could say more."""
        assert self._process.stdout is not None
        return self._process.stdout.read().decode()

    def _end(self) -> None:
        # What it said is the id of another process that it began, if anything.
        for pid in (self.pid, *map(int, self.said.split())):
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if self._own and pid == self.pid else os.kill)(
                    pid, signal.SIGKILL
                )
        self.wait()
        self.rest()  # or the next test might still see one
        assert self._process.stdout is not None
        self._process.stdout.close()


class FindTests(SynchronousTestCase):
    """L{find} finds the process groups that are a run's, and no others."""

    def test_leader(self) -> None:
        """A leader is known by its id and its start, however it changed its mark."""
        started = Started(self, STUBBORN, env={})
        self.assertEqual(find([started.record]), {RUN.id: {started.pid}})

    def test_stranger(self) -> None:
        """One with the same id that began at another time is a stranger."""
        started = Started(self, STUBBORN, env={})
        for start in (0, None):
            record = evolve(started.record, pid_start=start)
            self.assertEqual(find([record]), {})

    def test_zombie(self) -> None:
        """What has ended is not left over, even if nobody has asked how it did."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(find([record]), {})

    def test_no_session(self) -> None:
        """What leads no session was not started as a run."""
        started = Started(self, "echo; exec sleep 99", own_session=False)
        self.assertEqual(find([started.record]), {})

    def test_members(self) -> None:
        """A group whose leader has ended is known by the mark of its members."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        self.assertEqual(find([record]), {RUN.id: {started.pid}})
        self.assertEqual(find([evolve(record, id="another")]), {})

    test_members.skip = LINUX

    def test_never_recorded(self) -> None:
        """So is one whose daemon had no time to write down its id."""
        started = Started(self, STUBBORN)
        self.assertEqual(find([RUN]), {RUN.id: {started.pid}})
        self.assertEqual(find([]), {})

    test_never_recorded.skip = LINUX

    def test_session_of_its_own(self) -> None:
        """What a run has put into a session of its own is not its group."""
        started = Started(self, APART)
        self.addCleanup(os.kill, int(started.said), signal.SIGKILL)
        self.assertEqual(find([started.record]), {RUN.id: {started.pid}})

    test_session_of_its_own.skip = LINUX or needs("setsid")

    def test_terminal(self) -> None:
        """On a terminal a shell's jobs, in groups of their own, are the run's, too."""
        started = Started(self, JOBS)
        self.addCleanup(os.killpg, int(started.said), signal.SIGKILL)
        record = started.record
        self.assertEqual(find([record]), {RUN.id: {started.pid}})
        record = evolve(record, tty=Tty())
        both = {started.pid, int(started.said)}
        self.assertEqual(find([record]), {RUN.id: both})
        self.assertEqual(find([evolve(record, pid=None)]), {RUN.id: both})

    test_terminal.skip = LINUX or needs("bash")

    def test_ourselves(self) -> None:
        """Neither our own group nor that of all processes is ever found."""
        ours = os.getpgrp()
        started = Started(self, STUBBORN)
        with patch("os.getpgrp", return_value=started.pid):
            self.assertEqual(find([started.record]), {})
        records = [
            evolve(RUN, id=str(pid), pid=pid, pid_start=process_start(pid))
            for pid in (0, 1, ours)
        ]
        self.assertEqual(find(records), {})


class EndTests(SynchronousTestCase):
    """L{end} ends what is left of runs."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_nothing(self) -> None:
        """Where nothing is left it is done at once."""
        self.successResultOf(end([], self.clock, 5))
        self.successResultOf(end([RUN], self.clock, 5))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_term(self) -> None:
        """A run that heeds TERM is given time to, even if it was stopped."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        os.kill(started.pid, signal.SIGSTOP)
        ended = end([record], self.clock, 5)
        self.assertEqual(started.wait(), -signal.SIGTERM)
        if not ended.called:  # it was looked for before it heeded
            self.clock.advance(LOOK)
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_kill(self) -> None:
        """One that does not is killed after the time of grace, with its group."""
        started = Started(self, STUBBORN)
        ended = end([started.record], self.clock, 5)
        self.clock.pump([LOOK] * 99)
        self.assertNoResult(ended)
        self.assertIsNotNone(process_start(started.pid))
        self.clock.pump([LOOK] * 2)
        self.successResultOf(ended)
        self.assertEqual(started.wait(), -signal.SIGKILL)

    def test_members(self) -> None:
        """Processes whose leader has ended are ended as well."""
        started = Started(self, LEAVING)
        record = started.record
        started.wait()
        ended = end([record], self.clock, 0)
        self.successResultOf(ended)
        self.assertEqual(started.rest(), "")

    test_members.skip = LINUX

    def test_stranger(self) -> None:
        """A number that was given to a stranger meanwhile is left alone."""
        started = Started(self, STUBBORN)
        with patch.object(orphans, "find", side_effect=[{RUN.id: {started.pid}}, {}]):
            self.successResultOf(end([RUN], self.clock, 0))
        self.assertIsNotNone(process_start(started.pid))

    def test_zombies(self) -> None:
        """Where nobody looks after orphans, they are waited for no longer than live."""
        started = Started(self, "echo; exec sleep 99")
        record = started.record
        ended = end([record], self.clock, 5)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.clock.advance(LOOK)
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    test_zombies.skip = LINUX

    def test_another_users(self) -> None:
        """One that runs as another user by now cannot be ended, nor be waited for."""
        started = Started(self, STUBBORN)
        with patch("os.killpg", side_effect=PermissionError):
            self.successResultOf(end([started.record], self.clock, 5))
        self.assertIsNotNone(process_start(started.pid))
