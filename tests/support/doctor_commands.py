"""What C{doctor} sees of commands."""

from shellstream.client.doctor.command_diagnosis import Cure, Trial
from shellstream.client.doctor.exchange import Piece


def trial(cure: Cure, *times: float, code: int | None = 0) -> Trial:
    """A run whose output came then."""
    pieces = tuple(Piece(10 + time, b"line\n") for time in times)
    return Trial(cure, 10.0, pieces, 13.0, code)


LIVE, HELD = (0.1, 1.1, 2.1), (2.9,)
