"""What C{/doctor} is asked for at each address, and what came."""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from .exchange import Exchange
from .ticks import Baseline, Delivery, classify, ticks


class Length(Enum):
    """How long a probe lasts, by what it tests."""

    SHORT = "short"  # how each tick arrives
    LONG = "long"  # whether the stream lasts
    IDLE = "idle"  # whether the stream survives silence


@frozen
class Probe:
    """
    A stream to ask for.

    @ivar form: its format.
    @ivar gzip: whether we offer to accept gzip, as most clients do by themselves.
    """

    form: str
    length: Length = Length.SHORT
    gzip: bool = False

    def __str__(self) -> str:
        return f"{self.form} with gzip offered" if self.gzip else self.form


@frozen
class Hop:
    """
    An address of the server: its own, or that of a proxy.

    @ivar streams: what came of each probe.
    """

    url: str
    base: Baseline
    streams: Mapping[Probe, Exchange]

    @property
    def typical(self) -> Exchange:
        """An exchange whose headers stand for all."""
        # A proxy's own error pages do not show how it treats streams.
        found = tuple(self.streams.values())
        return next((each for each in found if each.status == 200), found[0])

    def deliveries(self) -> dict[Probe, Delivery]:
        """How the ticks of the short probes arrived."""
        return {
            probe: classify(ticks(exchange), self.base)
            for probe, exchange in self.streams.items()
            if probe.length is Length.SHORT
        }
