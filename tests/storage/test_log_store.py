"""Tests for L{shellstream.storage.log_store}: what is synced once a second."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.events import Stream
from shellstream.model.limits import Limits, Sync
from shellstream.output.log import LogDamaged
from shellstream.storage.log_store import FileLogs
from shellstream.storage.ring_file import RingFile
from shellstream.storage.ring_format import WHOLE
from shellstream.storage.state_dir import StateDir

LIMITS = Limits(retain=1 << 20, sync=Sync.SECOND)

#: A chunk that is believed after a loss of power only if it was synced.
CHUNK = b"x" * (WHOLE + 1)
NEXT_BOOT = b"c" * 16


class SyncDirtyTests(SynchronousTestCase):
    """L{FileLogs.sync_dirty} brings output to the disk, and nothing waits for it."""

    def setUp(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        folder = StateDir.open(Path(self.mktemp()), lambda: 0)
        self.addCleanup(folder.close)
        self.path = folder.log_path
        self.logs = FileLogs(folder, lambda: 1 << 30, self.in_thread)

    def in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        made: Deferred[Any] = Deferred()
        self.waiting.append((call, made))
        return made

    def work(self) -> None:
        """Let the thread do what it was given."""
        waiting, self.waiting = self.waiting, []
        for call, made in waiting:
            made.callback(call())

    def durable(self, run_id: str) -> int:
        """Up to where an output is found after a loss of power."""
        found = RingFile.open(self.path(run_id), NEXT_BOOT)
        self.addCleanup(found.close)
        return found.end

    def test_synced(self) -> None:
        """What was written before the call survives a loss of power after it."""
        log = self.logs.create("r", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        done = self.logs.sync_dirty()
        log.append(Stream.STDOUT, 1, CHUNK)
        self.assertNoResult(done)
        self.work()
        self.successResultOf(done)
        self.assertEqual(self.durable("r"), len(CHUNK))

    def test_one_at_a_time(self) -> None:
        """While a slow disk is busy, no more is asked of it."""
        log = self.logs.create("r", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        self.logs.sync_dirty()
        log.append(Stream.STDOUT, 1, CHUNK)
        self.successResultOf(self.logs.sync_dirty())
        self.assertEqual(len(self.waiting), 1)
        self.work()
        self.logs.sync_dirty()
        self.work()
        self.assertEqual(self.durable("r"), 2 * len(CHUNK))

    def test_last(self) -> None:
        """A daemon that stops syncs what was written while the disk was busy."""
        log = self.logs.create("r", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        self.logs.sync_dirty()
        log.append(Stream.STDOUT, 1, CHUNK)
        done = self.logs.sync_last()
        self.assertNoResult(done)
        self.work()
        self.work()
        self.successResultOf(done)
        self.assertEqual(self.durable("r"), 2 * len(CHUNK))

    def test_nothing_new(self) -> None:
        """Output that is on the disk already is left alone, and so are silent runs."""
        log = self.logs.create("r", LIMITS)
        self.logs.create("silent", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        self.logs.sync_dirty()
        self.work()
        self.successResultOf(self.logs.sync_dirty())
        self.assertEqual(self.waiting, [])

    def test_ended(self) -> None:
        """The last output of a run that has ended meanwhile is synced as well."""
        log = self.logs.create("r", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        log.close()
        self.logs.retire("r")
        self.logs.sync_dirty()
        self.work()
        self.assertEqual(self.durable("r"), len(CHUNK))
        self.logs.sync_dirty()
        self.assertEqual((self.waiting, self.logs._periodic), ([], {}))

    def test_other_policies(self) -> None:
        """Runs with another policy are not synced here."""
        for sync in (Sync.END, Sync.ALWAYS, Sync.NEVER):
            log = self.logs.create(sync.value, evolve(LIMITS, sync=sync))
            log.append(Stream.STDOUT, 1, CHUNK)
        self.successResultOf(self.logs.sync_dirty())
        self.assertEqual(self.waiting, [])

    def test_never(self) -> None:
        """An output that is never synced has its sums once its run has ended."""
        log = self.logs.create("r", evolve(LIMITS, sync=Sync.NEVER))
        log.append(Stream.STDOUT, 1, CHUNK)
        self.successResultOf(self.logs.sync_dirty())
        log.close()
        self.logs.retire("r")
        self.logs.sync_dirty()
        self.work()
        self.assertEqual(self.durable("r"), len(CHUNK))

    def test_faster_than_that(self) -> None:
        """Output that is overwritten within a second is not written to the disk."""
        log = self.logs.create("r", LIMITS)
        for _ in range(9):
            log.append(Stream.STDOUT, 1, b"x" * 200_000)
        self.successResultOf(self.logs.sync_dirty())
        log.append(Stream.STDOUT, 1, b"x" * 200_000)
        self.logs.sync_dirty()
        self.work()
        self.assertEqual(self.durable("r"), 2_000_000)

    def test_exchanged(self) -> None:
        """The output of another run is not taken for that of a run."""
        for run_id in ("r", "other"):
            log = self.logs.create(run_id, LIMITS)
            log.append(Stream.STDOUT, 1, CHUNK)
            log.close()
        RingFile.open(self.path("r"), run="r").close()
        os.rename(self.path("other"), self.path("r"))
        self.assertRaises(LogDamaged, RingFile.open, self.path("r"), run="r")

    def test_deleted(self) -> None:
        """An output that was deleted before it was synced is no error."""
        log = self.logs.create("r", LIMITS)
        log.append(Stream.STDOUT, 1, CHUNK)
        log.close()
        self.logs.retire("r")
        os.unlink(self.path("r"))
        self.logs.sync_dirty()
        self.work()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.logs._periodic, {})

    def test_error(self) -> None:
        """A disk that does not sync is told once, and the others are synced."""
        for run_id in ("bad", "good"):
            log = self.logs.create(run_id, LIMITS)
            log.append(Stream.STDOUT, 1, CHUNK)
        bad = self.path("bad")
        os.rename(bad, f"{bad}.gone")
        done = self.logs.sync_dirty()
        self.work()
        self.successResultOf(done)
        self.assertEqual(self.durable("good"), len(CHUNK))
        self.successResultOf(self.logs.sync_dirty())
        self.assertEqual(self.waiting, [])
