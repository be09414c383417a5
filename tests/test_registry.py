"""Tests for L{shellstream.registry}."""

from uuid import UUID

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config import Config
from shellstream.errors import (
    Busy,
    CannotStart,
    CommandUnknown,
    NoDefaultCommand,
    ParametersRefused,
)
from shellstream.events import Reason
from shellstream.registry import Registry
from shellstream.run import Run
from tests.test_fakes import ECHO, SAY, FakeSpawn

CONFIG = Config(commands={"echo": ECHO, "say": SAY}, default="say", max_running=2)


class RegistryTests(SynchronousTestCase):
    """A L{Registry} starts what it may, and knows what runs."""

    def setUp(self) -> None:
        self.clock, self.spawn = Clock(), FakeSpawn()
        self.registry = Registry(CONFIG, self.clock, self.spawn)

    def start(self) -> Run:
        return self.registry.start(SAY, [])

    def test_command(self) -> None:
        """Commands are found by name, and the default one without."""
        self.assertIs(self.registry.command("echo"), ECHO)
        self.assertIs(self.registry.command(None), SAY)

    def test_unknown_command(self) -> None:
        """A name that no command has is refused, with the likely one."""
        error = self.assertRaises(CommandUnknown, self.registry.command, "ehco")
        self.assertEqual(error.name, "ehco")
        self.assertIn("did you mean 'echo'?", str(error))
        self.assertRaises(CommandUnknown, self.registry.command, "")

    def test_no_default(self) -> None:
        """Where no command is the default, nothing stands in for it."""
        config = evolve(CONFIG, default=None)
        registry = Registry(config, self.clock, self.spawn)
        self.assertRaises(NoDefaultCommand, registry.command, None)

    def test_start(self) -> None:
        """A run is started with its parameters filled in, and known until it ends."""
        run = self.registry.start(ECHO, [("x", "hello")])
        (started,) = self.spawn.started
        self.assertEqual(started.invocation.argv, ("echo", "hello"))
        self.assertIs(started.run, run)
        self.assertIs(started.command, ECHO)
        self.assertEqual(self.registry.active, {run.id: run})
        started.exit()
        self.assertEqual(self.registry.active, {})

    def test_timeout_begins(self) -> None:
        """A run's time begins when it is started."""
        self.registry.start(evolve(SAY, timeout=3.0), [])
        self.clock.advance(3)
        self.assertIn("SIGTERM", self.spawn.started[0].child.signals)

    def test_ids(self) -> None:
        """Ids are UUIDs of version 7, and sort by the time of the start."""
        ids = []
        for _ in range(20):
            ids.append(self.start().id)
            self.spawn.started[-1].exit()
        self.assertEqual({UUID(each).version for each in ids}, {7})
        self.assertEqual(ids, sorted(set(ids)))

    def test_refused(self) -> None:
        """What does not fit is refused, and nothing is started."""
        self.assertRaises(ParametersRefused, self.registry.start, ECHO, [])
        self.assertEqual((self.spawn.started, self.registry.active), ([], {}))

    def test_cannot_start(self) -> None:
        """A process that cannot be started takes up no room."""
        self.spawn.error = CannotStart("say", "its program was not found")
        for _ in range(5):
            self.assertRaises(CannotStart, self.start)
        self.assertEqual(self.registry.active, {})
        self.spawn.error = None
        self.start()
        self.assertEqual(len(self.registry.active), 1)

    def test_busy(self) -> None:
        """At the limit nothing is started, and when to come back is told."""
        self.start()
        self.start()
        error = self.assertRaises(Busy, self.start)
        self.assertEqual(error.headers(), {"Retry-After": "5"})
        self.assertIn("2 commands are running already", str(error))
        self.assertEqual(len(self.spawn.started), 2)
        self.spawn.started[0].exit()
        self.start()
        self.assertEqual(len(self.spawn.started), 3)


class StopTests(SynchronousTestCase):
    """A L{Registry} that stops ends what runs and starts nothing more."""

    def setUp(self) -> None:
        self.clock, self.spawn = Clock(), FakeSpawn()
        self.registry = Registry(CONFIG, self.clock, self.spawn)

    def test_idle(self) -> None:
        """Everybody who waits is told when the last run has ended, not before."""
        self.successResultOf(self.registry.idle())
        for _ in range(2):
            self.registry.start(SAY, [])
        waiting = [self.registry.idle() for _ in range(2)]
        self.assertIsNot(waiting[0], waiting[1])
        one, other = self.spawn.started
        one.exit()
        for each in waiting:
            self.assertNoResult(each)
        other.exit()
        for each in waiting:
            self.successResultOf(each)

    def test_idle_again(self) -> None:
        """Who was told once is not told again."""
        for _ in range(2):
            self.registry.start(SAY, [])
            waiting = self.registry.idle()
            self.spawn.started[-1].exit()
            self.successResultOf(waiting)

    def test_stop(self) -> None:
        """Every run is ended, and the stop is over when all have."""
        runs = [self.registry.start(SAY, []) for _ in range(2)]
        stopped = self.registry.stop()
        for run, started in zip(runs, self.spawn.started, strict=True):
            self.assertIs(run.reason, Reason.SHUTDOWN)
            self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
            self.assertNoResult(stopped)
            started.exit(None, 15)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_deaf(self) -> None:
        """What does not heed TERM is killed, so that the stop comes to its end."""
        self.registry.start(SAY, [])
        stopped = self.registry.stop()
        self.clock.advance(SAY.grace)
        self.assertEqual(self.spawn.started[0].child.signals[-1], "SIGKILL")
        self.spawn.started[0].exit(None, 9)
        self.successResultOf(stopped)

    def test_stop_idle(self) -> None:
        """With nothing running a stop is over at once."""
        self.successResultOf(self.registry.stop())

    def test_starts_nothing_more(self) -> None:
        """After the stop has begun a start is refused, while runs end and later."""
        self.registry.start(SAY, [])
        self.registry.stop()
        for _ in range(2):
            error = self.assertRaises(Busy, self.registry.start, SAY, [])
            self.assertIn("the daemon is stopping", str(error))
            self.assertIn("Retry-After", error.headers())
            for started in self.spawn.started:
                if not started.run.log.closed:
                    started.exit()
        self.assertEqual(len(self.spawn.started), 1)
