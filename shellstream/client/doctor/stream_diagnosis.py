"""
What can be said of a stream of any server, which does not tell when it wrote what.

Pure. What cannot be known is reported as unknown: a silent stream may simply have
nothing to say.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from math import gcd

from attrs import frozen

from .exchange import Burst, Ending, Exchange, Framing, bursts
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
from .suspects import Suspect, suspect_at

#: Seconds until the first output, from which on several lines in one burst are
#: suspicious: a command that writes them at once is rarely slower to start.
SUSPICIOUS_WAIT = 1.0

#: The smallest block, in bytes, that a buffer of a program or proxy may have. Known are
#: 4096 (C's stdio on a pipe), 8192 (Python, Perl) and powers of two about them.
_MIN_BLOCK = 512

#: Lines that end twice, as of a loop that adds a line end to lines that have one.
_DOUBLE_LINE_ENDS = re.compile(rb"(?:[^\n]*\n\r\n)+(?:\r\n)?")


@frozen
class StreamProbe:
    """
    A stream as it came from one address.

    @ivar offered: the response when we offered gzip, as most clients do.
    @ivar bare: the response when we did not; the same one if it was not compressed.
    """

    url: str
    offered: Exchange
    bare: Exchange


def diagnose(probes: Sequence[StreamProbe]) -> Report:
    """
    What holds a stream back, and where.

    @param probes: at its own address, then by way of proxies, from the server outwards.
    """
    befores = (None, *probes[:-1])
    notes = chain(_unknown(probes[0]), _hints(probes[0]))
    return Report(
        tuple(map(_facts, probes)),
        where_first_seen(map(_findings_at, probes, befores)),
        tuple(notes),
    )


def _facts(probe: StreamProbe) -> dict[str, object]:
    exchange = probe.bare
    came = bursts(exchange.arrivals)
    times = [round(each.time - exchange.requested, 3) for each in came]
    return {
        **response_facts(probe.url, exchange),
        "content_type": exchange.headers.get("content-type"),
        "bytes": exchange.size,
        "goes": len(came),
        "first_byte_seconds": times[0] if times else None,
        "last_byte_seconds": times[-1] if times else None,
        "ending": exchange.ending and exchange.ending.value,
    }


def _findings_at(probe: StreamProbe, before: StreamProbe | None) -> Iterator[Finding]:
    layer = Layer.SERVER if before is None else Layer.PROXY
    suspect = suspect_at(probe.url, probe.bare, layer)
    found = (
        without_chunks(suspect, probe.bare),
        _compressed(suspect, probe),
        _held_back(suspect, probe, before),
        _cut(suspect, probe.bare),
        sniffed(suspect, probe.bare),
        untrusted(probe.url, probe.bare),
    )
    return filter(None, found)


def _compressed(suspect: Suspect, probe: StreamProbe) -> Finding | None:
    encoding = probe.offered.encoding
    if encoding is None:
        return None
    came, bare = bursts(probe.offered.arrivals), bursts(probe.bare.arrivals)
    seen = f"Content-Encoding: {encoding}, "
    if probe.bare.encoding is not None:
        seen += "whether a client offers it or not"
    else:
        seen += "if a client offers it"
        if len(came) < len(bare):
            seen += f"; then output came {in_bursts(len(came))}, else "
            seen += in_bursts(len(bare))
    return suspect.finding(
        Kind.COMPRESSED,
        f"compresses the stream. {COMPRESSION_DELAYS}; most clients offer gzip by "
        "themselves",
        seen=seen,
        cure=(
            *suspect.cures(Kind.COMPRESSED),
            # RFC 9111, 5.2.2.6
            "# or, in the headers of the response, for all programs that heed it:",
            "Cache-Control: no-transform",
        ),
    )


def _held_back(
    suspect: Suspect, probe: StreamProbe, before: StreamProbe | None
) -> Finding | None:
    """Output that arrives later than it was written, as far as that shows."""
    came = bursts(probe.bare.arrivals)
    if not came:
        return None
    if before is not None:
        earlier = bursts(before.bare.arrivals)
        # Half, not fewer by one: the second run of a command does not write exactly
        # when the first did.
        if len(earlier) < 2 or 2 * len(came) > len(earlier):
            return None
        at_once = len(came) == 1
        kind = Kind.AT_THE_END if at_once else Kind.BATCHES
        return suspect.finding(
            kind,
            f"keeps output back that comes piece by piece at {before.url}",
            seen=f"{_figures(probe.bare, came)}; at {before.url} "
            f"{in_bursts(len(earlier))}",
            certain=at_once,
        )
    if block := _block_size(came):
        kind = Kind.BATCHES
        does = (
            f"or the program behind it keeps output until it has {block} bytes: C's "
            "stdio, Python and Perl do so when they write to a pipe"
        )
    elif _suspiciously_late(probe.bare, came):
        kind = Kind.AT_THE_END
        does = (
            "or the program behind it seems to keep output until the end. The program "
            "may also have written all of it at that moment: from here the two look "
            "the same"
        )
    else:
        return None
    return suspect.finding(
        kind,
        does,
        seen=_figures(probe.bare, came),
        cure=(
            "# try the command by itself:",
            "shellstream doctor -- COMMAND",
            "# tell proxies not to keep output, in the headers of the response:",
            "X-Accel-Buffering: no",
        ),
        certain=False,
    )


def _block_size(came: Sequence[Burst]) -> int | None:
    """The size of the blocks in which output came; L{None} if it was not in blocks."""
    full = [burst.size for burst in came[:-1]]  # the last one holds what was left
    if len(full) < 2:
        return None
    size = gcd(*full)
    return size if size >= _MIN_BLOCK and size & (size - 1) == 0 else None


def _suspiciously_late(exchange: Exchange, came: Sequence[Burst]) -> bool:
    """Whether a response ended after several lines came late and in one burst."""
    ended = exchange.ending in (Ending.WHOLE, Ending.CLOSED)
    late = came[0].time - exchange.requested >= SUSPICIOUS_WAIT
    return ended and late and len(came) == 1 and exchange.sample.count(b"\n") > 1


def _figures(exchange: Exchange, came: Sequence[Burst]) -> str:
    lines = exchange.sample.count(b"\n")
    return (
        f"{exchange.size} bytes, {lines} lines, came {in_bursts(len(came))}, the first "
        f"{duration(came[0].time - exchange.requested)} after the request"
    )


def _cut(suspect: Suspect, exchange: Exchange) -> Finding | None:
    if exchange.ending is not Ending.CUT:
        return None
    arrivals = exchange.arrivals
    last = arrivals[-1].time if arrivals else exchange.requested
    silent = exchange.ended - last
    # A stream that was silent for most of its life was probably cut for that.
    reason = Kind.CUT_WHEN_IDLE if silent > exchange.duration / 2 else Kind.CUT
    return suspect.finding(
        Kind.CUT,
        "broke the response off before its end",
        seen=f"{duration(exchange.duration)} after the request, after "
        f"{duration(silent)} of silence",
        cure=suspect.cures(reason),
    )


def _unknown(probe: StreamProbe) -> Iterator[str]:
    url, exchange = probe.url, probe.bare
    watched = duration(exchange.duration)
    came = bursts(exchange.arrivals)
    if not came:
        yield f"nothing came from {url} in {watched}: it may have nothing to say"
    elif len(came) == 1 and exchange.ending is not Ending.OVERDUE:
        yield (
            f"{url} wrote once, and ended: that does not show whether it would hold "
            "back output that is written piece by piece"
        )
    if exchange.ending is Ending.CLOSED:
        yield (
            f"the response of {url} has no framing, so it cannot be told whether it "
            "came whole"
        )
    elif exchange.ending is Ending.OVERDUE and came:
        yield f"{url} was watched for {watched}; it had not ended (--seconds)"


def _hints(probe: StreamProbe) -> Iterator[str]:
    """Oddities that are no fault by themselves."""
    url, exchange = probe.url, probe.bare
    if exchange.header("server").startswith("shellstream/"):
        yield (
            f"{url} is a shellstream server: give its address without a path, and more "
            "can be found out"
        )
        return
    buffering = exchange.header("x-accel-buffering")
    if exchange.framing is not Framing.LENGTH and buffering != "no":
        yield (
            f"the headers of {url} do not tell nginx to pass output on at once "
            "(X-Accel-Buffering: no), so an nginx in front of it may keep it until its "
            "end"
        )
    if _DOUBLE_LINE_ENDS.fullmatch(exchange.sample):
        yield (
            f"{url} ends each line twice (\\n, then \\r\\n), as a loop does that reads "
            "a line and adds a line end. If that loop is `while process.poll() is "
            "None: process.stdout.readline()`, it loses what the command writes right "
            "before it exits: read until the pipe ends instead (`for line in "
            "process.stdout`). From here it cannot be told whether anything was lost"
        )
