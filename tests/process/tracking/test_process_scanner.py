"""Tests for L{shellstream.process.tracking.process_scanner}."""

from collections.abc import Iterator
from itertools import count

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.tracking.process_scanner import ProcessScanner
from shellstream.process.tracking.process_table import ProcessTable
from tests.support.orphans import RUN, STUBBORN, Started


class ScannerTests(SynchronousTestCase):
    """L{ProcessScanner} looks once for all, and never for long."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fills = 0
        fill = ProcessTable.fill

        def counted(table: ProcessTable, marks: bool) -> Iterator[None]:
            self.fills += 1
            return fill(table, marks)

        self.patch(ProcessTable, "fill", counted)

    def turn(self) -> None:
        """Make the calls of one turn, and not those that they ask for."""
        for call in self.clock.getDelayedCalls():
            func, args = call.func, call.args
            call.cancel()
            func(*args)

    def test_at_once(self) -> None:
        """Few processes are looked through at once, and once in a turn."""
        scanner = ProcessScanner(self.clock, lambda: 0.0)
        started = Started(self, STUBBORN)
        table = self.successResultOf(scanner.scan())
        self.assertIn(started.pid, table.sessions)
        self.assertIs(self.successResultOf(scanner.scan()), table)
        self.assertEqual(self.fills, 1)
        self.clock.advance(0)
        self.assertIsNot(self.successResultOf(scanner.scan()), table)

    def test_marks(self) -> None:
        """A table with marks serves all; one without them only some."""
        scanner = ProcessScanner(self.clock, lambda: 0.0)
        started = Started(self, STUBBORN)
        plain = self.successResultOf(scanner.scan())
        self.assertEqual(plain.marked, {})
        marked = self.successResultOf(scanner.scan(marks=True))
        self.assertIn(started.pid, marked.marked[RUN.id])
        self.assertIs(self.successResultOf(scanner.scan()), marked)

    def test_slices(self) -> None:
        """Many processes take several turns, and requests meanwhile share the next."""
        ticks = count()
        scanner = ProcessScanner(self.clock, lambda: next(ticks) * scanner.SLICE / 3)
        first = scanner.scan()
        later = [scanner.scan(), scanner.scan(marks=True)]
        turns = 0
        while not first.called:
            self.assertNoResult(later[0])
            self.turn()
            turns += 1
        self.assertGreater(turns, 2)
        while not later[0].called:
            self.turn()
        self.assertIs(*map(self.successResultOf, later))
        self.assertEqual(self.fills, 2)
        # What began turns ago is not what is now.
        self.assertNoResult(scanner.scan())

    def test_steps_that_fail(self) -> None:
        """An error in steps reaches their caller alone."""

        def failing() -> Iterator[None]:
            yield
            raise ZeroDivisionError

        scanner = ProcessScanner(self.clock, lambda: 0.0)
        self.failureResultOf(scanner.in_slices(failing()), ZeroDivisionError)
        self.patch(ProcessTable, "fill", lambda table, marks: failing())
        self.failureResultOf(scanner.scan(), ZeroDivisionError)
        self.successResultOf(scanner.in_slices(iter(())))
