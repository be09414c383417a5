"""Tests of L{shellstream.runs.registry}: runs that are started before their record."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from shellstream.model.errors import Busy, CannotRecord, CannotStart, OffsetGone
from shellstream.model.events import Reason, State
from shellstream.model.limits import Sync, WhenBusy
from shellstream.model.run_record import RunQuery
from shellstream.output.log import READ_SIZE
from shellstream.runs.history import RETRY
from shellstream.runs.registry import RECORD_WITHIN
from shellstream.runs.run import END_MAY_FOLLOW, Run
from tests.support.registries import (
    CONFIG,
    FileTestCase,
    RegistryTestCase,
    limited,
    text,
)


class UnrecordedTestCase(RegistryTestCase):
    """A registry with a thread that makes calls when the test says so."""

    record_within = RECORD_WITHIN

    def setUp(self) -> None:
        super().setUp()
        self.thread.manual = True

    def told(self, asked: Deferred[Any]) -> Run:
        """The run that a caller was told of, and that it began."""
        run, began = self.successResultOf(asked)
        self.assertTrue(began)
        assert isinstance(run, Run)
        return run

    def rows(self) -> list[State]:
        """The states of all recorded runs."""
        return [each.state for each in self.database.page(RunQuery(9))]


class StartTests(UnrecordedTestCase):
    """A run without a key is started at once, and told of once it is recorded."""

    def test_silent(self) -> None:
        """A run that says nothing is recorded some milliseconds after its start."""
        asked = self.ask()
        self.assertEqual(len(self.spawn.started), 1)
        self.assertEqual(self.thread.waiting, [])
        self.clock.advance(RECORD_WITHIN)
        self.assertNoResult(asked)
        self.thread.step()
        run = self.told(asked)
        kept = self.kept(run.id)
        self.assertEqual((kept.state, kept.pid), (State.RUNNING, self.last.child.pid))

    def test_first_output(self) -> None:
        """A run that writes is recorded soon, and its caller finds all of it."""
        asked = self.ask()
        self.last.say(b"one\n")
        self.last.say(b"two\n")
        self.assertEqual(self.thread.waiting, [])
        self.clock.advance(END_MAY_FOLLOW)
        self.assertEqual(len(self.thread.waiting), 1)
        self.thread.step()
        run = self.told(asked)
        self.assertEqual(text(run.log), b"one\ntwo\n")
        self.clock.advance(RECORD_WITHIN)
        self.assertEqual(self.thread.waiting, [])

    def test_short(self) -> None:
        """A short run is recorded once, with its end, and told of with that."""
        statements: list[str] = []
        asked = self.ask()
        self.last.exit(3)
        self.assertNoResult(asked)
        connection = self.database._connection
        connection.set_trace_callback(statements.append)
        self.thread.step()
        connection.set_trace_callback(None)
        self.assertEqual(len(statements), 3, statements)
        self.assertEqual(self.thread.waiting, [])
        run = self.told(asked)
        self.assertEqual((run.record.state, run.record.code), (State.EXITED, 3))
        self.assertEqual(self.kept(run.id), run.record)
        what = [each.action.value for each in self.noted]
        self.assertEqual(what, ["start", "end"])
        news = text(self.registry.events)
        self.assertEqual(news.count(b'{"event": '), 3)
        self.assertLess(news.index(b'"created"'), news.index(b'"started"'))
        self.assertLess(news.index(b'"started"'), news.index(b'"ended"'))
        self.assert_nothing_left()

    def test_output_of_a_short_run(self) -> None:
        """The first viewer of a run that has ended meanwhile finds its log open."""
        seen: list[bytes] = []

        def look(answer: tuple[Run, bool]) -> None:
            log = answer[0].log
            self.assertFalse(log.closed)
            seen.append(text(log))

        asked = self.ask().addCallback(look)
        self.last.say(b"hello")
        self.last.exit()
        self.thread.finish()
        self.successResultOf(asked)
        self.assertEqual(seen, [b"hello"])

    def test_ends_while_it_is_recorded(self) -> None:
        """A record shows what is so when it is written, and is not written twice."""
        asked = self.ask()
        self.last.say(b"hello")
        self.last.exit()
        self.thread.step()
        run = self.told(asked)
        self.assertEqual(self.thread.waiting, [])
        self.assertIs(self.kept(run.id).state, State.EXITED)
        self.assert_nothing_left()

    def test_ends_after_it_is_recorded(self) -> None:
        """An end that came too late for the first record has one of its own."""
        asked = self.ask()
        self.last.say(b"hello")
        self.clock.advance(END_MAY_FOLLOW)
        (call, done), self.thread.waiting = self.thread.waiting[0], []
        made = call()
        self.last.exit()
        done.callback(made)
        run = self.told(asked)
        self.assertIs(run.record.state, State.RUNNING)
        self.thread.step()
        self.assertIs(run.record.state, State.EXITED)
        self.assertIs(self.kept(run.id).state, State.EXITED)
        self.assert_nothing_left()

    def test_found_by_itself(self) -> None:
        """A process that asks for its own run waits until that is recorded."""
        self.ask()
        run_id = self.last.run.id
        found = Deferred.fromCoroutine(self.registry.find(run_id))
        self.assertNoResult(found)
        self.clock.advance(RECORD_WITHIN)
        self.thread.step()
        self.assertIs(self.successResultOf(found), self.last.run)

    def test_joined(self) -> None:
        """Who joins a run waits for its record, too."""
        self.begin(limited(when_busy=WhenBusy.JOIN, max_running=1))
        self.thread.manual = True
        first, second = self.ask(), self.ask()
        self.clock.advance(RECORD_WITHIN)
        self.thread.step()
        run = self.told(first)
        self.assertEqual(self.successResultOf(second), (run, False))

    def test_cancelled(self) -> None:
        """A run that is stopped before it is recorded is recorded all the same."""
        asked = self.ask()
        stopped = self.registry.supervisor.stop()
        self.assertIn("SIGTERM", self.last.child.signals)
        self.last.exit(None, 15)
        self.thread.finish()
        run = self.told(asked)
        self.assertIs(run.record.reason, Reason.SHUTDOWN)
        self.assertEqual(self.rows(), [State.SIGNALED])
        self.successResultOf(stopped)

    def test_held_back(self) -> None:
        """What the first viewer could not be given any more is not read yet."""
        self.begin(limited(retain=2 * READ_SIZE))
        self.thread.manual = True
        asked = self.ask()
        self.last.say(bytes(READ_SIZE + 1))
        self.assertTrue(self.last.child.paused)
        self.thread.step()
        self.told(asked)
        self.assertFalse(self.last.child.paused)

    def test_held_back_in_memory(self) -> None:
        """The same where the log keeps less than the command says."""
        self.begin(limited())
        self.thread.manual = True
        asked = self.ask()
        self.last.say(bytes(READ_SIZE))
        self.assertTrue(self.last.child.paused)
        self.thread.step()
        self.assertEqual(self.told(asked).log.start, 0)
        self.assertFalse(self.last.child.paused)

    def test_always(self) -> None:
        """With C{sync = "always"} the record is on the disk before a byte is seen."""
        self.begin(limited(sync=Sync.ALWAYS))
        calls: list[bool] = []
        real = self.store.transact

        def transact(store: object, call: Any, *, synced: bool = False) -> Any:
            calls.append(synced)
            return real(call, synced=synced)

        self.patch(
            type(self.store),
            "transact",
            transact,
        )
        asked = self.ask()
        self.clock.advance(RECORD_WITHIN)
        self.told(asked)
        self.assertEqual(calls, [True])


class RefusedTests(UnrecordedTestCase):
    """The disk does not take the record of a run that was started."""

    def test_ended(self) -> None:
        """It is ended, its caller gets the error, and the log has the truth."""
        asked = self.ask()
        self.clock.advance(RECORD_WITHIN)
        self.thread.broken = True
        with capturedLogs() as logged:
            self.thread.finish()
        self.failureResultOf(asked, CannotRecord)
        said = [formatEvent(each) for each in logged]
        self.assertTrue(any(self.last.run.id in each for each in said), said)
        self.assertIn("SIGTERM", self.last.child.signals)
        self.last.exit(None, 15)
        self.assertEqual([each.action.value for each in self.noted], ["start", "end"])
        self.thread.broken = False
        self.clock.advance(RETRY)
        kept = self.kept(self.last.run.id)
        self.assertEqual((kept.state, kept.reason), (State.SIGNALED, Reason.ERROR))
        self.assert_nothing_left()

    def test_next(self) -> None:
        """The next run is recorded first, and so is not started while that fails."""
        asked = self.ask()
        self.clock.advance(RECORD_WITHIN)
        self.thread.broken = True
        self.thread.finish()
        self.failureResultOf(asked, CannotRecord)
        self.failureResultOf(self.ask(), CannotRecord)
        self.assertEqual(len(self.spawn.started), 1)
        self.thread.broken = False
        self.told(self.ask())
        # The disk has taken that: so the next one need not wait.
        self.last.exit()
        self.thread.manual = True
        self.ask()
        self.assertEqual(len(self.spawn.started), 3)

    def test_short(self) -> None:
        """A short run whose end is not taken is refused, says why, and comes later."""
        asked = self.ask()
        self.last.exit()
        self.thread.broken = True
        self.thread.finish()
        refused = self.failureResultOf(asked, CannotRecord)
        self.assertIn("I/O error", refused.getErrorMessage())
        self.thread.broken = False
        self.clock.advance(RETRY)
        self.assertEqual(self.rows(), [State.EXITED])
        self.assert_nothing_left()

    def test_held_back(self) -> None:
        """Output that was held back does not keep it from its end."""
        self.begin(limited(retain=2 * READ_SIZE))
        self.thread.manual = True
        self.ask().addErrback(lambda _: None)
        self.last.say(bytes(READ_SIZE + 1))
        self.thread.broken = True
        self.thread.finish()
        self.assertFalse(self.last.child.paused)


class CannotStartTests(UnrecordedTestCase):
    """The process of a run without a record cannot be started."""

    def test_failed(self) -> None:
        """It has failed, which is recorded before its caller is told."""
        self.spawn.error = CannotStart("say", "its program was not found")
        asked = self.ask()
        self.assertNoResult(asked)
        self.thread.step()
        run = self.told(asked)
        self.assertIs(run.record.state, State.FAILED)
        self.assertEqual(self.rows(), [State.FAILED])
        self.assert_nothing_left()

    def test_busy(self) -> None:
        """If the machine has no room, the caller is told so, and the run has failed."""
        self.spawn.error = Busy("the machine has no room for a process", 5)
        asked = self.ask()
        self.failureResultOf(asked, Busy)
        self.thread.finish()
        self.assertEqual(self.rows(), [State.FAILED])
        self.assert_nothing_left()

    def test_no_folder(self) -> None:
        """Where no output can be kept, nothing is started."""
        error = CannotRecord("the folder of outputs is not in its place")

        def check() -> None:
            raise error

        self.patch(type(self.logs), "check", lambda logs: check())
        self.failureResultOf(self.ask(), CannotRecord)
        self.assertEqual(self.spawn.started, [])
        self.assert_nothing_left()


class ShortOutputTests(FileTestCase):
    """A short output needs no file: it is in the record of its run."""

    record_within = RECORD_WITHIN

    def begin_to_say(self) -> str:
        """The id of a run that was recorded while it ran, with its first line."""
        asked = self.ask()
        self.last.say(b"one\n")
        self.clock.advance(END_MAY_FOLLOW)
        self.assertEqual(os.listdir(self.folder / "output"), [])
        run, _ = self.successResultOf(asked)
        self.assertEqual(text(run.log), b"one\n")
        return str(run.id)

    def found(self, run_id: str) -> tuple[State, bytes]:
        """The state and the output of an ended run."""
        found = self.successResultOf(Deferred.fromCoroutine(self.registry.find(run_id)))
        return found.record.state, text(found.log)

    def test_ended(self) -> None:
        """The output of a short run outlives the daemon, and goes with its run."""
        asked = self.ask()
        self.last.say(b"hello")
        self.last.exit()
        run, _ = self.successResultOf(asked)
        self.reopen(CONFIG)
        self.assertEqual(self.found(run.id), (State.EXITED, b"hello"))
        self.assertEqual(os.listdir(self.folder / "output"), [])
        self.successResultOf(Deferred.fromCoroutine(self.registry.delete(run.id)))
        self.assertIsNone(self.database.get(run.id))

    def test_killed(self) -> None:
        """What was shown of a run survives the daemon, in whichever place it is."""
        run_id = self.begin_to_say()
        self.reopen(CONFIG)
        self.assertEqual(self.found(run_id), (State.LOST, b"one\n"))
        self.reopen(CONFIG)
        self.assertEqual(self.found(run_id), (State.LOST, b"one\n"))
        run_id = self.begin_to_say()
        self.last.say(b"two\n")
        self.reopen(CONFIG)
        self.assertEqual(self.found(run_id), (State.LOST, b"one\ntwo\n"))

    def test_killed_while_it_moves(self) -> None:
        """A file that has less than the record is not taken for the output."""
        run_id = self.begin_to_say()
        path = self.folder / "output" / f"{run_id}.log"
        path.write_bytes(b"")
        self.reopen(CONFIG)
        self.flushLoggedErrors()
        self.assertEqual(self.found(run_id), (State.LOST, b"one\n"))

    def test_goes_on(self) -> None:
        """An output that goes on is in one file, and its record has none of it."""
        run_id = self.begin_to_say()
        self.last.say(b"two\n")
        self.last.exit()
        self.assertEqual(self.kept(run_id).output, b"")
        self.assertEqual(self.found(run_id), (State.EXITED, b"one\ntwo\n"))

    def test_damaged(self) -> None:
        """An output in a record that is damaged is not shown."""
        run_id = self.begin_to_say()
        self.last.exit()
        with self.database.transaction():
            self.database._do("UPDATE runs SET output = output || 1")
        self.reopen(CONFIG)
        found = self.successResultOf(Deferred.fromCoroutine(self.registry.find(run_id)))
        self.assertRaises(OffsetGone, found.log.read, 0)
