"""Tests for L{shellstream.tokenlog}: what was done to tokens, until it is noted."""

import os
import pwd

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.audit import What
from shellstream.tokenlog import MOST, Done, account, parse, render
from tests.test_tokens import TOKENS

DONE = st.builds(
    Done.of,
    st.integers(0, 1 << 53),
    st.text(),
    st.sampled_from(["made", "changed", "revoked"]),
    TOKENS,
)


class LogTests(SynchronousTestCase):
    """It is kept as it was told, a line each."""

    @given(st.lists(DONE, max_size=5))
    def test_round(self, done: list[Done]) -> None:
        """What is written is read again, and can be in the audit."""
        found = list(parse(render(done)))
        self.assertEqual(found, done)
        for each in found:
            self.assertEqual(each.entry.what.value, f"token-{each.what}")
            self.assertEqual(each.entry.facts["token"], each.token)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Of a line that is none it is told that it was there."""
        for each in parse(text):
            self.assertIsInstance(each.entry.what, What)

    def test_bounded(self) -> None:
        """There are only so many; of the others it is known how many they were."""
        some = [Done(number, "x", "made", f"{number:08x}") for number in range(MOST)]
        self.assertEqual(list(parse(render(some))), some)
        more = [*some, Done(MOST, "x", "made", "f" * 8)]
        first, *others = parse(render(more))
        self.assertEqual((first.what, first.facts), ("gap", {"times": 2}))
        self.assertEqual(others, more[2:])
        again = list(parse(render([first, *others, Done(MOST + 1, "x", "made")])))
        self.assertEqual(again[0].facts, {"times": 3})
        self.assertEqual(len(again), MOST)

    def test_account(self) -> None:
        """Who it was is the account, and with sudo whose it was before."""
        name = pwd.getpwuid(os.getuid()).pw_name
        self.assertEqual(account({}), name)
        sudo = account({"SUDO_USER": "alice"})
        self.assertEqual(sudo, f"{name} (sudo: alice)" if os.getuid() == 0 else name)
        self.assertEqual(account({"SUDO_USER": "a\nb"}), name)
