"""
The clock by which runs and keys grow old: it counts only time that daemons saw pass.

Theory of operation
===================

What is deleted for its age is gone for ever, so its age must not come from a clock
that people, batteries and time servers set. A Raspberry Pi has no clock of its own: it
starts in the past, or in 1970, and jumps when it hears the time. By the wall clock a
daemon that began before that jump would delete all that it kept.

So this clock begins at zero with an empty history. It advances by the monotonic clock
of each daemon, one after the other, and is written to the history from time to time.
Each ended run has its time as well (C{since}). It stands still while no daemon runs,
and while the machine sleeps. A daemon that is killed loses at most the time since the
last run ended, or since the last look for old runs. Therefore nothing is ever deleted
too early. It is deleted later than the calendar says on a machine that is often off;
there the other limits (how many runs, and how many bytes) still hold.
"""

import time
from collections.abc import Callable

from attrs import define, field

#: The most that one look may add, in seconds. The daemon looks every ten minutes. A
#: longer step is a machine that slept, or a monotonic clock that is none.
MAX_STEP = 1200.0


@define(eq=False)
class AgeClock:
    """
    The time that daemons on one history saw pass. One thread at a time may use it.

    @ivar seen: microseconds, as of the last look.
    """

    _monotonic: Callable[[], float] = time.monotonic
    seen: int = 0
    _last: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._last = self._monotonic()

    def now(self) -> int:
        """Look at the clock: the time in microseconds. It never goes back."""
        now = self._monotonic()
        step = min(max(0.0, now - self._last), MAX_STEP)
        self._last = now
        self.seen += int(step * 1_000_000)
        return self.seen
