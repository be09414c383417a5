"""Examines addresses: what to ask for at each, how often, and for how long."""

import math
import re
import time
from collections.abc import Coroutine, Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import evolve
from twisted.internet.defer import Deferred, FirstError, gatherResults

from shellstream.client.errors import NotHTTP
from shellstream.client.escape import printable

from . import server_diagnosis, stream_diagnosis
from .exchange import Ending, Exchange
from .findings import NotExamined, NothingSeen, Report
from .hops import Hop, Length, Probe
from .probe_client import ProbeClient
from .stream_comparison import StreamProbe, differs
from .ticks import measure_baseline, ticks

T = TypeVar("T")

#: The ticks of a short stream, and the seconds between them. HAProxy holds a tick back
#: for 200 ms; a longer interval keeps one late tick from looking like a batch of two.
COUNT, INTERVAL = 8, 0.3

#: How many responses of one tick the clocks are compared by. The fastest counts, and of
#: five at least one is rarely delayed by accident.
QUICK = 5

#: In a format without trailers, at which some proxies fail.
_QUICK_QUERY = "format=sse&count=1&interval=0"

#: Seconds between the ticks of a long stream, unless it lasts longer than L{MAX_LONG}.
LONG_INTERVAL = 0.5

#: Seconds that a response may be late before we stop waiting. What a proxy keeps until
#: the end comes right after it, and connecting takes less.
REQUEST_TIMEOUT = 10.0

#: Seconds for which L{LONG_INTERVAL} suffices: a server sends 600 ticks at most.
MAX_LONG = 250.0

#: Statuses by which a proxy says that it got no answer from the server, or none that it
#: understood.
_GATEWAY_FAILED = (500, 502, 503, 504)

#: Seconds to wait for a turn at a server that has as many examinations as it allows,
#: beyond those that our own streams last, and how long between two requests at most.
PATIENCE, RETRY_AFTER = 60.0, 10.0

_REDIRECTED = (301, 302, 303, 307, 308)

#: One format of each kind, which proxies may treat differently for its media type:
#: plain text, an event stream, binary frames.
_SHORT = tuple(
    Probe(form, Length.SHORT, gzip=gzip)
    for gzip in (False, True)
    for form in ("plain", "sse", "frames")
)

#: A proxy that reads line by line shows only where there are no line ends. Servers of
#: older versions have nothing like it.
_UNLINED = Probe("plain", lines=False)


def may_be_server(url: str) -> bool:
    """Whether a URL may be that of a server; with any other path it is a stream."""
    parts = urlsplit(url)
    return not parts.query and (parts.path or "/").endswith(("/", "/doctor"))


async def check_urls(
    client: ProbeClient,
    urls: Sequence[str],
    watch: float,
    idle: float | None,
    *,
    is_server: bool,
) -> Report:
    """
    Examine a server of ours, or a stream of any server.

    @param urls: its addresses, from the server outwards.
    @param watch: seconds to watch the stream, or the longest one of several.
    @param idle: seconds of silence to try at a server; L{None} for none.
    @param is_server: whether it is known to be a server, so that need not be asked.
    @raise ClientError: if an address cannot be examined.
    """
    if may_be_server(urls[0]):
        doctors = [f"{each.removesuffix('doctor').rstrip('/')}/doctor" for each in urls]
        if is_server or await is_ours(client, doctors[0]):
            return await check_server(client, doctors, watch, idle)
    return await check_stream(client, urls, watch)


async def check_server(
    client: ProbeClient, urls: Sequence[str], longest: float, idle: float | None
) -> Report:
    """
    Examine a server of ours.

    @param urls: of C{/doctor}, from the server outwards.
    @param longest: seconds that the longest stream is to last.
    @param idle: seconds of silence to try; L{None} for none.
    @raise ClientError: if an address cannot be examined.
    """
    if idle is not None:
        # Beyond the moment at which a silent stream would be cut: only a busy stream
        # that lasts longer shows that silence was the reason.
        longest = max(longest, idle + 1)
    hops = await _gather(_hop(client, url, longest, idle) for url in urls)
    return server_diagnosis.diagnose(hops, idle=idle, longest=longest)


