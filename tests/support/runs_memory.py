"""A registry in memory under the contract of L{runs_contract}."""

from shellstream.model.events import Stream
from shellstream.model.run_input import Tty
from shellstream.runs.interfaces import IRuns
from tests.support.fakes import Started
from tests.support.registries import RegistryTestCase
from tests.support.runs_contract import CONTRACTED, RunsContract
from tests.support.runs_contract_input import InputContract
from tests.support.runs_contract_output import OutputContract


class MemoryRuns(RunsContract, OutputContract, InputContract, RegistryTestCase):
    """A registry in memory, with processes that the test controls."""

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
