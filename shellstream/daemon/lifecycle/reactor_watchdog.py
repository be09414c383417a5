"""
A watchdog on the reactor: a turn of more than a second is logged, with its stack.

All clients wait while one turn of the reactor lasts. No input of a client, a command or
a file should make one long; where one does nevertheless, or a disk hangs, the log says
what the daemon was doing.
"""

import sys
import time
import traceback
from collections.abc import Callable
from threading import Event, Thread, get_ident
from typing import Any

from attrs import define, field
from twisted.application.service import Service
from twisted.logger import Logger

from shellstream.model.histogram import LONG, Histogram

_log = Logger()

#: Seconds between two questions to the reactor whether it still takes turns. Each wakes
#: it up, which takes 0.1 ms.
INTERVAL = 0.25

#: Seconds that a turn may last before it is logged.
LIMIT = 1.0

#: Seconds between two stacks in the log.
LOG_INTERVAL = 60.0


@define(eq=False)
class ReactorWatchdog(Service):
    """
    Asks the reactor, from a thread that exists from the start, to answer in its next
    turn, and logs where it is if the answer is late.

    @ivar lag: the time that the reactor took for its turn, or until it took one.
    @ivar last: the newest of these, in seconds.
    @ivar _monotonic: the time, as L{time.monotonic} tells it.
    @ivar _cpu: the CPU time of the process, as L{time.process_time} tells it.
    @ivar _wait: waits for an event, but no longer than so many seconds.
    """

    _reactor: Any  # an IReactorFromThreads
    _monotonic: Callable[[], float] = time.monotonic
    _cpu: Callable[[], float] = time.process_time
    _wait: Callable[[Event, float], bool] = Event.wait
    _stopped: Event = field(factory=Event, init=False)
    lag: Histogram = field(factory=lambda: Histogram(LONG), init=False)
    last: float = field(default=0.0, init=False)
    _watched: int = field(default=0, init=False)  # the thread of the reactor
    _last_stack: float = field(default=-LOG_INTERVAL, init=False)
    _without_stack: int = field(default=0, init=False)

    def startService(self) -> None:
        super().startService()
        self._watched = get_ident()
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stopService(self) -> None:
        self._stopped.set()
        super().stopService()

    def _watch(self) -> None:
        # The first answer comes when the reactor begins to run, however late that is.
        limit = float("inf")
        while not self._wait(self._stopped, INTERVAL):
            self.watch_turn(limit)
            limit = LIMIT

    def watch_turn(self, limit: float = LIMIT) -> None:
        """Wait until the turn that goes on is over, and log it if it takes long."""
        answered = Event()
        self._reactor.callFromThread(answered.set)
        held, told, over = 0.0, False, False
        while not (over or self._stopped.is_set()):
            began, cpu = self._monotonic(), self._cpu()
            over = self._wait(answered, INTERVAL)
            # While the process is stopped, or the machine sleeps, this thread waits for
            # longer than it wants to, too, and nothing is computed. While a function
            # of C keeps all threads waiting, such as re.match(), something is.
            computed = self._cpu() - cpu
            held += min(self._monotonic() - began, INTERVAL + computed)
            if held >= limit and not told:
                told = True
                self._tell(held)
        self.last = held
        self.lag.observe(held)
        if told:
            _log.warn("the reactor goes on, after {held:.1f} s", held=held)

    def _tell(self, held: float) -> None:
        now = self._monotonic()
        if now < self._last_stack + LOG_INTERVAL:
            self._without_stack += 1
            return
        frame = sys._current_frames().get(self._watched)
        stack = "" if frame is None else "".join(traceback.format_stack(frame))
        _log.warn(
            "the reactor has been in one turn for {held:.1f} s; all clients wait. "
            "{before} turns before were not logged. It is here:\n{stack}",
            held=held,
            before=self._without_stack,
            stack=stack,
        )
        self._last_stack, self._without_stack = now, 0
