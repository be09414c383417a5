"""Exchanges with arrivals at chosen times, and the doctor's findings."""

from collections.abc import Callable, Sequence
from typing import Any

from shellstream.client.doctor.exchange import Arrival, Ending, Exchange
from shellstream.client.doctor.hops import Hop, Length, Probe
from shellstream.client.doctor.stream_diagnosis import StreamProbe
from shellstream.client.doctor.ticks import Baseline
from shellstream.model.events import rfc3339

#: By how much the server's clock and ours differ in these tests.
OFFSET = 1000.0

#: A server whose clock is well known.
BASE = Baseline(0.001, OFFSET, 0.0)

#: When the ticks of a short and of a long stream are sent.
SHORT = [2000 + 0.3 * n for n in range(8)]
LONG = [2000 + 0.5 * n for n in range(41)]

PLAIN, SSE, ZIPPED = Probe("plain"), Probe("sse"), Probe("plain", gzip=True)
LASTING = Probe("plain", Length.LONG)

#: When ticks arrive, by when they are sent.
Way = Callable[[Sequence[float]], list[float]]

#: Output that is written line by line, as it arrives live and as it arrives if kept.
LINES = (Arrival(0.1, b"one\n"), Arrival(1.1, b"two\n"), Arrival(2.1, b"three\n"))
AT_ONCE = (Arrival(2.2, b"one\ntwo\nthree\n"),)

#: Headers with which nothing is wrong.
GOOD = {
    "content-type": "text/plain",
    "transfer-encoding": "chunked",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",
}


def answer(*arrivals: Arrival, requested: float = 0.0, **given: Any) -> Exchange:
    """An exchange whose body arrived like this."""
    values: dict[str, Any] = {
        "answered": requested,
        "ended": arrivals[-1].time if arrivals else requested,
        "version": "1.1",
        "status": 200,
        "headers": {
            "transfer-encoding": "chunked",
            "x-content-type-options": "nosniff",
        },
        "size": sum(len(each.data) for each in arrivals),
        "ending": Ending.WHOLE,
        **given,
    }
    return Exchange(requested, arrivals=[*arrivals], **values)


def line(number: int, of: int, sent: float) -> bytes:
    """A tick as it reads; C{sent} is by our clock."""
    at = sent - OFFSET
    wall = rfc3339(int(at * 1e6))
    return f"tick {number} of {of}, sent at {at:.6f} s, {wall}\n".encode()


def ticking(
    sent: Sequence[float],
    arrived: Sequence[float],
    *,
    of: int | None = None,
    **given: Any,
) -> Exchange:
    """An exchange whose ticks were sent and arrived at these times."""
    count = len(sent) if of is None else of
    arrivals = [
        Arrival(time, line(number, count, at))
        for number, (at, time) in enumerate(zip(sent, arrived, strict=True), 1)
    ]
    return answer(*arrivals, requested=sent[0] if sent else 0.0, **given)


def live(sent: Sequence[float]) -> list[float]:
    return [each + 0.001 for each in sent]


def late(sent: Sequence[float]) -> list[float]:
    """Delay ticks as HAProxy does by default: all but the first, by 206 ms."""
    return [sent[0] + 0.001, *(each + 0.206 for each in sent[1:])]


def hop(way: Way = live, name: str = "server", **given: Any) -> Hop:
    """An address at which all streams arrive in this way."""
    probes = {PLAIN: SHORT, SSE: SHORT, ZIPPED: SHORT, LASTING: LONG}
    streams = {p: ticking(sent, way(sent), **given) for p, sent in probes.items()}
    return Hop(f"http://{name}/doctor", BASE, streams)


def stream_probe(
    *arrivals: Arrival,
    url: str = "http://h/s",
    bare: Exchange | None = None,
    **given: Any,
) -> StreamProbe:
    """A stream that was asked for once, unless C{bare} is how it came without gzip."""
    exchange = answer(*arrivals, **{"headers": GOOD, **given})
    return StreamProbe(url, exchange, bare or exchange)
