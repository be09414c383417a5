"""Tests for L{shellstream.runs.registry}.

What it notes of runs, and secret parameters.
"""

from os.path import normpath
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.config.command import MASK
from shellstream.config.loader import Config
from shellstream.config.parameters import Integer, Path
from shellstream.model.errors import Busy, IdempotencyKeyReused, ParametersRefused
from shellstream.model.events import OnDisconnect, State
from shellstream.model.limits import WhenBusy
from shellstream.model.run_record import RunQuery, RunRecord, to_document
from shellstream.runs.interfaces import RunRequest
from shellstream.security.audit import AuditAction
from shellstream.security.authorization import (
    ANONYMOUS_CALLER,
    EVERYTHING,
    Caller,
    Principal,
)
from shellstream.storage.state.queued_secrets import QueuedSecrets
from tests.support.fakes import ECHO, SAY
from tests.support.registries import CONFIG, LOGIN, SECRET, RegistryTestCase, limited

GIVEN = (("who", "me"), ("password", SECRET))
SECRETS = {"password": SECRET, "pin": "0000"}
MASKED = {"who": "me", "password": MASK, "pin": MASK}
CI = Caller(Principal(name="ci", grant=EVERYTHING, credential="token 1"), "192.0.2.1")


class AuditedTests(RegistryTestCase):
    """Each start and each end of a run is audited once."""

    def new_entries(self) -> list[tuple[Any, ...]]:
        """Return the new audit entries, with their runs."""
        found = [
            (each.action.value, each.run, each.facts.get("state"))
            for each in self.noted
        ]
        self.noted.clear()
        return found

    def test_whole(self) -> None:
        """A start is audited with its caller, an end with its outcome."""
        asked = RunRequest(ECHO, [("x", "1")], OnDisconnect.KEEP, by=CI)
        run, _ = self.successResultOf(
            Deferred.fromCoroutine(self.registry.submit(asked))
        )
        (started,) = self.noted
        self.assertEqual(
            (started.principal, started.credential, started.address),
            ("ci", "token 1", "192.0.2.1"),
        )
        self.assertEqual((started.action, started.command), (AuditAction.START, "echo"))
        self.assertEqual((started.params, run.record.principal), ({"x": "1"}, "ci"))
        self.spawn.started[-1].exit(None, 9)
        _, end = self.noted
        self.assertEqual(
            (end.action, end.principal, end.run), (AuditAction.END, "ci", run.record.id)
        )
        expected = {"state": "signaled", "code": None, "signal": "KILL"}
        self.assertEqual(end.facts, {**expected, "reason": None, "failure": None})

    def test_before_it_starts(self) -> None:
        """A start is audited before the process starts; a failed start has an end."""
        self.spawn.error = Busy("there is no room", 1)
        self.failureResultOf(self.ask(), Busy)
        first, second = self.new_entries()
        self.assertEqual(first[0::2], ("start", "running"))
        self.assertEqual(second, ("end", first[1], "failed"))

    def test_queued(self) -> None:
        """The same for a queued run that never starts."""
        self.begin(limited(max_running=1, when_busy=WhenBusy.QUEUE))
        first, second = self.submit(), self.submit()
        self.successResultOf(Deferred.fromCoroutine(self.registry.cancel(second.id)))
        self.assertEqual(
            self.new_entries(),
            [
                ("start", first.id, "running"),
                ("start", second.id, "queued"),
                ("end", second.id, "cancelled"),
            ],
        )

    def test_timeout(self) -> None:
        """The audit tells why the daemon ended a run."""
        self.begin(limited(timeout=1.0))
        self.submit()
        self.clock.advance(1)
        self.spawn.started[-1].exit(None, 15)
        self.assertEqual(self.noted[-1].facts["reason"], "timeout")

    def test_lost(self) -> None:
        """
        After a restart, a running run is lost, and a queued one of a removed command
        fails.
        """
        self.begin(limited(max_running=1, when_busy=WhenBusy.QUEUE))
        first, second = self.submit(), self.submit()
        self.restart(evolve(CONFIG, commands={"echo": CONFIG.commands["echo"]}))
        lost, failed = ("end", first.id, "lost"), ("end", second.id, "failed")
        self.assertEqual(self.new_entries(), [lost, failed])
        self.restart(CONFIG)
        self.assertEqual(self.new_entries(), [])

    def test_stopped(self) -> None:
        """A run that a stop ends has its end audited; a queued run has no end yet."""
        self.begin(limited(max_running=1, when_busy=WhenBusy.QUEUE))
        first, second = self.submit(), self.submit()
        self.noted.clear()
        self.registry.supervisor.stop()
        self.spawn.started[-1].exit(None, 15)
        self.assertEqual(self.new_entries(), [("end", first.id, "signaled")])
        self.restart(self.registry.config)
        self.spawn.started[-1].exit()
        self.assertEqual(self.new_entries(), [("end", second.id, "exited")])

    def test_again(self) -> None:
        """The same request with the same key starts nothing, and is not audited."""
        self.submit(key="k")
        self.noted.clear()
        self.successResultOf(self.ask(key="k"))
        self.assertEqual(self.noted, [])

    def test_joined(self) -> None:
        """A request that joins a run is audited with its caller, at each time."""
        self.begin(limited(max_running=1, when_busy=WhenBusy.JOIN))
        run = self.submit("echo", [("x", "1")])
        self.noted.clear()
        for key in (None, "k"):
            asked = RunRequest(
                self.registry.config.command("echo"),
                [("x", "1")],
                OnDisconnect.KEEP,
                key,
                by=CI,
            )
            self.successResultOf(Deferred.fromCoroutine(self.registry.submit(asked)))
        for each in self.noted:
            self.assertEqual(
                (each.action, each.principal, each.address, each.command, each.run),
                (AuditAction.JOIN, "ci", "192.0.2.1", "echo", run.id),
            )
        self.assertEqual(len(self.noted), 2)

    def test_refused(self) -> None:
        """A refusal has the command and the parameters, secret ones masked."""
        self.begin(Config(commands={"login": LOGIN}))
        given = (*GIVEN, ("passwrod", SECRET), ("who", "you"))
        failure = self.failureResultOf(self.ask("login", given), ParametersRefused)
        self.assertEqual(
            failure.value.requested, ("login", {"who": "you", "password": MASK})
        )
        self.assertNotIn(SECRET, str(failure.value))
        self.assertEqual(self.noted, [])

    def test_key_of_another(self) -> None:
        """Keys belong to their senders: the same key of another starts another run."""
        for by in (CI, ANONYMOUS_CALLER):
            asked = RunRequest(SAY, (), OnDisconnect.KEEP, "k", by=by)
            _, began = self.successResultOf(
                Deferred.fromCoroutine(self.registry.submit(asked))
            )
            self.assertTrue(began)


