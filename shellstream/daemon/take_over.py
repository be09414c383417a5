"""What a daemon takes over from the last one: its history, its queue, what it left."""

from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.runs.history import in_background
from shellstream.runs.registry import Registry
from shellstream.security.audit import audited_ends
from shellstream.storage.audit_file import AuditFile
from shellstream.storage.run_store import InThread, RunStore
from shellstream.storage.state_dir import StateDir

from .errors import DaemonCannotStart
from .left_processes import LeftProcesses

_log = Logger(namespace="shellstream")


def take_over(
    registry: Registry,
    store: RunStore,
    left: LeftProcesses,
    state_dir: StateDir | None,
    audit: AuditFile | None,
    in_thread: InThread,
) -> None:
    """
    Take over the last daemon's history and queue, and end its processes. Call it before
    the reactor runs.

    @param state_dir: the state folder; L{None} for memory.
    @param in_thread: makes calls that wait for the disk.
    @raise DaemonCannotStart: if the history cannot be read.
    """
    if audit is not None:
        with _log.failuresHandled("while the last daemon's audit was completed"):
            ends = audited_ends(audit.tail())
            auditing = Deferred.fromCoroutine(registry.audit_ends(*ends))
            auditing.addErrback(
                lambda failure: _log.failure("the audit may lack ends", failure)
            )
    found: list[Any] = []
    recovering = Deferred.fromCoroutine(registry.recover(left.find))
    recovering.addBoth(found.append)
    (lost,) = found  # at once, since the reactor does not run yet
    if isinstance(lost, Failure):
        why = lost.getErrorMessage()
        raise DaemonCannotStart(f"shellstream: {why}")
    if lost:
        _log.warn("{count} runs were lost with the last daemon", count=len(lost))
    if state_dir is not None and state_dir.killed:
        in_background(_find_unrecorded(store, left, state_dir))
    ended = left.end(registry.processes_gone)
    if state_dir is not None:
        unrecorded_gone = state_dir.unrecorded_gone
        ended.addCallback(lambda _: unrecorded_gone())
        sweeping = Deferred.fromCoroutine(_sweep(store, state_dir, in_thread))
        sweeping.addErrback(lambda failure: _log.failure("while sweeping", failure))


async def _find_unrecorded(
    store: RunStore, left: LeftProcesses, state_dir: StateDir
) -> None:
    ours = [run_id for run_id in left.runs() if state_dir.never_recorded(run_id)]
    # A program may outlive a run that was forgotten since.
    known = await store.transact(
        lambda database: database.known(ours) | database.removed()
    )
    count = left.find_unrecorded({*ours} - known)
    if count:
        _log.warn(
            "{count} runs had begun that the last daemon could not record before "
            "it was killed; nobody was told of them, and their processes are ended",
            count=count,
        )


async def _sweep(store: RunStore, state_dir: StateDir, in_thread: InThread) -> None:
    """Look after outputs that belong to no run."""
    there = state_dir.logs
    known, removed = await store.transact(
        lambda database: (database.known(there), database.removed())
    )
    # Not in the thread of the database, on which runs wait: this may take seconds.
    lost = await in_thread(partial(state_dir.sweep, known, removed))
    await store.transact(lambda database: database.forget_removed(removed))
    if lost:
        _log.error(
            "{count} outputs belong to no run of the history, which has lost them "
            "({ids}{more}); they have been moved to {path}",
            count=len(lost),
            ids=", ".join(lost[:10]),
            more=", …" if lost[10:] else "",
            path=state_dir.aside.path,
        )
