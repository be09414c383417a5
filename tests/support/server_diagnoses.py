"""What C{doctor} sees of a shellstream server."""

from collections.abc import Callable, Sequence
from typing import Any

from shellstream.client.doctor.hops import Hop, Length, Probe
from tests.support.ticking import BASE, ticking

SHORT = [2000 + 0.3 * n for n in range(8)]


LONG = [2000 + 0.5 * n for n in range(41)]


PLAIN, SSE, ZIPPED = Probe("plain"), Probe("sse"), Probe("plain", gzip=True)


LASTING = Probe("plain", Length.LONG)


#: What becomes of the moments at which ticks were sent.
Way = Callable[[Sequence[float]], list[float]]


def live(sent: Sequence[float]) -> list[float]:
    return [each + 0.001 for each in sent]


def late(sent: Sequence[float]) -> list[float]:
    return [sent[0] + 0.001, *(each + 0.206 for each in sent[1:])]


def hop(way: Way = live, name: str = "server", **given: Any) -> Hop:
    """An address at which all streams come in this way."""
    probes = {PLAIN: SHORT, SSE: SHORT, ZIPPED: SHORT, LASTING: LONG}
    streams = {p: ticking(sent, way(sent), **given) for p, sent in probes.items()}
    return Hop(f"http://{name}/doctor", BASE, streams)
