"""One reader of a run's output, going at the pace of its own connection."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from zope.interface import implementer

from .errors import OffsetGone
from .run import Run


@implementer(IPushProducer)
@define(eq=False)
class Viewer:
    """
    Copy a run's log to a consumer, from C{offset} until the log is closed.

    Between one chunk and the next a viewer holds nothing but an offset. What
    it cannot give whole it gives up (C{vanish}), so that the consumer can tell.

    @ivar offset: the first byte that the consumer has not been given.
    """

    offset: int
    _run: Run
    _consumer: IConsumer
    _done: Callable[[], object]
    _vanish: Callable[[], object]
    _clock: IReactorTime
    _stall_timeout: float
    _paused: bool = field(default=False, init=False)
    _stall: IDelayedCall | None = field(default=None, init=False)
    _unsubscribe: Callable[[], None] | None = field(default=None, init=False)

    def start(self) -> None:
        """Send what is there already, then follow the log."""
        self._unsubscribe = self._run.log.subscribe(self._pump)
        self._run.attach(self)
        self._consumer.registerProducer(self, True)
        self._pump()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._stall is None:
            self._stall = self._clock.callLater(self._stall_timeout, self._stalled)

    def resumeProducing(self) -> None:
        self._paused = False
        self._moving()
        self._pump()
        self._run.pace()

    def stopProducing(self) -> None:
        """The consumer is gone, or has all: leave the run. Harmless when repeated."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            self._moving()
            self._run.detach(self)

    def _pump(self) -> None:
        while self._unsubscribe is not None and not self._paused:
            try:
                chunk = self._run.log.read(self.offset)
            except OffsetGone:
                self._vanish()
                return
            if chunk is None:
                if self._run.log.closed:
                    self._finish()
                return
            # Move on first: write() may call pauseProducing() before it returns.
            self.offset = chunk.end
            self._consumer.write(chunk.data)

    def _finish(self) -> None:
        self.stopProducing()
        self._consumer.unregisterProducer()
        self._done()

    def _moving(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        self._stall = None
        self._vanish()
