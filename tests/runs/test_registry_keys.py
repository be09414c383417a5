"""Tests for L{shellstream.runs.registry}: a request that comes again with its key."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.model.errors import (
    Busy,
    CannotRecord,
    CannotStart,
    IdempotencyKeyReused,
    RunForgotten,
    TooManyKeys,
)
from shellstream.model.events import State
from shellstream.model.run_record import Retention, RunQuery
from shellstream.runs.run import Child
from tests.support.fakes import FakeSpawn
from tests.support.registries import CONFIG, BusyTestCase


class KeyTests(BusyTestCase):
    """An C{Idempotency-Key} makes it safe to ask again."""

    def test_again(self) -> None:
        """A request repeated with its key leads to the same run, even an ended one."""
        run = self.submit("echo", [("x", "1")], "k")
        for _ in range(2):
            again, began = self.successResultOf(self.ask("echo", [("x", "1")], "k"))
            self.assertEqual((again.record.id, began), (run.id, False))
            if not run.has_ended:
                self.last.exit()
        self.assertEqual(len(self.spawn.started), 1)

    def test_other_order(self) -> None:
        """Another request with the same key is refused, and starts nothing."""
        self.submit("echo", [("x", "1")], "k")
        self.failureResultOf(self.ask("echo", [("x", "2")], "k"), IdempotencyKeyReused)
        self.failureResultOf(self.ask("say", [], "k"), IdempotencyKeyReused)
        self.assertEqual(len(self.spawn.started), 1)
        self.assertEqual(len(self.registry.active), 1)

    def test_too_many(self) -> None:
        """A request with a key too many is refused, and leaves no run behind."""
        self.begin(evolve(CONFIG, keep=Retention(keys=1)))
        first = self.submit(key="k")
        self.failureResultOf(self.ask(key="l"), TooManyKeys)
        self.assertEqual(list(self.registry.active), [first.id])
        (only,) = self.database.page(RunQuery(9))
        self.assertEqual(only.id, first.id)
        self.submit()  # without a key

    def test_default(self) -> None:
        """A request that names no command differs from one that names the default."""
        self.submit(key="k")
        self.failureResultOf(self.ask("say", [], "k"), IdempotencyKeyReused)

    def test_at_once(self) -> None:
        """
        Of simultaneous requests with one key, one begins the run and the others get it.
        """
        self.begin(self.one())
        self.thread.manual = True
        asked = [self.ask(key="k") for _ in range(3)]
        self.assertEqual(self.spawn.started, [])
        self.thread.finish()
        (run, began), *others = map(self.successResultOf, asked)
        self.assertTrue(began)
        self.assertEqual(others, [(run, False)] * 2)
        self.assertEqual(len(self.spawn.started), 1)
        self.assertEqual(list(self.registry.active), [run.id])

    def test_while_it_is_launched(self) -> None:
        """A request waits in peace while the process of the first one is started."""
        launched: Deferred[None] = Deferred()
        spawn = FakeSpawn.__call__

        async def spawn_slowly(*given: Any) -> Child:
            await launched
            return await spawn(*given)

        self.patch(FakeSpawn, "__call__", spawn_slowly)
        self.thread.manual = True
        asked = [self.ask(key="k") for _ in range(3)]
        for _ in range(9):
            if self.thread.waiting:
                self.thread.step()
        self.assertEqual(self.thread.waiting, [])
        launched.callback(None)
        self.thread.finish()
        (run, _), *others = map(self.successResultOf, asked)
        self.assertEqual(others, [(run, False)] * 2)
        self.assertEqual(len(self.spawn.started), 1)

    def test_at_once_and_in_vain(self) -> None:
        """If the first request fails, the other begins the run."""
        self.thread.manual = True
        asked = [self.ask(key="k") for _ in range(2)]
        self.thread.broken = True
        self.thread.step()
        self.failureResultOf(asked[0], CannotRecord)
        self.thread.broken = False
        self.thread.finish()
        run, began = self.successResultOf(asked[1])
        self.assertEqual((self.last.run, began), (run, True))

    def test_busy(self) -> None:
        """
        A repeated key finds its run also when all is busy; a rejected key can be
        reused.
        """
        self.begin(self.one())
        run = self.submit(key="k")
        self.assertIs(self.submit(key="k"), run)
        self.failureResultOf(self.ask(key="other"), Busy)
        self.last.exit()
        self.assertIsNot(self.submit(key="other"), run)

    def test_forgotten(self) -> None:
        """A deleted run is not run again for its key, and the error says so."""
        run = self.submit(key="k")
        self.last.exit()
        self.successResultOf(self.registry.delete(run.id))
        error = self.failureResultOf(self.ask(key="k"), RunForgotten).value
        self.assertEqual(error.extensions, {"run": run.id})
        self.assertIn("nothing was run again", str(error))
        self.assertEqual(len(self.spawn.started), 1)

    def test_cannot_start(self) -> None:
        """A run that could not be started is not started again for its key."""
        self.spawn.error = CannotStart("say", "its program was not found")
        run, began = self.successResultOf(self.ask(key="k"))
        self.assertEqual((run.record.state, began), (State.FAILED, True))
        self.spawn.error = None
        again, began = self.successResultOf(self.ask(key="k"))
        self.assertEqual((again.record, began), (run.record, False))
        self.assertEqual(self.spawn.started, [])

    def test_no_room(self) -> None:
        """A request that was refused for lack of room can be repeated with its key."""
        self.spawn.error = Busy("the machine has no room for a process", 5)
        self.failureResultOf(self.ask(key="k"), Busy)
        (failed,) = self.database.page(RunQuery(10))
        self.assertIs(failed.state, State.FAILED)
        self.spawn.error = None
        run, began = self.successResultOf(self.ask(key="k"))
        self.assertEqual((self.last.run, began), (run, True))

    def test_stopping(self) -> None:
        """The same at the next daemon, for a request that a stop refused."""
        self.thread.manual = True
        asked = self.ask(key="k")
        self.registry.supervisor.stop()
        self.thread.finish()
        self.failureResultOf(asked, Busy)
        self.restart(CONFIG)
        run, began = self.successResultOf(self.ask(key="k"))
        self.assertEqual((self.last.run, began), (run, True))
