"""The addresses of a server, and the streams that are asked for at each."""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from .exchange import Exchange
from .ticks import Baseline, Delivery, Transit, classify, ticks, transit


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
    @ivar lines: whether each tick ends a line.
    """

    form: str
    length: Length = Length.SHORT
    gzip: bool = False
    lines: bool = True

    def __str__(self) -> str:
        offered = " with gzip offered" if self.gzip else ""
        return f"{self.form}{offered}{'' if self.lines else ' without line ends'}"


@frozen
class Hop:
    """
    An address of the server: its own, or that of a proxy.

    @ivar streams: what came of each probe.
    @ivar nearest: how the server's clocks relate to ours by the address that shows it
        best; by this one if there is no other.
    """

    url: str
    base: Baseline
    streams: Mapping[Probe, Exchange]
    nearest: Baseline | None = None

    @property
    def transit(self) -> Transit:
        """How long a tick is on its way to us by the network alone."""
        return transit(self.base, self.nearest or self.base)

    @property
    def typical(self) -> Exchange:
        """An exchange whose headers stand for all."""
        # A proxy's own error pages do not show how it treats streams.
        found = tuple(self.streams.values())
        return next((each for each in found if each.status == 200), found[0])

    def deliveries(self) -> dict[Probe, Delivery]:
        """How the ticks of the short probes arrived."""
        return {
            probe: classify(ticks(exchange), self.transit)
            for probe, exchange in self.streams.items()
            if probe.length is Length.SHORT
        }
