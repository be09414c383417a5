"""
From what was seen of C{/doctor} at each address to what is to be changed.

Pure: the addresses are in order from the server outwards, and what shows at one of
them, but at none before it, is the doing of what stands between.
"""

from collections.abc import Iterator, Mapping, Sequence

from .exchange import Ending, Exchange, Framing
from .findings import (
    Finding,
    Kind,
    Layer,
    Report,
    cures,
    proxy_named,
    seconds,
    without_chunks,
)
from .header_findings import sniffed_at, tls_at
from .hops import Hop, Probe, who_at
from .ticks import FELT, Delivery, DeliveryPattern, ticks
from .truncation import cuts

#: Seconds by which clocks may differ before that is worth a word.
SKEW = 2.0


def diagnose(hops: Sequence[Hop], *, idle: float | None, long: float) -> Report:
    """
    What is wrong, and who is to be changed.

    @param idle: seconds of silence that were tried, if any.
    @param long: seconds for which the longest stream was to last.
    """
    findings: list[Finding] = []
    known: set[Kind] = set()
    before: Hop | None = None
    for hop in hops:
        fresh = [each for each in _at(hop, before) if each.kind not in known]
        findings += fresh
        known |= {each.kind for each in fresh}
        before = hop
    notes = [
        f"the clock of {hop.url} is {seconds(abs(hop.base.skew))} "
        f"{'ahead of' if hop.base.skew > 0 else 'behind'} this machine's: times in "
        "its output look wrong here, nothing else"
        for hop in hops
        if abs(hop.base.skew) > SKEW + hop.base.round_trip
    ]
    cut = known & {Kind.CUT, Kind.CUT_WHEN_IDLE}
    if not cut and idle is None:
        notes.append(
            f"whether a stream lasts longer than {long:g} s was not tried (--seconds), "
            "nor whether it survives silence (--idle 70: nginx cuts after 60 s, "
            "HAProxy often after 50 s)"
        )
    elif not cut:
        notes.append(f"a stream survived {idle:g} s of silence (--idle for more)")
    return Report(tuple(map(_facts, hops)), tuple(findings), tuple(notes))


