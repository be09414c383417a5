"""
A viewer: copies a run's output to one client, at the pace of that client.

Theory of operation: viewers and back-pressure
==============================================

Output is written once, into the log. A viewer holds an offset into that log and
nothing else: what the client has not taken yet waits in the log, not in the viewer.
So a slow client costs no memory, and a client that comes back only needs its offset.

Three parts take turns, all in the reactor's thread:

 - The run reads the child's pipe and appends to the log (L{Run.output}).
 - The log wakes its subscribers in turn (L{OutputLog.append}); where there are very
   many, the last of them later, through L{FairTurns}.
 - A viewer that is woken reads from its offset, encodes, and writes to its consumer,
   an HTTP response, until it has reached the end or the consumer is full.

Pressure goes the other way, in three steps, each with its own memory and its own rule:

 1. A full consumer calls C{pauseProducing}, often from inside C{write}. The viewer
    stops writing and starts the stall timer. The other viewers, the log and the
    command go on as before. C{resumeProducing} stops the timer.
 2. The log has bounded room and drops its oldest bytes, whether a viewer has had them
    or not. A viewer that was overrun finds L{OffsetGone}. If the format can say that
    bytes are missing, or the client asked to skip them, it goes on behind the gap;
    otherwise the connection is aborted, because a client must be able to tell a whole
    output from one with a hole.
 3. A lossless viewer must not be overrun. Before the next read could make the log drop
    a byte that a lossless viewer has not had, the run stops reading the child's pipe
    (C{IRun.apply_backpressure}). The pipe fills, and the child blocks in write(2), as
    it would at a slow terminal. This is the only way in which a viewer touches the
    child. The stall timer bounds it: a client that takes nothing for
    C{stall_timeout} seconds is aborted, and the command goes on.

C{apply_backpressure} compares the offsets of all lossless viewers at once. The run
calls it after each append, when all viewers have been woken, and when a viewer comes
or goes. A viewer calls it where it moved on by itself: in C{resumeProducing}, and in
the next turn of the event loop after a burst. Calls from within a wake-up would only
repeat the work.

What may re-enter what
----------------------

 - C{consumer.write} may call C{pauseProducing}, and C{stopProducing} if the
   connection turns out to be lost. So C{offset} moves on before C{write}, and each
   turn of the loop looks again at whether it may go on. C{resumeProducing} always
   comes from the reactor.
 - C{abort} and C{done} may call C{stopProducing} before they return; it is harmless
   when repeated. Nothing of the viewer is used after them.
 - C{stopProducing} calls C{IRun.detach}, which may read the pipe again, but only from
   the reactor's next turn on, and then ends the subscription, which may close the
   log's storage. No bytes are appended from inside either.
 - While the log wakes its subscribers, one may end its own subscription or another's,
   or begin a new one: the log skips those that have left, and need not wake a
   newcomer.
 - No wake-up appends to the log: an append never happens inside another.
"""

from collections.abc import Callable

from attrs import Factory, define, field
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IPushProducer,
    IReactorTime,
)
from zope.interface import implementer

from shellstream.model.errors import OffsetGone
from shellstream.model.events import Gap

from .counts import OutputCounts
from .fair_turns import FairTurns, LaterCall
from .formats import Format
from .interfaces import IRun, IViewer, ViewOptions
from .shared_encoding import SharedEncoding
from .unforeseen import contained, log_unforeseen

#: Seconds of silence after which a ping is sent: proxies and NAT drop connections
#: that seem dead, most of them after 60 s.
PING_INTERVAL = 15.0

#: How many writes a viewer may make in one turn of the event loop. One that is far
#: behind, on a fast connection, would otherwise keep all others waiting.
MAX_BURST = 4

#: Seconds after which a burst makes no further write: to encode records of single bytes
#: takes 10 ms for each write.
BURST_SECONDS = 0.005


