"""The values that were measured, their medians, and the bounds of the project."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from attrs import define, field, frozen

from tests.benchmarks.peers import (
    PEERS,
    Aiohttp,
    Kind,
    Lighttpd,
    Peer,
    Shellstream,
    Twisted,
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

    def spread(self, metric: str, row: str, column: str) -> float:
        """How far from the median half of the values are at most, as a part of it."""
        found = self.values.get(metric, {}).get(row, {}).get(column, [])
        middle = median(found or [0])
        away = sorted(abs(value - middle) for value in found)
        return median(away) / middle if middle else 0.0

    def best(
        self,
        metric: str,
        column: str,
        rows: set[str],
        choose: Callable[..., float] = max,
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
    @ivar aim: the value that would be better still, in the same direction.
    """

    what: str
    found: float | None
    least: float | None = None
    most: float | None = None
    aim: float | None = None

    def _reaches(self, value: float | None) -> bool:
        if self.found is None or value is None:
            return False
        return self.found >= value if self.most is None else self.found <= value

    @property
    def said(self) -> str:
        """Whether it is met, in words."""
        if self.found is None:
            return "not measured"
        if self._reaches(self.aim):
            return "aim reached"
        limit = self.least if self.most is None else self.most
        if limit is None:
            return "below the aim"
        return "met" if self._reaches(limit) else "NOT MET"

    def row(self) -> list[str]:
        """Its cells in a table."""
        limit = "" if self.least is None else f"at least {self.least:g}"
        limit = limit if self.most is None else f"at most {self.most:g}"
        return [
            self.what,
            "" if self.found is None else f"{self.found:.2f}",
            limit,
            "" if self.aim is None else f"{self.aim:g}",
            self.said,
        ]


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def bounds(results: Results) -> Sequence[Bound]:
    """The bounds that the project has set itself."""
    return list(_bounds(results))


def _bounds(results: Results) -> Iterator[Bound]:
    found, best = results.median, results.best

    def of(metric: str, column: str, peer: type[Peer] | None) -> float | None:
        """Our value as a ratio to a peer's, or to the best HTTP peer's."""
        choose = min if column == "p50" else max
        theirs = (
            best(metric, column, _HTTP, choose)
            if peer is None
            else found(metric, peer.name, column)
        )
        return _ratio(found(metric, OURS, column), theirs)

    latency = "chunk latency p50"
    yield Bound(f"{latency} / stock Twisted's", of("latency", "p50", Twisted), most=1)
    yield Bound(f"{latency} / lighttpd's", of("latency", "p50", Lighttpd), most=1.5)
    yield Bound(
        f"{latency} / the best HTTP peer's", of("latency", "p50", None), most=1.5, aim=1
    )
    for kind in ("binary", "lines"):
        yield Bound(
            f"{kind}, MB/s / the best HTTP peer's",
            of(kind, "MB/s", None),
            least=0.9,
            aim=1.1,
        )
        cpu = found(kind, OURS, "CPU")
        yield Bound(f"{kind}, server CPU s/GiB", cpu, most=0.9, aim=0.6)
    for clients, title in (("1", "runs/s, 1 client"), ("16", "runs/s, 16 clients")):
        for peer in (Twisted, Aiohttp):
            yield Bound(f"{title} / {peer.name}'s", of("runs", clients, peer), least=1)
        lighttpd = of("runs", clients, Lighttpd)
        yield Bound(f"{title} / lighttpd's", lighttpd, aim=1)
    beside = "runs/s beside 500 streams"
    yield Bound(f"{beside} / stock Twisted's", of("streams", "runs", Twisted), least=2)
    best_peer = _ratio(found("streams", OURS, "runs"), best("streams", "runs", _PEERS))
    yield Bound(f"{beside} / the best peer's", best_peer, aim=1)
    yield Bound("kB an idle stream", found("streams", OURS, "memory"), most=9)
    yield Bound("MB an idle daemon", found("streams", OURS, "idle"), most=55)
    many = "10,000 viewers"
    yield Bound(f"{many}: kB each", found("viewers-10000", OURS, "memory"), most=5)
    last = found("viewers-10000", OURS, "last")
    yield Bound(f"{many}: ms until the last has a chunk", last, most=200)
    start = found("startup", "shellstream URL", "CPU")
    yield Bound(
        "start of `shellstream URL`, CPU / that of requests",
        _ratio(start, found("startup", "requests", "CPU")),
        most=2,
    )