def _facts(hop: Hop) -> dict[str, object]:
    """What is to be known of an address."""
    delays = [
        each
        for probe, found in hop.flows().items()
        if not probe.gzip
        for each in found.delays
    ]
    first = hop.first
    certificate = first.certificate
    return {
        "url": hop.url,
        "http": first.version,
        "framing": first.framing.value,
        "server": first.headers.get("server"),
        "via": first.headers.get("via"),
        "certificate_issuer": None if certificate is None else certificate.issuer,
        "round_trip_seconds": round(hop.base.round_trip, 6),
        "clock_ahead_seconds": round(hop.base.skew, 3),
        "delay_seconds": round(sorted(delays)[len(delays) // 2], 6) if delays else None,
        "ticks": len(delays),
    }


def _at(hop: Hop, before: Hop | None) -> Iterator[Finding]:
    """All that shows at an address."""
    yield from _framing(hop)
    yield from _flows(hop, before)
    yield from _compressed(hop)
    yield from cuts(hop)
    yield from sniffed_at(hop)
    yield from tls_at(hop, before)


def _framing(hop: Hop) -> Iterator[Finding]:
    exchange = next(
        (
            one
            for one in hop.streams.values()
            if one.status == 200 and one.framing is not Framing.CHUNKED
        ),
        None,
    )
    if exchange is None:
        yield from _framing_behind(hop)
        return
    what, seen = without_chunks(exchange)
    yield Finding(
        kind=Kind.NO_CHUNKS,
        layer=Layer.PROXY,
        where=hop.url,
        what=f"{who_at(hop)} {what}",
        seen=f"the answer is {seen}",
        cure=(
            *cures(Kind.NO_CHUNKS, proxy_named(exchange)),
            "# others: let it answer in HTTP/1.1, chunked",
        ),
        evidence={"http": exchange.version, "framing": exchange.framing.value},
    )


def _framing_behind(hop: Hop) -> Iterator[Finding]:
    heard = hop.first.headers.get("shellstream-request-version", "HTTP/1.1")
    if heard == "HTTP/1.0":
        yield Finding(
            kind=Kind.NO_CHUNKS_BEHIND,
            layer=Layer.PROXY,
            where=hop.url,
            what=(
                f"{who_at(hop)} speaks HTTP/1.0 to the server, whose answer then has "
                "no chunks: if the server dies, or the connection to it, what came "
                "until then is handed on as if it were whole"
            ),
            seen="the server was asked in HTTP/1.0",
            cure=cures(Kind.NO_CHUNKS_BEHIND, proxy_named(hop.first)),
            evidence={"http_to_server": heard},
        )


_FLOWS = {
    DeliveryPattern.AT_THE_END: (
        Kind.AT_THE_END,
        "keeps the whole output, and hands it on when it has ended",
    ),
    DeliveryPattern.BATCHES: (
        Kind.BATCHES,
        "keeps output, and hands on several pieces at once",
    ),
    DeliveryPattern.LATE: (
        Kind.LATE,
        "holds each piece of output back before it hands it on",
    ),
    DeliveryPattern.NONE: (
        Kind.AT_THE_END,
        "handed on nothing, long after all was sent",
    ),
}


def _flows(hop: Hop, before: Hop | None) -> Iterator[Finding]:
    flows = hop.flows()
    for flow, (kind, does) in _FLOWS.items():
        held = {
            probe: found
            for probe, found in flows.items()
            if found.flow is flow and not _ended_empty(hop.streams[probe])
        }
        if not held:
            continue
        if flow is DeliveryPattern.LATE and 2 * len(held) < len(flows):
            continue  # it is no habit
        probe, found = min(held.items(), key=lambda each: each[0].gzip)
        if (
            before is not None
            and flow is DeliveryPattern.LATE
            and _as_late(found, before)
        ):
            continue
        named = proxy_named(hop.first)
        hint = ""
        if named is None and flow is DeliveryPattern.LATE:
            named, hint = "HAProxy", ". HAProxy does this, by 200 ms"
        yield Finding(
            kind=kind,
            layer=Layer.PROXY,
            where=hop.url,
            what=f"{who_at(hop)} {does}{_which(held, flows)}{hint}",
            seen=_seen(found),
            cure=cures(kind, named),
            evidence={
                "stream": str(probe),
                "streams": [str(each) for each in held],
                "delays_seconds": [round(each, 4) for each in found.delays],
                "sent_over_seconds": round(found.sent, 4),
                "came_over_seconds": round(found.spread, 4),
                "batches": found.batches,
            },
        )


def _ended_empty(exchange: Exchange) -> bool:
    """Whether it brought nothing since it was cut, which is another matter."""
    return not ticks(exchange) and exchange.ending is not Ending.OVERDUE


def _as_late(found: Delivery, before: Hop) -> bool:
    """Whether ticks came nearly as late at the address before: it is not this one."""
    usual = [each.delay for each in before.flows().values() if each.delays]
    return bool(usual) and found.delay - max(usual) < FELT


def _which(held: Mapping[Probe, object], all_: Mapping[Probe, object]) -> str:
    """Which streams, if not all."""
    if len(held) == len(all_):
        return ""
    return " (" + ", ".join(map(str, held)) + ")"


def _seen(found: Delivery) -> str:
    count = len(found.delays)
    if not count:
        return "no tick came until we left"
    if found.flow is DeliveryPattern.LATE:
        return (
            f"{count} ticks came {seconds(found.delay)} after they were sent (median; "
            f"{seconds(min(found.delays))} to {seconds(max(found.delays))})"
        )
    at_once = found.flow is DeliveryPattern.AT_THE_END
    return (
        f"{count} ticks were sent over {seconds(found.sent)}; they came "
        f"{'in one go' if at_once else f'in {found.batches}'}, "
        f"the first {seconds(found.delays[0])} late"
    )


def _compressed(hop: Hop) -> Iterator[Finding]:
    for probe, exchange in hop.streams.items():
        if exchange.encoding is None:
            continue
        offered = "offered" if probe.gzip else "though that was not offered"
        yield Finding(
            kind=Kind.COMPRESSED,
            layer=Layer.PROXY,
            where=hop.url,
            what=(
                f"{who_at(hop)} compresses live output, though it is marked "
                "no-transform. A client sees a piece only once the compressor, "
                "and whoever undoes it, has given it out"
            ),
            seen=f"Content-Encoding: {exchange.encoding} ({probe.form}, {offered})",
            cure=cures(Kind.COMPRESSED, proxy_named(exchange)),
            evidence={"content_encoding": exchange.encoding, "stream": str(probe)},
        )
        return
