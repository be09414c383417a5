"""Commands run a second, alone and with hundreds of streams open."""

from collections.abc import Sequence

from tests.benchmarks import machine
from tests.benchmarks.client import Client
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
WAVE = 10


class Runs(Standing):
    name = "runs"
    title = "Runs a second"
    about = (
        "echo, one after the other, each from connect to close: 1 client, 16 clients. "
        "Then 16 that keep their connections where the server lets them. The processor "
        "time is the server's own, without the commands."
    )
    columns = (
        Column("1", "1 client", less=False),
        Column("16", "16 clients", less=False),
        Column("kept", "16 that keep connections", less=False),
        Column("CPU", "server CPU, ms a run", 2),
    )

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.echo()]

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        echo, seconds = bench.workloads.echo(), bench.scale.running
        client.reads(server.source(echo), server.sent(echo.expected))
        found = {"1": client.runs(1, seconds)}
        if server.concurrent:
            own = server.own() if server.measurable else []
            before = machine.cpu_seconds(own)
            count, took = client.ask("runs", 16, seconds, 0)
            found["16"] = count / took
            if own:
                found["CPU"] = (machine.cpu_seconds(own) - before) / count * 1e3
            found["kept"] = client.runs(16, seconds, keep=True)
        return found


class Streams(Fresh):
    """Streams of tickers: each has a command of its own, which ticks once a second."""

    name = "streams"
    about = (
        "Each follows a ticker of its own, a tick a second: what the server's own "
        "processes hold before, and then for each (PSS), the ticks' latency, and what "
        "16 clients can run beside them."
    )
    columns = (
        Column("idle", "MB before", 1),
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
        return [bench.workloads.echo(), bench.workloads.ticker(every=bench.scale.pulse)]

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        echo, ticker = self.workloads(bench)
        scale = bench.scale
        idle = machine.memory(server.own())
        client.reads_ticks(server.source(ticker))
        client.ask("open", self.count, WAVE)
        held = machine.memory(server.own()) - idle
        client.ask("watch", scale.watched)
        delays = client.ask("delays")
        client.reads(server.source(echo), server.sent(echo.expected))
        return {
            "idle": idle / 1e6,
            "memory": held / self.count / 1e3,
            "p99": percentile(delays, 99) * 1e3,
            "runs": client.runs(16, scale.running),
        }
