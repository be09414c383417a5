"""Streams that ended before their end."""

from collections.abc import Iterator, Mapping

from .exchange import Ending, Exchange
from .findings import Finding, Kind, Layer, cures, proxy_named, seconds
from .hops import Hop, Length, Probe, who_at
from .ticks import ticks


def _incomplete(exchange: Exchange) -> bool:
    """Whether an answer ended before its end, even where that looks well."""
    if exchange.ending in (Ending.WHOLE, Ending.CLOSED):
        found = ticks(exchange)
        return not found or len(found) < found[-1].of
    return exchange.ending is Ending.CUT


def cuts(hop: Hop) -> Iterator[Finding]:
    """Of those that ticked all the time; if none was cut, of those that were silent."""
    cut = {p: each for p, each in hop.streams.items() if _incomplete(each)}
    busy = {p: each for p, each in cut.items() if p.length is not Length.IDLE}
    if busy:
        yield _cut(hop, busy)
    elif cut:
        yield _cut_when_idle(hop, cut)


def _evidence(cut: Mapping[Probe, Exchange]) -> dict[str, object]:
    return {
        "after_seconds": {
            f"{probe.length.value} {probe}": round(each.ended - each.asked, 3)
            for probe, each in cut.items()
        },
        "looks_complete": any(
            each.ending in (Ending.WHOLE, Ending.CLOSED) and each.status == 200
            for each in cut.values()
        ),
    }


def _looks(cut: Mapping[Probe, Exchange]) -> str:
    if _evidence(cut)["looks_complete"]:
        return ", and makes that look like the end of the output"
    return ""


def _cut(hop: Hop, cut: Mapping[Probe, Exchange]) -> Finding:
    after = sorted(each.ended - each.asked for each in cut.values())
    same = after[-1] - after[0] < max(0.5, after[0] / 5)
    if same:
        does, seen = f"after {seconds(after[0])} in all", f"after {seconds(after[0])}"
    else:
        does = "while they run, not always after the same time"
        seen = f"after {seconds(after[0])} to {seconds(after[-1])}"
    named = proxy_named(hop.first)
    return Finding(
        kind=Kind.CUT,
        layer=Layer.PROXY,
        where=hop.url,
        what=f"{who_at(hop)} cuts streams {does}{_looks(cut)}",
        seen=f"{len(cut)} of {len(hop.streams)} streams ended {seen}, though ticks "
        "were still to come",
        cure=(
            *cures(Kind.CUT, named),
            "# until then: a client that takes streams up again, as shellstream's does",
        ),
        evidence=_evidence(cut),
    )


def _cut_when_idle(hop: Hop, cut: Mapping[Probe, Exchange]) -> Finding:
    each = next(iter(cut.values()))
    last = ticks(each)[-1].came if ticks(each) else each.asked
    silent = each.ended - last
    survives = all(probe.form == "plain" for probe in cut) and silent > 15
    return Finding(
        kind=Kind.CUT_WHEN_IDLE,
        layer=Layer.PROXY,
        where=hop.url,
        what=f"{who_at(hop)} cuts streams that are silent{_looks(cut)}",
        seen=f"a stream ended after {seconds(silent)} of silence, though more was to "
        "come; one with ticks all the time went on",
        cure=(
            *cures(Kind.CUT_WHEN_IDLE, proxy_named(each)),
            *(
                ["# or ask for sse, ndjson or frames: they say something every 15 s"]
                if survives
                else []
            ),
        ),
        evidence={"silent_seconds": round(silent, 3), **_evidence(cut)},
    )
