"""
What can be told of a stream that is not ours, whose times of sending nobody says.

Pure. What cannot be known is said to be unknown: a stream that is silent may have
nothing to say.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from math import gcd

from attrs import frozen

from .exchange import Ending, Exchange, Framing, moments
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
from .header_findings import sniffed, untrusted

#: Seconds: what comes within that came in one go.
APART = 0.05

#: Seconds that somebody must have waited for output that came in one go, before
#: that is suspicious.
WAITED = 1.0

#: Servers that are known by what they call themselves.
_SERVERS = {
    "WSGIServer": "wsgiref, Python's own server, on which Bottle runs if not told "
    "otherwise",
    "Werkzeug": "Werkzeug's development server, on which Flask runs if not told "
    "otherwise",
    "SimpleHTTP": "Python's http.server",
    "BaseHTTP": "Python's http.server",
}

#: Both were seen to stream in chunks.
_BETTER_SERVER = (
    "# Bottle:",
    'bottle.run(server="gunicorn")',
    "# Flask, Django and others: gunicorn or waitress, not the development server",
)


@frozen
class StreamProbe:
    """
    What was seen at one address.

    @ivar offered: the answer where gzip was offered, as most clients do.
    @ivar bare: the one where it was not; the same if the first was not compressed.
    """

    url: str
    offered: Exchange
    bare: Exchange


def diagnose(addresses: Sequence[StreamProbe]) -> Report:
    """
    What is wrong with a stream, at its own address and by way of others, in order
    from the server outwards.
    """
    findings: list[Finding] = []
    known: set[Kind] = set()
    before: StreamProbe | None = None
    for seen in addresses:
        fresh = [each for each in _at(seen, before) if each.kind not in known]
        findings += fresh
        known |= {each.kind for each in fresh}
        before = seen
    notes = chain(_unknown(addresses[0]), _hints(addresses[0]))
    return Report(tuple(map(_facts, addresses)), tuple(findings), tuple(notes))


def said_nothing(addresses: Sequence[StreamProbe]) -> bool:
    """Whether nothing at all came, so that nothing can be said of how it comes."""
    return all(not each.bare.pieces for each in addresses)


def _facts(seen: StreamProbe) -> dict[str, object]:
    exchange = seen.bare
    came = moments(exchange.pieces, APART)
    certificate = exchange.certificate
    return {
        "url": seen.url,
        "http": exchange.version,
        "framing": exchange.framing.value,
        "server": exchange.headers.get("server"),
        "via": exchange.headers.get("via"),
        "certificate_issuer": None if certificate is None else certificate.issuer,
        "content_type": exchange.headers.get("content-type"),
        "bytes": exchange.size,
        "goes": len(came),
        "first_byte_seconds": round(came[0][0] - exchange.asked, 3) if came else None,
        "last_byte_seconds": round(came[-1][0] - exchange.asked, 3) if came else None,
        "ending": exchange.ending.value,
    }


def _at(seen: StreamProbe, before: StreamProbe | None) -> Iterator[Finding]:
    layer = Layer.SERVER if before is None else Layer.PROXY
    who = _who(seen, layer)
    exchange = seen.bare
    yield from _framed(seen, layer, who)
    if seen.offered.encoding is not None:
        yield _compressed(seen, layer, who)
    held = _held(seen, before, layer, who)
    if held is not None:
        yield held
    if exchange.ending is Ending.CUT:
        yield _cut(seen, layer, who)
    essence = exchange.headers.get("content-type", "").partition(";")[0].strip()
    nosniff = exchange.headers.get("x-content-type-options", "").strip().lower()
    if essence.lower() in ("text/plain", "") and nosniff != "nosniff":
        yield sniffed(layer, seen.url, who, exchange)
    certificate = exchange.certificate
    if certificate is not None and certificate.trouble is not None:
        yield untrusted(seen.url, exchange)


def _who(seen: StreamProbe, layer: Layer) -> str:
    server = _server_named(seen.bare)
    if server is not None:
        return f"the server at {seen.url} ({server})"
    named = proxy_named(seen.bare)
    if named is not None:
        return f"{named} at {seen.url}"
    return f"the {layer.value} at {seen.url}"


def _server_named(exchange: Exchange) -> str | None:
    """Which of the servers that many begin with it is, if it is one."""
    said = exchange.headers.get("server", "")
    return next(
        (name for word, name in _SERVERS.items() if said.startswith(word)), None
    )


def _framed(seen: StreamProbe, layer: Layer, who: str) -> Iterator[Finding]:
    exchange = seen.bare
    if exchange.framing is Framing.CHUNKED:
        return
    what, shown = without_chunks(exchange)
    named = proxy_named(exchange)
    if named is not None or layer is Layer.PROXY:
        cure = cures(Kind.NO_CHUNKS, named)
    elif _server_named(exchange) is not None:
        cure = _BETTER_SERVER
    else:
        cure = ("# let it answer in HTTP/1.1, chunked",)
    yield Finding(
        kind=Kind.NO_CHUNKS,
        layer=layer,
        where=seen.url,
        what=f"{who} {what}",
        seen=f"the answer is {shown}",
        cure=cure,
        evidence={
            "http": exchange.version,
            "framing": exchange.framing.value,
            "server": exchange.headers.get("server"),
        },
    )


def _compressed(seen: StreamProbe, layer: Layer, who: str) -> Finding:
    exchange = seen.offered
    came = moments(exchange.pieces, APART)
    bare = moments(seen.bare.pieces, APART)
    shown = f"Content-Encoding: {exchange.encoding}, if a client offers it"
    if seen.bare.encoding is not None:
        shown = f"Content-Encoding: {exchange.encoding}, whether offered or not"
    elif len(came) < len(bare):
        shown += f"; then it came in {len(came)} goes, else in {len(bare)}"
    return Finding(
        kind=Kind.COMPRESSED,
        layer=layer,
        where=seen.url,
        what=(
            f"{who} compresses the stream. A client sees a piece only once the "
            "compressor, and whoever undoes it, has given it out; most clients offer "
            "gzip by themselves"
        ),
        seen=shown,
        cure=(
            *cures(Kind.COMPRESSED, proxy_named(exchange)),
            "# or, in the answer's headers, for all that heed it:",
            "Cache-Control: no-transform",
        ),
        evidence={
            "content_encoding": exchange.encoding,
            "goes": len(came),
            "goes_without": len(bare),
        },
    )


def _held(
    seen: StreamProbe, before: StreamProbe | None, layer: Layer, who: str
) -> Finding | None:
    """That output comes later than it was written, as far as that shows."""
    came = moments(seen.bare.pieces, APART)
    if not came:
        return None
    if before is not None:
        earlier = moments(before.bare.pieces, APART)
        # The same command, run twice, need not say the same at the same time.
        if len(earlier) > 1 and 2 * len(came) <= len(earlier):
            return _holds(seen, layer, who, before, came)
        return None
    if block := _block(came):
        return _holds(seen, layer, who, None, came, block=block)
    lines = seen.bare.sample.count(b"\n")
    waited = came[0][0] - seen.bare.asked
    over = seen.bare.ending in (Ending.WHOLE, Ending.CLOSED)
    if len(came) == 1 and over and lines > 1 and waited >= WAITED:
        return _holds(seen, layer, who, None, came)
    return None


def _block(came: Sequence[tuple[float, int]]) -> int | None:
    """The size of the blocks in which output came, if it plainly did."""
    full = [size for _, size in came[:-1]]
    if len(full) < 2:
        return None
    size = gcd(*full)
    return size if size >= 512 and size & (size - 1) == 0 else None


def _holds(
    seen: StreamProbe,
    layer: Layer,
    who: str,
    before: StreamProbe | None,
    came: Sequence[tuple[float, int]],
    block: int | None = None,
) -> Finding:
    asked = seen.bare.asked
    kind, certain = Kind.AT_THE_END, False
    if block is not None:
        kind = Kind.BATCHES
        what = f"{who}, or the program behind it, keeps output until it has {block} "
        what += "bytes: C's stdio, Python and Perl do so where they write to a pipe"
    elif before is not None:
        certain = len(came) == 1
        kind = Kind.AT_THE_END if certain else Kind.BATCHES
        what = f"{who} keeps output that comes piece by piece at {before.url}"
    else:
        what = (
            f"{who}, or the program behind it, seems to keep output until the end. It "
            "may also be that the program wrote all of it at that moment: from here "
            "the two look the same"
        )
    lines = seen.bare.sample.count(b"\n")
    shown = f"{seen.bare.size} bytes, {lines} lines, came in {_goes(len(came))}, the "
    shown += f"first {seconds(came[0][0] - asked)} after the request"
    if before is not None:
        goes = _goes(len(moments(before.bare.pieces, APART)))
        shown += f"; at {before.url} in {goes}"
    cure = cures(kind, proxy_named(seen.bare))
    if before is None:
        cure = (
            "# try the command by itself:",
            "shellstream doctor -- COMMAND",
            "# tell proxies not to keep it, in the answer's headers:",
            "X-Accel-Buffering: no",
        )
    return Finding(
        kind=kind,
        layer=layer,
        where=seen.url,
        what=what,
        seen=shown,
        cure=cure,
        evidence={
            "goes": [
                {"seconds": round(time - asked, 3), "bytes": size}
                for time, size in came[:20]
            ],
            "bytes": seen.bare.size,
        },
        certain=certain,
    )


def _goes(count: int) -> str:
    return "one go" if count == 1 else f"{count} goes"


def _cut(seen: StreamProbe, layer: Layer, who: str) -> Finding:
    exchange = seen.bare
    after = exchange.ended - exchange.asked
    last = exchange.pieces[-1].time if exchange.pieces else exchange.asked
    silent = exchange.ended - last
    return Finding(
        kind=Kind.CUT,
        layer=layer,
        where=seen.url,
        what=f"{who} broke the answer off before its end",
        seen=f"{seconds(after)} after the request, after {seconds(silent)} of silence",
        cure=cures(
            Kind.CUT_WHEN_IDLE if silent > after / 2 else Kind.CUT,
            proxy_named(exchange),
        ),
        evidence={"after_seconds": round(after, 3), "silent_seconds": round(silent, 3)},
    )


def _unknown(seen: StreamProbe) -> Iterator[str]:
    """What cannot be told."""
    exchange = seen.bare
    watched = seconds(exchange.ended - exchange.asked)
    came = moments(exchange.pieces, APART)
    if not came:
        yield f"nothing came from {seen.url} in {watched}: it may have nothing to say"
    elif len(came) == 1 and exchange.ending is not Ending.OVERDUE:
        yield (
            f"{seen.url} wrote once, and ended: whether it would hold back what comes "
            "in pieces cannot be told from that"
        )
    if exchange.ending is Ending.CLOSED:
        yield f"whether the answer of {seen.url} came whole cannot be told: no framing"
    elif exchange.ending is Ending.OVERDUE and came:
        yield f"{seen.url} was watched for {watched}; it had not ended (--seconds)"


def _hints(seen: StreamProbe) -> Iterator[str]:
    """What is no fault by itself."""
    exchange = seen.bare
    if exchange.headers.get("server", "").startswith("shellstream/"):
        yield (
            f"{seen.url} is a shellstream: of its bare address, without a path, more "
            "can be told"
        )
        return
    buffering = exchange.headers.get("x-accel-buffering", "").strip().lower()
    if exchange.framing is not Framing.LENGTH and buffering != "no":
        yield (
            f"nothing in the headers of {seen.url} tells an nginx in front of it not "
            "to keep the output until its end (X-Accel-Buffering: no)"
        )
    sample = exchange.sample
    if re.fullmatch(rb"(?:[^\n]*\n\r\n)+(?:\r\n)?", sample):
        yield (
            f"{seen.url} ends each line twice (\\n, then \\r\\n), as a loop does that "
            "reads a line and adds an end of its own. If it is `while process.poll() "
            "is None: process.stdout.readline()`, it loses what the command writes "
            "right before it exits: read until the pipe ends instead (`for line in "
            "process.stdout`). Whether something was lost cannot be told from here"
        )
