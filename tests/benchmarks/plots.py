"""Plots the results. The only module that imports matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.metrics import Column, Metric
from tests.benchmarks.metrics.viewers import Viewers
from tests.benchmarks.peers import PEERS, Kind
from tests.benchmarks.results import OURS, Results

# Text stays text: the files are small, and can be searched.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 9})

_KINDS = {peer.name: peer.kind for peer in PEERS}
_COLOURS = {
    Kind.OURS: "#c2410c",
    Kind.HTTP: "#3b6ea5",
    Kind.OTHER: "#6b9080",
    Kind.LIMIT: "#9ca3af",
}


#: The most important columns, for a picture that fits on a page.
SUMMARY = (("latency", "p50"), ("binary", "MB/s"), ("runs", "16"), ("streams", "runs"))


def _colour(row: str) -> str:
    kind = Kind.OURS if row.startswith(OURS) else _KINDS.get(row, Kind.HTTP)
    return _COLOURS[kind]


def _bars(axes: Axes, metric: Metric, column: Column, results: Results) -> None:
    """One bar for each row, the best at the top."""
    found = [
        (row, value)
        for row in results.values[metric.name]
        if (value := results.median(metric.name, row, column.key)) is not None
    ]
    found.sort(key=lambda each: each[1], reverse=column.less)
    names = [row for row, _ in found]
    values = [value for _, value in found]
    bars = axes.barh(names, values, color=[_colour(row) for row in names])
    labels = [f"{value:,.{column.digits}f}" for value in values]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{metric.title}: {column.title}", fontsize=9, loc="left")


def _draw(
    wanted: Sequence[tuple[Metric, Column]],
    results: Results,
    path: Path,
    *,
    columns: int = 1,
) -> Path:
    most = max(len(results.values[metric.name]) for metric, _ in wanted)
    lines = -(-len(wanted) // columns)
    size = (5.5 * columns, lines * (0.8 + 0.22 * most))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(wanted) :]:
        axes.set_axis_off()
    for axes, (metric, column) in zip(grid.flat, wanted, strict=False):
        _bars(axes, metric, column, results)
    figure.savefig(path, metadata={"Date": None})
    return path


def _has(results: Results, metric: Metric, column: Column) -> bool:
    rows = results.values[metric.name].values()
    return any(column.key in row for row in rows)


def plot_metric(metric: Metric, results: Results, folder: Path) -> Path:
    """Plot all columns of a metric."""
    wanted = [(metric, each) for each in metric.columns if _has(results, metric, each)]
    return _draw(wanted, results, folder / f"{metric.name}.svg")


def plot_summary(
    metrics: Sequence[Metric], results: Results, folder: Path
) -> list[Path]:
    """Plot some columns in one picture."""
    wanted = [
        (metric, column)
        for metric in metrics
        for column in metric.columns
        if (metric.name, column.key) in SUMMARY and _has(results, metric, column)
    ]
    if not wanted:
        return []
    return [_draw(wanted, results, folder / "summary.svg", columns=2)]


def plot_crowds(
    metrics: Sequence[Metric], results: Results, folder: Path
) -> list[Path]:
    """Plot results by the number of viewers."""
    crowds = [each for each in metrics if isinstance(each, Viewers)]
    if len(crowds) < 2:
        return []
    columns = crowds[0].columns
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, column in zip(figure.subplots(1, len(columns)), columns, strict=True):
        for row in results.values[crowds[0].name]:
            points = [
                (each.count, value)
                for each in crowds
                if (value := results.median(each.name, row, column.key)) is not None
            ]
            x, y = zip(*points, strict=True)
            axes.plot(
                x, y, "o-", label=row, color=_colour(row) if row == OURS else None
            )
        axes.set(xscale="log", yscale="log", xlabel="viewers of one run")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_title(column.title, fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    path = folder / "viewers.svg"
    figure.savefig(path, metadata={"Date": None})
    return [path]
