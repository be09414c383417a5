"""Tests for L{shellstream.daemon.lifecycle.reactor_turns}."""

import gc
import os
from functools import partial

from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from shellstream.daemon.lifecycle.reactor_turns import (
    MOST_EVENTS,
    bound_turns,
    spare_old_objects,
)


class Ready(FileDescriptor):
    """A descriptor that is always ready, and counts how often it had a turn."""

    def __init__(self, reactor: EPollReactor, fd: int) -> None:
        super().__init__(reactor)
        self.turns = 0
        self.fileno = lambda: fd  # type: ignore[method-assign]

    def doRead(self) -> None:
        self.turns += 1


class BoundedTurnTests(SynchronousTestCase):
    """No turn handles more than some descriptors, and each has its turn."""

    def test_fair(self) -> None:
        """The descriptors that are ready take turns, some in each."""
        reactor = EPollReactor()
        self.assertTrue(bound_turns(reactor))
        self.addCleanup(reactor._poller.close)
        ready = []
        for _ in range(5 * MOST_EVENTS):
            fds = os.pipe()
            for fd in fds:
                self.addCleanup(partial(os.close, fd))
            os.write(fds[1], b"x")
            ready.append(Ready(reactor, fds[0]))
            ready[-1].startReading()
        for turn in range(1, 11):
            reactor.doIteration(0)
            self.assertEqual(sum(each.turns for each in ready), turn * MOST_EVENTS)
        self.assertEqual({each.turns for each in ready}, {2})

    def test_end_of_pipe(self) -> None:
        """Who reads a pipe finds its end by itself, also if that is all there is."""
        reactor = EPollReactor()
        bound_turns(reactor)
        self.addCleanup(reactor._poller.close)
        fds = os.pipe()
        self.addCleanup(os.close, fds[0])
        ready = Ready(reactor, fds[0])
        ready.startReading()
        os.close(fds[1])
        for turn in (1, 2):
            reactor.doIteration(0)
            self.assertEqual(ready.turns, turn)

    def test_other_reactors(self) -> None:
        """A reactor without epoll stays as it is."""
        self.assertFalse(bound_turns(MemoryReactor()))

    def test_closed(self) -> None:
        """A descriptor that another one closes in the same turn has no turn in it."""
        reactor = EPollReactor()
        bound_turns(reactor)
        self.addCleanup(reactor._poller.close)
        ready = []
        for _ in range(2):
            fds = os.pipe()
            for fd in fds:
                self.addCleanup(partial(os.close, fd))
            os.write(fds[1], b"x")
            ready.append(Ready(reactor, fds[0]))
            ready[-1].startReading()
        for each, other in (ready, ready[::-1]):
            each.doRead = other.stopReading  # type: ignore[method-assign]
        reactor.doIteration(0)
        left = [each for each in ready if each in reactor.getReaders()]
        self.assertEqual(len(left), 1)


class OldObjectsTests(SynchronousTestCase):
    """A collection of garbage does not look through what stays anyway."""

    def test_spared(self) -> None:
        """Objects that are old are not looked at, and new ones are."""
        self.addCleanup(gc.unfreeze)
        old: list[object] = [[]]
        spare_old_objects()
        new: list[object] = [[]]
        looked_at = {id(each) for each in gc.get_objects()}
        self.assertNotIn(id(old), looked_at)
        self.assertIn(id(new), looked_at)
