"""
How late each tick of C{/doctor} arrived, and in which pattern.

A tick says when it left, by a monotonic clock of the server. How that clock relates to
ours is found as in NTP (RFC 5905, 8): for a response that is complete at once, which no
proxy has a reason to hold back, the server's moment lies between our request and its
arrival.
"""

import re
from collections.abc import Iterable, Sequence
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
    How the server's clocks relate to ours.

    @ivar round_trip: seconds from a request to its response, at best.
    @ivar offset: what to add to the server's monotonic clock to get ours; wrong by half
        a round trip at most.
    @ivar skew: seconds by which the server's time of day is ahead of ours.
    """

    round_trip: float
    offset: float
    skew: float

    @property
    def noticeable(self) -> float:
        """Seconds from which on a delay is neither small nor an error of C{offset}."""
        return NOTICEABLE + self.round_trip / 2

    def delay(self, tick: Tick) -> float:
        """How long a tick was on its way, in seconds."""
        return tick.arrived - (tick.sent + self.offset)


def measure_baseline(exchanges: Iterable[Exchange], wall: float) -> Baseline | None:
    """
    Compare the clocks by responses of one tick each; the fastest is the most exact.

    @param wall: our time of day minus our monotonic clock.
    @return: L{None} if there was no tick.
    """
    best: Baseline | None = None
    for exchange in exchanges:
        for tick in ticks(exchange)[:1]:
            round_trip = tick.arrived - exchange.requested
            if best is None or round_trip < best.round_trip:
                middle = (exchange.requested + tick.arrived) / 2
                skew = tick.wall - (middle + wall)
                best = Baseline(round_trip, middle - tick.sent, skew)
    return best


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

    @ivar delays: of each tick, in seconds.
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


def classify(found: Sequence[Tick], base: Baseline) -> Delivery:
    """
    Tell how ticks arrived. The interval between two ticks should be several times
    C{base.noticeable}.
    """
    if not found:
        return Delivery(DeliveryPattern.NONE)
    delays = tuple(base.delay(each) for each in found)
    sent_over = found[-1].sent - found[0].sent
    arrived_over = found[-1].arrived - found[0].arrived
    # Ticks in a quarter of the interval were released together.
    together = sent_over / (len(found) - 1) / 4 if sent_over else 0.0
    batches = 1 + sum(
        later.arrived - earlier.arrived > together for earlier, later in pairwise(found)
    )
    several = len(found) > 2  # two ticks together may be an accident
    if several and sent_over > 4 * base.noticeable and arrived_over < sent_over / 4:
        pattern = DeliveryPattern.AT_THE_END
    # Batches of two halve the number. One tick that a busy machine delays makes those
    # behind it wait too: with 8 ticks that leaves 5 groups or more.
    elif several and batches <= 0.6 * len(found) and max(delays) > base.noticeable:
        pattern = DeliveryPattern.BATCHES
    # The median: neither the first tick, which HAProxy lets through, nor a few that a
    # busy machine delays decide.
    elif median(delays) > base.noticeable:
        pattern = DeliveryPattern.LATE
    else:
        pattern = DeliveryPattern.LIVE
    return Delivery(pattern, delays, sent_over, batches)
