"""One reader of an output, going at the pace of its own connection."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from zope.interface import implementer

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Gap

from .formats import Format
from .interfaces import IRun, IViewer, ViewOptions
from .shared_encoding import SharedEncoding

#: Seconds of silence after which a sign of life is due, for proxies and NAT.
PING = 15.0

#: How many pieces a viewer is given in one turn of the event loop: one who is far
#: behind, on a fast connection, would keep everybody else waiting.
BURST = 4


@implementer(IPushProducer, IViewer)
@define(eq=False)
class Viewer:
    """
    Copy a run's output to a consumer, from an offset until its log is closed.

    Between one chunk and the next a viewer holds nothing but an offset. What
    it cannot give whole it gives up (C{vanish}), so that the consumer can tell.

    @ivar done: called when the consumer has all that was wanted; with L{True} if
        that is all there will ever be.
    """

    view: ViewOptions
    _rendition: SharedEncoding
    _consumer: IConsumer
    _done: Callable[[bool], object]
    _vanish: Callable[[], object]
    _clock: IReactorTime
    offset: int = field(init=False)
    lossless: bool = field(init=False)
    _run: IRun = field(init=False)
    _format: Format = field(init=False)
    _until: int | None = field(init=False)
    _paused: bool = field(default=False, init=False)
    _wrote: float = field(default=0.0, init=False)
    _ping: IDelayedCall | None = field(default=None, init=False)
    _stall: IDelayedCall | None = field(default=None, init=False)
    _going_on: IDelayedCall | None = field(default=None, init=False)
    _unsubscribe: Callable[[], None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.offset, self.lossless = self.view.offset, self.view.lossless
        self._run, self._format = self._rendition.run, self._rendition.form
        self._until = self.view.until
        if self._until is None and not self.view.follow:
            self._until = self._run.log.end  # what comes meanwhile is not asked for

    def start(self) -> None:
        """Send what is there already, then follow the log."""
        self._unsubscribe = self._run.log.subscribe(self._pump)
        if self.view.follow:
            self._run.attach(self)
        self._consumer.registerProducer(self, True)
        if self._format.pings:
            self._wrote = self._clock.seconds()
            self._ping = self._clock.callLater(PING, self._maybe_ping)
        self._pump()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._stall is None and self._unsubscribe is not None:
            self._stall = self._clock.callLater(self._run.stall_timeout, self._stalled)

    def resumeProducing(self) -> None:
        self._paused = False
        self._moving()
        self._pump()
        self._run.apply_backpressure()

    def stopProducing(self) -> None:
        """The consumer is gone, or has all: leave the run. Harmless when repeated."""
        if self._unsubscribe is not None:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
            self._moving()
            for call in (self._ping, self._going_on):
                if call is not None and call.active():
                    call.cancel()
            self._run.detach(self)
            unsubscribe()

    def cut(self) -> None:
        self._vanish()

    def _pump(self) -> None:
        log, pieces = self._run.log, 0
        while self._unsubscribe is not None and not self._paused:
            if self._going_on is not None:
                return
            until = self._until
            limit = log.end if until is None else min(until, log.end)
            if self.offset >= limit:
                if log.closed or (until is not None and self.offset >= until):
                    self._finish(ended=log.closed and self.offset >= log.end)
                return
            final = log.closed or limit == until
            try:
                wire, offset = self._rendition.tell(self.offset, limit, final=final)
            except OffsetGone as gone:
                if not self._skip(gone):
                    self._vanish()
                    return
                continue
            if offset == self.offset:  # it ends in the middle of a character
                return
            # Move on first: write() may call pauseProducing() before it returns.
            self.offset = offset
            self._write(wire)
            pieces += 1
            if pieces == BURST and offset < limit and self._unsubscribe is not None:
                self._going_on = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._going_on = None
        self._pump()
        self._run.apply_backpressure()

    def _skip(self, gone: OffsetGone) -> bool:
        """Go on behind bytes that are gone, if that can be said or is wanted."""
        said = self._format.gap(Gap(self.offset, gone.start))
        if gone.start <= self.offset or not (said or self.view.skip_gaps):
            return False
        self.offset = gone.start
        self._write(said)
        return True

    def _finish(self, *, ended: bool) -> None:
        if ended:
            self._write(self._format.end(self._run.record.end))
        self.stopProducing()
        self._consumer.unregisterProducer()
        self._done(ended)

    def _write(self, wire: bytes) -> None:
        if wire:
            self._wrote = self._clock.seconds()
            self._consumer.write(wire)

    def _maybe_ping(self) -> None:
        left = self._wrote + PING - self._clock.seconds()
        if left <= 0:
            left = PING
            if not self._paused:
                self._write(self._format.ping(self.offset))
        if self._unsubscribe is not None:
            self._ping = self._clock.callLater(left, self._maybe_ping)

    def _moving(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        self._stall = None
        self._vanish()
