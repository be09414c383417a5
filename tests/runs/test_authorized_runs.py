"""Tests for L{shellstream.runs.authorized_runs}: hidden runs do not exist."""

from collections.abc import Coroutine
from itertools import chain
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.config.command import Command
from shellstream.model.errors import (
    CommandUnknown,
    Forbidden,
    IdempotencyKeyReused,
    NoDefaultCommand,
    RunUnknown,
    ShellstreamError,
)
from shellstream.model.limits import Limits, WhenBusy
from shellstream.model.run_input import StdinChunk
from shellstream.model.run_record import RunQuery
from shellstream.output.interfaces import IRun
from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.runs.interfaces import IRuns
from shellstream.security.authorization import (
    ANONYMOUS_CALLER,
    EVERYTHING,
    Action,
    Caller,
    Principal,
)
from tests.support import runs_memory
from tests.support.fakes import HEAR
from tests.support.registries import CONFIG, RegistryTestCase, run_request

T = TypeVar("T")

UNKNOWN = "018f2c5e-0000-7000-8000-000000000000"
ALL = frozenset(Action)


class EverythingTests(runs_memory.MemoryRuns):
    """With all rights, the registry's contract holds."""

    def runs(self) -> IRuns:
        return AuthorizedRuns(self.registry, ANONYMOUS_CALLER, lambda entry: None)


class AuthorizedRunsTestCase(RegistryTestCase):
    """Several callers with different rights."""

    config = evolve(CONFIG, commands={**CONFIG.commands, "hear": HEAR}, max_running=9)

    def by(self, name: str = "alice", **grant: Any) -> AuthorizedRuns:
        """Return the runs as a principal with this grant gets them."""
        principal = Principal(
            name=name,
            grant=evolve(EVERYTHING, **grant),
            credential=f"token of {name}",
        )
        caller = Caller(principal, "192.0.2.1")
        return AuthorizedRuns(self.registry, caller, self.noted.append)

    def start_by(
        self, runs: AuthorizedRuns, command: str | None = "say", key: str | None = None
    ) -> Coroutine[Any, Any, tuple[IRun, bool]]:
        """A caller asks for a run of a command that it finds by its name."""
        return runs.submit(run_request(runs.config, command, key=key))

    def result(self, asked: Coroutine[Deferred[Any], Any, T]) -> T:
        """Return the result, which must be there at once."""
        return self.successResultOf(Deferred.fromCoroutine(asked))

    def run_by(self, runs: AuthorizedRuns, command: str = "say") -> str:
        """The id of a run that a caller started."""
        run: IRun = self.result(self.start_by(runs, command))[0]
        return run.record.id

    def error(self, asked: Any) -> ShellstreamError:
        """Return the error, which must be there at once."""
        failure = self.failureResultOf(Deferred.fromCoroutine(asked), ShellstreamError)
        assert isinstance(failure.value, ShellstreamError)
        return failure.value


class RunTests(AuthorizedRunsTestCase):
    """The rights to existing runs."""

    def everything(self, runs: AuthorizedRuns, run_id: str) -> dict[Action, list[Any]]:
        """Return all operations on a run, by the action that they require."""
        return {
            Action.READ: [runs.find(run_id)],
            Action.WRITE: [
                runs.feed(run_id, StdinChunk(b"x", 0, False)),
                runs.resize(run_id, 1, 1),
            ],
            Action.SIGNAL: [runs.signal(run_id, 2), runs.cancel(run_id)],
            Action.ADMIN: [runs.delete(run_id)],
        }

    def test_owner(self) -> None:
        """A run belongs to the principal that started it."""
        run_id = self.run_by(self.by())
        found = self.result(self.by("bob").find(run_id))
        self.assertEqual(found.record.principal, "alice")

    def test_forbidden(self) -> None:
        """Without the right, an existing run looks the same as an unknown one."""
        there = self.run_by(self.by())
        for action in ALL - {Action.RUN}:
            for run_id in (there, UNKNOWN, "../x"):
                runs = self.by(actions=ALL - {action})
                asked = self.everything(runs, run_id)
                for which, all_asked in asked.items():
                    for each in all_asked:
                        if which is not action:
                            each.close()
                            continue
                        error = self.error(each)
                        expected = str(Forbidden("alice", action.value))
                        self.assertEqual(str(error), expected)

    def test_hidden(self) -> None:
        """Others' runs, and those of other commands, are as if they were not there."""
        there = self.run_by(self.by())
        for runs in (
            self.by("bob", own=True),
            self.by("alice", commands=("echo", "h*")),
        ):
            for run_id in (there, UNKNOWN):
                for each in chain(*self.everything(runs, run_id).values()):
                    self.assertEqual(str(self.error(each)), str(RunUnknown(run_id)))
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, [])

    def test_own(self) -> None:
        """A principal's own runs are visible."""
        alice = self.by(own=True)
        run_id = self.run_by(alice)
        self.result(alice.find(run_id))
        self.result(alice.signal(run_id, 2))
        self.assertEqual(self.spawn.started[0].child.signals, ["SIGINT"])

    def test_page(self) -> None:
        """A list has the visible runs, page by page."""
        alice, bob = self.by(), self.by("bob")
        mine = [self.run_by(alice), self.run_by(bob, "hear"), self.run_by(alice)]
        mine.append(self.run_by(bob))

        def page(runs: AuthorizedRuns, *asked: Any) -> list[int]:
            wanted = asked or (9, None, None, None)
            return [
                mine.index(each.id)
                for each in self.result(runs.page(RunQuery(*wanted)))
            ]

        self.assertEqual(page(alice), [3, 2, 1, 0])
        self.assertEqual(page(self.by(own=True)), [2, 0])
        self.assertEqual(page(self.by(own=True), 1, mine[2], None, None), [0])
        self.assertEqual(page(self.by("bob", own=True, commands=("h?*",))), [1])
        self.assertEqual(page(self.by(commands=("hear", "none"))), [1])
        self.assertEqual(page(self.by(commands=("he",))), [])
        self.assertEqual(page(self.by(commands=("hear",)), 9, None, None, "say"), [])
        error = self.error(self.by(actions=ALL - {Action.READ}).page(RunQuery(1)))
        self.assertIsInstance(error, Forbidden)


