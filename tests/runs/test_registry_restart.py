"""Tests for L{shellstream.runs.registry}.

What the next daemon makes of the last one's.
"""

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.config.loader import Config
from shellstream.model.errors import Busy, CannotRecord, RunActive, RunNotRunning
from shellstream.model.events import OnDisconnect, Reason, State
from shellstream.model.limits import WhenBusy
from shellstream.model.run_input import StdinChunk, StdinState, Tty
from shellstream.model.run_record import RunQuery
from shellstream.runs.history import RETRY
from shellstream.runs.interfaces import RunRequest
from shellstream.security.audit import AuditAction
from tests.support.fakes import ECHO, HEAR, SAY
from tests.support.registries import CONFIG, Reader, RegistryTestCase, limited

QUEUEING = limited(when_busy=WhenBusy.QUEUE)


class LostTests(RegistryTestCase):
    """A run is lost if its daemon was killed, and is never run again."""

    def test_lost(self) -> None:
        """The run is lost after the restart, and nothing replaces it."""
        run = self.submit()
        self.clock.advance(60)
        self.restart(CONFIG)
        kept = self.kept(run.id)
        self.assertEqual((kept.state, kept.ended), (State.LOST, self.registry.wall()))
        self.assertEqual((kept.started, kept.pid), (run.record.started, 4242))
        self.assertEqual(self.spawn.started, [])
        self.assert_nothing_left()
        found = self.successResultOf(self.registry.find(run.id))
        self.assertEqual(found.record, kept)

    def test_once(self) -> None:
        """A lost run stays unchanged over the next restart."""
        run = self.submit()
        self.restart(CONFIG)
        kept = self.kept(run.id)
        self.clock.advance(60)
        self.restart(CONFIG)
        self.assertEqual(self.kept(run.id), kept)

    def test_cannot_be_written_down(self) -> None:
        """A run is shown as lost even while that cannot be recorded."""
        run_id = self.submit().id
        self.restart(CONFIG, recover=False)
        self.thread.broken, self.thread.works = True, 1
        self.recover()
        self.thread.broken = False
        self.assertIs(self.kept(run_id).state, State.RUNNING)
        found = self.successResultOf(self.registry.find(run_id))
        self.assertIs(found.record.state, State.LOST)
        (listed,) = self.successResultOf(self.registry.page(RunQuery(10)))
        self.assertEqual(listed, found.record)
        self.failureResultOf(self.registry.cancel(run_id), RunNotRunning)
        self.clock.advance(RETRY)
        self.assertEqual(self.kept(run_id), found.record)
        self.assert_nothing_left()

    def test_newest_id(self) -> None:
        """Ids go on above those of before, though the clock was set back."""
        run = self.submit()
        self.clock.rightNow -= 3600
        self.restart(CONFIG)
        self.assertGreater(self.submit().id, run.id)


