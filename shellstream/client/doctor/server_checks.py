"""Examining addresses: what to ask of each, and how long to wait."""

import asyncio
import math
import time
from collections.abc import Sequence

from shellstream.client.errors import NotHTTP
from shellstream.client.escape import shown

from . import server_diagnosis, stream_diagnosis
from .errors import NotExamined, NothingSeen
from .exchange import Ending, Exchange
from .findings import Report
from .hops import Hop, Length, Probe
from .probe_client import ProbeClient
from .ticks import baseline, ticks

#: The ticks of a short stream, and the seconds between them: more than anybody is
#: known to hold a piece back, so that one late piece is not mistaken for a batch.
COUNT, INTERVAL = 8, 0.3

#: How many quick answers the clocks are compared by.
QUICK = 5
_QUICK = "count=1&interval=0"

#: Seconds between the ticks of a long stream.
LONG_INTERVAL = 0.5

#: Seconds to wait for what is late.
REQUEST_TIMEOUT = 10.0

#: How many seconds that interval is enough for: a server sends 600 ticks at most.
MAX_LONG = 250.0

#: How a proxy says that it waited too long for the server.
_GIVEN_UP = (502, 504)

_SHORT = tuple(
    Probe(form, Length.SHORT, gzip=gzip)
    for gzip in (False, True)
    for form in ("plain", "sse", "frames")
)


async def examine(
    asker: ProbeClient, urls: Sequence[str], long: float, idle: float | None
) -> Report:
    """
    Examine a server of ours: C{/doctor} at each of these addresses.

    @param urls: of C{/doctor}, from the server outwards.
    @param long: seconds that the longest stream is to last.
    @param idle: seconds of silence to try.
    @raise ClientError: if one cannot be examined.
    """
    # Beyond the moment at which a silent one would be cut.
    lasting = long if idle is None else max(long, idle + 1)
    interval = LONG_INTERVAL * max(1.0, lasting / MAX_LONG)
    hops = await asyncio.gather(
        *(_hop(asker, url, lasting, interval, idle) for url in urls)
    )
    return server_diagnosis.diagnose(hops, idle=idle, long=lasting)


async def _hop(
    asker: ProbeClient, url: str, long: float, interval: float, idle: float | None
) -> Hop:
    loop = asyncio.get_running_loop()
    wall = time.time_ns() / 1e9 - loop.time()
    quick = []
    for _ in range(QUICK):
        exchange = await asker.ask(url, REQUEST_TIMEOUT, query=_QUICK)
        _check(url, exchange)
        quick.append(exchange)
    base = baseline(quick, wall)
    assert base is not None  # as checked
    asked = {probe: _query(probe, long, interval, idle) for probe in _SHORT}
    others = [Probe("plain", Length.LONG)]
    if idle is not None:
        others += [Probe("plain", Length.IDLE), Probe("frames", Length.IDLE)]
    asked |= {probe: _query(probe, long, interval, idle) for probe in others}
    exchanges = await asyncio.gather(
        *(
            asker.ask(url, lasts + REQUEST_TIMEOUT, query=query, gzip=probe.gzip)
            for probe, (query, lasts) in asked.items()
        )
    )
    for exchange in exchanges:
        _check(url, exchange, began=True)
    return Hop(url, base, dict(zip(asked, exchanges, strict=True)))


def _query(
    probe: Probe, long: float, interval: float, idle: float | None
) -> tuple[str, float]:
    """What to ask for, and how many seconds that takes."""
    if probe.length is Length.IDLE:
        assert idle is not None
        fields, lasts = f"count=2&interval=0&idle={idle:g}", idle
    elif probe.length is Length.LONG:
        count = math.ceil(long / interval) + 1
        fields, lasts = f"count={count}&interval={interval:g}", long
    else:
        fields, lasts = f"count={COUNT}&interval={INTERVAL:g}", COUNT * INTERVAL
    return f"format={probe.form}&{fields}", lasts


def _check(url: str, exchange: Exchange, *, began: bool = False) -> None:
    """
    See that what answered is a C{/doctor}.

    @param began: whether it was one a moment ago.
    @raise NotExamined: if not.
    """
    if began and (exchange.answered is None or exchange.status in _GIVEN_UP):
        return  # it is held back, or was cut
    _check_answered(url, exchange)
    if exchange.status != 200:
        raise NotExamined(f"{url}: the answer is {exchange.status}{_advice(exchange)}")
    if not began and not ticks(exchange):
        raise NotExamined(
            f"{url}: what answers there is no shellstream; to examine a stream of "
            "another server give its whole address, http://HOST/PATH"
        )


def _check_answered(url: str, exchange: Exchange) -> None:
    if exchange.answered is None and exchange.ending is Ending.CUT:
        raise NotHTTP(url, "the connection ended before an answer came")
    if exchange.answered is None:
        raise NothingSeen(
            f"{url}: not even the head of an answer came in "
            f"{exchange.ended - exchange.asked:.0f} seconds: so it is if a server "
            "hangs, or waits with it for the first output, or if a proxy keeps all"
        )


def _advice(exchange: Exchange) -> str:
    match exchange.status:
        case 301 | 302 | 303 | 307 | 308:
            where = exchange.headers.get("location", "where it points to")
            return f": examine {shown(where)}"
        case 401 | 403:
            return ": it wants a token"
        case 404:
            return ": no shellstream, or one that is older and has no /doctor"
        case 421:
            return ": the server does not know this host name as its own"
        case 503:
            after = exchange.headers.get("retry-after", "some")
            return f": try again in {shown(after)} seconds"
    return ""


async def is_ours(asker: ProbeClient, url: str) -> bool:
    """Whether a C{/doctor} answers there, for an address that need not be one."""
    exchange = await asker.ask(url, REQUEST_TIMEOUT, query=_QUICK)
    refuses = exchange.headers.get("content-type", "") == "application/problem+json"
    return bool(ticks(exchange)) or (refuses and exchange.status != 404)


async def examine_foreign(
    asker: ProbeClient, urls: Sequence[str], watch: float
) -> Report:
    """
    Examine any stream.

    @param urls: its addresses, from the server outwards.
    @param watch: seconds to watch it for.
    @raise ClientError: if one cannot be examined, or said nothing.
    """
    seen = [await _seen(asker, url, watch) for url in urls]
    report = stream_diagnosis.diagnose(seen)
    if report.clean and stream_diagnosis.said_nothing(seen):
        raise NothingSeen(
            f"{urls[0]}: nothing came in {watch:g} seconds, so nothing can be said of "
            "it; watch it while it has something to say, or for longer (--seconds)"
        )
    return report


async def _seen(
    asker: ProbeClient, url: str, watch: float
) -> stream_diagnosis.StreamProbe:
    offered = await asker.ask(url, watch, gzip=True)
    _check_answered(url, offered)
    if not 200 <= offered.status < 300:
        raise NotExamined(
            f"{url}: the answer is {offered.status}{_foreign_advice(offered)}"
        )
    bare = offered
    if offered.encoding is not None:
        bare = await asker.ask(url, watch)
        _check_answered(url, bare)
    return stream_diagnosis.StreamProbe(url, offered, bare)


def _foreign_advice(exchange: Exchange) -> str:
    if exchange.status in (301, 302, 303, 307, 308):
        return _advice(exchange)
    if exchange.status == 405:
        return ": it is not for GET, which is all that is tried here"
    return ""
