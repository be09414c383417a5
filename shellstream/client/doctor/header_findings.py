"""What answers say of how they are to be handled, and who says so."""

from collections.abc import Iterator

from .exchange import Exchange
from .findings import Finding, Kind, Layer
from .hops import Hop, who_at


def sniffed_at(hop: Hop) -> Iterator[Finding]:
    """Plain text that browsers guess at."""
    for probe, exchange in hop.streams.items():
        said = exchange.headers.get("x-content-type-options", "")
        if exchange.status != 200 or probe.form != "plain":
            continue
        if said.strip().lower() != "nosniff":
            yield sniffed(Layer.PROXY, hop.url, who_at(hop), exchange)
            return


def sniffed(layer: Layer, where: str, who: str, exchange: Exchange) -> Finding:
    """Plain text, without a word that it is not to be sniffed at."""
    media_type = exchange.headers.get("content-type")
    return Finding(
        kind=Kind.SNIFFED,
        layer=layer,
        where=where,
        what=(
            f"{who} does not keep browsers from sniffing: Chromium's address bar shows "
            "nothing until it has seen enough to guess what it is, so little output "
            "comes all at the end"
        ),
        seen=f"Content-Type: {media_type}, no X-Content-Type-Options",
        cure=("# in the answer's headers:", "X-Content-Type-Options: nosniff"),
        evidence={"content_type": media_type},
    )


def tls_at(hop: Hop, before: Hop | None) -> Iterator[Finding]:
    """Certificates that are not trusted, or are not those of the address before."""
    found = hop.first.certificate
    if found is None:
        return
    if found.trouble is not None:
        yield untrusted(hop.url, hop.first)
    known = before and before.first.certificate
    if known and known.issuer != found.issuer:
        yield Finding(
            kind=Kind.TLS_REPLACED,
            layer=Layer.PROXY,
            where=hop.url,
            what=(
                f"somebody between ends the encryption and begins it anew at {hop.url}"
                ": the certificate comes from another issuer than the one before. If "
                "that is no proxy of yours, your connection is being intercepted, and "
                "what intercepts may hold output back or read it"
            ),
            seen=f"issuer {found.issuer!r}, before: {known.issuer!r}",
            cure=("# exempt the address from TLS inspection, if that is what it is",),
            evidence={"issuer": found.issuer, "issuer_before": known.issuer},
            certain=False,
        )


def untrusted(where: str, exchange: Exchange) -> Finding:
    """A certificate that is not trusted."""
    found = exchange.certificate
    assert found is not None
    return Finding(
        kind=Kind.TLS_UNTRUSTED,
        layer=Layer.CLIENT,
        where=where,
        what=(
            f"the certificate of {where} is not trusted on this machine: somebody "
            "intercepts the connection (an inspecting proxy, an antivirus program), or "
            "its issuer is not known here"
        ),
        seen=f"issuer {found.issuer!r}: {found.trouble}",
        cure=(
            "# if you know the issuer, and trust it:",
            "SSL_CERT_FILE=/path/to/issuer.pem shellstream …",
            "# if it is a daemon's own, which prints it at its start:",
            "shellstream --pin SHA256:… …",
        ),
        evidence={"issuer": found.issuer, "trouble": found.trouble},
        certain=False,
    )
