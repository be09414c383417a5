"""Looking through all processes of the machine without holding the reactor."""

from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from .process_table import ProcessTable


@define(eq=False)
class ProcessScanner:
    """
    Looks through C{/proc} in slices, once for all who ask in the same turn.

    There is no other way to find the processes of a session, and with thousands of
    processes it takes longer than a turn of the reactor may.
    """

    #: Seconds of each turn of the reactor that are spent here, until all is done.
    SLICE = 0.005

    _clock: IReactorTime
    _now: Callable[[], float] = monotonic
    _until: float | None = field(default=None, init=False)  # of this turn's slice
    _work: deque[tuple[Iterator[None], Deferred[None]]] = field(
        factory=deque, init=False
    )
    _working: bool = field(default=False, init=False)
    _fresh: dict[bool, ProcessTable] = field(factory=dict, init=False)  # by marks
    _waiting: list[tuple[bool, Deferred[ProcessTable]]] = field(
        factory=list, init=False
    )
    _scanning: bool = field(default=False, init=False)
    _turns: int = field(default=0, init=False)

    def scan(self, marks: bool = False) -> Deferred[ProcessTable]:
        """
        The processes as they are from this turn of the reactor on. On a machine with
        few processes it fires at once.

        @param marks: whether to find out which run each process belongs to, which takes
            ten times as long.
        """
        table = self._fresh.get(True) or self._fresh.get(marks)
        if table is not None:
            return succeed(table)
        done: Deferred[ProcessTable] = Deferred()
        self._waiting.append((marks, done))
        # A scan under way has passed processes that may have forked since.
        if not self._scanning:
            self._begin()
        return done

    def in_slices(self, steps: Iterator[None]) -> Deferred[None]:
        """
        Take steps, of which each is short, in as many turns as that takes; at once if
        there is time. Fires when the last one is done.
        """
        done: Deferred[None] = Deferred()
        self._work.append((steps, done))
        self._go_on()
        return done

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        marks = any(each for each, _ in waiting)
        table = ProcessTable()
        self._scanning = True
        filled = self.in_slices(table.fill(marks))
        begun = self._turns

        def deliver(result: Failure | None) -> None:
            self._scanning = False
            if result is None and self._turns == begun:
                self._fresh[marks] = table
            for _, done in waiting:
                done.callback(table if result is None else result)
            if self._waiting and not self._scanning:
                self._begin()

        filled.addBoth(deliver)

    def _go_on(self) -> None:
        if self._working:  # the loop below takes the new steps as well
            return
        if self._until is None:
            self._until = self._now() + self.SLICE
            self._clock.callLater(0, self._next_turn)
        self._working = True
        try:
            while self._work and self._now() < self._until:
                steps, done = self._work[0]
                try:
                    next(steps)
                except StopIteration:
                    self._work.popleft()
                    done.callback(None)
                except Exception:  # noqa: BLE001  # their caller handles it
                    self._work.popleft()
                    done.errback()
        finally:
            self._working = False

    def _next_turn(self) -> None:
        self._until = None
        self._turns += 1
        self._fresh.clear()
        if self._work:
            self._go_on()
