"""The results as text for people, as JSON for programs, and as pictures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import asdict, frozen

from tests.benchmarks.metrics import Column, Metric
from tests.benchmarks.peers import PEERS
from tests.benchmarks.results import SUMMARY, Bound, Results, bounds


@frozen
class Report:
    """
    One run of the benchmark.

    @ivar machine: the machine, and the versions of what was measured.
    @ivar skipped: peers, and which of their needs are not installed.
    """

    metrics: Sequence[Metric]
    results: Results
    rounds: int
    machine: Mapping[str, str]
    skipped: Mapping[str, str]

    @property
    def measured(self) -> list[Metric]:
        return [each for each in self.metrics if each.name in self.results.values]

    def text(self) -> str:
        """The report in Markdown."""
        parts = ["# Benchmarks", self._machine()]
        if len(self.measured) > 1:
            parts += ["## In short", self.summary()]
        said = ""
        for metric in self.measured:
            parts.append(f"## {metric.title}")
            if metric.about != said:  # the same for any number of viewers
                parts.append(metric.about)
            said = metric.about
            parts.append(self.table(metric))
            lost = self._lost(metric)
            if lost:
                parts.append(lost)
        head = ["", "shellstream", "bound", "aim", ""]
        rows = [each.row() for each in bounds(self.results)]
        parts += ["## Bounds", _table([head, *rows])]
        return "\n\n".join(parts) + "\n"

    def _machine(self) -> str:
        facts = [f"- {name}: {value}" for name, value in self.machine.items()]
        many = (
            f"medians of {self.rounds} rounds, each through all in turn; half of the "
            "values are as near to them as the part after ±"
        )
        facts.append(f"- {many if self.rounds > 1 else 'one round only'}")
        facts += [f"- skipped: {name}, {why}" for name, why in self.skipped.items()]
        facts += [
            f"- FAILED: {metric}, {row}: {why}"
            for metric, row, why in self.results.failures
        ]
        return "\n".join(facts)

    def summary(self) -> str:
        """The table of the most important columns, with all peers that have one."""
        columns = [
            (metric, column)
            for metric in self.measured
            for column in metric.columns
            if (metric.name, column.key) in SUMMARY
        ]
        rows = [
            peer.name
            for peer in PEERS
            if any(peer.name in self.results.values[each.name] for each, _ in columns)
        ]
        titles = [f"{metric.name}: {column.title}" for metric, column in columns]
        return self._table(titles, rows, columns)

    def table(self, metric: Metric) -> str:
        """The table of one metric."""
        columns = [(metric, column) for column in metric.columns]
        titles = [column.title for column in metric.columns]
        return self._table(titles, list(self.results.values[metric.name]), columns)

    def _table(
        self,
        titles: Sequence[str],
        names: Sequence[str],
        columns: Sequence[tuple[Metric, Column]],
    ) -> str:
        """A table of medians."""
        rows = [
            [name, *(self._cell(metric, name, column) for metric, column in columns)]
            for name in names
        ]
        return _table([["", *titles], *rows])

    def _cell(self, metric: Metric, row: str, column: Column) -> str:
        found = self.results.median(metric.name, row, column.key)
        if found is None:
            return ""
        spread = self.results.spread(metric.name, row, column.key)
        around = f" ±{spread:.0%}" if self.rounds > 1 else ""
        return f"{found:,.{column.digits}f}{around}"

    def _lost(self, metric: Metric) -> str:
        rows = self.results.values[metric.name]
        lost = [
            f"{row} lost the last {max(found['lost']):,.0f} bytes of a run."
            for row, found in rows.items()
            if max(found.get("lost", [0]))
        ]
        return "\n".join(lost)

    def json(self) -> str:
        """The values of all rounds."""
        return json.dumps(
            {
                "machine": self.machine,
                "rounds": self.rounds,
                "skipped": self.skipped,
                "failures": self.results.failures,
                "values": self.results.values,
                "bounds": [_as_json(each) for each in bounds(self.results)],
            },
            indent=1,
        )

    def save(self, folder: Path) -> list[Path]:
        """Write everything into a folder; returns the files."""
        folder.mkdir(parents=True, exist_ok=True)
        text, values = folder / "benchmarks.md", folder / "benchmarks.json"
        text.write_text(self.text())
        values.write_text(self.json())
        return [text, values, *self._plots(folder)]

    def _plots(self, folder: Path) -> list[Path]:
        from tests.benchmarks.plots import plot_crowds, plot_metric, plot_summary

        files = plot_summary(self.measured, self.results, folder)
        files += [plot_metric(each, self.results, folder) for each in self.measured]
        files += plot_crowds(self.measured, self.results, folder)
        return files


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruler = [f":{'-' * (widths[0] - 1)}"]
    ruler += [f"{'-' * (width - 1)}:" for width in widths[1:]]
    lines = [
        [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
        for row in [rows[0], ruler, *rows[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _as_json(bound: Bound) -> Mapping[str, object]:
    return {**asdict(bound), "said": bound.said}
