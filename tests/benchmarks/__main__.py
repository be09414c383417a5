"""The command line."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

from tests.benchmarks import counts, machine
from tests.benchmarks.client import SOURCE
from tests.benchmarks.errors import Failed
from tests.benchmarks.metrics import SMOKE, Bench, Metric, Scale, all_metrics
from tests.benchmarks.metrics.base import FAILURES
from tests.benchmarks.peers import PEERS, Peer, Shellstream
from tests.benchmarks.report import Report
from tests.benchmarks.results import Results
from tests.benchmarks.workloads import Workloads, build

#: The Python packages that are measured.
PACKAGES = (
    *("shellstream", "Twisted", "bottle", "Flask", "gunicorn", "starlette"),
    *("uvicorn", "uvloop", "aiohttp", "requests", "httpie"),
)

#: The other programs, and how each shows its version; some only by dpkg.
DPKG = ("dpkg-query", "--show", "--showformat=${Version}")
PROGRAMS = {
    "Node": ("node", "--version"),
    "nginx": ("nginx", "-v"),
    "fcgiwrap": (*DPKG, "fcgiwrap"),
    "lighttpd": ("lighttpd", "-v"),
    "websocketd": (*DPKG, "websocketd"),
    "OpenSSH": ("ssh", "-V"),
    "curl": ("curl", "--version"),
}


#: Open files that a server of thousands of viewers needs, and its client.
OPEN_FILES = 20_000


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with a message if it is wrong."""
    peers = {peer.__name__.lower(): peer for peer in PEERS}
    names = [metric.name for metric in all_metrics(Scale())]
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks",
        description="Measures shellstream beside its peers.",
        epilog=f"metrics: {', '.join(names)}. peers: {', '.join(peers)}. "
        "What is measured, and how, is told in tests/benchmarks/__init__.py.",
    )
    add = parser.add_argument
    several: dict[str, Any] = {"nargs": "+", "metavar": "NAME", "default": []}
    add("--metric", choices=names, help="these only", **several)
    add("--peer", choices=peers, help="beside these only", **several)
    add("--rounds", type=int, help="of each metric: 5, or 1 of --smoke")
    add("--out", type=Path, help="folder to save tables, values and pictures in")
    add(
        "--work",
        type=Path,
        default=Path("/var/tmp"),
        help="a folder on a disk, for logs",
    )
    add("--smoke", action="store_true", help="a little of everything, in a minute")
    add("--count", action="store_true", help="only count the work of a run and a chunk")
    add("--by-file", action="store_true", help="with --count: also where the work is")
    given = parser.parse_args(words)
    if sys.platform != "linux":
        parser.error("this needs Linux: /proc, epoll and prctl")
    if shutil.which("cc") is None and not given.count:
        parser.error("the client needs a C compiler: apt-get install gcc libc6-dev")
    if given.out is not None and find_spec("matplotlib") is None:
        parser.error("--out needs matplotlib: pip install -e '.[bench]'")
    given.rounds = (1 if given.smoke else 5) if given.rounds is None else given.rounds
    if given.rounds < 1:
        parser.error("--rounds: at least 1")
    if not given.work.is_dir():
        parser.error(f"--work: {given.work} is no folder")
    given.scale = SMOKE if given.smoke else Scale()
    chosen = given.metric or names
    given.metrics = [each for each in all_metrics(given.scale) if each.name in chosen]
    if not given.metrics:
        parser.error("--metric: --smoke has none of these")
    given.peers = [
        peer
        for name, peer in peers.items()
        if not given.peer or name in given.peer or peer is Shellstream
    ]
    return given


def versions() -> Mapping[str, str]:
    """Return the versions of all measured programs."""
    found = dict(machine.versions(PACKAGES))
    for name, argv in PROGRAMS.items():
        try:
            said = subprocess.run(argv, capture_output=True, text=True, timeout=10)
        except FileNotFoundError:
            continue
        number = re.search(r"\d+(\.\d+)+\w*", said.stdout + said.stderr)
        if number:
            found[name] = number[0]
    return found


def measure(metric: Metric, bench: Bench, rounds: int, results: Results) -> None:
    """Measure one metric in rounds; each round goes through all rows."""
    with metric.turns(bench) as turns:
        rows = list(turns)
        for number in range(rounds):
            began = monotonic()
            first = number % len(rows) if rows else 0
            for row in (*rows[first:], *rows[:first]):
                try:
                    found = turns[row]()
                except FAILURES as error:
                    bench.failed(row, error)
                    rows.remove(row)
                    continue
                for column, value in found.items():
                    results.add(metric.name, row, column, value)
            took = monotonic() - began
            print(f"{metric.name}, round {number + 1}: {took:.1f} s", flush=True)


def run(given: argparse.Namespace, folder: Path) -> Report:
    """Measure all that was asked for; Ctrl-C ends measuring, and the report follows."""
    results = Results()
    lacks: dict[str, str] = {}
    facts = {**machine.description(folder), "versions": _in_words(versions())}
    if given.smoke:
        facts["smoke"] = "shows that everything works; the figures mean little"

    def failed(metric: str, row: str, error: Exception) -> None:
        why = str(error) or type(error).__name__
        print(f"{metric}, {row}: FAILED: {why}", flush=True)
        results.failures.append((metric, row, why))

    def skipped(row: str, what: str) -> None:
        lacks[row] = f"not installed: {what}"
        print(f"skipped: {row}, {lacks[row]}", flush=True)
        if os.environ.get("CI"):  # there nothing is skipped
            failed("all", row, Failed(lacks[row]))

    peers = []
    for peer in given.peers:
        missing = peer.missing()
        if missing:
            skipped(peer.name, ", ".join(missing))
        else:
            peers.append(peer)
    workloads, program = Workloads(folder), build(SOURCE, folder)
    machine.allow_open_files(OPEN_FILES)
    try:
        for metric in given.metrics:
            tell = partial(failed, metric.name), skipped
            bench = Bench(folder, program, workloads, given.scale, peers, *tell)
            measure(metric, bench, given.rounds, results)
    except KeyboardInterrupt:
        failed("all that is left", "all", Failed("interrupted"))
    return Report(given.metrics, results, given.rounds, facts, lacks)


def _in_words(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def show_counts(peers: Sequence[type[Peer]], folder: Path, *, with_files: bool) -> None:
    """Count, and print what was found."""
    found = {
        peer.name: counts.count(peer, folder / peer.__name__)
        for peer in counts.PEERS
        if peer in peers
    }
    print(counts.table(found))
    for name, each in found.items() if with_files else ():
        print(f"\n{counts.by_file(f'{name}, one run', each.run)}")
        print(f"\n{counts.by_file(f'{name}, one chunk', each.chunk)}")
    if shutil.which("strace") is None:
        print("\nNo system calls were counted: strace is not installed.")


def main() -> int:
    """Measure, report, and leave nothing behind; returns the exit code."""
    given = arguments()
    os.environ["PATH"] += ":/usr/sbin"  # where Debian has daemons, and no user looks
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=given.work) as work,
        machine.everything_ended(),
    ):
        if given.count:
            show_counts(given.peers, Path(work), with_files=given.by_file)
            return 0
        report = run(given, Path(work))
    print(f"\n{report.text()}")
    if given.out is not None:
        for path in report.save(given.out):
            print(f"saved: {path}")
    return 1 if report.results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