class CommandTests(AuthorizedRunsTestCase):
    """The rights to commands."""

    def test_config(self) -> None:
        """The configuration has only the permitted commands."""
        self.assertEqual(list(self.by().config.commands), ["echo", "say", "hear"])
        some = self.by(commands=("e*", "hear")).config
        self.assertEqual((list(some.commands), some.default), (["echo", "hear"], None))
        none = self.by(actions=ALL - {Action.RUN}).config
        self.assertEqual((list(none.commands), none.default), ([], None))

    def test_command(self) -> None:
        """Another command cannot be requested, and is not suggested."""
        runs = self.by(commands=("echo",))
        self.assertIsInstance(runs.config.command("echo"), Command)
        with self.assertRaises(NoDefaultCommand):
            runs.config.command(None)
        for name in ("say", "nothing"):
            with self.assertRaises(CommandUnknown) as caught:
                runs.config.command(name)
            self.assertEqual(str(caught.exception), str(CommandUnknown(name, ["echo"])))

    def test_submit(self) -> None:
        """Another command cannot be run, by any name."""
        runs = self.by(commands=("hear",))
        for name, kind in (("say", CommandUnknown), (None, NoDefaultCommand)):
            self.assertRaises(kind, self.start_by, runs, name)
        reader = self.by(actions=frozenset({Action.READ}))
        for name in ("hear", "say"):
            self.assertRaises(CommandUnknown, self.start_by, reader, name)
        self.assertRaises(Forbidden, reader.require, Action.RUN)
        self.assertEqual(self.spawn.started, [])

    def test_keys(self) -> None:
        """Idempotency keys of different principals are independent."""
        alice, bob = self.by(), self.by("bob")
        one, _ = self.result(self.start_by(alice, key="k"))
        other, began = self.result(self.start_by(bob, key="k"))
        self.assertTrue(began)
        self.assertNotEqual(one.record.id, other.record.id)
        again, began = self.result(self.start_by(alice, key="k"))
        self.assertEqual((again.record.id, began), (one.record.id, False))


class JoinTests(AuthorizedRunsTestCase):
    """The rights of a request that may join a run."""

    limits = Limits(max_running=1, when_busy=WhenBusy.JOIN)
    config = evolve(
        CONFIG,
        commands={"say": evolve(CONFIG.commands["say"], limits=limits)},
        max_running=9,
    )

    def test_join(self) -> None:
        """A request never joins a run that its caller may not see."""
        alice = self.run_by(self.by(own=True))
        self.assertEqual(self.run_by(self.by("bob")), alice)
        self.assertEqual(self.run_by(self.by("alice", own=True)), alice)
        error = self.error(self.start_by(self.by("bob", own=True)))
        self.assertEqual(error.status, 503)

    def test_key(self) -> None:
        """A key belongs to its sender, even if the run belongs to another."""
        alice, bob = self.by(), self.by("bob")
        theirs = self.run_by(alice)
        joined, _ = self.result(self.start_by(bob, key="k"))
        self.assertEqual(joined.record.id, theirs)
        self.spawn.started[-1].exit()
        again, _ = self.result(self.start_by(bob, key="k"))
        self.assertEqual(again.record.id, theirs)
        run, began = self.result(self.start_by(alice, key="k"))
        self.assertTrue(began)
        self.assertNotEqual(run.record.id, theirs)

    def test_key_of_another(self) -> None:
        """A token with the same name but other grants sees no more."""
        self.run_by(self.by())
        self.result(self.start_by(self.by("bob"), key="k"))
        error = self.error(self.start_by(self.by("bob", own=True), key="k"))
        self.assertIsInstance(error, IdempotencyKeyReused)


class NoticeTests(AuthorizedRunsTestCase):
    """Events are shared by all; each reader filters them by its rights."""

    def test_allows(self) -> None:
        runs = self.by(own=True, commands=("say",))
        self.assertTrue(runs.allows(Action.READ, "say", "alice"))
        self.assertFalse(runs.allows(Action.READ, "say", "bob"))
        self.assertFalse(runs.allows(Action.READ, "echo", "alice"))
        self.assertIs(runs.events, self.registry.events)
