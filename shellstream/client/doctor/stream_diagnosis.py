"""
What can be said of a stream of any server, which does not tell when it wrote what.

Pure. What cannot be known is reported as unknown: a silent stream may simply have
nothing to say.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from math import gcd

from .exchange import (
    Burst,
    Ending,
    Exchange,
    Framing,
    bursts,
    reads_in_bursts,
)
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
from .response_findings import (
    COMPRESSION_DELAYS,
    sniffed,
    trailers_fail,
    untrusted,
    without_chunks,
)
from .stream_comparison import StreamProbe, figures, held_by_proxy
from .suspects import CURES, Suspect, suspect_at

#: Seconds until the first output, from which on several lines in one burst are
#: suspicious: a command that writes them at once is rarely slower to start.
SUSPICIOUS_WAIT = 1.0

#: The smallest block, in bytes, that a buffer of a program or proxy may have. Known are
#: 4096 (C's stdio on a pipe), 8192 (Python, Perl) and powers of two about them.
_MIN_BLOCK = 512

#: How many times the smallest block a line may be long, on average, where a buffer
#: collects lines. A program that writes 4 or 8 KiB at a time on purpose writes none, or
#: one a block.
_LINES_IN_BLOCK = 2

#: Lines that end twice, as of a loop that adds a line end to lines that have one.
_DOUBLE_LINE_ENDS = re.compile(rb"(?:[^\n]*\n\r\n)+(?:\r\n)?")


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
    earlier = None if before is None else before.bare
    suspect = suspect_at(probe.url, probe.bare, layer, earlier)
    found: list[Finding | None] = [untrusted(probe.url, probe.bare)]
    if before is None:
        held = _held_by_server(suspect, probe)
    else:
        held = held_by_proxy(suspect, probe, before)
    if probe.bare.answered is None:
        found += [held, _cut(suspect, probe.bare, earlier)]
    elif not _is_page(probe.bare) or not (earlier is None or _is_page(earlier)):
        found += [
            None if _is_paced(probe.bare) else without_chunks(suspect, probe.bare),
            _compressed(suspect, probe),
            held,
            _cut(suspect, probe.bare, earlier),
            sniffed(suspect, probe.bare),
        ]
    return filter(None, found)


def _is_paced(exchange: Exchange) -> bool:
    """Whether a response of known length came bit by bit all the same."""
    return exchange.framing is Framing.LENGTH and len(bursts(exchange.arrivals)) > 1


def _is_page(exchange: Exchange) -> bool:
    """Whether an answer is no stream: its length was known, and it came at once."""
    at_once = exchange.over and exchange.duration < SUSPICIOUS_WAIT
    known = exchange.framing is Framing.LENGTH or not exchange.size
    return at_once and known and len(bursts(exchange.arrivals)) < 2


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


def _held_by_server(suspect: Suspect, probe: StreamProbe) -> Finding | None:
    """Output that seems to come later than it was written."""
    came = bursts(probe.bare.arrivals)
    if not came:
        return None
    if block := _block_size(probe.bare):
        kind = Kind.BATCHES
        does = (
            f"or the program behind it keeps output until it has {block} bytes: C's "
            "stdio, Python and Perl do so when they write to a pipe, and some proxies"
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
    own = suspect.cures(kind) if suspect.program in CURES[kind] else ()
    return suspect.finding(
        kind,
        does,
        seen=figures(probe.bare, came),
        cure=(
            *own,
            "# try the command by itself, on the server:",
            "shellstream doctor -- COMMAND",
            "# tell proxies not to keep output, in the headers of the response:",
            "X-Accel-Buffering: no",
        ),
        certain=False,
    )


def _block_size(exchange: Exchange) -> int | None:
    """The size of the blocks in which output came; L{None} if it was not in blocks."""
    # A program that writes blocks on purpose has no lines in them, or few.
    if exchange.framing is Framing.LENGTH or not _has_short_lines(exchange.sample):
        return None
    # A program's buffer holds output, a proxy's the head and the framing as well.
    for came in (bursts(exchange.arrivals), reads_in_bursts(exchange)):
        full = [burst.size for burst in came[:-1]]  # the last one holds what was left
        size = gcd(*full) if len(full) > 1 else 0
        if size >= _MIN_BLOCK and size & (size - 1) == 0:
            return size
    return None


def _has_short_lines(sample: bytes) -> bool:
    """Whether a block that a buffer may have would hold several lines."""
    return _LINES_IN_BLOCK * sample.count(b"\n") * _MIN_BLOCK > len(sample)


def _suspiciously_late(exchange: Exchange, came: Sequence[Burst]) -> bool:
    """Whether a response ended after several lines came late and in one burst."""
    late = came[0].time - exchange.requested >= SUSPICIOUS_WAIT
    lines = exchange.sample.count(b"\n")
    return exchange.over and late and len(came) == 1 and lines > 1


def _cut(
    suspect: Suspect, exchange: Exchange, before: Exchange | None
) -> Finding | None:
    broken = exchange.ending in (Ending.CUT, Ending.MALFORMED)
    if before is not None and "trailer" in before.headers and broken:
        at_the_end = before.over and exchange.size == before.size
        if at_the_end or exchange.answered is None:
            return trailers_fail(suspect, exchange, "the response before it has some")
    if exchange.ending is Ending.MALFORMED:
        return suspect.finding(
            Kind.MALFORMED,
            "sends a response that is no valid HTTP, so clients lose output",
            seen=f"{exchange.problem}, after {exchange.size} bytes of output",
            cure=("# update it, or replace it",),
        )
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
    if _is_page(exchange):
        what = f"a page of {exchange.size} bytes" if exchange.size else "nothing"
        yield (
            f"{url} answered with {what}, complete at once: that is no stream, so it "
            "does not show how one would come"
        )
    elif not came:
        yield f"nothing came from {url} in {watched}: it may have nothing to say"
    elif len(came) == 1 and exchange.ending is not Ending.OVERDUE:
        yield (
            f"{url} wrote once, and ended: that does not show whether it would hold "
            "back output that is written piece by piece"
        )
    if exchange.ending is Ending.CLOSED and exchange.size:
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
    if exchange.framing is not Framing.LENGTH and exchange.size and buffering != "no":
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
