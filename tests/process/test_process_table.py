"""Tests for L{shellstream.process.process_table}, with real processes."""

import os
import signal
import sys
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.process_table import (
    living_member,
    process_start,
    session_groups,
)
from tests.support.orphans import JOBS, LEAVING, STUBBORN, Started
from tests.support.programs import needs, no_descriptor

#: Ends its first thread; another goes on.
THREADS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(99,)).start()
print(flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def began(pid: int) -> int:
    """Return the start time of an existing process."""
    found = process_start(pid)
    assert found is not None, pid
    return found


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


class DescriptorTests(SynchronousTestCase):
    """Without a free descriptor, no process counts as gone."""

    def test_living(self) -> None:
        """A group that cannot be inspected counts as alive: a KILL more is harmless."""
        started = Started(self, STUBBORN)
        with no_descriptor():
            self.assertEqual(living_member(started.pid), started.pid)
            self.assertEqual(living_member(started.pid, started.pid), started.pid)
            self.assertEqual(session_groups(started.pid), set())
        self.assertEqual(session_groups(started.pid), {started.pid})


class SessionTests(SynchronousTestCase):
    """L{session_groups} finds the groups of a session that live."""

    def test_jobs(self) -> None:
        """Each job of a shell has a group of its own, until it ends."""
        started = Started(self, JOBS)
        job = int(started.said)
        self.assertEqual(session_groups(started.pid), {started.pid, job})
        os.kill(job, signal.SIGKILL)
        started.wait()
        self.assertEqual(session_groups(started.pid), set())

    def test_zombie(self) -> None:
        """A group of zombies does not count."""
        started = Started(self, "echo; exec sleep 99")
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertEqual(session_groups(started.pid), set())

    test_jobs.skip = needs("bash")


class LivingMemberTests(SynchronousTestCase):
    """L{living_member} finds a process of a group, if one lives."""

    def test_leader(self) -> None:
        """A living leader is recognized by its start time."""
        started = Started(self, STUBBORN)
        self.assertEqual(living_member(started.pid), started.pid)
        with patch("os.listdir", side_effect=AssertionError):
            self.assertEqual(living_member(started.pid, started.pid), started.pid)

    def test_member(self) -> None:
        """A member of a group whose leader has ended is recognized."""
        started = Started(self, LEAVING)
        started.wait()
        for last in (None, started.pid, os.getpid()):
            self.assertEqual(living_member(started.pid, last), int(started.said))

    def test_none(self) -> None:
        """An empty group has no living member."""
        started = Started(self, "echo")
        started.wait()
        self.assertIsNone(living_member(started.pid))

    def test_zombie(self) -> None:
        """A group of unreaped zombies has no living member."""
        started = Started(self, "echo; exec sleep 99")
        os.kill(started.pid, signal.SIGKILL)
        os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
        self.assertIsNone(living_member(started.pid))
        self.assertIsNone(living_member(started.pid, started.pid))

    def test_first_thread_ended(self) -> None:
        """A process without its first thread looks like a zombie, but is alive."""
        started = Started(self, f"exec '{sys.executable}' -c '{THREADS}'")
        stat = Path(f"/proc/{started.pid}/stat")
        while b") Z " not in stat.read_bytes():
            os.sched_yield()
        self.assertEqual(living_member(started.pid), started.pid)

    def test_another_users(self) -> None:
        """A group of another user raises an error."""
        with patch("os.killpg", side_effect=PermissionError):
            self.assertRaises(PermissionError, living_member, 4242)
