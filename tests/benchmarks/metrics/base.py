"""What a metric is, and the two ways in which servers are started for one."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from math import ceil
from pathlib import Path

import psutil
from attrs import frozen

from tests.benchmarks.client import drain
from tests.benchmarks.content import Whole
from tests.benchmarks.errors import Failed
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload, Workloads

#: What a server or a program that cannot be measured is told by.
FAILURES = (Failed, OSError, psutil.Error, subprocess.SubprocessError)

#: What was found in one turn, by column.
Found = Mapping[str, float]
#: How to measure each row once.
Turns = Mapping[str, Callable[[], Found]]


@frozen
class Scale:
    """
    How much is measured.

    @ivar ticks: of a ticker whose latency is measured, and seconds between two.
    @ivar seconds: that the output for throughput takes a peer, about.
    @ivar largest: megabytes of output at most.
    @ivar running: seconds of starting runs.
    @ivar streams: how many are open at once, and for how long they are watched.
    @ivar viewers: how many look at one run; each number is a metric.
    @ivar bulk: megabytes that all of them receive together.
    @ivar slow: megabytes of a slow reader's output, and seconds that it waits.
    @ivar startups: of each client in a round.
    """

    ticks: int = 500
    every: float = 0.002
    seconds: float = 1.5
    largest: int = 1024
    running: float = 1.0
    streams: int = 500
    watched: float = 3.0
    viewers: tuple[int, ...] = (1, 100, 1000, 10_000)
    bulk: int = 1000
    slow: int = 64
    stalled: float = 1.0
    startups: int = 5


#: A minute of all of it: shows that it works, and little else.
SMOKE = Scale(
    ticks=60,
    seconds=0.1,
    largest=64,
    running=0.15,
    streams=20,
    watched=0.5,
    viewers=(1, 100),
    bulk=40,
    slow=16,
    stalled=0.2,
    startups=1,
)


@frozen
class Column:
    """
    One number.

    @ivar less: whether less is better.
    """

    key: str
    title: str
    digits: int = 0
    less: bool = True


@frozen
class Bench:
    """
    What a metric is given.

    @ivar failed: called with a row and why it could not be measured.
    @ivar skipped: called with a row, and what of its needs is not installed.
    """

    folder: Path
    workloads: Workloads
    scale: Scale
    peers: Sequence[type[Peer]]
    failed: Callable[[str, Exception], None]
    skipped: Callable[[str, str], None]


class Metric:
    """
    One thing to measure.

    @cvar title: what it is, in a line.
    @cvar about: how it is measured.
    """

    name: str
    title: str
    about: str
    columns: tuple[Column, ...]

    def suits(self, peer: type[Peer]) -> bool:
        """Whether it can be measured with such a peer."""
        return True

    def peers(self, bench: Bench) -> list[type[Peer]]:
        """With which of those that there are it is measured."""
        return [
            peer
            for peer in bench.peers
            if self.suits(peer) and (peer.only is None or self.name in peer.only)
        ]

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        """What servers are to be able to run."""
        raise NotImplementedError

    def turns(self, bench: Bench) -> AbstractContextManager[Turns]:
        """Make everything ready to measure each row as often as is wanted."""
        raise NotImplementedError

    def measure(self, bench: Bench, server: Peer) -> Found:
        """Measure a server once."""
        raise NotImplementedError

    def make(
        self, bench: Bench, peer: type[Peer], name: str, streams: int = 32
    ) -> Peer:
        """A server of this kind, in a folder of its own."""
        place = f"{self.name}-{peer.__name__.lower()}{name}"
        return peer(bench.folder / place, self.workloads(bench), streams)


class Standing(Metric):
    """All servers are started once, before the first round."""

    def prepare(self, bench: Bench, server: Peer) -> None:
        """What is to be done with a server before the first round."""

    @contextmanager
    def turns(self, bench: Bench) -> Iterator[Turns]:
        found: dict[str, Callable[[], Found]] = {}
        with ExitStack() as on_exit:
            servers = []
            for peer in self.peers(bench):
                server = self.make(bench, peer, "")
                on_exit.callback(server.stop)
                servers.append(server)
                try:
                    server.launch()
                except FAILURES as error:
                    bench.failed(server.name, error)
                    servers.pop()
            for server in servers:
                try:
                    server.wait()
                    self.prepare(bench, server)
                except FAILURES as error:
                    bench.failed(server.name, error)
                else:
                    found[server.name] = partial(self.measure, bench, server)
            yield found


class Fresh(Metric):
    """
    Each turn has a server that has only been warmed up: for what it holds.

    By the first of its workloads, as what is used for the first time is loaded then.
    """

    def streams(self, bench: Bench) -> int:
        """How many it is to serve at once."""
        return 32

    @contextmanager
    def turns(self, bench: Bench) -> Iterator[Turns]:
        self._count = 0
        yield {
            peer.name: partial(self._turn, bench, peer) for peer in self.peers(bench)
        }

    def _turn(self, bench: Bench, peer: type[Peer]) -> Found:
        self._count += 1
        name, streams = f"-{self._count}", self.streams(bench)
        with self.make(bench, peer, name, streams) as server:
            first = server.workloads[0]
            drain(server.source(first), Whole(server.sent(first.expected)))
            return self.measure(bench, server)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent are not above."""
    if not values:
        raise Failed("nothing was measured")
    return sorted(values)[max(ceil(len(values) * percent / 100) - 1, 0)]
