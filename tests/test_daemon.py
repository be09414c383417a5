"""Tests for L{shellstream.daemon}: the state is opened, taken over, and let go."""

import os
import signal
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.daemon import IN_MEMORY, Daemon, DaemonCannotStart
from shellstream.events import State
from shellstream.limits import WhenBusy
from shellstream.web import Site
from tests.registries import CONFIG, limited, order
from tests.test_fakes import FakeSpawn

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class FakeReactor(Clock):
    """One that does not run, so that nothing is done in threads."""

    running = False
    stopped = False

    def getThreadPool(self) -> ThreadPool:
        return ThreadPool(0, 1)

    def callFromThread(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        self.stopped = True


class DaemonTests(SynchronousTestCase):
    """A L{Daemon} keeps runs from its start to its end."""

    def setUp(self) -> None:
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor, self.spawn = FakeReactor(), FakeSpawn()

    def daemon(self, where: str, config=CONFIG) -> Daemon:
        """One that is started, and whose commands start no process."""
        daemon = Daemon(config, where, Site(self.reactor), self.reactor)
        self.patch(Daemon, "_spawn", lambda _, *given: self.spawn(*given))
        daemon.privilegedStartService()
        daemon.startService()
        return daemon

    def submit(self, daemon: Daemon) -> str:
        """The id of a new run."""
        run, _ = self.successResultOf(daemon.registry.submit(order()))
        run_id: str = run.record.id
        return run_id

    def stop(self, daemon: Daemon) -> None:
        """It stops, and has let go of everything."""
        stopped = daemon.stopService()
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_verified(self) -> None:
        """A daemon is a service."""
        verifyObject(IService, Daemon(CONFIG, None, Site(self.reactor), self.reactor))

    def test_ending(self) -> None:
        """It stops when all that runs has ended, its last bytes sent."""
        daemon = self.daemon(IN_MEMORY)
        self.submit(daemon)
        stopped: Deferred[Any] = daemon.stopService()
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        self.reactor.advance(Daemon.FLUSH)
        self.assertNoResult(stopped)
        started.exit(None, 15)
        self.assertNoResult(stopped)
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_restart(self) -> None:
        """What has ended, and what was queued, the next one has from the last."""
        config = evolve(limited(when_busy=WhenBusy.QUEUE), max_running=1)
        where = os.path.abspath(self.mktemp())
        daemon = self.daemon(where, config)
        ended, running, queued = (self.submit(daemon) for _ in range(3))
        self.spawn.started[0].exit(3)
        stopped = daemon.stopService()
        self.spawn.started[1].exit(None, 15)
        self.reactor.advance(Daemon.FLUSH)
        self.successResultOf(stopped)
        daemon = self.daemon(where, config)
        states = {
            each.id: each.state
            for each in self.successResultOf(daemon.registry.page(9, None, None, None))
        }
        self.assertEqual(
            states,
            {
                ended: State.EXITED,
                running: State.SIGNALED,
                queued: State.RUNNING,
            },
        )
        self.assertEqual(self.spawn.started[-1].run.id, queued)
        self.spawn.started[-1].exit()
        self.stop(daemon)

    def test_busy(self) -> None:
        """Of two in the same folder the second says so, and ends."""
        where = os.path.abspath(self.mktemp())
        daemon = self.daemon(where)
        error = self.assertRaises(DaemonCannotStart, self.daemon, where)
        self.assertIn("is used by another shellstream", str(error))
        self.stop(daemon)
        self.stop(self.daemon(where))

    def test_interrupted(self) -> None:
        """Ctrl-C ends what runs at once, even where it had some time to end."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        daemon = self.daemon(IN_MEMORY, evolve(CONFIG, drain=60.0))
        self.submit(daemon)
        handler: Any = signal.getsignal(signal.SIGINT)
        handler(signal.SIGINT, None)
        self.assertTrue(self.reactor.stopped)
        (started,) = self.spawn.started
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        started.exit(None, 15)
        self.stop(daemon)

    def test_ignored_signals(self) -> None:
        """What the daemon ignores its children do not: it handles it instead."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        daemon = self.daemon(IN_MEMORY)
        for number in SIGNALS:
            handler = signal.getsignal(number)
            self.assertIsNot(handler, signal.SIG_IGN)
            assert callable(handler)
            handler(number, None)
        self.assertFalse(self.reactor.stopped)
        self.stop(daemon)
