"""Tests for L{shellstream.runs.registry}: with real files, and a disk that fails."""

import os
from errno import EIO
from types import SimpleNamespace
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from shellstream.model.errors import Busy, CannotRecord, OffsetGone
from shellstream.model.events import State, Stream
from shellstream.model.limits import WhenBusy
from shellstream.runs.history import RETRY, EndedRun
from tests.support.programs import no_descriptor
from tests.support.registries import CONFIG, FileTestCase, limited, text

QUEUEING = limited(when_busy=WhenBusy.QUEUE)


class DescriptorTests(FileTestCase):
    """An output that cannot be opened for now is not lost."""

    def test_ended(self) -> None:
        """The output is refused for a while, and readable when there is room."""
        run = self.submit()
        self.last.say(b"hello")
        self.last.exit()
        found = self.successResultOf(self.registry.find(run.id))
        with no_descriptor():
            error = self.assertRaises(Busy, lambda: found.log)
        self.assertIn("too many files are open", str(error))
        self.assertEqual(text(found.log), b"hello")


class UnrecordedTests(FileTestCase):
    """An end that cannot be recorded is still reported, and retried."""

    def ended(self) -> str:
        """The id of a run that has ended while the disk fails."""
        run = self.submit()
        self.last.say(b"hello")
        self.thread.broken = True
        self.last.exit(3)
        self.flushLoggedErrors()  # the output could not be synced
        self.assertIs(run.record.state, State.EXITED)
        self.assertTrue(run.log.closed)
        return run.id

    def test_retried(self) -> None:
        """The end is recorded as soon as possible, and then released."""
        run_id = self.ended()
        for _ in range(3):
            self.clock.advance(RETRY)
        self.assertEqual(list(self.registry.active), [run_id])
        self.thread.broken = False
        self.clock.advance(RETRY)
        kept = self.kept(run_id)
        self.assertEqual((kept.state, kept.code, kept.size), (State.EXITED, 3, 5))
        self.assert_nothing_left()

    def test_found(self) -> None:
        """A run with an unrecorded end is found with that end and its output."""
        run_id = self.ended()
        found = self.successResultOf(self.registry.find(run_id))
        assert isinstance(found, EndedRun)
        self.assertIs(found.record.state, State.EXITED)
        self.assertEqual(text(found.log), b"hello")
        self.assertIs(self.successResultOf(self.registry.find(run_id)), found)
        self.registry.supervisor.stop()
        self.clock.advance(RETRY)
        self.assert_nothing_left()

    def test_stop(self) -> None:
        """A daemon that stops does not wait for the disk for ever."""
        run_id = self.ended()
        stopped = self.registry.supervisor.stop()
        self.clock.advance(RETRY)
        self.successResultOf(stopped)
        self.thread.broken = False
        self.assertIs(self.kept(run_id).state, State.RUNNING)
        self.reopen(CONFIG)
        self.assertIs(self.kept(run_id).state, State.LOST)


class MissingTests(FileTestCase):
    """No run is taken while what has to hold it is not in its place."""

    def setUp(self) -> None:
        super().setUp()
        self.said: list[str] = []

    def look(self) -> None:
        look = self.registry._history.look()
        self.successResultOf(Deferred.fromCoroutine(look))

    def assert_refused(self, why: str) -> None:
        """No run, no health, and one line for the operator, however often it looks."""
        with capturedLogs() as events:
            self.look()
            self.look()
        said = [str(each["error"]) for each in events if "error" in each]
        self.assertEqual(len(said), len(set(said)))
        self.said += said
        self.assertIn(why, self.said[-1])
        for asked in (self.ask(), Deferred.fromCoroutine(self.registry.check())):
            error = self.failureResultOf(asked, CannotRecord).value
            self.assertIn(why, str(error))
        self.assert_nothing_left()

    def assert_works(self) -> None:
        """It goes on by itself."""
        with capturedLogs() as events:
            self.look()
        said = [each["log_format"] for each in events]
        self.assertEqual(said, ["runs can be recorded again"])
        self.submit()
        self.last.exit()

    def test_names(self) -> None:
        """The history, its log, and the folder of outputs are missed at once."""
        for name, why in (
            ("runs.db", "runs.db was removed or replaced"),
            ("runs.db-wal", "runs.db-wal was removed or replaced"),
            ("output", "the folder of outputs is not in its place"),
        ):
            with self.subTest(name=name):
                file = self.folder / name
                file.rename(self.folder / "away")
                self.assert_refused(why)
                file.touch()
                self.assert_refused(why)
                file.unlink()
                (self.folder / "away").rename(file)
                self.assert_works()

    def test_inodes(self) -> None:
        """A disk that takes no more files takes no more runs; some do not count."""
        for files, left, refused in ((99, 0, True), (0, 0, False), (99, 9, False)):
            there = SimpleNamespace(f_files=files, f_favail=left)
            with patch("os.statvfs", return_value=there):
                if refused:
                    self.assert_refused("the disk that holds the state has too many")
                else:
                    self.successResultOf(Deferred.fromCoroutine(self.registry.check()))

    def test_fails_to_read(self) -> None:
        """An output that the disk fails to read is not gone: it may come later."""
        run = self.submit()
        self.last.say(b"hello")
        self.last.exit()
        found = self.successResultOf(self.registry.find(run.id))
        failing = OSError(EIO, "Input/output error")
        with patch("shellstream.storage.ring_file.os.pread", side_effect=failing):
            error = self.assertRaises(Busy, lambda: found.log)
        self.assertIn("cannot be read just now (Input/output error)", str(error))
        self.assertEqual(text(found.log), b"hello")


