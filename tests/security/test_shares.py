"""Tests for L{shellstream.security.shares}."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.security.shares import Usage, UsageLedger, has_share


def take(limit: int, *principals: str) -> dict[str, int]:
    """Let principals take in turn what they may have; returns how much that is."""
    took = dict.fromkeys(principals, 0)
    for principal in principals:
        while has_share(principal, took[principal], sum(took.values()), limit):
            took[principal] += 1
    return took


class ShareTests(SynchronousTestCase):
    """No principal can have everything that all use together."""

    def test_alone(self) -> None:
        """A principal with a credential gets three quarters, and at least one."""
        for limit, most in ((1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (100, 75)):
            self.assertEqual(take(limit, "ann"), {"ann": most})

    def test_anonymous(self) -> None:
        """Where nobody has a credential, there is one principal, which gets all."""
        self.assertEqual(take(7, "anonymous"), {"anonymous": 7})

    def test_others(self) -> None:
        """Many that take all they can leave something to those who come later."""
        self.assertEqual(
            take(100, "ann", "bob", "cid", "dee"),
            {"ann": 75, "bob": 18, "cid": 5, "dee": 1},
        )

    @given(st.integers(1, 60), st.lists(st.sampled_from("abcdef")))
    def test_bounded(self, limit: int, requests: list[str]) -> None:
        """The whole is never exceeded, and a place is left while one has several."""
        took: dict[str, int] = {}
        for name in requests:
            used = sum(took.values())
            if has_share(name, took.get(name, 0), used, limit):
                took[name] = took.get(name, 0) + 1
            elif name not in took:  # only a whole without room refuses a newcomer
                self.assertEqual(used, limit)
        self.assertLessEqual(sum(took.values()), limit)


class LedgerTests(SynchronousTestCase):
    """A L{UsageLedger} knows what each principal has stored."""

    def test_undo(self) -> None:
        """Changes of a part that failed are undone; those before it stay."""
        ledger = UsageLedger({"ann": Usage(1, 2, 3)})
        ledger.add("bob", 1, 5)
        mark = ledger.mark()
        ledger.add("ann", -1, -2, -3)
        ledger.add("bob", keys=1)
        self.assertEqual(ledger.total, Usage(1, 5, 1))
        ledger.undo(mark)
        self.assertEqual(ledger.of("ann"), Usage(1, 2, 3))
        self.assertEqual(ledger.of("bob"), Usage(1, 5, 0))
        self.assertEqual(ledger.total, Usage(2, 7, 3))

    def test_most(self) -> None:
        """It names the principal with the most runs, and with the largest output."""
        ledger = UsageLedger({"ann": Usage(3, 2), "bob": Usage(2, 9)})
        self.assertEqual((ledger.most_runs(), ledger.most_stored()), ("ann", "bob"))
