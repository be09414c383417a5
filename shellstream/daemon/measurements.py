"""The numbers of the daemon, as C{/metrics} shows them."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from shellstream import __version__
from shellstream.config.live import LiveConfig
from shellstream.notifications.notifier import Notifier
from shellstream.runs.registry import Registry
from shellstream.security.audit_log import AuditLog
from shellstream.storage.run_store import RunStore
from shellstream.storage.worker_thread import WorkerThread
from shellstream.web import Site
from shellstream.web.monitoring.table import Values

from .lifecycle.reactor_watchdog import ReactorWatchdog

T = TypeVar("T")


@frozen(eq=False)
class Measurements:
    """
    Asks all parts of the daemon for what they have counted.

    @ivar folder: that of the state; L{None} if it is in memory.
    """

    _clock: IReactorTime
    _live: LiveConfig
    _registry: Registry
    _store: RunStore
    _audit_log: AuditLog
    _notifier: Notifier
    _watchdog: ReactorWatchdog
    _site: Callable[[], Site]
    _folder: Path | None
    _thread: WorkerThread

    @property
    def lag(self) -> float:
        return self._watchdog.last

    def in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        return self._thread(call)

    def measure(self) -> Mapping[str, Values]:
        limits = self._live.now
        site, store, notifier = self._site(), self._store, self._notifier
        kept = store.kept
        return {
            "build_info": {(__version__,): 1},
            **self._of_runs(),
            "queue_limit": _one(limits.max_queued),
            "viewers": _one(site.viewers),
            "viewers_limit": _one(site.limits.viewers),
            "connections": _one(site.connections.admitted.used),
            "connections_limit": _one(site.limits.connections),
            "responses_total": _labelled(site.responses),
            "sent_bytes_total": _one(site.sent),
            "refusals_total": _labelled(self._audit_log.refused),
            "store_runs": _one(kept.runs),
            "store_keys": _one(kept.keys),
            "store_output_bytes": _one(kept.stored),
            "store_failing": _one(store.failing),
            "store_failures_total": _one(store.failures),
            "store_commit_seconds": {(): store.commits},
            "reactor_lag_seconds": {(): self._watchdog.lag},
            "notifications_total": {
                ("delivered",): notifier.delivered,
                ("given_up",): notifier.given_up,
            },
            "notification_retries_total": _one(notifier.retried),
            "notifications_pending": _one(notifier.pending),
        }

    def measure_disk(self) -> Mapping[str, Values]:
        if self._folder is None:
            return {}
        disk = os.statvfs(self._folder)
        return {
            "store_bytes": _one((self._folder / "runs.db").stat().st_size),
            "disk_free_bytes": _one(disk.f_bavail * disk.f_frsize),
            "disk_size_bytes": _one(disk.f_blocks * disk.f_frsize),
        }

    def _of_runs(self) -> Mapping[str, Values]:
        registry, now = self._registry, self._clock.seconds()
        counts, reporter = registry.supervisor.counts, registry.reporter
        states: Counter[str] = Counter({"queued": 0, "running": 0, "ending": 0})
        output, taken, paused = counts.output, counts.input, counts.paused
        for run in registry.active.values():
            states["ending" if run.has_ended else run.record.state.value] += 1
            if not run.record.state.ended:  # else counted already
                output += run.log.written
                stdin = run.snapshot().stdin
                taken += 0 if stdin is None else stdin.offset or 0
            if run.paused_since is not None:
                paused += now - run.paused_since
        # Each command from the start, or the first failure would be no increase.
        ends: dict[tuple[str, ...], float] = {
            (name, end): 0
            for name in self._live.now.commands
            for end in ("success", "failure")
        }
        ends |= dict[tuple[str, ...], float](reporter.ends.items())
        return {
            "runs_ended_total": ends,
            "runs_active": _labelled(states),
            "queue_length": _one(len(registry.supervisor.admission.queue)),
            "spawn_seconds": {(): counts.spawn},
            "output_bytes_total": _one(output),
            "output_chunks_total": _one(counts.chunks),
            "chunk_latency_seconds": {(): counts.latency},
            "backpressure_seconds_total": _one(paused),
            "input_bytes_total": _one(taken),
            "viewers_resumed_total": _one(counts.resumed),
            "gaps_total": _one(counts.gaps),
            "gap_bytes_total": _one(counts.skipped),
        }


def _one(value: float) -> Values:
    """The value of a metric without labels."""
    return {(): value}


def _labelled(counted: Mapping[Any, int]) -> Values:
    """The values of a metric with one label."""
    return {(str(label),): count for label, count in counted.items()}
