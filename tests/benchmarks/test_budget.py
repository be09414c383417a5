"""The budget of a run and of a chunk: counts, which every machine finds the same."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.benchmarks import counts, machine
from tests.benchmarks.peers import Shellstream
from tests.support.programs import needs

#: What one run, and one chunk to one viewer, may take. Calls are those of functions of
#: Python and of C, in all threads, as C{cProfile} counts them.
BUDGET = {
    "calls of a run": 1300,
    "statements of a run": 3,
    "statements of a run in a batch of 16": 2,
    "thread hops before the viewer has its end": 1,
    "calls of a chunk": 50,
    "system calls of a chunk besides epoll_wait": 3,
}


class BudgetTests(SynchronousTestCase):
    """One run and one chunk take no more work than the budget allows."""

    def test_budget(self) -> None:
        """The daemon with its default settings keeps the budget."""
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            found = count(Path(folder))
        # A count of nothing would be a mistake in the counting.
        self.assertTrue(all(took for what, took in found.items() if "hops" not in what))
        over = {
            what: f"{took:.2f}, at most {BUDGET[what]}"
            for what, took in found.items()
            # What the watchdog and the like do meanwhile is subtracted only nearly.
            if took > BUDGET[what] + 0.5
        }
        self.assertEqual(over, {})

    if needs("strace"):
        test_budget.skip = needs("strace")


def count(folder: Path) -> Mapping[str, float]:
    """The daemon's counts."""
    with machine.everything_ended():
        found = counts.count(Shellstream, folder)
    return {
        "calls of a run": found.run.python_calls(),
        "statements of a run": found.run.statements,
        "statements of a run in a batch of 16": found.batch.statements,
        "thread hops before the viewer has its end": found.hops_before,
        "calls of a chunk": found.chunk.python_calls(),
        "system calls of a chunk besides epoll_wait": found.chunk.system_calls(
            besides="epoll_wait"
        ),
    }
