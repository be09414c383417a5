"""Tests for L{shellstream.security.audit_log}."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.audit import MAX_REFUSALS_EACH, AuditAction, AuditEntry
from shellstream.security.audit_log import (
    COMPLAINT_INTERVAL,
    MAX_INPUTS,
    MINUTE,
    AuditLog,
)
from tests.support.fakes import wall


class AuditLogTests(SynchronousTestCase):
    """A L{AuditLog} writes an entry for each action."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.full = False
        self.log = AuditLog(self.clock, wall(self.clock), self.write, lambda: 1 << 30)

    def write(self, line: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(line)

    def record(self, what: AuditAction, **rest: Any) -> None:
        self.log.record(AuditEntry(action=what, **rest))

    def said(self) -> list[dict[str, Any]]:
        """Return the new lines without their time."""
        found = [json.loads(each) for each in self.lines]
        self.lines.clear()
        for each in found:
            del each["time"]
        return found

    def test_at_once(self) -> None:
        """An entry is written at once, with the time."""
        self.clock.advance(1)
        self.record(AuditAction.CANCEL, principal="ci", run="1")
        (line,) = self.lines
        self.assertIn('"time":"2026-01-01T00:00:01.000000Z"', line)

    def test_flood(self) -> None:
        """A flood has some lines, and at the end of the minute one with the number."""
        for _ in range(MAX_REFUSALS_EACH + 3):
            self.record(AuditAction.REFUSED, address="a")
        self.record(AuditAction.REFUSED, address="b")
        self.record(AuditAction.START, address="a")
        self.assertEqual(len(self.said()), MAX_REFUSALS_EACH + 2)
        self.clock.advance(MINUTE)
        counted = {"what": "refused", "from": "a", "times": 3}
        self.assertEqual(self.said(), [counted])
        self.record(AuditAction.REFUSED, address="a")
        self.assertEqual(self.said(), [{"what": "refused", "from": "a"}])
        self.clock.advance(MINUTE)
        self.assertEqual(self.said(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_share(self) -> None:
        """
        A principal that causes very many lines has some, and each minute one more that
        says how many there are not. Others have all of theirs.
        """
        self.log = AuditLog(self.clock, wall(self.clock), self.write, lambda: 1 << 20)
        for _ in range(2000):
            self.record(AuditAction.START, principal="ci")
            self.record(AuditAction.END, principal="ci")
        lines = len(self.said())
        self.assertGreater(lines, 1000)
        self.record(AuditAction.CANCEL, principal="ann")
        self.record(AuditAction.REFUSED, address="a")
        self.record(AuditAction.TOKEN_MADE, principal="ci", credential="account")
        self.assertEqual(len(self.said()), 3)
        self.clock.advance(MINUTE)
        (gap,) = self.said()
        self.assertEqual((gap["what"], gap["who"]), ("gap", "ci"))
        self.assertEqual(gap["times"], 4000 - lines)
        self.assertEqual(gap["start"] + gap["end"], gap["times"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(86_400)
        self.record(AuditAction.START, principal="ci")
        self.assertEqual(self.said(), [{"what": "start", "who": "ci"}])

    def test_close(self) -> None:
        """At the close pending counts are written, without waiting."""
        for _ in range(MAX_REFUSALS_EACH + 1):
            self.record(AuditAction.REFUSED, address="a")
        self.said()
        self.log.close()
        self.assertEqual(self.said(), [{"what": "refused", "from": "a", "times": 1}])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_quiet(self) -> None:
        """A quiet audit log closes without an entry."""
        self.log.close()
        self.assertEqual(self.lines, [])

    def test_input(self) -> None:
        """Input to a run is recorded once for each principal."""
        for who, run in (("a", "1"), ("a", "1"), ("b", "1"), ("a", "2"), ("b", "1")):
            self.record(AuditAction.INPUT, principal=who, run=run)
        found = [(each["who"], each["run"]) for each in self.said()]
        self.assertEqual(found, [("a", "1"), ("b", "1"), ("a", "2")])

    def test_inputs(self) -> None:
        """The number of remembered inputs is limited."""
        for n in range(MAX_INPUTS + 1):
            self.record(AuditAction.INPUT, run=str(n))
        self.said()
        self.record(AuditAction.INPUT, run=str(MAX_INPUTS))
        self.assertEqual(self.said(), [])
        self.record(AuditAction.INPUT, run="0")
        self.assertEqual(len(self.said()), 1)

    def test_full(self) -> None:
        """Entries that cannot be written are counted in the next one that can."""
        self.full = True
        for _ in range(3):
            self.record(AuditAction.START)
        self.full = False
        self.record(AuditAction.END)
        self.record(AuditAction.CANCEL)
        gap = {"what": "gap", "times": 3}
        expected = [gap, {"what": "end"}, {"what": "cancel"}]
        self.assertEqual(self.said(), expected)

    def test_complain(self) -> None:
        """The log of the daemon has it once a minute, however much is missing."""
        self.full = True
        with capturedLogs() as logged:
            for _ in range(3):
                self.record(AuditAction.START)
            self.clock.advance(COMPLAINT_INTERVAL)
            self.record(AuditAction.START)
        self.assertEqual([each["missing"] for each in logged], [1, 4])
