"""Ending the processes that a killed daemon has left running."""

import os
import re
from collections.abc import Iterable, Iterator
from signal import SIGCONT, SIGKILL, SIGTERM

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from shellstream.model.run_record import RunRecord

from .environment import RUN
from .process_table import (
    ProcessInfo,
    living_member,
    pids,
    process_info,
    signal_group,
)

#: How often to look whether a group is gone, in seconds.
POLL_INTERVAL = 0.05

_MARKED = re.compile(rb"(?:^|\0)%s=([^\0]+)" % RUN.encode())


def find_orphans(records: Iterable[RunRecord]) -> dict[str, set[int]]:
    """
    The process groups that are left of runs, by the runs' ids.

    A group belongs to a run if its leader is the recorded process, or if a member has
    the run's id in its environment (L{RUN}): so a group is found even if its leader has
    exited, or was never recorded. Processes that began a session of their own are left
    alone, as they are when a run is cancelled; so are, without a terminal, those that
    began a group of their own; and so are processes that we may not look into.
    """
    found: dict[str, set[int]] = {}
    by_id = {record.id: record for record in records}
    for record in by_id.values():
        if record.pid is not None and _is_leader(record.pid, record.pid_start):
            found.setdefault(record.id, set()).add(record.pid)
    for run_id, process in _marked() if by_id else ():
        if run_id in by_id and _is_of(by_id[run_id], process):
            found.setdefault(run_id, set()).add(process.group)
    spared = {0, 1, os.getpgrp()}
    left = {run_id: groups - spared for run_id, groups in found.items()}
    return {run_id: groups for run_id, groups in left.items() if groups}


async def end_orphans(
    records: Iterable[RunRecord], clock: IReactorTime, grace: float
) -> None:
    """
    End all that is left of runs: TERM, then KILL after C{grace} seconds.

    The groups are looked for again before KILL, since an id may have been given to
    another process meanwhile.
    """
    records = tuple(records)
    deadline = clock.seconds() + grace
    groups: dict[int, int | None] = dict.fromkeys(_groups(records))  # with a member
    for group in groups:
        signal_group(group, SIGTERM)
        signal_group(group, SIGCONT)  # a stopped process cannot act on TERM
    while True:
        found = {group: _member(group, last) for group, last in groups.items()}
        groups = {group: pid for group, pid in found.items() if pid is not None}
        if not groups or clock.seconds() >= deadline:
            break
        await deferLater(clock, POLL_INTERVAL)
    for group in _groups(records) if groups else ():
        signal_group(group, SIGKILL)


def _groups(records: Iterable[RunRecord]) -> set[int]:
    return set().union(*find_orphans(records).values())


def _member(group: int, last: int | None) -> int | None:
    try:
        return living_member(group, last)
    except PermissionError:  # we cannot end it
        return None


def _is_leader(pid: int, start: int | None) -> bool:
    process = process_info(pid)
    return (
        process is not None
        and process.start == start
        and process.alive
        and process.group == process.session == pid
    )


def _is_of(record: RunRecord, process: ProcessInfo) -> bool:
    """Whether a process with a run's id in its environment ends with the run."""
    one_group = process.group == process.session
    all_count = record.tty is not None
    return (one_group or all_count) and record.pid in (None, process.session)


def _marked() -> Iterator[tuple[str, ProcessInfo]]:
    """Every process with a run's id in its environment, with that id."""
    for pid in pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                mark = _MARKED.search(file.read())
        except OSError:  # gone, or another user's
            continue
        process = process_info(pid) if mark else None
        if mark and process is not None:
            yield os.fsdecode(mark[1]), process
