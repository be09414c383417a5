"""Megabytes of output a second, and the processor time that they cost the server."""

from collections.abc import Mapping, Sequence

from attrs import define, field

from tests.benchmarks import machine
from tests.benchmarks.client import Client
from tests.benchmarks.metrics.base import Bench, Column, Found, Standing
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import Workload

MB = 1e6
GIB = 1 << 30


def climb(
    client: Client,
    server: Peer,
    workloads: Mapping[int, Workload],
    seconds: float,
    largest: int,
) -> Workload:
    """
    The largest output that takes a server no longer than about C{seconds}.

    It begins with the smallest, so that a slow server is not asked for a gigabyte; this
    also warms the server up. The time of the smallest counts as the cost of a run.
    """
    found: Workload | None = None
    least: float | None = None
    for size, workload in workloads.items():
        if size > largest:
            break
        found = workload
        client.reads(server.source(found), server.sent(found.expected))
        took, _, _ = client.drain()
        least = took if least is None else min(least, took)
        if least + 4 * (took - least) > seconds:
            break
    assert found is not None
    return found


@define(eq=False)
class Throughput(Standing):
    """
    Processor time is that of the server's own processes, without the commands.

    @ivar name: also that of the method of L{Workloads} that makes the commands.
    """

    name: str
    title: str
    about: str
    _chosen: dict[str, Workload] = field(factory=dict)

    columns = (
        Column("MB/s", "MB/s", less=False),
        Column("CPU", "server CPU, s/GiB", 2),
    )

    def _all(self, bench: Bench) -> Mapping[int, Workload]:
        found: Mapping[int, Workload] = getattr(bench.workloads, self.name)()
        return found

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        return list(self._all(bench).values())

    def prepare(self, bench: Bench, server: Peer, client: Client) -> None:
        scale, all_sizes = bench.scale, self._all(bench)
        found = climb(client, server, all_sizes, scale.seconds, scale.largest)
        self._chosen[server.name] = found

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        workload = self._chosen[server.name]
        client.reads(server.source(workload), server.sent(workload.expected))
        own = server.own() if server.measurable else []
        before = machine.cpu_seconds(own)
        took, got, lost = client.drain()
        cpu = machine.cpu_seconds(own) - before
        found = {"MB/s": got / MB / took, "lost": lost}
        if own:
            found["CPU"] = cpu / (got / GIB)
        return found


THROUGHPUT = (
    Throughput(
        "binary",
        "Throughput, binary",
        "cat writes up to a gigabyte of all kinds of bytes.",
    ),
    Throughput("lines", "Throughput, lines", "The same of lines of 20 to 119 bytes."),
    Throughput(
        "written",
        "Throughput, each line written by itself",
        "grep --line-buffered writes the same lines.",
    ),
)
