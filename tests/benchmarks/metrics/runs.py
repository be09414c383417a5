"""Commands run a second, alone and with hundreds of streams open."""

from collections.abc import Sequence
from functools import partial
from time import monotonic

from tests.benchmarks import machine
from tests.benchmarks.client import Client, Source
from tests.benchmarks.content import Content, Ticks, Whole
from tests.benchmarks.metrics.base import (
    Bench,
    Column,
    Found,
    Fresh,
    Standing,
    percentile,
)
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload

#: Connections that are opened at once: few enough for the backlog of any server.
WAVE = 5


def runs_a_second(
    source: Source, content: Content, clients: int, seconds: float
) -> float:
    """Runs a second, with C{clients} that each run one command after the other."""
    count, began = 0, monotonic()
    with Client() as client:
        for _ in range(clients):
            client.open(source, Whole(content))
        while client:
            for _ in client.turn():
                count += 1
                if monotonic() < began + seconds:
                    client.open(source, Whole(content))
        return count / (monotonic() - began)


class Runs(Standing):
    name = "runs"
    title = "Runs a second"
    about = "echo, from connect to close, one after the other: 1 client, 16 clients."
    columns = (
        Column("1", "1 client", less=False),
        Column("16", "16 clients", less=False),
    )

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.echo()]

    def measure(self, bench: Bench, server: Peer) -> Found:
        echo = bench.workloads.echo()
        source, content = server.source(echo), server.sent(echo.expected)
        seconds = bench.scale.running
        return {
            str(clients): runs_a_second(source, content, clients, seconds)
            for clients in ((1, 16) if server.concurrent else (1,))
        }


def _all_tick(tickers: Sequence[Ticks]) -> bool:
    return all(each.delays for each in tickers)


class Streams(Fresh):
    """Streams of tickers: each has a command of its own, which ticks once a second."""

    name = "streams"
    about = (
        "Each follows a ticker of its own, a tick a second: what the server's own "
        "processes hold for each (PSS, above what they hold before), the ticks' "
        "latency, and what 16 clients can run beside them."
    )
    columns = (
        Column("memory", "kB a stream", 1),
        Column("p99", "tick p99, ms", 3),
        Column("runs", "runs/s, 16 clients", less=False),
    )

    def __init__(self, count: int) -> None:
        self.count = count
        self.title = f"With {count} streams open"

    def suits(self, peer: type[Peer]) -> bool:
        return peer.many

    def streams(self, bench: Bench) -> int:
        return self.count + 32

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.echo(), bench.workloads.ticker()]

    def measure(self, bench: Bench, server: Peer) -> Found:
        echo, ticker = self.workloads(bench)
        scale, source = bench.scale, server.source(ticker)
        before = machine.memory(server.own())
        with Client() as client:
            all_ticks: list[Ticks] = []
            while len(all_ticks) < self.count:
                wave = [Ticks() for _ in range(min(WAVE, self.count - len(all_ticks)))]
                for ticks in wave:
                    client.open(source, ticks)
                client.until(partial(_all_tick, wave))
                all_ticks += wave
            held = machine.memory(server.own()) - before
            for ticks in all_ticks:
                ticks.delays.clear()
            until = monotonic() + scale.watched
            client.until(lambda: monotonic() > until)
            found = [delay for ticks in all_ticks for delay in ticks.delays]
            content = server.sent(echo.expected)
            runs = runs_a_second(server.source(echo), content, 16, scale.running)
        return {
            "memory": held / self.count / 1e3,
            "p99": percentile(found, 99) * 1e3,
            "runs": runs,
        }
