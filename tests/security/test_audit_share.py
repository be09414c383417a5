"""Tests for L{shellstream.security.audit_share}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.audit import AuditAction, AuditEntry, AuditSettings
from shellstream.security.audit_share import LEAST, MAX_PRINCIPALS, AuditShares

DAY = 86_400.0
START = AuditEntry(action=AuditAction.START, principal="ci")


class AuditShareTests(SynchronousTestCase):
    """One principal fills no more than a part of the audit."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.total = AuditSettings().total
        self.shares = AuditShares(self.clock.seconds, lambda: self.total)

    def fill(self, size: int) -> int:
        """Cause lines until one is left out; returns their size together."""
        filled = 0
        while self.shares.admit(START, size):
            filled += size
        return filled

    def test_day(self) -> None:
        """In a day it is at most a half, and as much on each day."""
        for _ in range(3):
            filled = 0
            for _ in range(24):
                filled += self.fill(1000)
                self.clock.advance(DAY / 24)
            self.assertLessEqual(filled, self.total / 2)
            self.assertGreater(filled, self.total / 3)
        self.clock.advance(DAY)
        self.assertLessEqual(self.fill(1000), self.total / 8)

    @given(st.lists(st.tuples(st.integers(1, 1 << 21), st.floats(0, DAY / 8))))
    def test_any(self, lines: list[tuple[int, float]]) -> None:
        """Whatever the lines and their times, this holds for the first day."""
        clock = Clock()
        shares, filled = AuditShares(clock.seconds, lambda: self.total), 0
        for size, seconds in lines:
            if clock.seconds() <= DAY and shares.admit(START, size):
                filled += size
            clock.advance(seconds)
        self.assertLessEqual(filled, self.total / 2)

    def test_small(self) -> None:
        """Where very little is kept, there are some lines nevertheless."""
        self.shares = AuditShares(self.clock.seconds, lambda: 2000)
        self.assertGreater(self.fill(200), LEAST - 200)

    def test_bounded(self) -> None:
        """It remembers no more principals than a number."""
        for number in range(MAX_PRINCIPALS + 1):
            name = str(number)
            entry = AuditEntry(action=AuditAction.START, principal=name)
            self.assertTrue(self.shares.admit(entry, 100))
        self.assertEqual(len(self.shares._empty_at), MAX_PRINCIPALS)
