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
PING_INTERVAL = 15.0

#: How many writes a viewer is given in one turn of the event loop: one who is far
#: behind, on a fast connection, would keep everybody else waiting.
MAX_BURST = 4


@implementer(IPushProducer, IViewer)
@define(eq=False)
class Viewer:
    """
    Copy a run's output to a consumer, from an offset until its log is closed.

    Between one chunk and the next a viewer holds nothing but an offset. What
    it cannot give whole it gives up (C{abort}), so that the consumer can tell.

    @ivar done: called when the consumer has all that was wanted; with L{True} if
        that is all there will ever be.
    """

    view: ViewOptions
    _encoding: SharedEncoding
    _consumer: IConsumer
    _done: Callable[[bool], object]
    _abort: Callable[[], object]
    _clock: IReactorTime
    offset: int = field(init=False)
    lossless: bool = field(init=False)
    _run: IRun = field(init=False)
    _format: Format = field(init=False)
    _until: int | None = field(init=False)
    _paused: bool = field(default=False, init=False)
    _last_write: float = field(default=0.0, init=False)
    _ping_timer: IDelayedCall | None = field(default=None, init=False)
    _stall_timer: IDelayedCall | None = field(default=None, init=False)
    _continuation: IDelayedCall | None = field(default=None, init=False)
    _unsubscribe: Callable[[], None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.offset, self.lossless = self.view.offset, self.view.lossless
        self._run, self._format = self._encoding.run, self._encoding.format
        self._until = self.view.until
        if self._until is None and not self.view.follow:
            self._until = self._run.log.end  # what comes meanwhile is not asked for

    def start(self) -> None:
        """Send what is there already, then follow the log."""
        self._unsubscribe = self._run.log.subscribe(self._send_available)
        if self.view.follow:
            self._run.attach(self)
        self._consumer.registerProducer(self, True)
        if self._format.pings:
            self._last_write = self._clock.seconds()
            self._ping_timer = self._clock.callLater(
                PING_INTERVAL, self._ping_if_silent
            )
        self._send_available()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._stall_timer is None and self._unsubscribe is not None:
            self._stall_timer = self._clock.callLater(
                self._run.stall_timeout, self._give_up
            )

    def resumeProducing(self) -> None:
        self._paused = False
        self._stop_stall_timer()
        self._send_available()
        self._run.apply_backpressure()

    def stopProducing(self) -> None:
        """The consumer is gone, or has all: leave the run. Harmless when repeated."""
        if self._unsubscribe is not None:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
            self._stop_stall_timer()
            for call in (self._ping_timer, self._continuation):
                if call is not None and call.active():
                    call.cancel()
            self._run.detach(self)
            unsubscribe()

    def cut(self) -> None:
        self._abort()

    def _send_available(self) -> None:
        log, writes = self._run.log, 0
        while self._unsubscribe is not None and not self._paused:
            if self._continuation is not None:
                return
            until = self._until
            limit = log.end if until is None else min(until, log.end)
            if self.offset >= limit:
                if log.closed or (until is not None and self.offset >= until):
                    self._finish(ended=log.closed and self.offset >= log.end)
                return
            final = log.closed or limit == until
            try:
                wire, offset = self._encoding.encode_from(
                    self.offset, limit, final=final
                )
            except OffsetGone as gone:
                if not self._skip_gap(gone):
                    self._abort()
                    return
                continue
            if offset == self.offset:  # it ends in the middle of a character
                return
            # Move on first: write() may call pauseProducing() before it returns.
            self.offset = offset
            self._write(wire)
            writes += 1
            if writes == MAX_BURST and offset < limit and self._unsubscribe is not None:
                self._continuation = self._clock.callLater(0, self._continue)

    def _continue(self) -> None:
        self._continuation = None
        self._send_available()
        self._run.apply_backpressure()

    def _skip_gap(self, gone: OffsetGone) -> bool:
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
            self._last_write = self._clock.seconds()
            self._consumer.write(wire)

    def _ping_if_silent(self) -> None:
        left = self._last_write + PING_INTERVAL - self._clock.seconds()
        if left <= 0:
            left = PING_INTERVAL
            if not self._paused:
                self._write(self._format.ping(self.offset))
        if self._unsubscribe is not None:
            self._ping_timer = self._clock.callLater(left, self._ping_if_silent)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _give_up(self) -> None:
        self._stall_timer = None
        self._abort()
