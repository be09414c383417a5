"""Tests for L{shellstream.runs.registry}: the configuration changes meanwhile."""

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.config.loader import Config
from shellstream.config.parameters import Integer, String
from shellstream.model.events import State, Stream
from shellstream.model.limits import WhenBusy
from shellstream.runs.run import Run
from tests.support.registries import (
    LOGIN,
    SECRET,
    BusyTestCase,
    RegistryTestCase,
)


class ReloadTestCase(RegistryTestCase):
    """A registry whose configuration changes while runs wait."""

    def reload(self, config: Config) -> None:
        """Put another configuration in force."""
        self.registry.live.now = config
        following = Deferred.fromCoroutine(self.registry.supervisor.follow())
        self.clock.pump([0] * 20)
        self.successResultOf(following)

    def replace(self, name: str, **changes: Any) -> None:
        """Change a command."""
        config = self.registry.config
        changed = evolve(config.commands[name], **changes)
        self.reload(evolve(config, commands={**config.commands, name: changed}))


class QueueTests(ReloadTestCase, BusyTestCase):
    """Runs that wait follow the new configuration; those that run go on."""

    when_busy = WhenBusy.QUEUE

    def wait(self) -> tuple[Run, Run]:
        """A run of C{say}, and one of C{echo} that waits, while two others run."""
        self.begin(evolve(self.config, max_running=2))
        first = self.submit()
        self.submit()
        return first, self.submit("echo", [("x", "1")])

    def test_changed(self) -> None:
        """A run that waits is started by the new definition, if it still fits."""
        _, waiting = self.wait()
        argv = ("echo", "new", "{x}", "{y}")
        params = {"x": String(name="x"), "y": String(name="y", default="z")}
        self.replace("echo", argv=argv, params=params)
        self.spawn.started[0].exit()
        self.assertIs(self.last.run, waiting)
        self.assertEqual(self.last.invocation.argv, ("echo", "new", "1", "z"))
        self.assertIs(waiting.command, self.registry.config.commands["echo"])

    def test_parameters(self) -> None:
        """One whose parameters do not fit any more fails at once, and says why."""
        _, waiting = self.wait()
        number = Integer(name="x", min=5)
        self.replace("echo", params={"x": number})
        self.assertEqual(waiting.record.state, State.FAILED)
        kept = self.kept(waiting.id)
        self.assertEqual(kept.state, State.FAILED)
        why = "command 'echo' cannot be started: the configuration has changed: "
        self.assertTrue(str(kept.failure).startswith(why), kept.failure)
        self.assertIn("x: must be at least 5", str(kept.failure))
        self.assertEqual(self.queue(), [])

    def test_removed(self) -> None:
        """
        Without its command a run that waits fails, and one that runs goes on; both
        stay readable.
        """
        running, _ = self.wait()
        queued = self.submit()
        config = self.registry.config
        commands = {k: v for k, v in config.commands.items() if k != "say"}
        self.reload(evolve(config, commands=commands, default=None))
        self.assertEqual(queued.record.state, State.FAILED)
        self.assertIn("there is no command 'say'", str(queued.record.failure))
        self.assertEqual(running.record.state, State.RUNNING)
        running.output(Stream.STDOUT, b"still here")
        self.spawn.started[0].exit(3)
        self.assertEqual(self.kept(running.id).code, 3)
        finding = Deferred.fromCoroutine(self.registry.find(running.id))
        self.assertEqual(self.successResultOf(finding).record.size, 10)

    def test_more_room(self) -> None:
        """Higher limits let those that wait start at once."""
        _, waiting = self.wait()
        self.reload(evolve(self.registry.config, max_running=3))
        self.assertEqual(waiting.record.state, State.RUNNING)

    def test_turn_before_it_follows(self) -> None:
        """A run whose turn comes first is started by the new definition as well."""
        _, waiting = self.wait()
        config = self.registry.config
        changed = evolve(config.commands["echo"], argv=("new", "{x}"))
        commands = {**config.commands, "echo": changed}
        self.registry.live.now = evolve(config, commands=commands)
        self.spawn.started[0].exit()
        self.assertEqual(self.last.invocation.argv, ("new", "1"))
        self.assertIs(waiting.command, changed)

    def test_gone_before_its_turn(self) -> None:
        """A run whose turn comes without its command fails; others have its place."""
        _, waiting = self.wait()
        after = self.submit()
        config = self.registry.config
        say = {"say": config.commands["say"]}
        self.registry.live.now = evolve(config, commands=say)
        self.spawn.started[0].exit()
        self.assertEqual(waiting.record.state, State.FAILED)
        self.assertEqual(after.record.state, State.RUNNING)


class SecretTests(ReloadTestCase):
    """Secret parameters of runs that wait."""

    def test_kept(self) -> None:
        """They are passed on to the new definition, and shown nowhere."""
        self.begin(Config(commands={"login": LOGIN}))
        given = [("who", "me"), ("password", SECRET)]
        _, waiting = (self.submit("login", given) for _ in range(2))
        self.replace("login", shell="new")
        self.spawn.started[0].exit()
        self.assertEqual(self.last.invocation.env["password"], SECRET)
        self.assertNotIn(SECRET, repr(waiting.record))

    def test_not_secret_any_more(self) -> None:
        """A parameter that is not secret any more does not show what was secret."""
        self.begin(Config(commands={"login": LOGIN}))
        given = [("who", "me"), ("password", SECRET)]
        _, waiting = (self.submit("login", given) for _ in range(2))
        plain = {**LOGIN.params, "password": String(name="password")}
        self.replace("login", params=plain)
        self.spawn.started[0].exit()
        self.assertEqual(self.last.invocation.env["password"], SECRET)
        self.last.exit()
        self.assertNotIn(SECRET, repr(self.kept(waiting.id)))
