"""Tests for L{shellstream.runs.registry}: active and ended runs."""

import gc
import json
from uuid import UUID

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.model.errors import (
    CannotRecord,
    CannotStart,
    CommandUnknown,
    NoDefaultCommand,
    ParametersRefused,
    RunNotRunning,
    RunUnknown,
)
from shellstream.model.events import ExitStatus, OnDisconnect, State
from shellstream.model.run_record import Retention, RunQuery
from shellstream.runs.history import RETRY, EndedRun
from shellstream.runs.registry import FIRST_VIEWER_GRACE
from tests.support.fakes import ECHO, SAY
from tests.support.registries import CONFIG, Reader, RegistryTestCase, limited, text


class CommandTests(RegistryTestCase):
    """A L{Registry} finds the command that is asked for."""

    def test_command(self) -> None:
        """Commands are found by name, and the default one without."""
        self.assertIs(self.registry.config.command("echo"), ECHO)
        self.assertIs(self.registry.config.command(None), SAY)

    def test_unknown_command(self) -> None:
        """A name that no command has is refused, with the likely one."""
        error = self.assertRaises(CommandUnknown, self.registry.config.command, "ehco")
        self.assertIn("no command 'ehco' (did you mean 'echo'?)", str(error))
        self.assertRaises(CommandUnknown, self.registry.config.command, "")

    def test_no_default(self) -> None:
        """Without a default command, a request must name one."""
        self.begin(evolve(CONFIG, default=None))
        self.assertRaises(NoDefaultCommand, self.registry.config.command, None)


class SubmitTests(RegistryTestCase):
    """A L{Registry} starts permitted runs, and knows the active ones."""

    def test_submit(self) -> None:
        """A run is started with its parameters filled in, and known until it ends."""
        run = self.submit("echo", [("x", "hello")])
        self.assertEqual(self.last.invocation.argv, ("echo", "hello"))
        self.assertIs(self.last.run, run)
        self.assertIs(self.last.command, ECHO)
        self.assertEqual(self.registry.active, {run.id: run})
        self.last.exit()
        self.assert_nothing_left()

    def test_written_down_first(self) -> None:
        """If the disk is in doubt, a run is started when it is written down."""
        self.record_first()
        asked = self.ask()
        self.assertEqual(self.spawn.started, [])
        self.assertNoResult(asked)
        self.thread.finish()
        run, began = self.successResultOf(asked)
        self.assertEqual((self.last.run, began), (run, True))
        kept = self.kept(run.id)
        self.assertEqual((kept.state, kept.pid), (State.RUNNING, self.last.child.pid))

    def test_cannot_be_written_down(self) -> None:
        """A run that cannot be recorded takes up no room; a second is not started."""
        self.thread.broken = True
        for _ in range(5):
            self.failureResultOf(self.ask(), CannotRecord)
        self.assertEqual(len(self.spawn.started), 1)
        self.last.exit()
        self.thread.broken = False
        self.clock.advance(RETRY)
        self.assert_nothing_left()
        self.thread.broken = False
        self.submit()

    def test_timeout_begins(self) -> None:
        """A run's time begins when it is started."""
        self.begin(limited(timeout=3.0))
        self.submit()
        self.clock.advance(3)
        self.assertIn("SIGTERM", self.last.child.signals)

    def test_ids(self) -> None:
        """Ids are UUIDs of version 7, and sort by the order of requests."""
        ids = []
        for _ in range(20):
            ids.append(self.submit().id)
            self.last.exit()
        self.assertEqual({UUID(each).version for each in ids}, {7})
        self.assertEqual(ids, sorted(set(ids)))

    def test_refused(self) -> None:
        """A request with bad parameters is refused, and nothing is started."""
        self.failureResultOf(self.ask("echo"), ParametersRefused)
        self.assertEqual((self.spawn.started, self.registry.active), ([], {}))

    def test_cannot_start(self) -> None:
        """A process that cannot be started has failed, and takes up no room."""
        self.spawn.error = CannotStart("say", "its program was not found")
        for _ in range(5):
            run = self.submit()
            self.assertEqual(run.record, self.kept(run.id))
        self.assert_nothing_left()
        for record in self.database.page(RunQuery(10)):
            self.assertIs(record.state, State.FAILED)
            self.assertIn("was not found", record.failure or "")
        self.spawn.error = None
        self.submit()
        self.assertEqual(len(self.registry.active), 1)

    def test_on_disconnect(self) -> None:
        """The command, or else the request, decides about a run without viewers."""
        for asked in OnDisconnect:
            run = self.submit(on_disconnect=asked)
            self.assertIs(run.record.on_disconnect, asked)
            self.last.exit()
        self.begin(limited(on_disconnect=OnDisconnect.KEEP))
        run = self.submit(on_disconnect=OnDisconnect.CANCEL)
        self.assertIs(run.record.on_disconnect, OnDisconnect.KEEP)

    def test_nobody_comes(self) -> None:
        """
        A run that requires a viewer, but never had one, is cancelled after the grace
        time.
        """
        linger = FIRST_VIEWER_GRACE + 1
        for limit, seconds in ((0.0, FIRST_VIEWER_GRACE), (linger, linger)):
            self.begin(limited(linger=limit))
            self.submit(on_disconnect=OnDisconnect.CANCEL)
            self.clock.advance(seconds - 0.1)
            self.assertEqual(self.last.child.signals, [])
            self.clock.advance(0.2)
            self.assertEqual(self.last.child.signals, ["SIGTERM", "SIGCONT"])
            self.last.exit(None, 15)
        self.submit()
        self.clock.advance(3600)
        self.assertEqual(self.last.child.signals, [])

    def test_events(self) -> None:
        """A run is reported when it is created, starts and ends, in this order."""
        run = self.submit()
        self.last.exit(3)
        said = [json.loads(each.data) for each in self.registry.events.read(0)]
        told = [(each["event"], each["run"]["state"]) for each in said]
        self.assertEqual(
            told, [("created", "running"), ("started", "running"), ("ended", "exited")]
        )
        self.assertEqual({each["run"]["id"] for each in said}, {run.id})


