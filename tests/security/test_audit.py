"""Tests for L{shellstream.security.audit}: the entries and their lines."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.audit import (
    MAX_PARAMS,
    MAX_REFUSALS,
    MAX_REFUSALS_EACH,
    MAX_TEXT_LENGTH,
    AuditAction,
    AuditEntry,
    RefusalLimiter,
    render_line,
)
from shellstream.security.authorization import EVERYTHING, Caller, Principal

NOON = 1_767_268_800_000_001
CI = Caller(Principal(name="ci", grant=EVERYTHING, credential="token 1"), "192.0.2.1")
#: Whatever a client may send, the worst of it often.
TEXTS = st.text(st.one_of(st.characters(), st.sampled_from('\n\r\0\x1b\x7f"\\\u2028')))
ENTRIES = st.builds(
    AuditEntry,
    action=st.sampled_from(AuditAction),
    principal=TEXTS,
    credential=TEXTS,
    address=TEXTS,
    command=TEXTS,
    run=TEXTS,
    params=st.dictionaries(TEXTS, TEXTS),
    facts=st.dictionaries(
        st.sampled_from(("reason", "request", "status")),
        st.one_of(TEXTS, st.integers(), st.none()),
    ),
)


def said(entry: AuditEntry) -> dict[str, Any]:
    """Return the JSON of an audit line."""
    found: dict[str, Any] = json.loads(render_line(entry, NOON))
    return found


class LineTests(SynchronousTestCase):
    """An entry is a line of JSON."""

    def test_whole(self) -> None:
        """
        An entry has the time, the action, the principal, the address, and all other
        facts.
        """
        entry = AuditEntry.by_caller(
            AuditAction.START,
            CI,
            command="build",
            run="1",
            params={"x": "", "y": "2"},
            facts={"state": "running", "code": 0, "signal": None},
        )
        self.assertEqual(
            render_line(entry, NOON),
            '{"time":"2026-01-01T12:00:00.000001Z","what":"start","who":"ci",'
            '"credential":"token 1","from":"192.0.2.1","command":"build","run":"1",'
            '"params":{"x":"","y":"2"},"state":"running","code":0}',
        )

    def test_nobody(self) -> None:
        """Unknown fields are left out."""
        self.assertEqual(
            set(said(AuditEntry(action=AuditAction.REFUSED))), {"time", "what"}
        )

    @given(ENTRIES)
    def test_forged(self, entry: AuditEntry) -> None:
        """For any input of a client, the entry is one line of printable ASCII."""
        text = render_line(entry, NOON)
        self.assertTrue(text.isascii() and text.isprintable(), text)
        found = json.loads(text)
        self.assertEqual(found["what"], entry.action.value)
        for name, value in {"who": entry.principal, "from": entry.address}.items():
            if len(value) <= MAX_TEXT_LENGTH:
                self.assertEqual(found.get(name, ""), value)

    def test_long(self) -> None:
        """A long text is cut, and marked as cut."""
        entry = AuditEntry(
            action=AuditAction.REFUSED,
            principal="x" * 9999,
            facts={"reason": "y" * 9999},
        )
        found = said(entry)
        self.assertEqual(found["who"], "x" * MAX_TEXT_LENGTH + "\u2026")
        self.assertEqual(len(found["reason"]), MAX_TEXT_LENGTH + 1)
        params = {f"p{n}": "z" * 9999 for n in range(100)}
        values = said(AuditEntry(action=AuditAction.START, params=params))[
            "params"
        ].values()
        self.assertEqual(len(values), 100)
        self.assertLessEqual(sum(len(each) - 1 for each in values), MAX_PARAMS)


class RefusalsTests(SynchronousTestCase):
    """Repeated refusals are counted."""

    def test_one(self) -> None:
        """
        An address has a number of lines, then a count; other addresses are not
        affected.
        """
        refusals = RefusalLimiter()
        admitted = [refusals.admit("a") for _ in range(MAX_REFUSALS_EACH + 7)]
        self.assertEqual(admitted, [True] * MAX_REFUSALS_EACH + [False] * 7)
        self.assertTrue(refusals.admit("b"))
        (entry,) = refusals.summaries()
        self.assertEqual(said(entry)["from"], "a")
        self.assertEqual((said(entry)["what"], said(entry)["times"]), ("refused", 7))

    def test_network(self) -> None:
        """A client that has a whole network of IPv6 counts as one."""
        refusals = RefusalLimiter()
        for n in range(MAX_REFUSALS_EACH):
            refusals.admit(f"2001:db8::{n:x}")
        self.assertFalse(refusals.admit("2001:db8::ffff"))
        self.assertTrue(refusals.admit("2001:db8:0:1::1"))
        (entry,) = refusals.summaries()
        self.assertEqual(entry.address, "2001:db8::/64")

    def test_many(self) -> None:
        """All addresses together have a limit, too; later ones share one number."""
        refusals = RefusalLimiter()
        admitted = [refusals.admit(str(n)) for n in range(MAX_REFUSALS + 5)]
        self.assertEqual(sum(admitted), MAX_REFUSALS)
        self.assertFalse(refusals.admit("0"))
        found = {entry.address: entry.facts["times"] for entry in refusals.summaries()}
        self.assertEqual(found, {"": 5, "0": 1})

    def test_few(self) -> None:
        """Without suppressed lines there is no summary."""
        refusals = RefusalLimiter()
        self.assertTrue(refusals.admit("a"))
        self.assertEqual(list(refusals.summaries()), [])
