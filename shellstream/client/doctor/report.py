"""A report, for people and for programs."""

import json
from collections.abc import Iterator, Mapping
from textwrap import fill

from shellstream.client.escape import shown

from .findings import Finding, Report, seconds

_WIDTH = 88


def as_json(report: Report) -> str:
    """A report for programs."""
    document = {
        "clean": report.clean,
        "examined": [dict(each) for each in report.facts],
        "findings": [_object(each) for each in report.findings],
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2)


def _object(finding: Finding) -> dict[str, object]:
    return {
        "kind": finding.kind.value,
        "layer": finding.layer.value,
        "where": finding.where,
        "what": finding.what,
        "seen": finding.seen,
        "cure": list(finding.cure),
        "evidence": dict(finding.evidence),
        "certain": finding.certain,
    }


def as_text(report: Report) -> str:
    """A report for people: what was examined, then what was found."""
    parts = ["\n".join(_fact(each) for each in report.facts)]
    parts += ["\n".join(_paragraph(each)) for each in report.findings]
    if report.clean:
        parts.append("Clean: nothing was found that holds output back.")
    parts += [_filled(f"Note: {note}.") for note in report.notes]
    return "\n\n".join(parts)


def _paragraph(finding: Finding) -> Iterator[str]:
    head = f"Found ({finding.layer.value})" if finding.certain else "Perhaps"
    yield _filled(f"{head}: {finding.what}.")
    yield _filled(f"Seen: {finding.seen}.", "  ")
    if finding.cure:
        yield "  Change:"
        yield from (f"      {shown(line)}" for line in finding.cure)


def _fact(fact: Mapping[str, object]) -> str:
    return _filled(shown("; ".join(_told(fact))), hang="  ")


def _told(fact: Mapping[str, object]) -> Iterator[str]:
    match fact:
        case {"url": url, "http": http, "framing": framing}:
            yield f"{url}: HTTP/{http}, {framing}"
        case {"how": how, "goes": int(goes), "seconds": float(took)}:
            come = "one go" if goes == 1 else f"{goes} goes"
            word = "on a" if how in ("pipe", "terminal") else "with"
            yield f"{word} {how}: {come} in {seconds(took)}"
    for name, word in (("server", "server"), ("via", "via")):
        if fact.get(name):
            yield f"{word} {fact[name]}"
    if fact.get("certificate_issuer"):
        yield f"certificate from {fact['certificate_issuer']}"
    match fact:
        case {
            "round_trip_seconds": float(trip),
            "clock_ahead_seconds": float(ahead),
            "delay_seconds": delay,
        }:
            yield f"round trip {_precise(trip)}, clock {ahead:+.1f} s"
            if isinstance(delay, float):
                yield f"a tick is {_precise(delay)} on its way"
        case {"goes": int(goes), "bytes": size, "first_byte_seconds": float(first)}:
            yield f"{size} bytes, the first after {seconds(first)}"
            if "url" in fact:
                yield f"in {'one go' if goes == 1 else f'{goes} goes'}"


def _precise(value: float) -> str:
    return f"{value * 1000:.1f} ms" if abs(value) < 1 else seconds(value)


def _filled(text: str, indent: str = "", hang: str = "") -> str:
    return fill(
        shown(text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
