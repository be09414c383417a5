"""Tests for L{shellstream.daemon.lifecycle.reactor_watchdog}."""

import threading
from collections.abc import Sequence
from threading import Event, Thread, get_ident

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import (
    ILogObserver,
    LogEvent,
    capturedLogs,
    formatEvent,
    globalLogPublisher,
)
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from shellstream.daemon.lifecycle.reactor_watchdog import (
    INTERVAL,
    LOG_INTERVAL,
    ReactorWatchdog,
)
from tests.support.daemons import FakeReactor


@define
class FakeWaits:
    """
    Clocks, and the watchdog's waits for an answer, the last of which gets it.

    @ivar steps: for each wait the seconds that it takes, and the CPU time meanwhile.
    """

    steps: Sequence[tuple[float, float]]
    wall: float = 0.0
    cpu: float = 0.0
    _waits: int = field(default=0, init=False)

    def __call__(self, event: Event, seconds: float) -> bool:
        assert seconds == INTERVAL
        wall, cpu = self.steps[self._waits]
        self.wall += wall
        self.cpu += cpu
        self._waits = (self._waits + 1) % len(self.steps)
        return self._waits == 0


class WatchTests(SynchronousTestCase):
    """A turn that takes long is logged."""

    def watchdog(self, waits: FakeWaits) -> ReactorWatchdog:
        made = ReactorWatchdog(
            FakeReactor(), lambda: waits.wall, lambda: waits.cpu, waits
        )
        made._watched = get_ident()
        return made

    def watched(self, *steps: tuple[float, float]) -> list[str]:
        """The lines of the log after one turn."""
        with capturedLogs() as events:
            self.watchdog(FakeWaits(steps)).watch_turn()
        return [formatEvent(event) for event in events]

    def test_short(self) -> None:
        """Turns of less than a second have no line."""
        for steps in ([(0.001, 0.001)], [(0.25, 0.25)] * 3, [(0.25, 0.0)] * 3):
            self.assertEqual(self.watched(*steps), [])

    def test_long(self) -> None:
        """One that takes longer is logged with its stack, and with its length."""
        for steps in ([(0.25, 0.25)] * 9, [(0.25, 0.0)] * 9):  # it computes, or waits
            began, over = self.watched(*steps)
            self.assertIn("in one turn for 1.0 s; all clients wait", began)
            self.assertIn("in test_long", began)
            self.assertEqual(over, "the reactor goes on, after 2.2 s")

    def test_held(self) -> None:
        """A function of C that keeps this thread waiting, too, is logged behind it."""
        for steps in ([(40.0, 39.5), (0.01, 0.01)], [(40.0, 40.0)]):
            began, _ = self.watched(*steps)
            self.assertRegex(began, "in one turn for (39.8|40.0) s")

    def test_stopped(self) -> None:
        """A process that was stopped, or a machine that slept, held nothing."""
        for steps in ([(3600.0, 0.0), (0.01, 0.01)], [(60.0, 0.1)] * 2):
            self.assertEqual(self.watched(*steps), [])

    def test_rate(self) -> None:
        """A stack is logged once a minute, with the number of turns before it."""
        waits = FakeWaits([(0.25, 0.25)] * 9)
        watchdog = self.watchdog(waits)
        with capturedLogs() as events:
            for _ in range(3):
                watchdog.watch_turn()
            waits.wall += LOG_INTERVAL
            watchdog.watch_turn()
        lines = [formatEvent(event) for event in events]
        stacks = [line for line in lines if "in one turn" in line]
        self.assertEqual(len(stacks), 2)
        self.assertIn("0 turns before were not logged", stacks[0])
        self.assertIn("2 turns before were not logged", stacks[1])


class ThreadTests(TestCase):
    """The watchdog has a thread of its own."""

    def test_real(self) -> Deferred[None]:
        """It sees the real reactor in a turn, and then its end."""
        seen = Event()

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if "in test_real" in formatEvent(event):
                seen.set()

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        watchdog = ReactorWatchdog(reactor)
        watchdog._watched = get_ident()
        thread = Thread(target=watchdog.watch_turn, args=(0.1,))
        thread.start()
        self.assertTrue(seen.wait(60))
        return deferToThread(thread.join)

    def test_service(self) -> Deferred[None]:
        """The thread begins and ends with the service."""
        watchdog = ReactorWatchdog(reactor)
        watchdog.startService()
        (thread,) = (each for each in threading.enumerate() if each.name == "watchdog")
        watchdog.stopService()
        return deferToThread(thread.join)