async def _hop(
    client: ProbeClient, url: str, longest: float, idle: float | None
) -> Hop:
    wall = time.time() - time.monotonic()
    quick = []
    patience = longest + PATIENCE
    for _ in range(QUICK):
        exchange = await _ask_in_turn(
            client, url, REQUEST_TIMEOUT, patience, _QUICK_QUERY
        )
        _check_ticks(url, exchange)
        quick.append(exchange)
    base = measure_baseline(quick, wall)
    assert base is not None, "there were ticks"
    probes = [*_SHORT, _UNLINED, Probe("plain", Length.LONG)]
    if idle is not None:
        # Plain stays silent; frames break the silence every 15 s.
        probes += [Probe("plain", Length.IDLE), Probe("frames", Length.IDLE)]
    asked = {probe: _query(probe, longest, idle) for probe in probes}
    exchanges = await _gather(
        _ask_in_turn(
            client, url, lasts + REQUEST_TIMEOUT, patience, query, gzip=probe.gzip
        )
        for probe, (query, lasts) in asked.items()
    )
    streams = dict(zip(asked, exchanges, strict=True))
    if streams[_UNLINED].status == 400:
        del streams[_UNLINED]
    for exchange in streams.values():
        # It answered a moment ago: no answer now means that it was held back, or cut.
        failed = exchange.status in _GATEWAY_FAILED and not _is_busy(exchange)
        if exchange.answered is not None and not failed:
            _check_status(url, exchange)
    return Hop(url, base, streams)


async def _ask_in_turn(
    client: ProbeClient,
    url: str,
    timeout: float,
    patience: float,
    query: str,
    *,
    gzip: bool = False,
) -> Exchange:
    """
    Ask, and while the server has as many examinations as it allows, ask again.

    @param patience: seconds after which its refusal counts.
    """
    waited = 0.0
    while True:
        exchange = await client.ask(url, timeout, query=query, gzip=gzip)
        if not _is_busy(exchange) or waited >= patience:
            return exchange
        after = exchange.headers["retry-after"]
        wait = float(after) if re.fullmatch("[1-9][0-9]{0,8}", after) else RETRY_AFTER
        wait = min(wait, RETRY_AFTER)
        await client.pause(wait)
        waited += wait


def _is_busy(exchange: Exchange) -> bool:
    """Whether a server of ours, not a proxy, says that it has too much to do now."""
    ours = exchange.header("content-type") == "application/problem+json"
    return exchange.status == 503 and ours and "retry-after" in exchange.headers


