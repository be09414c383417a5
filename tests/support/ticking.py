"""Answers of C{/doctor} with ticks at chosen times."""

from collections.abc import Sequence
from typing import Any

from shellstream.client.doctor.exchange import Ending, Exchange, Piece
from shellstream.client.doctor.ticks import Baseline
from shellstream.model.events import rfc3339

#: By how much the server's clock and ours differ in these tests.
OFFSET = 1000.0


def answer(*pieces: Piece, asked: float = 0.0, **given: Any) -> Exchange:
    """An answer that brought these."""
    size = sum(len(each.data) for each in pieces)
    last = pieces[-1].time if pieces else asked
    values: dict[str, Any] = {
        "answered": asked,
        "ended": last,
        "version": "1.1",
        "status": 200,
        "headers": {
            "transfer-encoding": "chunked",
            "x-content-type-options": "nosniff",
        },
        "ending": Ending.WHOLE,
        **given,
    }
    return Exchange(asked=asked, pieces=pieces, size=size, **values)


def line(number: int, of: int, sent: float) -> bytes:
    """A tick as it reads; C{sent} is by our clock."""
    at = sent - OFFSET
    wall = rfc3339(int(at * 1e6))
    return f"tick {number} of {of}, sent at {at:.6f} s, {wall}\n".encode()


def ticking(
    sent: Sequence[float],
    came: Sequence[float],
    *,
    of: int | None = None,
    **given: Any,
) -> Exchange:
    """An answer whose ticks were sent and came at these times."""
    count = len(sent) if of is None else of
    pieces = [
        Piece(time, line(number, count, at))
        for number, (at, time) in enumerate(zip(sent, came, strict=True), 1)
    ]
    return answer(*pieces, asked=sent[0] if sent else 0.0, **given)


#: A server whose clock is well known.
BASE = Baseline(0.001, OFFSET, 0.0)
