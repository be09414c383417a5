"""Work that can wait, in slices: some milliseconds of each turn of the reactor."""

from collections import deque
from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

#: Seconds of each turn for all such work together. A call of it should take a few
#: milliseconds at most.
SLICE = 0.01


@define(eq=False)
class LaterCall:
    """A call that waits for its turn."""

    _call: Callable[[], object] | None

    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._call is not None

    def cancel(self) -> None:
        """Do not make the call."""
        self._call = None

    def make(self) -> None:
        """Make the call, unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            call()


@define(eq=False)
class FairTurns:
    """
    Makes calls in the order in which they were asked for, L{SLICE} seconds in a turn.

    With C{callLater(0, …)} a thousand clients that ask for work at once would have all
    of it done in one turn, while others wait. Twisted's C{Cooperator} does the same as
    this, but takes time in proportion to the number of its tasks to end one.
    """

    _clock: IReactorTime
    _calls: deque[LaterCall] = field(factory=deque, init=False)
    _scheduled: bool = field(default=False, init=False)
    _used: float = field(default=0.0, init=False)  # of this turn, by L{now}

    def now(self, call: Callable[[], object]) -> bool:
        """
        Make a call at once, if no others wait and the slice of this turn is not used
        up. Returns whether the call was made.
        """
        if self._calls or self._used >= SLICE:
            return False
        began = self._clock.seconds()
        call()
        self._used += self._clock.seconds() - began
        if self._used >= SLICE:
            self._schedule()
        return True

    def later(self, call: Callable[[], object]) -> LaterCall:
        """Make a call in a later turn."""
        waiting = LaterCall(call)
        self._calls.append(waiting)
        self._schedule()
        return waiting

    def finish(self) -> None:
        """Make all calls that wait, however long that takes."""
        while self._calls:
            self._calls.popleft().make()

    def turn(self) -> Deferred[None]:
        """Fires when it is the caller's turn."""
        fires: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.later(lambda: fires.callback(None))
        return fires

    def _schedule(self) -> None:
        if (self._calls or self._used >= SLICE) and not self._scheduled:
            self._scheduled = True
            self._clock.callLater(0, self._make_calls)

    def _make_calls(self) -> None:
        self._scheduled, self._used = False, 0.0
        end = self._clock.seconds() + SLICE
        try:
            while self._calls:
                self._calls.popleft().make()
                if self._clock.seconds() >= end:
                    break
        finally:  # an error of one call is logged by the reactor; the others follow
            self._schedule()
