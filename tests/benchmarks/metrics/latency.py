"""The latency of a chunk, alone and beside a run that writes at full speed."""

from collections.abc import Sequence

from tests.benchmarks.client import Client
from tests.benchmarks.metrics.base import Bench, Column, Found, Standing, percentile
from tests.benchmarks.metrics.throughput import climb
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload

#: The first ticks of a run, which find everything cold.
WARM = 10


def delays(client: Client, server: Peer, ticker: Workload, count: int) -> list[float]:
    """Milliseconds that each chunk of a ticker takes from its command to the client."""
    client.reads_ticks(server.source(ticker), count, server.lossy)
    client.drain()
    return [delay * 1e3 for delay in client.ask("delays")[WARM:]]


class Latency(Standing):
    name = "latency"
    title = "Chunk latency"
    about = (
        "A command writes one small chunk at a time, with the time at which it does; "
        "the client notes when each arrives."
    )
    columns = (Column("p50", "p50, ms", 3), Column("p99", "p99, ms", 3))

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.ticker(bench.scale.ticks, bench.scale.every)]

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        (ticker,) = self.workloads(bench)
        found = delays(client, server, ticker, bench.scale.ticks)
        return {"p50": percentile(found, 50), "p99": percentile(found, 99)}


class Beside(Standing):
    """
    A second client reads the other run, as fast as it can.

    Few ticks are late, but these are very late; so there are twice as many ticks.
    """

    name = "beside"
    title = "A ticker beside a firehose in another run"
    about = "The latency of chunks, alone, then with the firehose, then their ratio."
    columns = (
        Column("alone", "p99 alone, ms", 3),
        Column("beside", "p99 beside it, ms", 3),
        Column("ratio", "ratio", 1),
    )

    def suits(self, peer: type[Peer]) -> bool:
        return peer.concurrent

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        scale = bench.scale
        ticker = bench.workloads.ticker(scale.ticks * 2, scale.every / 2)
        return [ticker, *bench.workloads.binary().values()]

    def __init__(self) -> None:
        self._firehoses: dict[str, Workload] = {}

    def prepare(self, bench: Bench, server: Peer, client: Client) -> None:
        scale, all_sizes = bench.scale, bench.workloads.binary()
        found = climb(client, server, all_sizes, scale.seconds / 3, scale.largest)
        self._firehoses[server.name] = found

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        ticker, count = self.workloads(bench)[0], bench.scale.ticks * 2
        alone = percentile(delays(client, server, ticker, count), 99)
        firehose = self._firehoses[server.name]
        with Client(bench.program) as other:
            other.reads(server.source(firehose), server.sent(firehose.expected))
            other.ask("repeat")
            beside = percentile(delays(client, server, ticker, count), 99)
        return {"alone": alone, "beside": beside, "ratio": beside / alone}
