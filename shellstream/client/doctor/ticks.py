"""
How late each tick of C{/doctor} arrived, and in which pattern.

A tick says when it left, by a monotonic clock of the server. How that clock relates to
ours is found as in NTP (RFC 5905, 8): the server's moment lies between our request and
the response. A proxy that delays all responses by the same time shifts that moment, and
would hide behind it. So the clock is read at the address with the shortest round trip,
and where there is but one, the time that it takes to connect says how much of a round
trip is due to the network.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import pairwise
from statistics import median

from attrs import frozen

from .exchange import Exchange

#: Seconds of delay that a person notices; what is shorter feels instantaneous (Nielsen,
#: Usability Engineering, 1993, 5.5). On a busy machine ticks come up to 50 ms late by
#: accident; the shortest delay that a proxy is known for is HAProxy's 200 ms.
NOTICEABLE = 0.1

#: Seconds by which a response may come later than connecting explains, because the
#: server is far behind a proxy: a round trip to the antipodes takes about 0.3 s by
#: cable, half of it to one of the large networks of proxies.
DISTANT = 0.25

#: Seconds between which the delay lies that HAProxy gives each piece by default: 200 ms
#: of the kernel's, and what a busy machine adds or a first piece that passes subtracts.
HAPROXY = 0.15, 0.28

#: A tick, which reads the same in every format.
_TICK = re.compile(
    rb"tick (\d{1,9}) of (\d{1,9}), sent at (\d{1,12}\.\d{6}) s, (\S{1,32}Z)"
)


@frozen
class Tick:
    """
    One tick.

    @ivar sent: when it left, by the server's monotonic clock.
    @ivar wall: the server's time of day then, in seconds since 1970.
    @ivar arrived: when its last byte arrived, by our clock.
    """

    number: int
    of: int
    sent: float
    wall: float
    arrived: float


def ticks(exchange: Exchange) -> list[Tick]:
    """All ticks of a response."""
    found: list[Tick] = []
    text = bytearray()
    searched = 0
    for arrival in exchange.arrivals:
        text += arrival.data
        for match in _TICK.finditer(text, searched):
            searched = match.end()
            number, of, sent = int(match[1]), int(match[2]), float(match[3])
            try:
                wall = datetime.fromisoformat(match[4].decode("ascii")).timestamp()
            except ValueError:  # another program's output, which only looks like one
                continue
            found.append(Tick(number, of, sent, wall, arrival.time))
    return found


@frozen
class Baseline:
    """
    How the server's clocks relate to ours, by the fastest of some small responses.

    @ivar round_trip: seconds from the request to the head of the response.
    @ivar offset: what to add to the server's monotonic clock to get ours, if the
        request took as long as the response; wrong by half a round trip at most.
    @ivar skew: seconds by which the server's time of day is ahead of ours.
    @ivar connected: seconds that it took to connect, at best: a round trip to the
        machine that answers at the address, which no proxy can delay.
    """

    round_trip: float
    offset: float
    skew: float
    connected: float = 0.0

    @property
    def surplus(self) -> float:
        """Seconds of the round trip that connecting does not explain."""
        return max(0.0, self.round_trip - self.connected)


def measure_baseline(exchanges: Sequence[Exchange], wall: float) -> Baseline | None:
    """
    Compare the clocks by responses of one tick each; the fastest is the most exact.

    The head of a response leaves right before its first tick. A proxy that delays
    bodies alone does not delay it, so the head is what the clocks are compared by.

    @param wall: our time of day minus our monotonic clock.
    @return: L{None} if there was no tick.
    """
    found = [
        (tick.arrived - each.requested, each, tick, each.answered)
        for each in exchanges
        for tick in ticks(each)[:1]
        if each.answered is not None
    ]
    if not found:
        return None
    _, exchange, tick, answered = min(found, key=lambda each: each[0])
    middle = (exchange.requested + answered) / 2
    return Baseline(
        round_trip=answered - exchange.requested,
        offset=middle - tick.sent,
        skew=tick.wall - (middle + wall),
        connected=min(each.connected for each in exchanges),
    )


@frozen
class Transit:
    """
    How long a tick is on its way while nobody holds it back.

    @ivar offset: what to add to the server's monotonic clock to get ours.
    @ivar distance: seconds that the network needs for one way.
    @ivar error: seconds by which C{offset} may be wrong.
    """

    offset: float
    distance: float
    error: float = 0.0

    @property
    def noticeable(self) -> float:
        """Seconds from which on a delay is neither small nor an error of C{offset}."""
        return NOTICEABLE + self.error

    def took(self, tick: Tick) -> float:
        """How long a tick was on its way, in seconds; never less than nothing."""
        return max(0.0, tick.arrived - (tick.sent + self.offset))

    def held(self, tick: Tick) -> float:
        """How long somebody held a tick back, in seconds."""
        return max(0.0, self.took(tick) - self.distance)


def transit(base: Baseline, nearest: Baseline) -> Transit:
    """
    Tell the network's share of a delay from that of a proxy.

    @param nearest: of the addresses of the same server, that with the shortest round
        trip. It knows the server's clock best, so it also shows how long requests are
        on their way, apart from responses. A network needs about as long for both.
    """
    forward = base.round_trip / 2 + nearest.offset - base.offset
    slack = nearest.round_trip / 2 + NOTICEABLE / 4
    same_clock = -slack <= forward <= base.round_trip + slack
    if nearest is not base and same_clock:
        distance = max(0.0, min(forward, base.round_trip - forward))
        return Transit(nearest.offset, distance, nearest.round_trip / 2)
    # Nothing shows which way takes how long. A surplus that no network explains counts
    # as held back.
    trip = base.connected if base.surplus > DISTANT else base.round_trip
    return Transit(base.offset - (base.round_trip - trip) / 2, trip / 2)


class DeliveryPattern(Enum):
    """How ticks arrived."""

    LIVE = "live"
    LATE = "late"  # each by itself, but after a while
    BATCHES = "batches"  # several at a time
    AT_THE_END = "at-the-end"  # all at once
    NONE = "none"


@frozen
class Delivery:
    """
    How the ticks of one response arrived.

    @ivar delays: how long each tick was held back, in seconds.
    @ivar sent_over: seconds between the first and the last departure.
    @ivar batches: how many groups of ticks arrived.
    """

    pattern: DeliveryPattern
    delays: tuple[float, ...] = ()
    sent_over: float = 0.0
    batches: int = 0

    @property
    def delay(self) -> float:
        """The median delay, in seconds."""
        return median(self.delays) if self.delays else 0.0


def classify(found: Sequence[Tick], way: Transit) -> Delivery:
    """
    Tell how ticks arrived. The interval between two ticks should be several times
    C{way.noticeable}.
    """
    if not found:
        return Delivery(DeliveryPattern.NONE)
    delays = tuple(way.held(each) for each in found)
    sent_over = found[-1].sent - found[0].sent
    arrived_over = found[-1].arrived - found[0].arrived
    # Ticks in a quarter of the interval were released together.
    together = sent_over / (len(found) - 1) / 4 if sent_over else 0.0
    batches = 1 + sum(
        later.arrived - earlier.arrived > together for earlier, later in pairwise(found)
    )
    several = len(found) > 2  # two ticks together may be an accident
    if several and sent_over > 4 * way.noticeable and arrived_over < sent_over / 4:
        pattern = DeliveryPattern.AT_THE_END
    # Batches of two halve the number. One tick that a busy machine delays makes those
    # behind it wait too: with 8 ticks that leaves 5 groups or more.
    elif several and batches <= 0.6 * len(found) and max(delays) > way.noticeable:
        pattern = DeliveryPattern.BATCHES
    # The median: neither the first tick, which HAProxy lets through, nor a few that a
    # busy machine delays decide.
    elif median(delays) > way.noticeable:
        pattern = DeliveryPattern.LATE
    else:
        pattern = DeliveryPattern.LIVE
    return Delivery(pattern, delays, sent_over, batches)
