"""C{ps}: the table of runs."""

import time
from argparse import Namespace
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Literal
from unicodedata import combining, east_asian_width

from shellstream.client.api import Client
from shellstream.client.cli.times import ago, local
from shellstream.client.escape import encode, printable, printable_json
from shellstream.client.events import RunInfo

from .screen import Screen

#: Elsewhere than on a terminal: everything, for scripts that cut it into words.
_ROW = "{:<36}  {:<23}  {:<25}  {:>12}  {}"

#: The characters of an id to show at least: its time, in milliseconds.
_SHORT = 13


async def list_runs(client: Client, args: Namespace, screen: Screen | None) -> bytes:
    """The runs that the options choose, as a table or as documents."""
    runs = [run async for run in _runs(client, args)]
    if args.format == "json":
        return f"{printable_json(runs, indent=2)}\n".encode()
    if args.format == "ndjson":
        return "".join(f"{printable_json(run)}\n" for run in runs).encode()
    if args.quiet:
        lines = [printable(run["id"]) for run in runs]
    elif screen is None:
        lines = list(map(printable, [_HEAD, *map(_full_row, runs)]))
    else:
        lines = table(runs, screen, time.time())
    return encode("".join(f"{line}\n" for line in lines))


async def _runs(client: Client, args: Namespace) -> AsyncIterator[RunInfo]:
    """The runs that the options choose, newest first."""
    ended_too = args.all or args.failed or args.since
    # A queued run is newer than every running one.
    states = [args.state] if args.state or ended_too else ["queued", "running"]
    outcome: Literal["failure"] | None = "failure" if args.failed else None
    left = args.limit
    for state in states:
        async for run in client.list(
            state=state, command=args.command, limit=left, outcome=outcome
        ):
            if args.since and run["created"] < args.since:
                break
            left = None if left is None else left - 1
            yield run


_HEAD = _ROW.format("ID", "STATE", "CREATED", "BYTES", "COMMAND")


def _full_row(run: RunInfo) -> str:
    created = local(run["created"])
    return _ROW.format(run["id"], state_of(run), created, run["size"], call_of(run))


def call_of(run: RunInfo) -> str:
    """A run's command, with its parameters."""
    return run["command"] + "".join(f" {k}={v}" for k, v in run["params"].items())


def state_of(run: RunInfo) -> str:
    """A run's state, with its exit code or signal, and why the server ended it."""
    result = run["signal"] if run["code"] is None else run["code"]
    state = run["state"] if result is None else f"{run['state']} {result}"
    reason = run.get("reason")
    return f"{state} ({reason})" if reason not in (None, run["state"]) else state


def table(runs: Sequence[RunInfo], screen: Screen, now: float) -> list[str]:
    """
    The table for a terminal: short ids, relative times, and no line longer than it is
    wide.

    @param now: seconds since 1970.
    """
    size = _id_size([run["id"] for run in runs])
    rows = [("ID", "STATE", "CREATED", "OUTPUT", "COMMAND")]
    for run in runs:
        created = ago(run["created"], now)
        output = _bytes(run["size"])
        rows.append((run["id"][:size], state_of(run), created, output, call_of(run)))
    cells = [tuple(map(printable, row)) for row in rows]
    widths = [max(_width(row[at]) for row in cells) for at in range(4)]
    lines = []
    for row, of in zip(cells, [None, *runs], strict=True):
        *first, output, command = row
        parts = [_pad(each, width) for each, width in zip(first, widths, strict=False)]
        parts += [output.rjust(widths[3]), command]
        line = _cut("  ".join(parts), screen.columns)
        if of is not None and _failed(of):
            begin = widths[0] + 2
            end = begin + len(row[1])
            line = line[:begin] + screen.red(line[begin:end]) + line[end:]
        lines.append(line)
    return lines


def _failed(run: RunInfo) -> bool:
    """Whether a run has ended without success, and nobody stopped it."""
    stopped = run["reason"] in ("cancelled", "disconnected", "shutdown")
    cancelled = run["state"] == "cancelled"
    return run["ended"] is not None and not (stopped or cancelled or run["code"] == 0)


def _id_size(ids: Sequence[str]) -> int:
    """How many characters of these ids tell them apart."""
    size = _SHORT
    for one, other in pairwise(sorted(ids)):
        while size < len(one) and one[:size] == other[:size]:
            size += 1
    return size


def _bytes(size: int) -> str:
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            digits = 0 if unit == "B" or number >= 9.95 else 1
            return f"{number:.{digits}f} {unit}"
        number /= 1000
    return f"{number:.0f} TB"


def _width(text: str) -> int:
    """The columns that a text takes: letters of East Asia take two."""
    if text.isascii():
        return len(text)
    wide = sum(east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(combining(each) != 0 for each in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(line: str, columns: int) -> str:
    """A line of no more columns than there are."""
    line = line.rstrip()
    if _width(line) <= columns:
        return line
    # No character takes more than two.
    line = line[:columns]
    while line and _width(line) >= columns:
        line = line[:-1]
    return f"{line}…"
