"""The memory that a reader costs while it does not read."""

from collections.abc import Sequence
from time import monotonic, sleep

from tests.benchmarks import machine
from tests.benchmarks.client import Client
from tests.benchmarks.metrics.base import Bench, Column, Found, Fresh
from tests.benchmarks.metrics.throughput import MB
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload


class Slow(Fresh):
    name = "slow"
    title = "A slow reader"
    about = (
        "It takes the first bytes of a large output, and then nothing for a while: the "
        "most that the server holds meanwhile (PSS). Then it takes the rest, and must "
        "get all of it."
    )
    columns = (Column("memory", "MB held", 2),)

    def suits(self, peer: type[Peer]) -> bool:
        return peer.measurable

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return [bench.workloads.echo(), bench.workloads.binary()[bench.scale.slow]]

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        _, workload = self.workloads(bench)
        client.reads(server.source(workload), server.sent(workload.expected))
        before = most = machine.memory(server.own())
        client.ask("open", 1, 1)  # between two orders it does not read
        until = monotonic() + bench.scale.stalled
        while monotonic() < until:
            sleep(0.05)
            most = max(most, machine.memory(server.own()))
        client.ask("finish")
        return {"memory": (most - before) / MB}
