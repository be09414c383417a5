"""
What the ticks of C{/doctor} tell: how late each came, whatever the clocks say.

A tick says when it left, by a clock of the server that never jumps. How that clock
relates to ours is found by answers that are complete at once, which nobody has a
reason to hold back: the server's moment lies between our asking and their coming.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from itertools import pairwise
from statistics import median

from attrs import frozen

from .exchange import Exchange

#: Seconds from which on a delay can be felt, and is no accident of a busy machine.
FELT = 0.1

#: A tick reads the same in every format.
_TICK = re.compile(
    rb"tick (\d{1,9}) of (\d{1,9}), sent at (\d{1,12}\.\d{6}) s, (\S{1,32}Z)"
)


@frozen
class Tick:
    """
    One tick.

    @ivar sent: when it left, as the server's clock says.
    @ivar wall: the time of day that the server took it for, in seconds since 1970.
    @ivar came: when it was there, as our clock says.
    """

    number: int
    of: int
    sent: float
    wall: float
    came: float


def ticks(exchange: Exchange) -> list[Tick]:
    """All the ticks in an answer."""
    found: list[Tick] = []
    text = bytearray()
    searched = 0
    for piece in exchange.pieces:
        text += piece.data
        for match in _TICK.finditer(text, searched):
            searched = match.end()
            number, of, sent = int(match[1]), int(match[2]), float(match[3])
            try:
                wall = datetime.fromisoformat(match[4].decode("ascii")).timestamp()
            except ValueError:
                continue
            found.append(Tick(number, of, sent, wall, piece.time))
    return found


@frozen
class Baseline:
    """
    How the server's clock relates to ours.

    @ivar round_trip: seconds from a question to its answer, at best.
    @ivar offset: what to add to the server's clock to have ours; it may be wrong by
        half a round trip.
    @ivar skew: by how much the server's time of day is ahead of ours, in seconds.
    """

    round_trip: float
    offset: float
    skew: float

    @property
    def felt(self) -> float:
        """Seconds from which on a delay is one, and no error of measurement."""
        return FELT + self.round_trip / 2

    def delay(self, tick: Tick) -> float:
        """How long a tick was on its way, in seconds."""
        return tick.came - (tick.sent + self.offset)


def baseline(exchanges: Sequence[Exchange], wall: float) -> Baseline | None:
    """
    From short answers of one tick each: the quickest knows best.

    @param wall: our time of day, less our clock.
    @return: L{None} if there was no tick.
    """
    found: Baseline | None = None
    for exchange in exchanges:
        for tick in ticks(exchange)[:1]:
            round_trip = tick.came - exchange.asked
            if found is None or round_trip < found.round_trip:
                middle = (exchange.asked + tick.came) / 2
                skew = tick.wall - (middle + wall)
                found = Baseline(round_trip, middle - tick.sent, skew)
    return found


class DeliveryPattern(Enum):
    """How ticks came."""

    LIVE = "live"
    LATE = "late"  # each by itself, but after a while
    BATCHES = "batches"  # several at a time
    AT_THE_END = "at-the-end"  # all at once
    NONE = "none"


@frozen
class Delivery:
    """
    How the ticks of one answer came.

    @ivar delays: of each, in seconds.
    @ivar spread: seconds between the first that came and the last.
    @ivar sent: seconds between the first that was sent and the last.
    @ivar batches: in how many goes they came.
    """

    flow: DeliveryPattern
    delays: tuple[float, ...] = ()
    spread: float = 0.0
    sent: float = 0.0
    batches: int = 0

    @property
    def delay(self) -> float:
        """What is usual."""
        return median(self.delays) if self.delays else 0.0


def classify(found: Sequence[Tick], base: Baseline) -> Delivery:
    """
    Tell how ticks came. A few that are late say nothing: a machine may be busy.

    Ticks should be sent some multiple of C{base.felt} apart.
    """
    if not found:
        return Delivery(DeliveryPattern.NONE)
    delays = tuple(base.delay(each) for each in found)
    sent = found[-1].sent - found[0].sent
    spread = found[-1].came - found[0].came
    apart = sent / (len(found) - 1) / 4 if sent else 0.0
    batches = 1 + sum(
        later.came - earlier.came > apart for earlier, later in pairwise(found)
    )
    if len(found) > 2 and sent > 4 * base.felt and spread < sent / 4:
        flow = DeliveryPattern.AT_THE_END
    elif len(found) > 2 and batches <= 0.6 * len(found) and max(delays) > base.felt:
        flow = DeliveryPattern.BATCHES
    elif median(delays) > base.felt:
        flow = DeliveryPattern.LATE
    else:
        flow = DeliveryPattern.LIVE
    return Delivery(flow, delays, spread, sent, batches)
