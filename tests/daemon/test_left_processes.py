"""Tests for L{shellstream.daemon.left_processes}, with real processes."""

import signal
from unittest.mock import patch

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.left_processes import GRACE, LeftProcesses
from shellstream.process.tracking.orphans import POLL_INTERVAL
from shellstream.process.tracking.process_scanner import ProcessScanner
from tests.support.orphans import RUN, STUBBORN, Started


class LeftProcessesTests(SynchronousTestCase):
    """What a killed daemon left is found, ended, and told of when it is gone."""

    def setUp(self) -> None:
        self.clock = Clock()
        scanner = ProcessScanner(self.clock, lambda: 0.0)
        self.left = LeftProcesses(self.clock, scanner)
        self.gone: list[str] = []

    def test_ended(self) -> None:
        """A run counts until KILL has ended the last of its processes."""
        started = Started(self, STUBBORN)
        others = evolve(RUN, id="another")
        self.assertEqual({*self.left.find([started.record, others])}, {RUN.id})
        self.left.end(self.gone.append)
        self.clock.pump([POLL_INTERVAL] * int(GRACE / POLL_INTERVAL - 1))
        self.assertEqual(self.gone, [])
        self.clock.pump([POLL_INTERVAL] * 2)
        self.assertEqual(started.wait(), -signal.SIGKILL)
        while not self.gone:
            self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.gone, [RUN.id])

    def test_nothing(self) -> None:
        """Where no run was lost, nothing is looked for."""
        with patch("os.scandir", side_effect=AssertionError):
            self.assertEqual([*self.left.find([])], [])
        self.left.end(self.gone.append)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unrecorded(self) -> None:
        """Those of a run that nobody recorded are found by its id, and ended."""
        started = Started(self, STUBBORN)
        self.assertIn(RUN.id, self.left.runs())
        self.assertEqual(self.left.find_unrecorded([RUN.id, "another"]), 1)
        self.left.end(self.gone.append)
        self.clock.pump([POLL_INTERVAL] * int(GRACE / POLL_INTERVAL + 1))
        self.assertEqual(started.wait(), -signal.SIGKILL)
        while self.clock.getDelayedCalls():
            self.clock.advance(POLL_INTERVAL)
        self.assertEqual(self.gone, [])

    def test_error(self) -> None:
        """An error while they are ended keeps no place for ever, and is logged."""
        started = Started(self, STUBBORN)
        self.left.find([started.record])
        with patch(
            "shellstream.process.tracking.run_processes.RunProcesses.live",
            side_effect=ZeroDivisionError,
        ):
            self.left.end(self.gone.append)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.gone, [RUN.id])