class LeftRunningTests(RegistryTestCase):
    """Processes of lost runs count as running until they are gone."""

    config = limited(when_busy=WhenBusy.QUEUE, max_running=1)

    def recover_with(self, config: Config, *left: str) -> None:
        """Start another daemon, which finds processes of these runs."""
        self.restart(config, recover=False)
        recovering = self.registry.recover(lambda lost: left)
        self.successResultOf(Deferred.fromCoroutine(recovering))

    def ends(self) -> list[str | None]:
        """Return the runs whose ends are in the audit of this daemon."""
        return [each.run for each in self.noted if each.action is AuditAction.END]

    def test_place(self) -> None:
        """A queued run starts once the processes of the lost one are gone."""
        first, second = self.submit(), self.submit()
        self.recover_with(self.config, first.id)
        self.assertEqual(self.spawn.started, [])
        self.assertIs(self.kept(second.id).state, State.QUEUED)
        self.registry.processes_gone(first.id)
        self.assertEqual(self.last.run.id, second.id)
        self.assertEqual(self.ends(), [first.id])
        self.last.exit()
        self.assert_nothing_left()

    def test_killed_again(self) -> None:
        """
        If the next daemon is killed before they are gone, the one after it finds them
        again; the run is lost for clients from the first moment, and ends once.
        """
        run_id = self.submit().id
        for _ in range(3):
            self.recover_with(self.config, run_id)
            found = self.successResultOf(self.registry.find(run_id))
            self.assertIs(found.record.state, State.LOST)
            (listed,) = self.successResultOf(self.registry.page(RunQuery(10)))
            self.assertEqual(listed, found.record)
            self.assertEqual(self.ends(), [])
            self.assertIs(self.kept(run_id).state, State.RUNNING)
        self.registry.processes_gone(run_id)
        self.assertEqual(self.kept(run_id), found.record)
        self.assertEqual(self.ends(), [run_id])
        self.recover_with(self.config)
        self.assertEqual(self.ends(), [])

    def test_others(self) -> None:
        """They take places in all, too; a run without processes takes none."""
        config = limited(when_busy=WhenBusy.REJECT, max_running=2)
        self.begin(config)
        runs = [self.submit(), self.submit()]
        self.recover_with(config, runs[0].id)
        self.assertIs(self.kept(runs[1].id).state, State.LOST)
        self.submit("echo", [("x", "1")])
        self.failureResultOf(self.ask(), Busy)
        self.registry.processes_gone(runs[0].id)
        self.submit()

    def test_replace(self) -> None:
        """A run that would replace one waits until what is left of it has ended."""
        config = limited(when_busy=WhenBusy.REPLACE, max_running=1)
        self.begin(config)
        first = self.submit()
        self.recover_with(config, first.id)
        second = self.submit()
        self.assertIs(second.record.state, State.QUEUED)
        self.registry.processes_gone(first.id)
        self.assertIs(second.record.state, State.RUNNING)

    def test_delete(self) -> None:
        """Such a run cannot be deleted yet."""
        run_id = self.submit().id
        self.recover_with(self.config, run_id)
        self.failureResultOf(self.registry.delete(run_id), RunActive)
        self.registry.processes_gone(run_id)
        self.successResultOf(Deferred.fromCoroutine(self.registry.delete(run_id)))


