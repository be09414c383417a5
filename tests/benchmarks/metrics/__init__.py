"""The metrics, in a module for each subject; L{Metric} is their interface."""

from tests.benchmarks.metrics.base import SMOKE, Bench, Column, Metric, Scale
from tests.benchmarks.metrics.latency import Beside, Latency
from tests.benchmarks.metrics.runs import Runs, Streams
from tests.benchmarks.metrics.slow import Slow
from tests.benchmarks.metrics.startup import Startup
from tests.benchmarks.metrics.throughput import THROUGHPUT
from tests.benchmarks.metrics.viewers import Viewers


def all_metrics(scale: Scale) -> list[Metric]:
    """All metrics, in the order in which they are measured and shown."""
    return [
        Latency(),
        *THROUGHPUT,
        Runs(),
        Streams(scale.streams),
        *map(Viewers, scale.viewers),
        Beside(),
        Slow(),
        Startup(),
    ]


__all__ = ["SMOKE", "Bench", "Column", "Metric", "Scale", "all_metrics"]
