"""Tests for L{shellstream.storage.worker_thread}."""

import threading
from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from shellstream.storage.worker_thread import WorkerThread


class Stopped:
    """A reactor that does not run yet."""

    running = False


class WorkerThreadTests(TestCase):
    """A L{WorkerThread} makes blocking calls elsewhere."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        self.worker = WorkerThread(reactor)
        self.worker.start("worker")
        self.addCleanup(self.worker.stop)
        here: Any = reactor
        return deferLater(here, 0)  # trial begins before its reactor runs

    async def test_elsewhere(self) -> None:
        """Calls are made in one other thread, and answered in the reactor's."""
        made = await self.worker(threading.current_thread)
        self.assertEqual(made.name, "worker")
        self.assertIs(threading.current_thread(), threading.main_thread())

    async def test_in_order(self) -> None:
        """Calls are made one after the other, in the order in which they come."""
        made: list[int] = []
        await gatherResults([self.worker(partial(made.append, n)) for n in range(50)])
        self.assertEqual(made, list(range(50)))

    async def test_raises(self) -> None:
        """A call's exception is its answer, and the next call is made."""
        await self.assertFailure(self.worker(lambda: 1 // 0), ZeroDivisionError)
        self.assertEqual(await self.worker(lambda: 1), 1)

    def test_before_the_reactor(self) -> None:
        """Before the reactor runs a call is made at once."""
        worker = WorkerThread(Stopped())
        self.assertEqual(self.successResultOf(worker(lambda: 1)), 1)
        self.failureResultOf(worker(lambda: 1 // 0), ZeroDivisionError)