class QueuedTests(RegistryTestCase):
    """A queued run is run by the next daemon."""

    config = QUEUEING

    def test_in_order(self) -> None:
        """Queued runs start in order, as far as there is room."""
        runs = [self.submit("echo", [("x", str(n))]) for n in range(5)]
        self.clock.advance(60)
        self.restart(QUEUEING)
        states = [self.kept(run.id).state for run in runs]
        self.assertEqual(
            states, [State.LOST] * 2 + [State.RUNNING] * 2 + [State.QUEUED]
        )
        first, second = self.spawn.started
        self.assertEqual(first.invocation.argv, ("echo", "2"))
        self.assertEqual(second.run.id, runs[3].id)
        self.assertEqual(self.kept(first.run.id).created, runs[2].record.created)
        second.exit()
        self.assertEqual(self.last.run.id, runs[4].id)
        first.exit()
        self.last.exit()
        self.assert_nothing_left()

    def test_restart_in_between(self) -> None:
        """A run whose turn had come is not started a second time."""
        runs = [self.submit() for _ in range(3)]
        self.spawn.started[0].exit()
        self.restart(QUEUEING)
        self.assertEqual(self.spawn.started, [])
        self.assertIs(self.kept(runs[2].id).state, State.LOST)

    def test_input(self) -> None:
        """A queued run keeps its input and its terminal over a restart."""
        hear = evolve(HEAR, limits=evolve(HEAR.limits, when_busy=WhenBusy.QUEUE))
        config = evolve(QUEUEING, commands={"hear": hear}, default="hear")
        self.begin(config)
        size = Tty(rows=50, columns=132, term="vt100")
        for wish in ((False, None), (False, None), (True, None), (False, size)):
            asked = RunRequest(hear, (), OnDisconnect.KEEP, None, *wish)
            self.successResultOf(Deferred.fromCoroutine(self.registry.submit(asked)))
        self.restart(config)
        made = [each.invocation for each in self.spawn.started]
        self.assertEqual([each.stdin for each in made], [True, True])
        self.assertEqual([each.tty for each in made], [None, size])
        first, second = (each.run for each in self.spawn.started)
        self.assertEqual(first.record.stdin, StdinState())
        self.assertEqual(second.record.tty, size)
        self.successResultOf(first.feed(StdinChunk(b"abc")))
        self.restart(config)  # the daemon's memory is gone
        lost = self.kept(first.id)
        self.assertIs(lost.state, State.LOST)
        self.assertEqual(lost.stdin, StdinState(offset=None, open=False))

    def test_input_not_allowed_any_more(self) -> None:
        """A queued run does not get input that the operator has forbidden since."""
        hear = evolve(HEAR, limits=evolve(HEAR.limits, when_busy=WhenBusy.QUEUE))
        config = evolve(QUEUEING, commands={"hear": hear}, default="hear")
        self.begin(config)
        for _ in range(3):
            asked = RunRequest(hear, (), OnDisconnect.KEEP, stdin=True)
            run, _ = self.successResultOf(
                Deferred.fromCoroutine(self.registry.submit(asked))
            )
        self.restart(evolve(config, commands={"hear": evolve(hear, stdin=False)}))
        kept = self.kept(run.record.id)
        self.assertIs(kept.state, State.FAILED)
        self.assertIn("stdin: is not allowed for 'hear'", kept.failure or "")

    def assert_changed(self, config: Config, words: str) -> None:
        """Check that the queued run fails under this configuration."""
        self.begin(QUEUEING)
        runs = [self.submit("echo", [("x", "1")]) for _ in range(3)]
        self.restart(config)
        kept = self.kept(runs[2].id)
        self.assertIs(kept.state, State.FAILED)
        self.assertIn("the configuration has changed", kept.failure or "")
        self.assertIn(words, kept.failure or "")
        self.assertEqual(kept.ended, self.registry.wall())
        self.assertEqual(self.spawn.started, [])
        self.assert_nothing_left()

    def test_changed(self) -> None:
        """A queued run whose command was removed or changed fails with the reason."""
        self.assert_changed(evolve(CONFIG, commands={"say": SAY}), "no command 'echo'")
        echo = evolve(ECHO, argv=("echo",), params={})
        changed = evolve(CONFIG, commands={"echo": echo, "say": SAY})
        self.assert_changed(changed, "x: is not a parameter")

    def test_changed_and_cannot_be_written_down(self) -> None:
        """A run is shown as failed even while that cannot be recorded."""
        for _ in range(3):
            last = self.submit().id
        self.restart(evolve(CONFIG, commands={"echo": ECHO}), recover=False)
        self.thread.broken, self.thread.works = True, 1
        self.recover()
        self.thread.broken = False
        found = self.successResultOf(self.registry.find(last))
        self.assertIs(found.record.state, State.FAILED)
        self.clock.advance(RETRY)
        self.assertEqual(self.kept(last), found.record)
        self.assert_nothing_left()

    def test_nobody_comes_back(self) -> None:
        """A run that requires a viewer gives it some time to come back."""
        self.begin(evolve(QUEUEING, max_running=1))
        for _ in range(3):
            last = self.submit(on_disconnect=OnDisconnect.CANCEL)
        self.restart(evolve(QUEUEING, max_running=1))
        self.clock.advance(SAY.limits.linger)
        self.assertEqual(self.last.child.signals, ["SIGTERM", "SIGCONT"])
        kept = self.kept(last.id)
        self.assertEqual(
            (kept.state, kept.reason), (State.CANCELLED, Reason.DISCONNECTED)
        )
        self.last.exit(None, 15)
        self.assert_nothing_left()

    def test_key(self) -> None:
        """The same key after the restart finds the same run, in any state."""
        orders = [("echo", [("x", str(n))], f"k{n}") for n in range(3)]
        ids = [self.submit(*each).id for each in orders]
        self.restart(QUEUEING)
        for each, run_id in zip(orders, ids, strict=True):
            run, began = self.successResultOf(self.ask(*each))
            self.assertEqual((run.record.id, began), (run_id, False))
        self.assertEqual(len(self.spawn.started), 1)


