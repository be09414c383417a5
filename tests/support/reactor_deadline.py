"""
The deadline of the reactor: no turn may compute for longer.

C{python -m tests.support.reactor_deadline} is the daemon with a watchdog: it writes
each turn beyond the deadline to the file that C{$TURNS} names. The CPU time of the
reactor's thread counts, not the time on the clock: a test must not fail because the
machine is busy. So a turn that waits for a disk does not count.

The kernel also charges a thread for what others do while it runs: interrupts, and the
time in which the host stops a virtual machine. Turns of 35 ms were seen in which the
daemon did next to nothing. So one late turn proves nothing; see
L{tests.support.watched_tests}.
"""

import gc
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds of CPU in one turn, on a machine that counts to L{COUNT} in L{COUNTED}
#: seconds. A slower one, or one that traces lines, has more in proportion.
DEADLINE, COUNT, COUNTED = 0.05, 100_000, 0.005

#: Seconds between two looks at the turn that goes on.
SAMPLE = 0.01


def slowness() -> float:
    """How much slower than the reference this machine is now; at least 1."""
    best = min(_count() for _ in range(5))
    return max(1.0, best / COUNTED)


def _count() -> float:
    began, total = time.thread_time(), 0
    for number in range(COUNT):
        total += number
    return time.thread_time() - began


class TurnMeter:
    """Measures the turns of this thread, and samples where the long ones are."""

    def __init__(self, slowness: Callable[[], float] = slowness) -> None:
        self._slowness = slowness
        self._thread = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._thread)
        self._collecting = 0.0
        gc.callbacks.append(self._collect)
        self._begin()
        threading.Thread(target=self._sample, daemon=True).start()

    def end_turn(self) -> str:
        """
        A turn is over, and the next one begins.

        @return: what is known of the turn, if it was too long, or else nothing.
        """
        late = ""
        took = time.thread_time() - self._began
        # Other programs on the same core slow it down, so the comparison is made now.
        if took > DEADLINE and took > DEADLINE * self._slowness():
            late = f"a turn of {took * 1000:.0f} ms of CPU{self._describe()}"
        self._begin()
        return late

    def _begin(self) -> None:
        self._stack = ""
        self._collected = 0.0
        self._usage = resource.getrusage(resource.RUSAGE_THREAD)
        self._began = time.thread_time()

    def _describe(self) -> str:
        now, then = resource.getrusage(resource.RUSAGE_THREAD), self._usage
        return (
            f" ({self._collected * 1000:.0f} ms in the collection of garbage, "
            f"{(now.ru_stime - then.ru_stime) * 1000:.0f} ms in the kernel, "
            f"{now.ru_minflt - then.ru_minflt} page faults, "
            f"{now.ru_nivcsw - then.ru_nivcsw} times interrupted):\n"
            f"{self._stack or 'no stack: one call of C, or not the daemon at all'}"
        )

    def _collect(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting

    def _sample(self) -> None:
        while True:
            time.sleep(SAMPLE)
            took = time.clock_gettime(self._clock) - self._began
            if took > DEADLINE / 2 and not self._stack:
                frame = sys._current_frames()[self._thread]
                self._stack = "".join(traceback.format_stack(frame)[-12:])


def main() -> None:
    """Be the daemon, with each late turn in a file."""
    from twisted.internet import reactor as any_reactor

    from shellstream.daemon.__main__ import main as run

    reactor: Any = any_reactor
    meter = TurnMeter()
    begin_turn = reactor.runUntilCurrent
    path = Path(os.environ["TURNS"])

    def run_until_current() -> None:
        if late := meter.end_turn():
            with path.open("a") as file:
                file.write(f"{late}\n")
        begin_turn()

    def run_first() -> None:
        meter.end_turn()  # all until now was the start of the daemon
        reactor.runUntilCurrent = run_until_current
        begin_turn()

    reactor.runUntilCurrent = run_first
    run()


if __name__ == "__main__":
    main()
