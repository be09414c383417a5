"""Tests for L{shellstream.runs.registry}: running, waiting, joining and replacing."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.model.errors import Busy, CannotRecord, CannotStart, TooManyWaiting
from shellstream.model.events import Reason, State
from shellstream.model.limits import WhenBusy
from shellstream.model.run_record import RunQuery
from shellstream.runs.history import RETRY
from shellstream.security.authorization import EVERYTHING, Caller, Principal
from tests.support.registries import BusyTestCase, run_request


class RejectTests(BusyTestCase):
    """At its limits a registry may reject a request."""

    def test_in_all(self) -> None:
        """At the limit nothing starts, and the error has a time to retry."""
        self.submit()
        self.submit("echo", [("x", "1")])
        error = self.failureResultOf(self.ask(), Busy).value
        self.assertEqual(error.headers, {"Retry-After": "5"})
        self.assertIn("2 commands are running already", str(error))
        self.assertEqual(len(self.spawn.started), 2)
        self.assertEqual(len(self.database.page(RunQuery(10))), 2)
        self.spawn.started[0].exit()
        self.submit()
        self.assertEqual(len(self.spawn.started), 3)

    def test_of_a_command(self) -> None:
        """A command that runs often enough does not keep others from running."""
        self.begin(self.one())
        self.submit()
        error = self.failureResultOf(self.ask(), Busy).value
        self.assertIn(
            "'say' is running already, as often as its max_running (1) allows",
            str(error),
        )
        self.submit("echo", [("x", "1")])

    def test_place_taken_at_once(self) -> None:
        """
        A run that is being recorded has its place already, and gives it back on
        failure.
        """
        self.begin(self.one())
        self.record_first()
        first = self.ask()
        self.failureResultOf(self.ask(), Busy)
        self.thread.broken = True
        self.thread.step()
        self.failureResultOf(first, CannotRecord)
        self.thread.broken = False
        self.thread.finish()
        self.submit()

    def test_until_it_is_over(self) -> None:
        """The place of a run whose end is being written down is free."""
        self.begin(self.one())
        self.submit()
        self.thread.manual = True
        self.last.exit()
        asked = self.ask()
        self.thread.finish()
        self.successResultOf(asked)
        self.assertEqual(len(self.spawn.started), 2)


class QueueTests(BusyTestCase):
    """At its limits a registry may queue a request."""

    when_busy = WhenBusy.QUEUE

    def test_in_order(self) -> None:
        """Queued runs start as soon as there is room, in the order of requests."""
        runs = [self.submit() for _ in range(5)]
        self.assertEqual(self.queue(), runs[2:])
        for index, run in enumerate(runs[2:]):
            self.assertEqual(len(self.spawn.started), index + 2)
            self.spawn.started[index].exit()
            self.assertIs(self.last.run, run)
            kept = self.kept(run.id)
            self.assertEqual((kept.state, kept.pid), (State.RUNNING, 4242))
        for started in self.spawn.started[3:]:
            started.exit()
        self.assert_nothing_left()

    def test_no_head_of_the_line(self) -> None:
        """A command that has room does not wait behind one without room."""
        self.begin(evolve(self.one(), max_running=3))
        self.submit()
        waiting = self.submit()
        self.submit("echo", [("x", "1")])
        self.assertEqual(self.last.command.name, "echo")
        self.assertEqual(self.queue(), [waiting])

    def test_full(self) -> None:
        """The queue is bounded; a run that leaves it makes room."""
        self.begin(evolve(self.config, max_queued=2))
        runs = [self.submit() for _ in range(4)]
        error = self.failureResultOf(self.ask(), Busy).value
        self.assertIn("2 runs are waiting already", str(error))
        self.successResultOf(self.registry.cancel(runs[3].id))
        self.submit()
        self.assertEqual(len(self.spawn.started), 2)

    def test_share(self) -> None:
        """One principal cannot fill the queue, and its refused run leaves nothing."""
        self.begin(evolve(self.config, max_queued=4))

        def ask(name: str) -> Deferred[Any]:
            by = Caller(Principal(name=name, grant=EVERYTHING, credential="token 1"))
            request = evolve(run_request(self.config), by=by)
            return Deferred.fromCoroutine(self.registry.submit(request))

        runs = [self.successResultOf(ask("ann"))[0] for _ in range(5)]
        error = self.failureResultOf(ask("ann"), TooManyWaiting).value
        self.assertEqual(error.status, 429)
        runs.append(self.successResultOf(ask("bob"))[0])
        self.assertEqual(list(self.registry.active.values()), runs)

    def test_cancelled(self) -> None:
        """A run cancelled in the queue never starts, and that is recorded."""
        runs = [self.submit() for _ in range(3)]
        self.successResultOf(self.registry.cancel(runs[2].id))
        kept = self.kept(runs[2].id)
        self.assertEqual((kept.state, kept.reason), (State.CANCELLED, Reason.CANCELLED))
        self.assertTrue(runs[2].log.closed)
        self.spawn.started[0].exit()
        self.assertEqual(len(self.spawn.started), 2)

    def test_cancelled_while_admitted(self) -> None:
        """The same for a run whose turn has come, and whose start is being recorded."""
        runs = [self.submit() for _ in range(3)]
        self.thread.manual = True
        self.spawn.started[0].exit()
        self.successResultOf(self.registry.cancel(runs[2].id))
        self.thread.finish()
        self.assertEqual(len(self.spawn.started), 2)
        self.assertIs(self.kept(runs[2].id).state, State.CANCELLED)
        self.submit()
        self.assertEqual(len(self.spawn.started), 3)

    def test_room_while_written_down(self) -> None:
        """A run that gets room before it is recorded starts as soon as it is."""
        for _ in range(2):
            self.submit()
        self.thread.manual = True
        asked = self.ask()
        self.spawn.started[0].exit()
        self.assertEqual(len(self.spawn.started), 2)
        self.thread.finish()
        run, began = self.successResultOf(asked)
        self.assertEqual((self.last.run, began), (run, True))

    def test_cannot_start(self) -> None:
        """A queued run that cannot be started fails, and the next one is tried."""
        runs = [self.submit() for _ in range(4)]
        self.spawn.error = CannotStart("say", "its program was not found")
        self.spawn.started[0].exit()
        for run in runs[2:]:
            self.assertIs(self.kept(run.id).state, State.FAILED)
        self.spawn.error = None
        self.spawn.started[1].exit()
        self.assert_nothing_left()

    def test_cannot_be_recorded(self) -> None:
        """
        While the disk refuses that queued runs start, they wait in their order; nothing
        is started unrecorded, or it might be started twice.
        """
        runs = [self.submit() for _ in range(5)]
        self.thread.broken = True
        self.spawn.started[0].exit()
        self.assertEqual(self.queue(), runs[2:])
        self.spawn.started[1].exit()
        self.clock.advance(RETRY)
        self.assertEqual(self.queue(), runs[2:])
        self.assertEqual(len(self.spawn.started), 2)
        self.thread.broken = False
        self.clock.advance(RETRY)
        self.assertEqual([each.run for each in self.spawn.started], runs[:4])
        self.assertEqual(self.queue(), runs[4:])
        for number in range(2, 5):
            self.spawn.started[number].exit()
        states = {self.kept(run.id).state for run in runs}
        self.assertEqual(states, {State.EXITED})
        self.assert_nothing_left()

    def test_stopped_meanwhile(self) -> None:
        """A run that waits for the disk is left to the next daemon by a stop."""
        runs = [self.submit() for _ in range(3)]
        self.thread.broken = True
        self.spawn.started[0].exit()
        stopped = self.registry.supervisor.stop()
        self.spawn.started[1].exit()
        self.thread.broken = False
        self.clock.advance(RETRY)
        self.successResultOf(stopped)
        self.assert_nothing_left()
        self.assertIs(self.kept(runs[2].id).state, State.QUEUED)
        self.restart(self.config)
        self.assertEqual(self.last.run.id, runs[2].id)


class JoinTests(BusyTestCase):
    """At its limits a registry may join a request to a running run."""

    when_busy = WhenBusy.JOIN

    def test_same(self) -> None:
        """A request for the same joins the run, but only at the limit."""
        self.begin(evolve(self.one(), max_running=9))
        run = self.submit("echo", [("x", "1")])
        joined, began = self.successResultOf(self.ask("echo", [("x", "1")]))
        self.assertEqual((joined, began), (run, False))
        self.last.exit()
        self.assertIsNot(self.submit("echo", [("x", "1")]), run)

    def test_other(self) -> None:
        """A request for something else is refused."""
        self.begin(self.one())
        self.submit("echo", [("x", "1")])
        self.failureResultOf(self.ask("echo", [("x", "2")]), Busy)

    def test_at_once(self) -> None:
        """A request that comes while the first run is being recorded waits for that."""
        self.begin(self.one())
        self.thread.manual = True
        asked = [self.ask() for _ in range(3)]
        self.thread.step()
        (run, began), *others = (self.successResultOf(each) for each in asked[:1])
        self.assertTrue(began)
        self.assertEqual(others, [])
        self.thread.finish()
        for each in asked[1:]:
            self.assertEqual(self.successResultOf(each), (run, False))
        self.assertEqual(len(self.spawn.started), 1)

    def test_first_comes_to_nothing(self) -> None:
        """If the first fails, the next one starts its own run, and others join that."""
        self.begin(self.one())
        self.record_first()
        asked = [self.ask() for _ in range(3)]
        self.thread.broken = True
        self.thread.step()
        self.thread.broken = False
        self.thread.finish()
        self.failureResultOf(asked[0], CannotRecord)
        (one, began), (other, joined) = map(self.successResultOf, asked[1:])
        self.assertIs(one, other)
        self.assertEqual((began, joined), (True, False))

    def test_key(self) -> None:
        """A key that came with a joined run is for that run, however it ends."""
        self.begin(self.one())
        run = self.submit()
        self.assertIs(self.submit(key="k"), run)
        self.last.exit()
        found, began = self.successResultOf(self.ask(key="k"))
        self.assertEqual((found.record.id, began), (run.id, False))
        self.assertEqual(len(self.spawn.started), 1)


class ReplaceTests(BusyTestCase):
    """At its limits a registry may replace a running run."""

    when_busy = WhenBusy.REPLACE

    def setUp(self) -> None:
        super().setUp()
        self.begin(self.one())

    def test_replaces(self) -> None:
        """The old run is ended, and then the new run starts."""
        old = self.submit()
        new = self.submit()
        self.assertEqual(self.last.child.signals, ["SIGTERM", "SIGCONT"])
        self.assertIs(new.record.state, State.QUEUED)
        self.last.exit(None, 15)
        self.assertIs(old.record.reason, Reason.CANCELLED)
        self.assertIs(self.last.run, new)

    def test_newest(self) -> None:
        """Only the newest of several new runs is started."""
        self.submit()
        runs = [self.submit() for _ in range(3)]
        self.assertEqual(self.queue(), runs[2:])
        self.last.exit(None, 15)
        states = [run.record.state for run in runs]
        self.assertEqual(states, [State.CANCELLED] * 2 + [State.RUNNING])
        self.assertEqual(len(self.spawn.started), 2)

    def test_at_once(self) -> None:
        """The same for runs that come while the others are being recorded."""
        self.record_first()
        asked = [self.ask() for _ in range(3)]
        self.thread.finish()
        runs = [self.successResultOf(each)[0] for each in asked]
        self.assertEqual([each.run for each in self.spawn.started], runs[2:])
        for run in runs[:2]:
            self.assertIs(self.kept(run.id).state, State.CANCELLED)
        self.last.exit()
        self.assert_nothing_left()

    def test_replaced_and_not_written_down(self) -> None:
        """A replaced run that then cannot be recorded is removed once."""
        self.record_first()
        asked = [self.ask() for _ in range(2)]
        self.thread.broken = True
        self.thread.step()
        self.thread.broken = False
        self.thread.finish()
        self.failureResultOf(asked[0], CannotRecord)
        run, _ = self.successResultOf(asked[1])
        self.assertEqual(list(self.registry.active.values()), [run])
        self.last.exit()
        self.assert_nothing_left()

    def test_no_use(self) -> None:
        """A run is not ended if that would make no room."""
        self.begin(evolve(self.one(), max_running=1))
        self.submit("echo", [("x", "1")])
        self.failureResultOf(self.ask(), Busy)
        self.assertEqual(self.last.child.signals, [])

    def test_no_room_to_wait(self) -> None:
        """No run is ended if the new one would be rejected anyway."""
        config = evolve(self.one(), max_running=9, max_queued=1)
        self.begin(config)
        self.submit("echo", [("x", "1")])
        self.submit()
        self.submit("echo", [("x", "2")])
        self.failureResultOf(self.ask(), Busy)
        self.assertEqual(self.last.child.signals, [])

    def test_key(self) -> None:
        """The same request, again, does not replace its own run."""
        run = self.submit(key="k")
        self.assertIs(self.submit(key="k"), run)
        self.assertEqual(self.last.child.signals, [])
