"""Ending the processes that a killed daemon has left running."""

import os
from collections.abc import Iterable, Iterator
from signal import SIGCONT, SIGKILL, SIGTERM

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from shellstream.model.run_record import RunRecord

from .process_scanner import ProcessScanner
from .process_table import ProcessTable, process_info
from .run_processes import RunProcesses

_log = Logger()

#: How often to look whether a session is empty, in seconds.
POLL_INTERVAL = 0.05

#: The same for processes that KILL did not end in the first second: another user's, or
#: those that wait for a device.
SLOW_INTERVAL = 1.0


def find_orphans(
    records: Iterable[RunRecord], table: ProcessTable, scanner: ProcessScanner
) -> dict[str, list[RunProcesses]]:
    """
    The sessions that are left of runs, by the runs' ids.

    A session belongs to a run if its leader is the recorded process, or if a member has
    the run's id in its environment: so it is found even if its leader has exited, or
    was never recorded. Processes that began a session of their own are left alone, as
    they are when the daemon is stopped; so are those that we may not look into.

    @param table: one with the marks of processes.
    """
    found: dict[str, list[RunProcesses]] = {}
    for record in records:
        sessions: dict[int, int | None] = {}
        if record.pid is not None and _is_leader(record.pid, record.pid_start):
            sessions[record.pid] = record.pid_start
        for session in _marked_sessions(record.id, table):
            if record.pid in (None, session):
                sessions.setdefault(session, None)
        for session, start in sessions.items():
            processes = RunProcesses(record.id, session, scanner, start)
            processes.leader_reaped = True  # it is no child of ours
            found.setdefault(record.id, []).append(processes)
    return found


def find_unrecorded(
    run_id: str, table: ProcessTable, scanner: ProcessScanner
) -> list[RunProcesses]:
    """All sessions that are left of a run of which only the id is known."""
    found = []
    for session in sorted({*_marked_sessions(run_id, table)}):
        processes = RunProcesses(run_id, session, scanner)
        processes.leader_reaped = True
        found.append(processes)
    return found


def _marked_sessions(run_id: str, table: ProcessTable) -> Iterator[int]:
    """The sessions of the processes that have a run's id in their environment."""
    for pid in table.marked.get(run_id, ()):
        process = process_info(pid)
        if process is not None and process.alive:
            yield process.session


async def end_orphans(
    processes: RunProcesses, clock: IReactorTime, grace: float
) -> None:
    """
    End one session that is left of a run: TERM, then KILL after C{grace} seconds.

    Returns when none of its processes is left, however long that takes.
    """
    begun = clock.seconds()
    told = False
    processes.signal(SIGTERM, SIGCONT)  # a stopped process cannot act on TERM
    while processes.live():
        waited = clock.seconds() - begun
        if waited >= grace:
            processes.signal(SIGKILL)
        if waited < grace + 1:
            await deferLater(clock, POLL_INTERVAL)
            continue
        if not told:
            told = True
            text = "run {run}: process {pid} of the last daemon is left after KILL"
            _log.error(text, run=processes.run_id, pid=processes.known_pid)
        await deferLater(clock, SLOW_INTERVAL)


def _is_leader(pid: int, start: int | None) -> bool:
    process = process_info(pid)
    return (
        process is not None
        and process.start == start
        and process.alive
        and process.group == process.session == pid
        and process.session != os.getsid(0)
    )
