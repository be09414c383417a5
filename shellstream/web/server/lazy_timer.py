"""A timer that costs almost nothing where nearly all waits end before it does."""

from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Owner(Protocol):
    """What a timer belongs to."""

    def timeoutConnection(self) -> object:
        """A wait has lasted too long."""


@define(eq=False)
class LazyTimer:
    """
    Calls when a wait has lasted too long; there is one wait at a time.

    A wait that ends leaves its delayed call where it is, and the next one uses it: when
    it comes too early, it goes to sleep for the rest. To move a call of the reactor to
    an earlier time takes it a search through all of them, for each request.

    It is small, as each of ten thousand connections has one: it holds its owner, since
    a bound method takes as much as the timer.
    """

    _clock: IReactorTime
    _owner: Owner
    _deadline: float | None = field(default=None, init=False)
    _call: IDelayedCall | None = field(default=None, init=False)
    _comes: float = field(default=0.0, init=False)

    def start(self, seconds: float) -> None:
        """Begin a wait of so many seconds, in place of the one that there was."""
        self._deadline = self._clock.seconds() + seconds
        if self._call is not None and self._comes <= self._deadline:
            return
        self.cancel()
        self._sleep(self._deadline)

    def stop(self) -> None:
        """The wait has ended."""
        self._deadline = None

    def cancel(self) -> None:
        """Nothing more will be waited for."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sleep(self, deadline: float) -> None:
        self._deadline = self._comes = deadline
        seconds = max(0.0, deadline - self._clock.seconds())
        self._call = self._clock.callLater(seconds, self._wake)

    def _wake(self) -> None:
        self._call, deadline = None, self._deadline
        if deadline is None:
            return
        if deadline > self._comes:
            self._sleep(deadline)
        else:
            self._deadline = None
            self._owner.timeoutConnection()
