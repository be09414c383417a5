"""Trials of commands whose output arrives at chosen times."""

from shellstream.client.doctor.command_diagnosis import Setup, Trial
from shellstream.client.doctor.exchange import Arrival

#: Seconds after which output arrives live, and if it is held back.
LIVE, HELD = (0.1, 1.1, 2.1), (2.9,)


def trial(setup: Setup, *times: float, code: int | None = 0) -> Trial:
    """A run whose output arrived after these seconds."""
    arrivals = tuple(Arrival(10 + time, b"line\n") for time in times)
    return Trial(setup, 10.0, arrivals, 13.0, code)
