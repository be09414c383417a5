"""Counts of how long something took, in plain numbers, for the metrics."""

from bisect import bisect_left

from attrs import define, field

#: Upper bounds in seconds, from a tenth of a millisecond on.
SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0)
LONG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


@define(eq=False)
class Histogram:
    """
    How often something took at most so long.

    @ivar bounds: the upper bound of each bucket, in seconds, in order.
    @ivar counts: how often it took as long as each bucket says; last, longer.
    @ivar total: all of it together, in seconds.
    """

    bounds: tuple[float, ...] = SHORT
    counts: list[int] = field(init=False)
    total: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count one; what a clock that was set back shows as negative counts as 0."""
        if seconds < 0:
            seconds = 0.0
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds
