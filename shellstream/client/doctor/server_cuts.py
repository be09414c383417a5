"""Streams of a server that ended before their end, or not as HTTP wants it. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from .exchange import Ending, Exchange
from .findings import Finding, Kind, duration
from .hops import Hop, Length, Probe
from .response_findings import trailers_fail
from .suspects import Suspect
from .ticks import ticks

#: Seconds between the signs of life of a silent stream in C{sse}, C{ndjson} and
#: C{frames}. What is cut after a longer silence would survive in these formats.
_KEEPALIVE = 15

#: Bytes by which streams that are cut after the same number of them may differ: one
#: tick in the longest of the formats.
_MOST_OF_A_TICK = 256


def cut_findings(suspect: Suspect, hop: Hop) -> Iterator[Finding]:
    """What a proxy does to the ends of streams."""
    broken = {p: each for p, each in hop.streams.items() if is_incomplete(each)}
    malformed = {p: e for p, e in broken.items() if e.ending is Ending.MALFORMED}
    if _fails_at_trailers(hop, broken):
        yield _trailers(suspect, broken)
    elif malformed:
        yield _malformed(suspect, malformed)
    else:
        yield from _cut(suspect, hop, broken)


def is_incomplete(exchange: Exchange) -> bool:
    """Whether a stream was cut, even where HTTP says that it ended well."""
    if exchange.ending in (Ending.WHOLE, Ending.CLOSED):
        found = ticks(exchange)
        return not found or len(found) < found[-1].of
    return exchange.ending in (Ending.CUT, Ending.MALFORMED)


def _fails_at_trailers(hop: Hop, broken: Mapping[Probe, Exchange]) -> bool:
    """
    Whether plain streams fail at their very end, where trailers are; or whether a proxy
    answers with an error in place of these, and of no others.
    """
    plain = {
        probe
        for probe in hop.streams
        if probe.form == "plain" and probe.length is Length.SHORT
    }
    others = any(probe.form != "plain" for probe in broken)
    return bool(plain) and all(
        probe in broken
        and (
            _has_all_ticks(broken[probe])
            or (not others and broken[probe].status >= 500)
            or (not others and broken[probe].ending is Ending.MALFORMED)
        )
        for probe in plain
    )


def _has_all_ticks(exchange: Exchange) -> bool:
    found = ticks(exchange)
    return bool(found) and len(found) == found[-1].of


def _trailers(suspect: Suspect, broken: Mapping[Probe, Exchange]) -> Finding:
    plain = all(probe.form == "plain" for probe in broken)
    which = "plain output, but no other format" if plain else "all formats"
    exchange = next(iter(broken.values()))
    finding = trailers_fail(suspect, exchange, f"this concerns {which}")
    return evolve(finding, certain=plain)


def _malformed(suspect: Suspect, broken: Mapping[Probe, Exchange]) -> Finding:
    which = ", ".join(map(str, broken))
    problem = next(iter(broken.values())).problem
    return suspect.finding(
        Kind.MALFORMED,
        f"sends a response that is no valid HTTP ({which}), so clients lose output",
        seen=f"{problem}",
        cure=("# update it, or replace it",),
    )


def _cut(
    suspect: Suspect, hop: Hop, cut: Mapping[Probe, Exchange]
) -> Iterator[Finding]:
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
    sizes = {each.size for each in cut}
    # A limit of the proxy cuts all streams at the same age, give or take how often the
    # proxy looks; a bad network cuts at any age.
    same_age = after[-1] - after[0] < max(0.5, after[0] / 5)
    statuses = {str(each.status) for each in cut if each.status >= 500}
    ended = f"after {duration(after[0])}"
    if not same_age:
        ended += f" to {duration(after[-1])}"
    if statuses and all(each.status >= 500 for each in cut):
        does = f"answers with {' and '.join(sorted(statuses))} in place of the stream"
    elif not same_age and max(sizes) - min(sizes) < _MOST_OF_A_TICK:
        ended = f"after {max(sizes)} bytes or a little less"
        does = "cuts streams after a number of bytes"
    elif same_age:
        does = f"cuts streams {ended} in all"
    else:
        does = "cuts streams while they run, not always after the same time"
    return suspect.finding(
        Kind.CUT,
        f"{does}{looks}",
        seen=f"{len(cut)} of {count} streams ended {ended}, though ticks were still to "
        "come",
        cure=(
            *suspect.cures(Kind.CUT),
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
    cure = suspect.cures(Kind.CUT_WHEN_IDLE)
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
