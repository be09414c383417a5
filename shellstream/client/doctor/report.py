"""Writes a report, for people and for programs."""

import json
from collections.abc import Iterator, Mapping
from textwrap import fill

from attrs import asdict

from shellstream.client.escape import printable

from .findings import Finding, Report, duration, in_bursts

#: The most columns of a line; only settings and long words exceed it.
_WIDTH = 88


def as_json(report: Report) -> str:
    """The report for programs."""
    document = {
        "clean": report.clean,
        "examined": report.facts,
        "findings": [asdict(each) for each in report.findings],
        "notes": report.notes,
    }
    return json.dumps(document, indent=2, default=lambda member: member.value)


def as_text(report: Report) -> str:
    """The report for people: what was examined, what was found, what to change."""
    parts = ["\n".join(_fact_line(each) for each in report.facts)]
    parts += ["\n".join(_finding_lines(each)) for each in report.findings]
    if report.clean:
        parts.append("Clean: nothing was found that holds output back.")
    parts += [_filled(f"Note: {note}.") for note in report.notes]
    return "\n\n".join(parts)


def _finding_lines(finding: Finding) -> Iterator[str]:
    head = f"Found ({finding.layer.value})" if finding.certain else "Perhaps"
    yield _filled(f"{head}: {finding.what}.")
    yield _filled(f"Seen: {finding.seen}.", "  ")
    if finding.cure:
        yield "  Change:"
        # Never filled: a setting must stay in one line.
        yield from (f"      {printable(line)}" for line in finding.cure)


def _fact_line(fact: Mapping[str, object]) -> str:
    return _filled("; ".join(_fact_parts(fact)), hang="  ")


def _fact_parts(fact: Mapping[str, object]) -> Iterator[str]:
    """What is known of an address, or of a trial, in words."""
    match fact:
        case {"url": url, "http": http, "framing": framing}:
            yield f"{url}: HTTP/{http}, {framing}"
        case {"how": how, "goes": int(count), "seconds": float(took)}:
            word = "on a" if how in ("pipe", "terminal") else "with"
            yield f"{word} {how}: {in_bursts(count)}, within {duration(took)}"
    for name, word in (
        ("server", "server"),
        ("via", "via"),
        ("certificate_issuer", "certificate from"),
    ):
        if fact.get(name):
            yield f"{word} {fact[name]}"
    match fact:
        case {
            "round_trip_seconds": float(trip),
            "clock_ahead_seconds": float(ahead),
            "delay_seconds": delay,
        }:
            yield f"round trip {_precise(trip)}, clock {ahead:+.1f} s"
            if isinstance(delay, float):
                yield f"a tick takes {_precise(delay)} to arrive"
        case {"goes": int(count), "bytes": size, "first_byte_seconds": float(first)}:
            yield f"{size} bytes, the first after {duration(first)}"
            if "url" in fact:
                yield in_bursts(count)


def _precise(seconds: float) -> str:
    """A duration whose parts of a millisecond matter."""
    return duration(seconds) if abs(seconds) >= 1 else f"{seconds * 1000:.1f} ms"


def _filled(text: str, indent: str = "", hang: str = "") -> str:
    return fill(
        printable(text),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
