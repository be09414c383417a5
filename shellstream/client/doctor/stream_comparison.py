"""
A stream as it comes directly and by way of a proxy: whether output comes later. Pure.
"""

from collections.abc import Sequence
from statistics import median

from attrs import frozen

from .exchange import Burst, Exchange, bursts, delays_between
from .findings import Finding, Kind, duration, in_bursts
from .response_findings import late
from .suspects import Suspect
from .ticks import NOTICEABLE

#: Seconds by which all of the output of one run may be later than that of another,
#: because a busy machine started it later. HAProxy delays each piece by 200 ms.
STARTING = 0.15


@frozen
class StreamProbe:
    """
    A stream as it came from one address.

    @ivar offered: the response when we offered gzip, as most clients do.
    @ivar bare: the response when we did not; the same one if it was not compressed.
    @ivar beside: the responses directly and by way of this address when both were asked
        for at the same time, to see whether a difference stays.
    """

    url: str
    offered: Exchange
    bare: Exchange
    beside: tuple[Exchange, Exchange] | None = None

    def pairs(self, before: "StreamProbe") -> list[tuple[Exchange, Exchange]]:
        """The two responses to compare: the one before, and the one at this address."""
        first = (before.bare, self.bare)
        return [first] if self.beside is None else [first, self.beside]


def differs(before: StreamProbe, probe: StreamProbe) -> bool:
    """Whether output seems to come later than at the address before, or in part."""
    pairs = probe.pairs(before)
    return any(
        all(test(*pair) for pair in pairs) for test in (_fewer, _later, _shorter)
    )


def _fewer(direct: Exchange, via: Exchange) -> bool:
    """Whether output came in far fewer bursts."""
    earlier, came = len(bursts(direct.arrivals)), len(bursts(via.arrivals))
    # Half, not fewer by one: the second run of a command does not write exactly when
    # the first did.
    return earlier > 1 and bool(came) and 2 * came <= earlier


def _later(direct: Exchange, via: Exchange) -> bool:
    """Whether each part of the output came later than connecting explains."""
    delays = delays_between(direct, via)
    # Three: a program may well be slow to start, once or twice.
    usual = STARTING + 2 * max(0.0, via.connected - direct.connected)
    return len(delays) > 2 and median(delays) > usual


def _shorter(direct: Exchange, via: Exchange) -> bool:
    """Whether a response ended well, but earlier and with less output."""
    ended = direct.over and via.over
    less = 10 * via.size < 9 * direct.size
    return ended and less and via.duration + 2 * NOTICEABLE < direct.duration


def held_by_proxy(
    suspect: Suspect, probe: StreamProbe, before: StreamProbe
) -> Finding | None:
    """Output that arrives later, or in larger pieces, than at the address before."""
    if probe.bare.answered is None and probe.bare.problem is None:
        return suspect.finding(
            Kind.AT_THE_END,
            "passes on nothing, not even the head of the response",
            seen=f"in {duration(probe.bare.duration)}; {before.url} answers after "
            f"{duration((before.bare.answered or 0.0) - before.bare.requested)}",
        )
    pairs = probe.pairs(before)
    came = bursts(probe.bare.arrivals)
    earlier = f"at {before.url} {in_bursts(len(bursts(before.bare.arrivals)))}"
    if all(_fewer(*pair) for pair in pairs):
        at_once = len(came) == 1
        seen = f"{figures(probe.bare, came)}; {earlier}"
        if all(_whole_lines(*pair) for pair in pairs):
            return suspect.finding(
                Kind.WHOLE_LINES,
                "passes on whole lines only: a prompt, or a bar that shows progress, "
                "comes when its line ends",
                seen=seen,
                cure=("# the proxy: let it pass on what it reads, not line by line",),
                certain=False,
            )
        return suspect.finding(
            Kind.AT_THE_END if at_once else Kind.BATCHES,
            f"keeps output back that comes piece by piece at {before.url}",
            seen=seen,
            certain=at_once or probe.beside is not None,
        )
    if all(_later(*pair) for pair in pairs):
        delays = [each for pair in pairs for each in delays_between(*pair)]
        seen = f"each piece came about {duration(median(delays))} later than at "
        return late(suspect, delays, f"{seen}{before.url}")
    # Two runs may well differ, so once is not enough.
    if probe.beside is not None and all(_shorter(*pair) for pair in pairs):
        return suspect.finding(
            Kind.CUT,
            "ends the response before its end, and makes that look like the end",
            seen=f"{probe.bare.size} bytes came in {duration(probe.bare.duration)}; at "
            f"{before.url} {before.bare.size} in {duration(before.bare.duration)}",
            certain=False,
        )
    return None


def _whole_lines(direct: Exchange, via: Exchange) -> bool:
    """Whether what came in parts of lines comes in lines."""
    parts = [not data.endswith(b"\n") for _, data in direct.arrivals]
    # The last part of all may well end without one.
    lines = [data.endswith(b"\n") for _, data in via.arrivals[:-1]]
    return sum(parts) > 1 and bool(lines) and all(lines)


def figures(exchange: Exchange, came: Sequence[Burst]) -> str:
    lines = exchange.sample.count(b"\n")
    return (
        f"{exchange.size} bytes, {lines} lines, came {in_bursts(len(came))}, the first "
        f"{duration(came[0].time - exchange.requested)} after the request"
    )
