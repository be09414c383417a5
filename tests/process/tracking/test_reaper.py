"""Tests for L{shellstream.process.tracking.reaper}, with real processes."""

import contextlib
import ctypes
import os
import subprocess
from unittest.mock import patch

from twisted.internet.process import reapProcessHandlers
from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.tracking.process_table import process_info
from shellstream.process.tracking.reaper import OrphanReaper, adopts_orphans

#: From linux/prctl.h.
SET_CHILD_SUBREAPER = 36


class ReaperTests(SynchronousTestCase):
    """L{OrphanReaper} reaps what nobody else does, and only that."""

    def setUp(self) -> None:
        self.own: set[int] = set()
        self.reaper = OrphanReaper(lambda: self.own)
        self.adopt(True)
        self.addCleanup(self.adopt, False)

    def adopt(self, whether: bool) -> None:
        """Let the kernel give us orphans, as it gives them to process 1."""
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(whether))
        self.assertIs(adopts_orphans(), whether)

    def orphan(self) -> int:
        """Return a zombie whose parent has ended before it."""
        script = "(sleep 0.01 & echo $!) & wait"
        made = subprocess.run(
            ["sh", "-c", script], capture_output=True, start_new_session=True
        )
        pid = int(made.stdout)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    def zombie(self, own_session: bool) -> "subprocess.Popen[bytes]":
        """Return a child of ours that has ended."""
        made = subprocess.Popen(["sh", "-c", "exit 3"], start_new_session=own_session)
        os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)
        return made

    def test_orphan(self) -> None:
        """An orphan is reaped at the second look."""
        pid = self.orphan()
        self.reaper.look()
        self.assertIsNotNone(process_info(pid))
        self.reaper.look()
        self.assertIsNone(process_info(pid))

    def test_others(self) -> None:
        """No exit status is taken away from those who wait for it."""
        ours, runs, twisteds = map(self.zombie, (False, True, True))
        self.own = {runs.pid}
        pid = self.orphan()
        with patch.dict(reapProcessHandlers, {twisteds.pid: None}):
            for _ in range(3):
                self.reaper.look()
        self.assertIsNone(process_info(pid))
        for each in (ours, runs, twisteds):
            self.assertEqual(each.wait(), 3)

    def test_no_list(self) -> None:
        """Where the kernel has no list of children, they are found one by one."""
        # What other tests have left would be found first.
        with contextlib.suppress(ChildProcessError):
            while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
                pass
        pids = {self.orphan(), self.orphan()}
        with patch("shellstream.process.tracking.reaper._children", return_value=[]):
            for _ in range(4):
                self.reaper.look()
        self.assertEqual({*map(process_info, pids)}, {None})

    def test_no_child(self) -> None:
        """Without children there is nothing to do."""
        with patch("os.waitid", side_effect=ChildProcessError):
            self.reaper.look()
