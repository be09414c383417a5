"""The values that were measured, their medians, and the bounds of the project."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from attrs import define, field, frozen

from tests.benchmarks.peers import (
    PEERS,
    DirectSocket,
    InMemory,
    Kind,
    Shellstream,
    Websocketd,
)

OURS = Shellstream.name
#: The columns of the summary: metric, column.
SUMMARY = (
    ("latency", "p50"),
    ("latency", "p99"),
    ("binary", "MB/s"),
    ("lines", "MB/s"),
    ("runs", "16"),
    ("streams", "memory"),
    ("streams", "runs"),
)
_HTTP = {peer.name for peer in PEERS if peer.kind is Kind.HTTP}
_PEERS = _HTTP | {peer.name for peer in PEERS if peer.kind is Kind.OTHER}


@define
class Results:
    """
    All values by metric, row and column, one for each round.

    @ivar failures: metric, row, and why that could not be measured.
    """

    values: dict[str, dict[str, dict[str, list[float]]]] = field(factory=dict)
    failures: list[tuple[str, str, str]] = field(factory=list)

    def add(self, metric: str, row: str, column: str, value: float) -> None:
        columns = self.values.setdefault(metric, {}).setdefault(row, {})
        columns.setdefault(column, []).append(value)

    def median(self, metric: str, row: str, column: str) -> float | None:
        """The median; L{None} if it was not measured."""
        found = self.values.get(metric, {}).get(row, {}).get(column)
        return median(found) if found else None

    def best(
        self, metric: str, column: str, rows: set[str], choose: Callable[..., float]
    ) -> float | None:
        """The best median of these rows."""
        found = [self.median(metric, row, column) for row in rows]
        there = [value for value in found if value is not None]
        return choose(there) if there else None


@frozen
class Bound:
    """
    A bound, and the value that was found.

    @ivar found: L{None} if it was not measured.
    @ivar least: the smallest allowed value, if there is one; C{most}: the greatest.
    """

    what: str
    found: float | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        if self.least is not None:
            return self.found >= self.least
        return self.most is not None and self.found <= self.most

    def __str__(self) -> str:
        limit = (
            f"at least {self.least:g}"
            if self.most is None
            else f"at most {self.most:g}"
        )
        found = "not measured" if self.found is None else f"{self.found:.2f}"
        said = {None: "-", True: "met", False: "NOT MET"}[self.met]
        return f"{self.what}: {found} ({limit}): {said}"


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def bounds(results: Results) -> Sequence[Bound]:
    """The bounds that the project has set itself."""
    return list(_bounds(results))


def _bounds(results: Results) -> Iterator[Bound]:
    found, best = results.median, results.best
    direct = DirectSocket.name
    ours = found("latency", OURS, "p50")
    yield Bound(
        "chunk latency p50, of the best HTTP peer's",
        _ratio(ours, best("latency", "p50", _HTTP, min)),
        most=1.0,
    )
    yield Bound(
        "chunk latency p50, of the socket's itself (an aim)",
        _ratio(ours, found("latency", direct, "p50")),
        most=2.0,
    )
    for kind in ("binary", "lines"):
        ours = found(kind, OURS, "MB/s")
        yield Bound(
            f"throughput, {kind}, of the best HTTP peer's",
            _ratio(ours, best(kind, "MB/s", _HTTP, max)),
            least=1.1,
        )
        yield Bound(
            f"throughput, {kind}, of the socket's itself",
            _ratio(ours, found(kind, direct, "MB/s")),
            least=0.7,
        )
    ours = found("binary", OURS, "MB/s")
    yield Bound(
        "throughput, binary, of that with the log in memory",
        _ratio(ours, found("binary", InMemory.name, "MB/s")),
        least=0.75,
    )
    yield Bound(
        "runs/s, 16 clients, of websocketd's",
        _ratio(found("runs", OURS, "16"), found("runs", Websocketd.name, "16")),
        least=1.0,
    )
    yield Bound(
        "runs/s with streams open, of the best peer's",
        _ratio(found("streams", OURS, "runs"), best("streams", "runs", _PEERS, max)),
        least=1.2,
    )
    yield Bound("kB a stream", found("streams", OURS, "memory"), most=9)
    yield Bound(
        "a ticker's p99 beside a firehose, of that alone",
        found("beside", OURS, "ratio"),
        most=3.0,
    )
    yield Bound(
        "10,000 viewers, kB each", found("viewers-10000", OURS, "memory"), most=10
    )
    yield Bound(
        "10,000 viewers, ms until the last has a chunk",
        found("viewers-10000", OURS, "last"),
        most=500,
    )
