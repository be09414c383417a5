"""
From what came of C{/doctor} at each address to what has to be changed.

Pure. The addresses are in order from the server outwards. What shows at one of them,
and at none before it, is caused by what stands between the two.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import median_high

from attrs import evolve

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
from .hops import Hop, Length, Probe
from .response_findings import (
    COMPRESSION_DELAYS,
    late,
    sniffed,
    untrusted,
    without_chunks,
)
from .server_cuts import cut_findings
from .suspects import Suspect, suspect_at
from .ticks import DISTANT, NOTICEABLE, Delivery, DeliveryPattern, ticks

#: Seconds by which clocks may differ before a note says so. Machines that set their
#: clocks by NTP differ by less than 0.1 s; times of day are shown in whole seconds.
SKEW = 2.0


def diagnose(hops: Sequence[Hop], *, idle: float | None, longest: float) -> Report:
    """
    What holds streams back, and where.

    @param idle: seconds of silence that were tried; L{None} if none were.
    @param longest: seconds for which the longest stream was to last.
    """
    nearest = min((hop.base for hop in hops), key=lambda base: base.round_trip)
    hops = [evolve(hop, nearest=nearest) for hop in hops]
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
    # Without those that a compressor may have delayed, or somebody who waits for lines.
    delays = [
        hop.transit.took(tick)
        for probe, exchange in hop.streams.items()
        if probe.length is Length.SHORT and probe.lines and not probe.gzip
        for tick in ticks(exchange)
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
    earlier = None if before is None else before.typical
    suspect = suspect_at(hop.url, hop.typical, Layer.PROXY, earlier)
    answered = {p: each for p, each in hop.streams.items() if each.status == 200}
    plain = (each for probe, each in answered.items() if probe.form == "plain")
    yield from (
        _first(without_chunks(suspect, each) for each in answered.values())
        or _without_chunks_behind(suspect, hop)
    )
    yield from _held_back(suspect, hop, before)
    yield from _first(_compressed(hop, probe, earlier) for probe in hop.streams)
    yield from cut_findings(suspect, hop)
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
        "keeps output, and passes it on only when it has ended or a buffer is full",
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
        if all(hop.streams[probe].encoding for probe in held):
            continue  # L{_compressed} reports it
        # Prefer a stream that no compression delays, and one in lines.
        best = min(held, key=lambda probe: (probe.gzip, not probe.lines))
        delivery = held[best]
        if pattern is DeliveryPattern.LATE:
            # A proxy that delays does so for most streams; fewer are an accident.
            if 2 * len(held) >= len(deliveries) and not _as_late_before(
                delivery, before
            ):
                # Where the clocks were compared by delayed responses, distance looks
                # the same.
                known = hop.nearest is not hop.base or hop.base.surplus <= DISTANT
                yield late(suspect, delivery.delays, _figures(delivery), certain=known)
        elif best.lines:
            some = f" ({', '.join(map(str, held))})"
            which = some if len(held) < len(deliveries) else ""
            yield suspect.finding(kind, f"{does}{which}", seen=_figures(delivery))
        else:
            yield _whole_lines(suspect, delivery)
    yield from _far_away(suspect, hop, before)


def _whole_lines(suspect: Suspect, delivery: Delivery) -> Finding:
    """The only output that was held back has no line ends."""
    return suspect.finding(
        Kind.WHOLE_LINES,
        "passes on whole lines only: a prompt, or a bar that shows progress, comes "
        "when its line ends",
        seen=f"without line ends {_figures(delivery)}; in lines they came at once",
        cure=("# the proxy: let it pass on what it reads, not line by line",),
    )


def _far_away(suspect: Suspect, hop: Hop, before: Hop | None) -> Iterator[Finding]:
    """
    An address where requests and responses take equally long, and long: a proxy that
    delays both, or the distance to the server.
    """
    base, near = hop.base, hop.nearest or hop.base
    known = base.connected + near.round_trip
    if before is not None and 2 * hop.transit.distance - known > DISTANT:
        yield suspect.nameless().finding(
            Kind.LATE,
            "holds back requests and responses alike, or is far away from the server",
            seen=f"an answer takes {duration(base.round_trip)}, and connecting only "
            f"{duration(base.connected)}; at {before.url} an answer takes "
            f"{duration(before.base.round_trip)}",
            cure=("# the proxy: let it pass on each piece when it comes",),
            certain=False,
        )


def _cut_before_ticks(exchange: Exchange) -> bool:
    """Whether nothing came because a stream was cut, which L{cut_findings} reports."""
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
        least, most = duration(min(delays)), duration(max(delays))
        spread = most if least == most else f"{least} to {most}"
        return (
            f"{count} ticks came {spread} later than the network explains (median: "
            f"{duration(delivery.delay)})"
        )
    at_the_end = delivery.pattern is DeliveryPattern.AT_THE_END
    return (
        f"{count} ticks were sent over {duration(delivery.sent_over)}; they came "
        f"{in_bursts(1 if at_the_end else delivery.batches)}, the first "
        f"{duration(delays[0])} late"
    )


def _compressed(hop: Hop, probe: Probe, before: Exchange | None) -> Finding | None:
    exchange = hop.streams[probe]
    if exchange.encoding is None:
        return None
    suspect = suspect_at(hop.url, exchange, Layer.PROXY, before)
    offered = "offered" if probe.gzip else "though that was not offered"
    delivery = hop.deliveries().get(probe)
    late = delivery is not None and delivery.pattern is not DeliveryPattern.LIVE
    return suspect.finding(
        Kind.COMPRESSED,
        "compresses live output, though the server forbids it (Cache-Control: "
        f"no-transform). {COMPRESSION_DELAYS}",
        seen=f"Content-Encoding: {exchange.encoding} ({probe.form}, {offered})"
        + (f"; {_figures(delivery)}" if delivery is not None and late else ""),
    )


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
