"""The interface of a metric, and the two ways in which it starts servers."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from math import ceil
from pathlib import Path

from attrs import frozen

from tests.benchmarks.client import Client
from tests.benchmarks.errors import Failed
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload, Workloads

#: Errors by which a server or a program shows that it cannot be measured.
FAILURES = (Failed, OSError, subprocess.SubprocessError)

#: The values of one turn, by column.
Found = Mapping[str, float]
#: Functions that measure each row once.
Turns = Mapping[str, Callable[[], Found]]


@frozen
class Scale:
    """
    How much is measured.

    @ivar ticks: number of ticks for latency, and seconds between two.
    @ivar seconds: about how long the output for throughput takes a peer.
    @ivar largest: the most megabytes of output.
    @ivar running: seconds in which runs are started.
    @ivar streams: how many are open at once, seconds between the ticks of each, and for
        how many seconds they are watched.
    @ivar viewers: how many viewers one run has; each number is a metric.
    @ivar bulk: megabytes that all viewers receive together.
    @ivar slow: megabytes of output for a slow reader, and seconds that it waits.
    @ivar startups: how often each client is started in a round.
    """

    ticks: int = 500
    every: float = 0.002
    seconds: float = 1.5
    largest: int = 1024
    running: float = 1.0
    streams: int = 500
    pulse: float = 1.0
    watched: float = 3.0
    viewers: tuple[int, ...] = (1, 100, 1000, 10_000)
    bulk: int = 1000
    slow: int = 64
    stalled: float = 1.0
    startups: int = 5


#: One minute for everything: shows that it works, and little else.
SMOKE = Scale(
    ticks=60,
    seconds=0.1,
    largest=64,
    running=0.15,
    streams=20,
    pulse=0.2,
    watched=0.3,
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

    @ivar less: whether a smaller value is better.
    """

    key: str
    title: str
    digits: int = 0
    less: bool = True


@frozen
class Bench:
    """
    The shared inputs of all metrics.

    @ivar program: the built client.
    """

    folder: Path
    program: Path
    workloads: Workloads
    scale: Scale
    peers: Sequence[type[Peer]]
    failed: Callable[[str, Exception], None]
    skipped: Callable[[str, str], None]


class Metric:
    """
    One thing to measure.

    @cvar title: what it measures, in one line.
    @cvar about: how it is measured.
    """

    name: str
    title: str
    about: str
    columns: tuple[Column, ...]

    def suits(self, peer: type[Peer]) -> bool:
        """Return whether the metric can be measured with this peer."""
        return True

    def peers(self, bench: Bench) -> list[type[Peer]]:
        """The peers with which it is measured."""
        return [
            peer
            for peer in bench.peers
            if self.suits(peer) and (peer.only is None or self.name in peer.only)
        ]

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        """The commands that a server must be able to run."""
        raise NotImplementedError

    def turns(self, bench: Bench) -> AbstractContextManager[Turns]:
        """Prepare everything, so that each row can be measured any number of times."""
        raise NotImplementedError

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        """Measure a server once."""
        raise NotImplementedError

    def make(
        self, bench: Bench, peer: type[Peer], name: str, streams: int = 32
    ) -> Peer:
        """Make a server of this kind, in a folder of its own."""
        place = f"{self.name}-{peer.__name__.lower()}{name}"
        return peer(bench.folder / place, self.workloads(bench), streams)


class Standing(Metric):
    """A metric whose servers are all started once, before the first round."""

    def prepare(self, bench: Bench, server: Peer, client: Client) -> None:
        """Prepare a server before the first round."""

    def _turn(self, bench: Bench, server: Peer) -> Found:
        with Client(bench.program) as client:
            return self.measure(bench, server, client)

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
                    with Client(bench.program) as client:
                        self.prepare(bench, server, client)
                except FAILURES as error:
                    bench.failed(server.name, error)
                else:
                    found[server.name] = partial(self._turn, bench, server)
            yield found


class Fresh(Metric):
    """
    A metric of memory: each turn has a new server, which has only been warmed up.

    The first of its workloads warms it up, since servers load much at first use.
    """

    def streams(self, bench: Bench) -> int:
        """Return the number of streams that a peer serves at once."""
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
            with Client(bench.program) as client:
                client.reads(server.source(first), server.sent(first.expected))
                client.drain()
                return self.measure(bench, server, client)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that C{percent} of all values do not exceed."""
    if not values:
        raise Failed("nothing was measured")
    return sorted(values)[max(ceil(len(values) * percent / 100) - 1, 0)]