async def _gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines at once; if one of them fails, cancel the others."""
    running = [Deferred.fromCoroutine(each) for each in coroutines]
    try:
        return await gatherResults(running, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    finally:
        for each in running:
            each.cancel()


def _query(probe: Probe, longest: float, idle: float | None) -> tuple[str, float]:
    """What to ask for, and how many seconds that takes."""
    if probe.length is Length.IDLE:
        assert idle is not None
        fields, lasts = f"count=2&interval=0&idle={idle:g}", idle
    elif probe.length is Length.LONG:
        interval = LONG_INTERVAL * max(1.0, longest / MAX_LONG)
        count = math.ceil(longest / interval) + 1
        fields, lasts = f"count={count}&interval={interval:g}", longest
    else:
        fields, lasts = f"count={COUNT}&interval={INTERVAL:g}", COUNT * INTERVAL
    if not probe.lines:
        fields += "&lines=false"
    return f"format={probe.form}&{fields}", lasts


async def is_ours(client: ProbeClient, url: str) -> bool:
    """Whether a server of ours has a C{/doctor} at this URL."""
    exchange = await client.ask(url, REQUEST_TIMEOUT, query=_QUICK_QUERY)
    refuses = exchange.header("content-type") == "application/problem+json"
    return bool(ticks(exchange)) or (refuses and exchange.status != 404)


async def check_stream(
    client: ProbeClient, urls: Sequence[str], watch: float
) -> Report:
    """
    Examine a stream of any server.

    @param urls: its addresses, from the server outwards.
    @param watch: seconds to watch each for.
    @raise ClientError: if an address cannot be examined, or no output came.
    """
    # One after the other: each request may start a command, and two at once may hinder
    # each other.
    probes = [
        await _stream_probe(client, url, watch, is_via=url is not urls[0])
        for url in urls
    ]
    for index, (before, probe) in enumerate(pairwise(probes), 1):
        if differs(before, probe):
            # Or not: this shows whether a difference is that of two runs, or of a
            # program that is slow to start. The suspect is asked first, since a busy
            # server may start the second one later.
            via, direct = await _gather(
                client.ask(each.url, watch) for each in (probe, before)
            )
            if via.status == direct.status == 200:
                probes[index] = evolve(probe, beside=(direct, via))
    report = stream_diagnosis.diagnose(probes)
    silent = not any(each.bare.arrivals or each.bare.over for each in probes)
    if report.clean and silent:
        raise NothingSeen(
            f"{urls[0]}: nothing came in {watch:g} seconds, so nothing can be found "
            "out; watch it while it has something to say, or for longer (--seconds)"
        )
    return report


async def _stream_probe(
    client: ProbeClient, url: str, watch: float, *, is_via: bool
) -> StreamProbe:
    offered = await client.ask(url, watch, gzip=True)
    if (
        is_via
        and offered.answered is None
        and offered.ending in (Ending.OVERDUE, Ending.MALFORMED)
    ):
        return StreamProbe(url, offered, offered)  # a proxy keeps or spoils the head
    _check_answered(url, offered)
    if not 200 <= offered.status < 300:
        ours = offered.status == 404
        advice = ": there is nothing at this address" if ours else _advice(offered)
        raise NotExamined(f"{url}: the answer is {offered.status}{advice}")
    bare = offered
    if offered.encoding is not None:
        bare = await client.ask(url, watch)
        _check_answered(url, bare)
    return StreamProbe(url, offered, bare)


def _check_ticks(url: str, exchange: Exchange) -> None:
    """@raise ClientError: if this is no answer of C{/doctor}."""
    _check_answered(url, exchange)
    _check_status(url, exchange)
    if not ticks(exchange):
        raise NotExamined(
            f"{url}: what answers there is no shellstream; to examine a stream of "
            "another server give its whole address, http://HOST/PATH"
        )


def _check_answered(url: str, exchange: Exchange) -> None:
    if exchange.answered is None and exchange.problem is not None:
        raise NotHTTP(url, exchange.problem)
    if exchange.answered is None and exchange.ending is Ending.CUT:
        raise NotHTTP(url, "the connection ended before an answer came")
    if exchange.answered is None:
        raise NothingSeen(
            f"{url}: not even the head of an answer came in {exchange.duration:.0f} "
            "seconds: the server hangs, or waits for the first output before it "
            "answers, or a proxy keeps the answer back"
        )


def _check_status(url: str, exchange: Exchange) -> None:
    if exchange.status != 200:
        raise NotExamined(f"{url}: the answer is {exchange.status}{_advice(exchange)}")


def _advice(exchange: Exchange) -> str:
    match exchange.status:
        case status if status in _REDIRECTED:
            where = exchange.headers.get("location", "where it points to")
            return f": examine {printable(where)}"
        case 401:
            return (
                ": it wants a token that it knows; give it by $SHELLSTREAM_TOKEN or "
                "--token-file"
            )
        case 403:
            return ": this token, or this address, may not ask for it"
        case 404:
            return ": no shellstream, or one that is older and has no /doctor"
        case 405:
            return ": it does not answer GET, and nothing else is tried here"
        case 421:
            return ": the server does not know this host name as its own"
        case 503 if _is_busy(exchange):
            return (
                ": others are being examined, as many as the server allows; try again "
                "when they have ended"
            )
        case 503:
            return ": the server, or one behind it, is not ready; try again later"
    return ""
