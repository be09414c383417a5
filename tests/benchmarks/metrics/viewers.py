"""One run with many viewers."""

import os
import select
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from attrs import define, field

from tests.benchmarks import machine
from tests.benchmarks.client import PATIENCE, Client, Connection
from tests.benchmarks.content import Whole
from tests.benchmarks.errors import Failed, Silent
from tests.benchmarks.metrics.base import Bench, Column, Found, Fresh
from tests.benchmarks.metrics.throughput import MB
from tests.benchmarks.peers import Peer
from tests.benchmarks.workloads import TICK_SIZE, Workload

#: Chunks that are timed until the last viewer has them; the slowest counts.
TICKS = 5
#: Bytes by which a viewer may fall behind: less than a run keeps.
MOST = 32_000_000
WAVE = 32


@define(eq=False)
class Audience:
    """
    All viewers that have to receive everything up to a C{mark}.

    @ivar seen: when the last of them had received it.
    """

    mark: int = 0
    missing: int = 0
    seen: float = 0.0

    def expect(self, mark: int, viewers: int) -> None:
        self.mark, self.missing = mark, viewers


@define(eq=False)
class Viewer(Whole):
    """One viewer; it compares every byte as well."""

    audience: Audience = field(kw_only=True)

    def __call__(self, piece: memoryview, now: float) -> None:
        before = self.got
        super().__call__(piece, now)
        if before < self.audience.mark <= self.got:
            self.audience.missing -= 1
            self.audience.seen = now


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


def _all_answered(viewers: Sequence[Connection]) -> bool:
    return all(each.answered for each in viewers)


class Viewers(Fresh):
    about = (
        "They all follow it before it writes: what the server holds for each (PSS), "
        "how long until the last has seen a small chunk (the slowest of "
        f"{TICKS}), and what all receive together, at most "
        f"{MOST // 1_000_000} MB each. Only few peers can do that at all; the others "
        "shown here send each chunk to each viewer, and keep nothing."
    )
    columns = (
        Column("MB/s", "MB/s in all", less=False),
        Column("memory", "kB a viewer", 1),
        Column("last", "last viewer, ms", 2),
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

    def measure(self, bench: Bench, server: Peer) -> Found:
        allowed = machine.allow_open_files(self.count + 1000)
        if allowed < self.count + 1000:
            raise Failed(f"only {allowed} files may be open: raise ulimit -n")
        gate = Gate(bench.folder)
        try:
            with Client() as client:
                return self._measure(bench, server, gate, client)
        finally:
            gate.close()

    def _measure(self, bench: Bench, server: Peer, gate: Gate, client: Client) -> Found:
        _, workload = self.workloads(bench)
        content, audience = server.sent(workload.expected), Audience()
        before = machine.memory(server.own())
        server.begin_shared(workload)
        source = server.shared(workload)
        while len(client) < self.count:
            wave = [
                client.open(source, Viewer(content, audience=audience))
                for _ in range(min(WAVE, self.count - len(client)))
            ]
            client.until(partial(_all_answered, wave))
        held = machine.memory(server.own()) - before
        latencies = []
        for number in range(TICKS):
            audience.expect(TICK_SIZE * (number + 1), self.count)
            gate.order(f"tick {number}")
            written = gate.tick_written()
            client.until(lambda: not audience.missing)
            latencies.append(audience.seen - written)
        audience.expect(content.total, self.count)
        began = monotonic()
        gate.order(f"bulk {content.size}")
        client.until(lambda: not audience.missing)
        took = audience.seen - began
        gate.order("end")
        while client:
            client.turn()
        return {
            "MB/s": content.size * self.count / MB / took,
            "memory": held / self.count / 1e3,
            "last": max(latencies) * 1e3,
        }
