"""
The deadline of the reactor: no turn may compute for longer.

C{python -m tests.support.reactor_deadline} is twistd with a watchdog: it writes each
turn beyond the deadline to the file that C{$TURNS} names. The CPU time of the reactor's
thread counts, not the time on the clock: a test must not fail because the machine is
busy. So a turn that waits for a disk does not count.
"""

import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

#: Seconds of CPU in one turn, on a machine that counts to L{COUNT} in L{COUNTED}
#: seconds. A slower one, or one that traces lines, has more in proportion.
DEADLINE, COUNT, COUNTED = 0.05, 100_000, 0.005

#: Seconds between two looks at the turn that goes on.
SAMPLE = 0.01


def slowness() -> float:
    """How much slower than the reference this machine is; at least 1."""
    best = min(_count() for _ in range(5))
    return max(1.0, best / COUNTED)


def _count() -> float:
    began, total = time.thread_time(), 0
    for number in range(COUNT):
        total += number
    return time.thread_time() - began


class TurnMeter:
    """Measures the turns of this thread, and samples where the long ones are."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._began = time.thread_time()
        self._stack = ""
        threading.Thread(target=self._sample, daemon=True).start()

    def end_turn(self) -> list[tuple[float, str]]:
        """
        A turn is over, and the next one begins.

        @return: the seconds of CPU of the turn and a stack, if it was too long.
        """
        now = time.thread_time()
        took, stack = now - self._began, self._stack
        self._began, self._stack = now, ""
        return [(took, stack)] if took > self._deadline else []

    def _sample(self) -> None:
        while True:
            time.sleep(SAMPLE)
            took = time.clock_gettime(self._clock) - self._began
            if took > self._deadline / 2 and not self._stack:
                frame = sys._current_frames()[self._thread]
                self._stack = "".join(traceback.format_stack(frame)[-12:])


def main() -> None:
    """Be twistd, with each late turn in a file."""
    from twisted.internet import reactor as any_reactor
    from twisted.scripts.twistd import run

    reactor: Any = any_reactor
    meter = TurnMeter(DEADLINE * slowness())
    begin_turn = reactor.runUntilCurrent
    path = Path(os.environ["TURNS"])

    def write_late() -> None:
        for took, stack in meter.end_turn():
            with path.open("a") as file:
                file.write(f"a turn of {took * 1000:.0f} ms of CPU:\n{stack}\n")

    def run_until_current() -> None:
        write_late()
        begin_turn()

    def run_first() -> None:
        meter.end_turn()  # all until now was the start of the daemon
        reactor.runUntilCurrent = run_until_current
        begin_turn()

    reactor.runUntilCurrent = run_first
    sys.argv[0] = "twistd"
    run()


if __name__ == "__main__":
    main()