@implementer(IPushProducer, IViewer)
@define(eq=False)
class Viewer:
    """
    Copies a run's output to a consumer, from an offset until the log is closed.

    @ivar abort: ends the connection so that the client can tell that bytes are missing.
    @ivar _done: called when the consumer has all that was asked for; with L{True} if
        the run has ended, so that there will never be more.
    """

    options: ViewOptions
    _encoding: SharedEncoding
    _consumer: IConsumer
    _done: Callable[[bool], object]
    abort: Callable[[], None]
    _clock: IReactorTime
    #: Shared with other viewers: work that waits has one slice of each turn.
    _turns: FairTurns = Factory(lambda self: FairTurns(self._clock), takes_self=True)
    _counts: OutputCounts = field(factory=OutputCounts)
    offset: int = field(init=False)
    lossless: bool = field(init=False)
    _run: IRun = field(init=False)
    _format: Format = field(init=False)
    _until: int | None = field(init=False)
    _verbatim: bool = field(init=False)  # whether it gets each chunk as it is
    _paused: bool = field(default=False, init=False)
    _last_write: float = field(default=0.0, init=False)
    _ping_timer: IDelayedCall | None = field(default=None, init=False)
    _stall_timer: IDelayedCall | None = field(default=None, init=False)
    _continuation: LaterCall | None = field(default=None, init=False)
    _unsubscribe: Callable[[], None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.offset, self.lossless = self.options.offset, self.options.lossless
        self._run, self._format = self._encoding.run, self._encoding.format
        self._until = self.options.until
        if self._until is None and not self.options.follow:
            self._until = self._run.log.end  # what is written later was not asked for
        whole = self._until is None and self.options.only is None
        self._verbatim = whole and self._format.verbatim

    def start(self) -> None:
        """Send what is there already, then follow the log."""
        self._unsubscribe = self._run.log.subscribe(self._woken, self._send_later)
        if self.options.follow:
            self._run.attach(self)
        if self._format.pings:
            self._last_write = self._clock.seconds()
            self._ping_timer = self._clock.callLater(
                PING_INTERVAL, self._ping_if_silent
            )
        # A consumer that is gone already calls stopProducing here.
        self._consumer.registerProducer(self, True)
        self._catch_up()
        # The command may have waited for a viewer (C{on_full = "pause"}); this one may
        # have it all by now, and a consumer that is never full never resumes us.
        self._run.apply_backpressure()

    def pauseProducing(self) -> None:
        self._paused = True
        if self._stall_timer is None and self._unsubscribe is not None:
            timeout = self._run.stall_timeout
            self._stall_timer = self._clock.callLater(timeout, self._stalled)

    def resumeProducing(self) -> None:
        self._paused = False
        self._stop_stall_timer()
        self._catch_up()
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

    def _woken(self) -> None:
        """
        There is more in the log. Nearly always that is one chunk, which goes to the
        consumer as it is: the rest of this class is for all other cases.
        """
        log = self._run.log
        newest = log.newest
        if (
            newest is None
            or newest.offset != self.offset
            or not self._verbatim
            or self._paused
            or self._continuation is not None
            or log.closed  # the end follows
        ):
            self._send_available()
            return
        self.offset = log.end  # before the write, which may call us back
        try:
            self._consumer.write(newest.data)
        except Exception:  # noqa: BLE001  # other viewers and the run go on
            self._broke()

    def _send_available(self) -> None:
        try:
            self._send()
        except Exception:  # noqa: BLE001  # other viewers and the run go on
            self._broke()

    def _broke(self) -> None:
        """Something unforeseen is being handled: log it, and cut the client off."""
        run_id = self._run.record.id
        log_unforeseen(run_id)
        with contained(run_id):
            self.abort()
        self.stopProducing()

    def _send(self) -> None:
        log, until, writes = self._run.log, self._until, 0
        end = self._clock.seconds() + BURST_SECONDS
        while (
            self._unsubscribe is not None
            and not self._paused
            and self._continuation is None
        ):
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
                    self.abort()
                    return
            else:
                if offset == self.offset:  # only a part of a character is there
                    return
                self.offset = offset  # before the write, which may call us back
                self._write(wire)
            writes += 1
            if self.offset < limit and (
                writes == MAX_BURST or self._clock.seconds() >= end
            ):
                self._send_later()

    def _catch_up(self) -> None:
        # Thousands of clients may ask for old output in one turn, and each write of it
        # may take milliseconds.
        if not self._turns.now(self._send_available):
            self._send_later()

    def _send_later(self) -> None:
        if self._continuation is None and self._unsubscribe is not None:
            self._continuation = self._turns.later(self._continue)

    def _continue(self) -> None:
        self._continuation = None
        self._woken()
        self._run.apply_backpressure()

    def _skip_gap(self, gone: OffsetGone) -> bool:
        """Go on behind bytes that are gone, if the format can say so or may skip."""
        record = self._format.gap(Gap(self.offset, gone.start))
        if gone.start <= self.offset or not (record or self.options.skip_gaps):
            return False
        self._counts.gaps += 1
        self._counts.skipped += gone.start - self.offset
        self.offset = gone.start
        self._write(record)
        return True

    def _finish(self, *, ended: bool) -> None:
        if ended:
            self._write(self._format.end(self._run.record.end))
        self.stopProducing()
        self._consumer.unregisterProducer()
        self._done(ended)

    def _write(self, wire: bytes) -> None:
        if wire:
            if self._ping_timer is not None:
                self._last_write = self._clock.seconds()
            self._consumer.write(wire)

    def _ping_if_silent(self) -> None:
        left = self._last_write + PING_INTERVAL - self._clock.seconds()
        if left <= 0:
            left = PING_INTERVAL
            if not self._paused:
                try:
                    self._write(self._format.ping(self.offset))
                except Exception:  # noqa: BLE001
                    self._broke()
        if self._unsubscribe is not None:
            self._ping_timer = self._clock.callLater(left, self._ping_if_silent)

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _stalled(self) -> None:
        self._stall_timer = None
        self.abort()