class SecretTests(RegistryTestCase):
    """A secret is for the command alone."""

    config = Config(commands={"login": LOGIN}, max_running=2, drain=0.0)

    def rows(self) -> str:
        """Return all rows of the database."""
        with self.database.transaction():
            tables = [
                self.database._do(f"SELECT * FROM {name}").fetchall()
                for name in ("runs", "keys")
            ]
        return repr(tables)

    def page(self) -> list[RunRecord]:
        """Return all runs, newest first."""
        asked = self.registry.page(RunQuery(10))
        return self.successResultOf(Deferred.fromCoroutine(asked))

    def test_masked(self) -> None:
        """The command gets the secret; documents and the database do not."""
        run = self.submit("login", GIVEN, key="k")
        self.assertEqual(self.spawn.started[0].invocation.env, {"who": "me", **SECRETS})
        self.assertEqual(run.record.params, MASKED)
        self.assertNotIn(SECRET, repr((run.record, run.invocation.params)))
        self.assertEqual(to_document(run.record)["params"], MASKED)
        self.assertEqual(self.noted[0].params, MASKED)
        self.assertNotIn(SECRET, self.rows())
        self.spawn.started[0].exit()
        (ended,) = self.page()
        self.assertEqual((ended.params, ended.secrets), (MASKED, {}))
        self.assertNotIn(SECRET.encode(), self.registry.events.read(0)[0].data)

    def test_of_any_kind(self) -> None:
        """A secret may be a number or a path: the masked value is not checked."""
        params = {
            "pin": Integer(name="pin", secret=True),
            "key": Path(name="key", roots=("/srv",), resolve=normpath, secret=True),
        }
        self.begin(Config(commands={"login": evolve(LOGIN, params=params)}))
        run = self.submit("login", (("pin", 7), ("key", "a")))
        env = self.spawn.started[0].invocation.env
        self.assertEqual(env, {"pin": "7", "key": "/srv/a"})
        self.assertEqual(run.record.params, {"pin": MASK, "key": MASK})

    def test_default(self) -> None:
        """An empty field of a form, which cannot show the default, stands for it."""
        self.submit("login", (*GIVEN, ("pin", "")))
        self.assertEqual(self.spawn.started[0].invocation.env["pin"], "0000")

    def test_queued(self) -> None:
        """
        A queued run keeps its secrets over a restart; they are erased once it starts.
        """
        self.submit("login", GIVEN)
        waiting = self.submit("login", GIVEN)
        self.assertNotIn(SECRET, self.rows())
        self.assertEqual(self.database.secrets.read(waiting.id), SECRETS)
        self.assertEqual(to_document(waiting.record)["params"], MASKED)
        self.restart(self.config)
        self.assertEqual(self.spawn.started[0].invocation.env, {"who": "me", **SECRETS})
        self.assertIsNone(self.database.secrets.read(waiting.id))
        self.assertEqual([each.params for each in self.page()], [MASKED] * 2)

    def test_lost(self) -> None:
        """A queued run whose secrets are lost is not started with others."""
        self.submit("login", GIVEN)
        waiting = self.submit("login", GIVEN)
        self.database.secrets = QueuedSecrets()
        self.restart(self.config)
        self.assertEqual(self.spawn.started, [])
        kept = self.kept(waiting.id)
        self.assertIs(kept.state, State.FAILED)
        self.assertIn("its secret parameters, which are kept apart", kept.failure or "")
        self.assertEqual(kept.ended, self.registry.wall())

    def test_not_begun_in_time(self) -> None:
        """
        A run whose turn comes during the stop keeps its secrets for the next daemon.
        """
        self.submit("login", GIVEN)
        self.submit("login", GIVEN)
        self.thread.manual = True
        self.spawn.started[0].exit()
        self.registry.supervisor.stop()
        self.thread.finish()
        self.assertEqual(len(self.spawn.started), 1)
        self.restart(self.config)
        self.assertEqual(self.spawn.started[0].invocation.env, {"who": "me", **SECRETS})

    def test_cancelled(self) -> None:
        """A run that is cancelled in the queue loses its secrets."""
        self.submit("login", GIVEN)
        waiting = self.submit("login", GIVEN)
        self.successResultOf(Deferred.fromCoroutine(self.registry.cancel(waiting.id)))
        self.assertNotIn(SECRET, self.rows())

    def test_command_gone(self) -> None:
        """A run whose command was removed stays masked."""
        self.submit("login", GIVEN)
        self.submit("login", GIVEN)
        self.restart(CONFIG)
        newest, _ = self.page()
        self.assertEqual((newest.state, newest.params), (State.FAILED, MASKED))
        self.assertNotIn(SECRET, self.rows())

    def test_key(self) -> None:
        """With a key, another secret is another request, also after a restart."""
        run = self.submit("login", GIVEN, key="k")
        for _ in range(2):
            again = self.successResultOf(self.ask("login", GIVEN, key="k"))[0]
            self.assertEqual(again.record.id, run.id)
            other = (("who", "me"), ("password", "guess"))
            self.failureResultOf(
                self.ask("login", other, key="k"), IdempotencyKeyReused
            )
            self.restart(self.config)
