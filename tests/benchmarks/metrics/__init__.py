"""What is measured, each in a module by subject; L{Metric} says what that is."""

from tests.benchmarks.metrics.base import SMOKE, Bench, Column, Metric, Scale
from tests.benchmarks.metrics.latency import Beside, Latency
from tests.benchmarks.metrics.runs import Runs, Streams
from tests.benchmarks.metrics.slow import Slow
from tests.benchmarks.metrics.startup import Startup
from tests.benchmarks.metrics.throughput import THROUGHPUT
from tests.benchmarks.metrics.viewers import Viewers


def all_metrics(scale: Scale) -> list[Metric]:
    """In the order in which they are measured and shown."""
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