class FileTests(FileTestCase):
    """Output outlives the daemon."""

    def test_lost(self) -> None:
        """A lost run keeps all its output, and its sizes."""
        run = self.submit()
        self.last.say(b"out")
        self.last.say(b"err", Stream.STDERR)
        self.reopen(CONFIG)
        kept = self.kept(run.id)
        self.assertEqual((kept.state, kept.start, kept.size), (State.LOST, 0, 6))
        self.assertGreater(kept.stored, 6)
        found = self.successResultOf(self.registry.find(run.id))
        self.assertEqual(text(found.log), b"outerr")

    def test_silent(self) -> None:
        """A run that was lost before it wrote anything has an empty output."""
        run = self.submit()
        self.reopen(CONFIG)
        kept = self.kept(run.id)
        self.assertEqual((kept.start, kept.size, kept.stored), (0, 0, 0))
        found = self.successResultOf(self.registry.find(run.id))
        self.assertEqual(text(found.log), b"")

    def test_queued(self) -> None:
        """A queued run stores its output after the restart."""
        self.begin(QUEUEING)
        runs = [self.submit() for _ in range(3)]
        self.reopen(QUEUEING)
        self.assertEqual(self.last.run.id, runs[2].id)
        self.last.say(b"hello")
        self.last.exit()
        found = self.successResultOf(self.registry.find(runs[2].id))
        self.assertEqual(text(found.log), b"hello")

    def test_damaged(self) -> None:
        """Damaged output is moved away if possible, and is missing in any case."""
        for obstacle in (False, True):
            self.begin(CONFIG)
            run = self.submit()
            self.last.say(b"hello")
            self.last.exit()
            path = self.folder / "output" / f"{run.id}.log"
            path.write_bytes(b"\xa5" * 100)
            aside = path.with_name(f"{path.name}.damaged")
            if obstacle:
                aside.mkdir()
            self.reopen(CONFIG)
            found = self.successResultOf(self.registry.find(run.id))
            self.assertEqual((found.log.start, found.log.end), (5, 5))
            self.assertEqual((path.exists(), aside.is_file()), (obstacle, not obstacle))

    def test_cut_short(self) -> None:
        """A truncated file yields its beginning, and then a gap."""
        for kept, left in ((0, b""), (120, b"hello ")):
            self.begin(CONFIG)
            run = self.submit()
            self.last.say(b"hello ")
            self.last.say(b"world")
            self.last.exit()
            os.truncate(self.folder / "output" / f"{run.id}.log", kept)
            self.reopen(CONFIG)
            found = self.successResultOf(self.registry.find(run.id))
            log = found.log
            self.assertEqual(log.start, 0 if left else 11)
            chunks = log.read(log.start)
            self.assertEqual(b"".join(each.data for each in chunks), left)
            if left:
                gone = self.assertRaises(OffsetGone, log.read, len(left))
                self.assertEqual(gone.start, 11)

    def test_dropped(self) -> None:
        """Output dropped before a restart stays dropped, and its size is known."""
        self.begin(limited(retain=4096))
        run = self.submit()
        for _ in range(10):
            self.last.say(b"x" * 1000)
        self.reopen(CONFIG)
        kept = self.kept(run.id)
        self.assertEqual(kept.size, 10_000)
        self.assertGreater(kept.start, 0)
        self.assertLessEqual(kept.start, 10_000 - 4096)
        found = self.successResultOf(self.registry.find(run.id))
        self.assertEqual(len(text(found.log, kept.start)), 10_000 - kept.start)
