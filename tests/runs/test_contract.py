"""L{shellstream.runs.registry} against the contract, in memory and with real files."""

import os

from tests.support import runs_memory
from tests.support.registries import FileTestCase


class MemoryTests(runs_memory.MemoryRuns):
    """A registry that keeps all in memory."""


class FileTests(runs_memory.MemoryRuns, FileTestCase):
    """The same where all is kept in a folder."""

    def test_nothing_left_open(self) -> None:
        """An ended run without readers has no open file."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            run_id = self.requested().record.id
            self.say(run_id, b"hello")
            self.exit(run_id)
            log = self.result(self.registry.find(run_id)).log
            log.subscribe(lambda: None)()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_deleted(self) -> None:
        """A deleted run's file is deleted too."""
        run_id = self.requested().record.id
        self.say(run_id, b"hello")
        self.exit(run_id)
        output = self.folder / "output"
        self.assertEqual(len(os.listdir(output)), 1)
        self.result(self.registry.delete(run_id))
        self.assertEqual(os.listdir(output), [])
