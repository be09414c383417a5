"""L{shellstream.runs.registry} against the contract, in memory and with real files."""

import os

from shellstream.model.events import Stream
from shellstream.model.run_input import Tty
from shellstream.runs.interfaces import IRuns
from tests.contract import CONTRACTED, RunsContract
from tests.contract_input import InputContract
from tests.contract_output import OutputContract
from tests.registries import FileTestCase, RegistryTestCase
from tests.test_fakes import Started


class MemoryTests(RunsContract, OutputContract, InputContract, RegistryTestCase):
    """A registry that keeps all in memory, and processes that do as they are told."""

    config = CONTRACTED

    def runs(self) -> IRuns:
        return self.registry

    def process(self, run_id: str) -> Started:
        """The one process that a run has, or had."""
        (started,) = (each for each in self.spawn.started if each.run.id == run_id)
        return started

    def say(self, run_id: str, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        self.process(run_id).say(data, stream)

    def exit(
        self, run_id: str, code: int | None = 0, signal: int | None = None
    ) -> None:
        self.process(run_id).exit(code, signal)

    def signals(self, run_id: str) -> list[str]:
        return self.process(run_id).child.signals

    def waits(self, run_id: str) -> bool:
        return self.process(run_id).child.paused

    def full(self, run_id: str) -> None:
        self.process(run_id).child.room = 0

    def take(self, run_id: str, size: int) -> None:
        self.process(run_id).child.take(size)

    def given(self, run_id: str) -> bytes:
        return self.process(run_id).child.given

    def over(self, run_id: str) -> bool:
        return self.process(run_id).child.ended

    def deaf(self, run_id: str) -> None:
        self.process(run_id).run.input_lost()

    def size(self, run_id: str) -> Tty | None:
        started = self.process(run_id)
        return started.child.size or started.invocation.tty


class FileTests(MemoryTests, FileTestCase):
    """The same where all is kept in a folder."""

    def test_nothing_left_open(self) -> None:
        """When a run has ended and nobody reads it, no file of it is open."""
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            run_id = self.ordered().record.id
            self.say(run_id, b"hello")
            self.exit(run_id)
            log = self.result(self.registry.find(run_id)).log
            log.subscribe(lambda: None)()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_deleted(self) -> None:
        """When a run is forgotten its file is gone too."""
        run_id = self.ordered().record.id
        self.say(run_id, b"hello")
        self.exit(run_id)
        output = self.folder / "output"
        self.assertEqual(len(os.listdir(output)), 1)
        self.result(self.registry.delete(run_id))
        self.assertEqual(os.listdir(output), [])
