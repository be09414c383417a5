"""
From what came of C{/doctor} at each address to what has to be changed.

Pure. The addresses are in order from the server outwards. What shows at one of them,
and at none before it, is caused by what stands between the two.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import islice
from statistics import median_high

from attrs import frozen

from .exchange import Ending, Exchange
from .findings import (
    Finding,
    Kind,
    Layer,
    Report,
    duration,
    in_bursts,
    response_facts,
    where_first_seen,
)
from .response_findings import COMPRESSION_DELAYS, sniffed, untrusted, without_chunks
from .suspects import Suspect, cures, suspect_at
from .ticks import NOTICEABLE, Baseline, Delivery, DeliveryPattern, classify, ticks

#: Seconds by which clocks may differ before a note says so. Machines that set their
#: clocks by NTP differ by less than 0.1 s; times of day are shown in whole seconds.
SKEW = 2.0

#: Seconds between the signs of life of a silent stream in C{sse}, C{ndjson} and
#: C{frames}. What is cut after a longer silence would survive in these formats.
_KEEPALIVE = 15


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


def diagnose(hops: Sequence[Hop], *, idle: float | None, longest: float) -> Report:
    """
    What holds streams back, and where.

    @param idle: seconds of silence that were tried; L{None} if none were.
    @param longest: seconds for which the longest stream was to last.
    """
    befores = (None, *hops[:-1])
    found = where_first_seen(map(_findings_at, hops, befores))
    notes = [
        f"the clock of {hop.url} is {duration(abs(hop.base.skew))} "
        f"{'ahead of' if hop.base.skew > 0 else 'behind'} this machine's: times in "
        "its output look wrong here; nothing else suffers"
        for hop in hops
        if abs(hop.base.skew) > SKEW + hop.base.round_trip
    ]
    cut = any(each.kind in (Kind.CUT, Kind.CUT_WHEN_IDLE) for each in found)
    if not cut and idle is None:
        notes.append(
            f"streams longer than {longest:g} s were not tried (--seconds), nor silent "
            "ones (--idle 70: nginx cuts after 60 s of silence, HAProxy often after "
            "50 s)"
        )
    elif not cut:
        notes.append(f"a stream survived {idle:g} s of silence (--idle for more)")
    return Report(tuple(map(_facts, hops)), found, tuple(notes))


def _facts(hop: Hop) -> dict[str, object]:
    # Without the streams that a compressor may have delayed.
    delays = [
        delay
        for probe, delivery in hop.deliveries().items()
        if not probe.gzip
        for delay in delivery.delays
    ]
    return {
        **response_facts(hop.url, hop.typical),
        "round_trip_seconds": round(hop.base.round_trip, 6),
        "clock_ahead_seconds": round(hop.base.skew, 3),
        "delay_seconds": round(median_high(delays), 6) if delays else None,
        "ticks": len(delays),
    }


def _findings_at(hop: Hop, before: Hop | None) -> Iterator[Finding]:
    # A server of ours streams live, so only what stands before it can be to blame.
    suspect = suspect_at(hop.url, hop.typical, Layer.PROXY)
    answered = {p: each for p, each in hop.streams.items() if each.status == 200}
    plain = (each for probe, each in answered.items() if probe.form == "plain")
    yield from (
        _first(without_chunks(suspect, each) for each in answered.values())
        or _without_chunks_behind(suspect, hop)
    )
    yield from _held_back(suspect, hop, before)
    yield from _first(_compressed(hop.url, *each) for each in hop.streams.items())
    yield from _cut(suspect, hop)
    yield from _first(sniffed(suspect, each) for each in plain)
    yield from _first([untrusted(hop.url, hop.typical)])
    yield from _replaced_certificate(hop, before)


def _first(findings: Iterable[Finding | None]) -> list[Finding]:
    """The first finding, if there is any: the others say the same of other streams."""
    return list(islice(filter(None, findings), 1))


def _without_chunks_behind(suspect: Suspect, hop: Hop) -> Iterator[Finding]:
    """A proxy that answers in chunks but does not get any."""
    # The server itself reports how it was asked; only it knows.
    version = hop.typical.headers.get("shellstream-request-version", "HTTP/1.1")
    if version == "HTTP/1.0":
        yield suspect.finding(
            Kind.NO_CHUNKS_BEHIND,
            "speaks HTTP/1.0 to the server, so the server's response has no chunks. If "
            "the server dies, or its connection breaks, the proxy passes on what came "
            "until then as if it were complete",
            seen="the server received the request in HTTP/1.0",
        )


_HELD_BACK = {
    DeliveryPattern.AT_THE_END: (
        Kind.AT_THE_END,
        "keeps the whole output, and passes it on only when it has ended",
    ),
    DeliveryPattern.BATCHES: (
        Kind.BATCHES,
        "collects output, and passes on several pieces at once",
    ),
    DeliveryPattern.LATE: (
        Kind.LATE,
        "holds each piece of output back before it passes it on",
    ),
    DeliveryPattern.NONE: (
        Kind.AT_THE_END,
        "passed on nothing, long after the server had sent everything",
    ),
}


def _held_back(suspect: Suspect, hop: Hop, before: Hop | None) -> Iterator[Finding]:
    """Output that arrives later than it left."""
    deliveries = hop.deliveries()
    for pattern, (kind, does) in _HELD_BACK.items():
        held = {
            probe: delivery
            for probe, delivery in deliveries.items()
            if delivery.pattern is pattern and not _cut_before_ticks(hop.streams[probe])
        }
        if not held:
            continue
        # Prefer a stream that no compression delays.
        delivery = held[min(held, key=lambda probe: probe.gzip)]
        which = f" ({', '.join(map(str, held))})" if len(held) < len(deliveries) else ""
        if pattern is DeliveryPattern.LATE:
            # A proxy that delays does so for most streams; fewer are an accident.
            if 2 * len(held) < len(deliveries) or _as_late_before(delivery, before):
                continue
            if suspect.proxy is None:
                which += ". HAProxy does this by default, for 200 ms"
        yield suspect.finding(kind, f"{does}{which}", seen=_figures(delivery))


def _cut_before_ticks(exchange: Exchange) -> bool:
    """Whether a stream brought nothing because it was cut, which L{_cut} reports."""
    return not ticks(exchange) and exchange.ending is not Ending.OVERDUE


def _as_late_before(delivery: Delivery, before: Hop | None) -> bool:
    """Whether ticks came nearly as late at the address before this one."""
    deliveries = before.deliveries().values() if before is not None else ()
    usual = [each.delay for each in deliveries if each.delays]
    return bool(usual) and delivery.delay - max(usual) < NOTICEABLE


def _figures(delivery: Delivery) -> str:
    delays, count = delivery.delays, len(delivery.delays)
    if not delays:
        return "no tick came while we waited"
    if delivery.pattern is DeliveryPattern.LATE:
        return (
            f"{count} ticks came {duration(delivery.delay)} after they were sent "
            f"(median; {duration(min(delays))} to {duration(max(delays))})"
        )
    at_the_end = delivery.pattern is DeliveryPattern.AT_THE_END
    return (
        f"{count} ticks were sent over {duration(delivery.sent_over)}; they came "
        f"{in_bursts(1 if at_the_end else delivery.batches)}, the first "
        f"{duration(delays[0])} late"
    )


def _compressed(url: str, probe: Probe, exchange: Exchange) -> Finding | None:
    if exchange.encoding is None:
        return None
    suspect = suspect_at(url, exchange, Layer.PROXY)
    offered = "offered" if probe.gzip else "though that was not offered"
    return suspect.finding(
        Kind.COMPRESSED,
        "compresses live output, though the server forbids it (Cache-Control: "
        f"no-transform). {COMPRESSION_DELAYS}",
        seen=f"Content-Encoding: {exchange.encoding} ({probe.form}, {offered})",
    )


def _cut(suspect: Suspect, hop: Hop) -> Iterator[Finding]:
    """Streams that ended before their end."""
    cut = {p: each for p, each in hop.streams.items() if _is_incomplete(each)}
    busy = [each for p, each in cut.items() if p.length is not Length.IDLE]
    looks_complete = any(
        each.status == 200 and each.ending is not Ending.CUT
        for each in busy or cut.values()
    )
    looks = ", and makes that look like the end of the output" if looks_complete else ""
    # Streams that ticked all the time were not cut for their silence; silence is the
    # reason only if all of these lasted.
    if busy:
        yield _cut_while_busy(suspect, busy, len(hop.streams), looks)
    elif cut:
        yield _cut_when_idle(suspect, cut, looks)


def _cut_while_busy(
    suspect: Suspect, cut: Sequence[Exchange], count: int, looks: str
) -> Finding:
    """
    Streams that were cut while they ticked.

    @param count: how many streams there were.
    """
    after = sorted(each.duration for each in cut)
    # A limit of the proxy cuts all streams at the same age, give or take how often the
    # proxy looks; a bad network cuts at any age.
    if after[-1] - after[0] < max(0.5, after[0] / 5):
        ended = f"after {duration(after[0])}"
        does = f"cuts streams {ended} in all"
    else:
        ended = f"after {duration(after[0])} to {duration(after[-1])}"
        does = "cuts streams while they run, not always after the same time"
    return suspect.finding(
        Kind.CUT,
        f"{does}{looks}",
        seen=f"{len(cut)} of {count} streams ended {ended}, though ticks were still to "
        "come",
        cure=(
            *cures(Kind.CUT, suspect.proxy),
            "# until then: a client that resumes streams, as shellstream's does",
        ),
    )


def _cut_when_idle(
    suspect: Suspect, cut: Mapping[Probe, Exchange], looks: str
) -> Finding:
    """Streams that were cut in their silence."""
    exchange = next(iter(cut.values()))
    ticked = ticks(exchange)
    silent = exchange.ended - (ticked[-1].arrived if ticked else exchange.requested)
    cure = cures(Kind.CUT_WHEN_IDLE, suspect.proxy)
    if all(probe.form == "plain" for probe in cut) and silent > _KEEPALIVE:
        others = "# or ask for sse, ndjson or frames, which break the silence every"
        cure = (*cure, f"{others} {_KEEPALIVE} s")
    return suspect.finding(
        Kind.CUT_WHEN_IDLE,
        f"cuts streams that are silent{looks}",
        seen=f"a stream ended after {duration(silent)} of silence, though a tick was "
        "still to come; one that ticked all the time went on",
        cure=cure,
    )


def _is_incomplete(exchange: Exchange) -> bool:
    """Whether a stream was cut, even where HTTP says that it ended well."""
    if exchange.ending in (Ending.WHOLE, Ending.CLOSED):
        found = ticks(exchange)
        return not found or len(found) < found[-1].of
    return exchange.ending is Ending.CUT


def _replaced_certificate(hop: Hop, before: Hop | None) -> Iterator[Finding]:
    """Another issuer than at the address before."""
    found = hop.typical.certificate
    known = before.typical.certificate if before is not None else None
    if found is not None and known is not None and known.issuer != found.issuer:
        yield Finding(
            kind=Kind.TLS_REPLACED,
            layer=Layer.PROXY,
            where=hop.url,
            what=(
                f"somebody ends the encryption at {hop.url} and encrypts anew: the "
                "certificate has another issuer than the one at the address before. If "
                "that is no proxy of yours, your connection is intercepted, and the "
                "interceptor may read output or hold it back"
            ),
            seen=f"issuer {found.issuer!r}, before: {known.issuer!r}",
            cure=("# if it is TLS inspection, exempt the address from it",),
            certain=False,
        )
