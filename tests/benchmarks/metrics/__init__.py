"""What is measured, each in a module by subject; L{Metric} says what that is."""

from .base import SMOKE, Bench, Column, Metric, Scale
from .latency import Beside, Latency
from .runs import Runs, Streams
from .slow import Slow
from .startup import Startup
from .throughput import THROUGHPUT
from .viewers import Viewers


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
