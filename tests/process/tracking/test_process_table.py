"""Tests for L{shellstream.process.tracking.process_table}, with real processes."""

import errno
import os
import signal
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.tracking.process_table import (
    Member,
    ProcessTable,
    group_in,
    process_start,
    run_of,
    signal_group,
)
from tests.support.orphans import JOBS, RUN, STUBBORN, Started
from tests.support.programs import needs, no_descriptor


def began(pid: int) -> int:
    """Return the start time of an existing process."""
    found = process_start(pid)
    assert found is not None, pid
    return found


def table(marks: bool = False) -> ProcessTable:
    """Return all processes."""
    made = ProcessTable()
    for _ in made.fill(marks):
        pass
    return made


class ProcessStartTests(SynchronousTestCase):
    """L{process_start} tells processes apart that had the same id."""

    def test_same(self) -> None:
        """A process began when it began."""
        self.assertEqual(began(os.getpid()), began(os.getpid()))
        self.assertGreater(began(os.getpid()), began(1))

    def test_none(self) -> None:
        """A process that does not exist has no start time."""
        started = Started(self, "echo")
        started.wait()
        self.assertIsNone(process_start(started.pid))

    def test_odd_name(self) -> None:
        """An odd program name does not confuse the reading of its state."""
        name = Path(self.mktemp()).absolute()
        name.mkdir(parents=True)
        program = name / "a) S 1 (b"
        program.symlink_to("/bin/sh")
        started = Started(self, f"exec '{program}' -c 'echo; read x; :' <&1")
        plain = Started(self, STUBBORN)
        self.assertLessEqual(began(started.pid), began(plain.pid))
        self.assertGreaterEqual(began(started.pid), began(os.getpid()))


class TableTests(SynchronousTestCase):
    """L{ProcessTable} has the sessions, and the runs, of all processes."""

    def test_jobs(self) -> None:
        """Each job of a shell has a group of its own in the shell's session."""
        started = Started(self, JOBS)
        both = {started.pid, int(started.said)}
        found = table().sessions[started.pid]
        self.assertEqual({*found}, both)
        self.assertEqual({group_in(pid, started.pid) for pid in found}, both)
        self.assertIsNone(group_in(started.pid, os.getsid(0)))

    test_jobs.skip = needs("bash")

    def test_stranger(self) -> None:
        """A leader that began at another time leads another session."""
        started = Started(self, STUBBORN)
        self.assertFalse(table().is_of(started.pid, 1))
        for start in (None, began(started.pid)):
            self.assertTrue(table().is_of(started.pid, start))
        self.assertTrue(table().is_of(1 << 22, 1))

    def test_marked(self) -> None:
        """The run of a process is known by the environment that it began with."""
        started = Started(self, STUBBORN)
        self.assertEqual(run_of(started.pid), RUN.id)
        self.assertIn(started.pid, table(marks=True).marked[RUN.id])
        self.assertEqual(table().marked, {})
        self.assertIsNone(run_of(1 << 22))

    def test_ourselves(self) -> None:
        """Our own session is not in it."""
        self.assertNotIn(os.getsid(0), table().sessions)

    def test_no_descriptor(self) -> None:
        """Without a descriptor it is not complete."""
        with no_descriptor():
            self.assertFalse(table().complete)
        self.assertTrue(table().complete)


class SignalTests(SynchronousTestCase):
    """Signals reach the process that is meant, or none."""

    def test_member(self) -> None:
        """A process is signalled, with and without a pidfd."""
        for error in (None, OSError(errno.ENOSYS, "")):
            started = Started(self, "echo; exec sleep 99")
            found = Member(started.pid, began(started.pid))
            with patch("os.pidfd_open", side_effect=error, wraps=os.pidfd_open):
                self.assertTrue(found.signal(signal.SIGTERM))
            self.assertEqual(started.wait(), -signal.SIGTERM)
            self.assertFalse(found.alive)
            self.assertTrue(found.signal(signal.SIGTERM))

    def test_id_given_again(self) -> None:
        """A process that got the id later is not signalled."""
        started = Started(self, STUBBORN)
        self.assertTrue(Member(started.pid, 1).signal(signal.SIGKILL))
        self.assertIsNotNone(process_start(started.pid))

    def test_another_users(self) -> None:
        """Another user's processes cannot be signalled."""
        with patch("os.killpg", side_effect=PermissionError):
            self.assertFalse(signal_group(4242, signal.SIGTERM))