class EndTests(RegistryTestCase):
    """The end of a run is durable before anyone is told."""

    def test_durable_first(self) -> None:
        """A run has ended for others once its end is recorded."""
        run = self.submit()
        self.thread.manual = True
        self.last.exit(3)
        self.assertIs(run.record.state, State.RUNNING)
        self.assertFalse(run.log.closed)
        self.assertIn(run.id, self.registry.active)
        self.thread.finish()
        self.assertIs(run.record.state, State.EXITED)
        self.assertTrue(run.log.closed)
        self.assertEqual(self.kept(run.id), run.record)
        self.assert_nothing_left()

    def test_ending(self) -> None:
        """A run that is ending can be neither cancelled nor signalled."""
        run = self.submit()
        self.thread.manual = True
        self.last.exit()
        for asked in (self.registry.cancel(run.id), self.registry.signal(run.id, 15)):
            error = self.failureResultOf(Deferred.fromCoroutine(asked), RunNotRunning)
            self.assertIn("it is ending", error.getErrorMessage())
        self.assertEqual(self.last.child.signals, [])
        self.thread.finish()

    def test_found_later(self) -> None:
        """A run that has ended is found as it was, and its output with it."""
        run = self.submit()
        self.last.say(b"hello")
        self.last.run.finished(ExitStatus(0, None, cpu=0.25, memory=4096))
        found = self.successResultOf(self.registry.find(run.id))
        assert isinstance(found, EndedRun)
        self.assertEqual(found.record, run.record)
        self.assertEqual((found.record.cpu, found.record.memory), (0.25, 4096))
        self.assertEqual(text(found.log), b"hello")
        self.assertTrue(found.log.closed)
        self.assertIs(self.successResultOf(self.registry.find(run.id)), found)
        viewer = Reader()
        found.attach(viewer)
        found.apply_backpressure()
        found.detach(viewer)
        self.assert_nothing_left()

    def test_found_by_two_at_once(self) -> None:
        """Concurrent look-ups of the same ended run share its log."""
        run = self.submit()
        self.last.exit()
        self.thread.manual = True
        asked = [Deferred.fromCoroutine(self.registry.find(run.id)) for _ in range(2)]
        self.thread.finish()
        one, other = (self.successResultOf(each) for each in asked)
        self.assertIs(one, other)

    def test_forgotten_when_nobody_looks(self) -> None:
        """An ended run stays in memory only while it is used."""
        run_id = self.submit().id
        self.last.exit()
        self.spawn.started.clear()
        self.successResultOf(self.registry.find(run_id))
        gc.collect()
        self.assertEqual(dict(self.registry._history._ended), {})

    def test_expired(self) -> None:
        """When the limit of ended runs is exceeded, the oldest is deleted."""
        self.begin(evolve(CONFIG, keep=Retention(age=60, runs=2, bytes=1 << 20)))
        ids = []
        for _ in range(3):
            ids.append(self.submit().id)
            self.last.exit()
        self.failureResultOf(self.registry.find(ids[0]), RunUnknown)
        self.clock.advance(61)
        self.successResultOf(self.registry.tidy())
        self.assertEqual(self.database.page(RunQuery(10)), [])

    def test_tidy_fails(self) -> None:
        """A failed clean-up of old runs is harmless."""
        self.thread.broken = True
        self.successResultOf(self.registry.tidy())
        self.thread.broken = False
        self.successResultOf(self.registry.tidy())
