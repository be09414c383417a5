"""One run with many viewers."""

import os
import select
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.benchmarks import machine
from tests.benchmarks.client import PATIENCE, Client
from tests.benchmarks.errors import Silent
from tests.benchmarks.metrics.base import Bench, Column, Found, Fresh
from tests.benchmarks.metrics.throughput import MB
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import TICK_SIZE, Workload

#: Chunks that are timed until the last viewer has them; the slowest counts.
TICKS = 5
#: Bytes by which a viewer may fall behind: less than a run keeps.
MOST = 32_000_000
WAVE = 32


class Gate:
    """Sends orders to a gated command, and gets the times at which it wrote ticks."""

    def __init__(self, folder: Path) -> None:
        self.orders, self.written = folder / "orders", folder / "written"
        for path in (self.orders, self.written):
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        # For reading and writing, or opening would wait for the command.
        self._to = os.open(self.orders, os.O_RDWR)
        self._from = os.open(self.written, os.O_RDWR)

    def order(self, what: str) -> None:
        os.write(self._to, f"{what}\n".encode())

    def tick_written(self) -> float:
        """Wait for a tick; returns its time. @raise Silent: if none is written."""
        if not select.select([self._from], [], [], PATIENCE)[0]:
            raise Silent("the command does not do what it is told")
        return float(os.read(self._from, TICK_SIZE))

    def close(self) -> None:
        os.close(self._to)
        os.close(self._from)


class Viewers(Fresh):
    about = (
        "They all follow it before it writes: what the server holds for each (PSS), "
        "how long until the last has seen a small chunk, and how long since the first "
        f"has (the slowest of {TICKS}), and what all receive together, at most "
        f"{MOST // 1_000_000} MB each. Only few peers can do that at all; the others "
        "shown here send each chunk to each viewer, and keep nothing."
    )
    columns = (
        Column("MB/s", "MB/s in all", less=False),
        Column("memory", "kB a viewer", 1),
        Column("last", "last viewer, ms", 2),
        Column("span", "first to last, ms", 2),
    )

    def __init__(self, count: int) -> None:
        self.count = count
        self.name = f"viewers-{count}"
        self.title = f"{count:,} viewer{'s' * (count > 1)} of one run"

    def suits(self, peer: type[Peer]) -> bool:
        return peer.shares

    def streams(self, bench: Bench) -> int:
        return self.count + 32

    def workloads(self, bench: Bench) -> Sequence[Workload]:
        bulk = min(int(bench.scale.bulk * MB / self.count), MOST)
        folder = bench.folder
        orders, written = folder / "orders", folder / "written"
        gated = bench.workloads.gated(orders, written, TICKS, bulk)
        return [bench.workloads.echo(), gated]

    def measure(self, bench: Bench, server: Peer, client: Client) -> Found:
        gate = Gate(bench.folder)
        try:
            return self._measure(bench, server, gate, client)
        finally:
            gate.close()

    def _measure(self, bench: Bench, server: Peer, gate: Gate, client: Client) -> Found:
        _, workload = self.workloads(bench)
        content = server.sent(workload.expected)
        before = machine.memory(server.own())
        server.begin_shared(workload)
        client.reads(server.shared(workload), content)
        client.ask("answered", self.count, WAVE)
        held = machine.memory(server.own()) - before
        lasts, spans = [], []
        for number in range(TICKS):
            client.order("mark", TICK_SIZE * (number + 1))
            gate.order(f"tick {number}")
            written = gate.tick_written()
            first, last = client.answer()
            lasts.append(last - written)
            spans.append(last - first)
        client.order("mark", content.total)
        began = monotonic()
        gate.order(f"bulk {content.size}")
        _, last = client.answer()
        gate.order("end")
        client.ask("finish")
        return {
            "MB/s": content.size * self.count / MB / (last - began),
            "memory": held / self.count / 1e3,
            "last": max(lasts) * 1e3,
            "span": max(spans) * 1e3,
        }
