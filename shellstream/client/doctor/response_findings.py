"""Findings that one response shows by its framing, headers and certificate."""

from collections.abc import Sequence
from statistics import median

from .exchange import Exchange, Framing
from .findings import Finding, Kind, Layer
from .suspects import CURES, Suspect
from .ticks import HAPROXY

#: Statuses of responses that have no body, and need no framing (RFC 9112, 6.3).
_NO_CONTENT = (204, 205, 304)

#: What compression does, after who does it.
COMPRESSION_DELAYS = (
    "A client sees a piece of output only when the compressor has released it, and "
    "the decompressor after it"
)


def without_chunks(suspect: Suspect, exchange: Exchange) -> Finding | None:
    """A response that is not chunked, so that its readers get it late."""
    if exchange.framing is Framing.CHUNKED or exchange.status in _NO_CONTENT:
        return None
    does = (
        "answers without chunks, and ends by closing the connection. A client that "
        "reads by size then waits for that many bytes (Requests' iter_lines() wants "
        "512, urllib's read(n) wants n), so short output arrives all at the end. And "
        "if the connection breaks, that looks like the end of the output"
    )
    if exchange.framing is Framing.LENGTH:
        does = (
            "announces the length of the response (Content-Length): so it had all of "
            "the output before it sent the first byte"
        )
    if suspect.for_development and suspect.layer is Layer.SERVER:
        # Bottle with gunicorn, and waitress, were seen to stream in chunks.
        cure: tuple[str, ...] = (
            "# Bottle:",
            'bottle.run(server="gunicorn")',
            "# Flask, Django and others: gunicorn or waitress, not the development "
            "server",
        )
    else:
        cure = suspect.cures(Kind.NO_CHUNKS)
        if suspect.layer is Layer.PROXY and suspect.program is None:
            cure = (*cure, "# other proxies: let them answer in HTTP/1.1, chunked")
    return suspect.finding(
        Kind.NO_CHUNKS,
        does,
        seen=f"the response is HTTP/{exchange.version}, {exchange.framing.value}",
        cure=cure,
    )


def late(
    suspect: Suspect, delays: Sequence[float], seen: str, *, certain: bool = True
) -> Finding:
    """
    Pieces that each come late.

    Of the proxies that say who they are only HAProxy is known for that, and it does
    not say who it is by default.

    @param delays: of each piece, in seconds.
    """
    if suspect.program not in CURES[Kind.LATE]:
        suspect = suspect.nameless()
    delay = median(delays)
    does = "holds each piece of output back before it passes it on"
    cure: tuple[str, ...] = ("# the proxy: let it pass on each piece when it comes",)
    # HAProxy lets the first piece pass.
    if sum(each < delay / 2 for each in delays) > 1:
        does = "passes output on at intervals, and not when it comes"
    elif HAPROXY[0] < delay < HAPROXY[1]:
        does += ". HAProxy does this by default, for 200 ms"
        cure = suspect.cures(Kind.LATE)
    return suspect.finding(Kind.LATE, does, seen=seen, cure=cure, certain=certain)


def trailers_fail(suspect: Suspect, exchange: Exchange, which: str) -> Finding:
    """A proxy that does not come to terms with trailers."""
    if exchange.status >= 500:
        seen = f"the answer is {exchange.status}"
    elif exchange.problem is not None:
        seen = f"the response is no valid HTTP ({exchange.problem})"
    else:
        seen = "the response is cut off behind its last piece"
    return suspect.finding(
        Kind.TRAILERS,
        "fails at trailers, the fields behind a chunked response (RFC 9112, 7.1.2), in "
        "which plain output says how its run ended",
        seen=f"{seen}; {which}",
        cure=(
            *suspect.cures(Kind.TRAILERS),
            "# or ask for a format without trailers:",
            "Accept: application/x-ndjson",
        ),
    )


def sniffed(suspect: Suspect, exchange: Exchange) -> Finding | None:
    """Plain text that a browser withholds until it has guessed the type."""
    essence = exchange.header("content-type").partition(";")[0].strip()
    nosniff = exchange.header("x-content-type-options") == "nosniff"
    if nosniff or essence not in ("text/plain", ""):
        return None
    media_type = exchange.headers.get("content-type")
    return suspect.finding(
        Kind.SNIFFED,
        # Up to 1445 bytes, by the standard (mimesniff.spec.whatwg.org, 5.2).
        "lets browsers guess the type of plain text: Chromium's address bar shows "
        "nothing until it has enough of it to guess from, so little output appears "
        "all at the end",
        seen=f"Content-Type: {media_type}, no X-Content-Type-Options",
        cure=("# in the headers of the response:", "X-Content-Type-Options: nosniff"),
    )


def untrusted(url: str, exchange: Exchange) -> Finding | None:
    """A certificate that this machine does not trust."""
    certificate = exchange.certificate
    if certificate is None or certificate.problem is None:
        return None
    return Finding(
        kind=Kind.TLS_UNTRUSTED,
        layer=Layer.CLIENT,
        where=url,
        what=(
            f"this machine does not trust the certificate of {url}: either somebody "
            "intercepts the connection (an inspecting proxy, an antivirus program), or "
            "this machine does not know the issuer"
        ),
        seen=f"issuer {certificate.issuer!r}: {certificate.problem}",
        cure=(
            "# if you know the issuer, and trust it:",
            "SSL_CERT_FILE=/path/to/issuer.pem shellstream …",
            "# if it is a daemon's own certificate, which it prints at its start:",
            "shellstream --pin SHA256:… …",
        ),
        certain=False,
    )
