"""Looking through all processes of the machine without holding the reactor."""

from collections.abc import Callable, Iterator
from time import monotonic

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from .process_table import ProcessTable


@define(eq=False)
class ProcessScanner:
    """
    Looks through C{/proc} in slices, once for all who ask in the same turn.

    There is no other way to find the processes of a session, and with thousands of
    processes it takes longer than a turn of the reactor may.
    """

    #: Seconds that a slice takes, of each turn of the reactor until it is done.
    SLICE = 0.005

    _clock: IReactorTime
    _now: Callable[[], float] = monotonic
    _fresh: dict[bool, ProcessTable] = field(factory=dict, init=False)  # by marks
    _waiting: list[tuple[bool, Deferred[ProcessTable]]] = field(
        factory=list, init=False
    )
    _scanning: bool = field(default=False, init=False)

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

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        marks = any(each for each, _ in waiting)
        table = ProcessTable()
        self._scanning = True
        answers = [done for _, done in waiting]
        if self._advance(table, table.fill(marks), answers):
            return
        self._fresh[marks] = table  # done within the turn
        self._clock.callLater(0, self._fresh.clear)
        self._deliver(table, answers)

    def _advance(
        self,
        table: ProcessTable,
        steps: Iterator[None],
        answers: list[Deferred[ProcessTable]],
    ) -> bool:
        """Go on for one slice. Returns whether there is one more to come."""
        until = self._now() + self.SLICE
        for _ in steps:
            if self._now() >= until:
                self._clock.callLater(0, self._continue, table, steps, answers)
                return True
        return False

    def _continue(
        self,
        table: ProcessTable,
        steps: Iterator[None],
        answers: list[Deferred[ProcessTable]],
    ) -> None:
        if not self._advance(table, steps, answers):
            self._deliver(table, answers)

    def _deliver(
        self, table: ProcessTable, answers: list[Deferred[ProcessTable]]
    ) -> None:
        self._scanning = False
        for done in answers:
            done.callback(table)
        if self._waiting and not self._scanning:
            self._begin()
