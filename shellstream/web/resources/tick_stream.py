"""C{/doctor}: a ticker, by which a client finds out what delays a stream."""

from collections.abc import Callable

from attrs import define, evolve, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from shellstream.model.errors import Busy
from shellstream.model.events import OnDisconnect, State, Stream, WallClock, rfc3339
from shellstream.model.run_record import RunRecord
from shellstream.output.formats import Plain
from shellstream.output.interfaces import IRun, IViewer, ViewOptions
from shellstream.output.log import OutputLog
from shellstream.output.negotiation import negotiate
from shellstream.web.server.request import Request

from .base import Resource, requires
from .query import LAST_EVENT_ID, Query
from .run_output import OutputResponder, announce_trailers

#: The defaults and limits of a ticker: ticks, and seconds.
COUNT, MAX_COUNT = 10, 600
INTERVAL, MAX_INTERVAL = 0.2, 10.0
MAX_IDLE = 3600.0

#: How many may tick at once, and for one address. A client's C{doctor} starts a few.
MAX_AT_ONCE, MAX_EACH = 64, 32

#: Seconds after which another may have ended.
RETRY_AFTER = 10

#: The bytes kept for a slow viewer: enough for as many ticks as there can be.
CAPACITY = 1 << 18


@frozen
class Ticks:
    """
    The ticks that a client asks for.

    @ivar interval: seconds between two ticks.
    @ivar idle: seconds of silence before the last one, beyond that.
    @ivar lines: whether each ends a line. A proxy that passes on whole lines only shows
        if none does.
    """

    count: int = COUNT
    interval: float = INTERVAL
    idle: float = 0.0
    lines: bool = True

    def due(self, number: int) -> float:
        """When a tick is due, in seconds after the first."""
        last = number == self.count
        return (number - 1) * self.interval + (self.idle if last else 0.0)


@frozen
class Now:
    """
    The clocks of the daemon.

    @ivar wall: the time of day; it may jump.
    @ivar monotonic: seconds since some moment; they never jump.
    """

    wall: WallClock
    monotonic: Callable[[], float]


@implementer(IRun)
@define(eq=False)
class Ticker:
    """
    The output of a run that is nothing but a clock: no process, one viewer.

    It begins when its viewer comes and ends when that leaves. A tick is a line, or part
    of one, that reads the same in every format: there is nothing in it to be escaped.
    """

    _ticks: Ticks
    _clock: IReactorTime
    _now: Now
    _ticking: "set[Ticker]"
    address: str
    record: RunRecord = field(init=False)
    log: OutputLog = field(factory=lambda: OutputLog(CAPACITY), init=False)
    stall_timeout: float = field(default=60.0, init=False)
    _number: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.record = RunRecord(
            id="doctor",
            command="doctor",
            params={},
            created=self._now.wall(),
            on_disconnect=OnDisconnect.CANCEL,
            state=State.RUNNING,
        )

    def snapshot(self) -> RunRecord:
        return self.record

    def attach(self, viewer: IViewer) -> None:
        self._ticking.add(self)
        self._began = self._clock.seconds()
        # Not at once: the viewer that attaches is not yet ready to be woken.
        self._next = self._clock.callLater(0, self._tick)

    def detach(self, viewer: IViewer) -> None:
        self._ticking.discard(self)
        if self._next is not None and self._next.active():
            self._next.cancel()

    def apply_backpressure(self) -> None:
        """A clock does not wait."""

    def _tick(self) -> None:
        self._number += 1
        wall = self._now.wall()
        line = (
            f"tick {self._number} of {self._ticks.count}, "
            f"sent at {self._now.monotonic():.6f} s, {rfc3339(wall)}"
        )
        last = self._number == self._ticks.count
        if not last:
            due = self._began + self._ticks.due(self._number + 1)
            wait = max(0.0, due - self._clock.seconds())
            self._next = self._clock.callLater(wait, self._tick)
        end = "\n" if self._ticks.lines else "; "
        self.log.append(Stream.STDOUT, wall, (line + end).encode())
        if last:
            self.record = evolve(
                self.record, state=State.EXITED, code=0, ended=wall, size=self.log.end
            )
            self.log.close()


class Doctor(Resource):
    """C{/doctor}: numbered ticks in any format, each with the time when it left."""

    def __init__(
        self, responder: OutputResponder, clock: IReactorTime, now: Now
    ) -> None:
        super().__init__()
        self._responder = responder
        self._clock = clock
        self._now = now
        self._ticking: set[Ticker] = set()

    @requires()
    def render_GET(self, request: Request) -> None:
        # A client that comes back gets ticks from the first one again.
        known = ("count", "interval", "idle", "lines", "format", LAST_EVENT_ID)
        query = Query.of(request, *known)
        count = query.number("count", 1, MAX_COUNT)
        interval = query.seconds("interval", MAX_INTERVAL)
        ticks = Ticks(
            COUNT if count is None else count,
            INTERVAL if interval is None else interval,
            query.seconds("idle", MAX_IDLE) or 0.0,
            lines=query.flag("lines", default=True),
        )
        form = negotiate(request.header("accept"), query.text("format"))
        query.validate()
        request.check_viewer_limit()
        theirs = sum(each.address == request.address for each in self._ticking)
        if theirs >= MAX_EACH or len(self._ticking) >= MAX_AT_ONCE:
            raise Busy("as many others as can be are being examined", RETRY_AFTER)
        self._responder.set_headers(request, form)
        # Only the daemon knows which version a proxy before it speaks.
        version = request.clientproto.decode("ascii")
        request.set_headers({"Shellstream-Request-Version": version})
        if isinstance(form, Plain):
            announce_trailers(request)
        ticker = Ticker(ticks, self._clock, self._now, self._ticking, request.address)
        self._responder.stream(request, ticker, ViewOptions(), form)
