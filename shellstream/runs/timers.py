"""The timers of a run, by name."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define(eq=False)
class Timers:
    """At most one timer of each name."""

    _clock: IReactorTime
    _calls: dict[str, IDelayedCall] = field(factory=dict, init=False)

    def set(
        self, name: str, seconds: float, call: Callable[..., None], *given: object
    ) -> None:
        """Make a call after some time, in place of that of an earlier timer."""
        self.stop(name)
        self._calls[name] = self._clock.callLater(seconds, call, *given)

    def stop(self, *names: str) -> None:
        """Stop timers that have not fired yet; without names, all of them."""
        for name in names or tuple(self._calls):
            timer = self._calls.pop(name, None)
            if timer is not None and timer.active():
                timer.cancel()
