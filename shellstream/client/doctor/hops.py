"""What was seen of C{/doctor} at one address."""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from .exchange import Exchange
from .findings import proxy_named
from .ticks import Baseline, Delivery, classify, ticks


class Length(Enum):
    """What a stream is asked for."""

    SHORT = "short"  # to see how each tick comes
    LONG = "long"  # to see whether it lasts
    IDLE = "idle"  # to see whether it survives a silence


@frozen
class Probe:
    """
    One stream that is asked for.

    @ivar form: the format.
    @ivar gzip: whether compression is offered.
    """

    form: str
    length: Length = Length.SHORT
    gzip: bool = False

    def __str__(self) -> str:
        return f"{self.form} with gzip offered" if self.gzip else self.form


@frozen
class Hop:
    """
    What was seen at one address.

    @ivar streams: each stream that was asked for, and what came.
    """

    url: str
    base: Baseline
    streams: Mapping[Probe, Exchange]

    @property
    def first(self) -> Exchange:
        """One that shows what all have in common."""
        found = tuple(self.streams.values())
        return next((each for each in found if each.status == 200), found[0])

    def flows(self) -> dict[Probe, Delivery]:
        """How the ticks of the short ones came."""
        return {
            probe: classify(ticks(exchange), self.base)
            for probe, exchange in self.streams.items()
            if probe.length is Length.SHORT
        }


def who_at(hop: Hop) -> str:
    """What answers there, in words."""
    named = proxy_named(hop.first)
    return f"{named} at {hop.url}" if named else f"what answers at {hop.url}"