class StopTests(RegistryTestCase):
    """A daemon that stops leaves its queue to the next one."""

    config = QUEUEING

    def test_stays_queued(self) -> None:
        """A stop cuts off the viewers of a queued run, which the next daemon starts."""
        runs = [self.submit() for _ in range(4)]
        viewer = Reader()
        runs[3].attach(viewer)
        stopped = self.registry.supervisor.stop()
        self.assertEqual(viewer.cuts, 1)
        for started in self.spawn.started:
            started.exit(None, 15)
        self.successResultOf(stopped)
        self.assertEqual(len(self.spawn.started), 2)
        self.assert_nothing_left()
        self.assertEqual(
            [self.kept(run.id).state for run in runs],
            [State.SIGNALED] * 2 + [State.QUEUED] * 2,
        )
        self.restart(QUEUEING)
        self.assertEqual(
            [each.run.id for each in self.spawn.started], [run.id for run in runs[2:]]
        )

    def test_hurry(self) -> None:
        """The same if the stop leaves no time at all."""
        runs = [self.submit() for _ in range(3)]
        self.registry.supervisor.hurry()
        self.spawn.started[0].exit(None, 15)
        stopped = self.registry.supervisor.stop()
        self.spawn.started[1].exit(None, 15)
        self.successResultOf(stopped)
        self.assertEqual(len(self.spawn.started), 2)
        self.assertIs(self.kept(runs[2].id).state, State.QUEUED)

    def assert_stays_queued(self, *stops: str) -> None:
        """Check that a run whose turn comes during the stop stays queued."""
        runs = [self.submit() for _ in range(3)]
        viewer = Reader()
        runs[2].attach(viewer)
        self.thread.manual = True
        self.spawn.started[0].exit()
        self.assertIs(runs[2].record.state, State.RUNNING)
        stopped = self.registry.supervisor.stop()
        for stop in stops:
            getattr(self.registry.supervisor, stop)()
        self.thread.finish()
        self.assertEqual((len(self.spawn.started), viewer.cuts), (2, 1))
        self.spawn.started[1].exit(None, 15)
        self.successResultOf(stopped)
        self.assert_nothing_left()
        self.assertIs(self.kept(runs[2].id).state, State.QUEUED)
        self.restart(QUEUEING)
        self.assertIs(self.kept(runs[2].id).state, State.RUNNING)
        self.assertEqual(self.last.run.id, runs[2].id)

    def test_turn_comes(self) -> None:
        """The same if its turn comes in that moment, however short that is."""
        for drain, stops in ((0.0, ()), (10.0, ()), (10.0, ("hurry",))):
            self.begin(evolve(QUEUEING, drain=drain))
            self.assert_stays_queued(*stops)

    def test_turn_comes_and_cancelled(self) -> None:
        """A run that was cancelled during the stop does not stay queued."""
        runs = [self.submit() for _ in range(3)]
        self.thread.manual = True
        self.spawn.started[0].exit()
        self.successResultOf(Deferred.fromCoroutine(self.registry.cancel(runs[2].id)))
        self.registry.supervisor.stop()
        self.thread.finish()
        self.assertIs(self.kept(runs[2].id).state, State.CANCELLED)

    def test_turn_comes_while_disk_fails(self) -> None:
        """If that cannot be recorded, the run stays queued as it was."""
        runs = [self.submit() for _ in range(3)]
        self.thread.manual = True
        self.spawn.started[0].exit()
        stopped = self.registry.supervisor.stop()
        self.thread.broken = True
        self.thread.finish()
        self.spawn.started[1].exit(None, 15)
        self.clock.advance(RETRY)
        self.successResultOf(stopped)
        self.assertIs(self.kept(runs[2].id).state, State.QUEUED)

    def test_comes_to_nothing(self) -> None:
        """A stop ends even if a run that it waits for is never recorded."""
        self.begin(evolve(QUEUEING, drain=10.0))
        self.record_first()
        asked = self.ask()
        stopped = self.registry.supervisor.stop()
        self.thread.broken = True
        self.thread.finish()
        self.failureResultOf(asked, CannotRecord)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def assert_refused(self, queued: bool) -> None:
        """A run that a stop refuses is not run later."""
        for _ in range(2 if queued else 1):
            self.submit()
        self.record_first()
        asked = self.ask()
        stopped = self.registry.supervisor.stop()
        self.assertNoResult(asked)
        self.thread.finish()
        self.failureResultOf(asked, Busy)
        for started in self.spawn.started:
            started.exit(None, 15)
        self.successResultOf(stopped)
        self.assert_nothing_left()
        self.restart(QUEUEING)
        self.assertEqual(self.spawn.started, [])

    def test_refused(self) -> None:
        """A stop refuses a run that would start at once, and one that would wait."""
        for queued in (False, True):
            self.begin(QUEUEING)
            self.assert_refused(queued)

    def test_nothing_left_open(self) -> None:
        """After the stop nothing waits for the disk."""
        self.submit()
        self.thread.manual = True
        stopped = self.registry.supervisor.stop()
        self.last.exit(None, 15)
        self.assertNoResult(stopped)
        self.thread.finish()
        self.successResultOf(stopped)
        self.assertEqual(self.thread.waiting, [])
