"""Tests for L{shellstream.config.backtracking}."""

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.config.backtracking import TooManyWays, check_ways
from shellstream.config.parameters import MAX_LENGTH

#: Patterns that people write, and that are matched in one go.
FAST = (
    *("", ".*", "[a-z]+", r"[\w.-]+", r"[A-Za-z_]\w*", r"\w{1,32}", "[a-z]{1,500}"),
    *(r"v?[0-9]+\.[0-9]+(\.[0-9]+)?", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "[0-9a-f]{40}"),
    *("(main|dev|release/[0-9.]+)", "[a-z]+(-[a-z]+)*", r"\w+( \w+)*", "(a|b|c)+"),
    *(r".*\.log", r"[\w./-]+\.log", "[^x]*x.*", "^[a-z]+$", ".{1,4096}", "(?!-).*"),
    *("([a-z]++)*[0-9]", "[a-z]*[0-9]", "(?>a+)b", "(?i)(a|A)*x", "(|a)+b"),
    *(r"([0-9]{1,3}\.){3}[0-9]{1,3}", r"\d{1,5}(,\d{1,5})*", r"(?=.*\d).{8,64}"),
    r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+",
    r"https?://[\w.-]+(:\d+)?(/\S*)?",
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}",
)
#: Those that have been used to stop servers, or are like them.
SLOW = (
    *("([a-z]+)*[0-9]", "(a*)*b", "(?:[a-z]*)*", "(a|a)*b", "(a|aa)+", "(x+x+)+y"),
    *(r"(\w+\s?)*x", r"(\d+|\w+)*-", ".*x.*", "(.*)(.*)(.*)x", "a*a*b", "(.*?,){11}P"),
    *("(a?){30}a{30}", "a?" * 30 + "a" * 30, "(a{1,50}){1,50}b", "(?:a+|b+)+c?d"),
    *("^(([a-z])+.)+[A-Z]([a-z])+$", "([a-zA-Z0-9_.-]+)+@x", "(?i:(a|A+)*)x"),
    *("(?>(a+)+)b", "((a+)+)++b", r"([a-z]+)\1", "[a-z]+(?=.*x)", "(?=(a+)+b)"),
    *(r"[^@\s]+@[^@\s]+\.[^@\s]+", "(\u0430+)*b", "([\u0966-\u096f]+\\d*)*x"),
)

_ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\w", "a?", "b*", "a+"])
_ENDS = st.sampled_from(["", "*", "+", "?", "*?", "{0,3}", "{2,}", "{1,4}", "*+", "++"])


def _patterns(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(inner, max_size=3).map("".join)
    either = st.lists(parts, min_size=1, max_size=2).map("|".join)
    return st.builds("({}){}".format, either, _ENDS) | st.builds(
        "(?>{})".format, either
    )


class WaysTests(SynchronousTestCase):
    """A pattern that could take long is told from those that cannot."""

    def test_fast(self) -> None:
        """Patterns that are matched in one go pass, with the longest texts."""
        for pattern in FAST:
            with self.subTest(pattern=pattern):
                check_ways(re.compile(pattern), MAX_LENGTH)

    def test_slow(self) -> None:
        """Those that go back over a text again and again are refused."""
        for pattern in SLOW:
            with self.subTest(pattern=pattern):
                compiled = re.compile(pattern)
                self.assertRaises(TooManyWays, check_ways, compiled, MAX_LENGTH)

    def test_short(self) -> None:
        """What is slow on long texts may be quick on short ones."""
        for pattern, longest in ((".*x.*", 500), ("([a-z]+)*[0-9]", 10)):
            compiled = re.compile(pattern)
            check_ways(compiled, longest)
            self.assertRaises(TooManyWays, check_ways, compiled, 10 * longest)

    @given(
        st.recursive(_ATOMS, _patterns, max_leaves=8),
        st.text("ab", min_size=1, max_size=3),
        st.sampled_from(["", "!", "b"]),
    )
    @settings(max_examples=60, deadline=None)
    def test_any(self, pattern: str, unit: str, end: str) -> None:
        """What passes is matched in a short time, whatever the text repeats."""
        compiled = re.compile(pattern)
        try:
            check_ways(compiled, 400)
        except TooManyWays:
            return
        text = (unit * 400)[:399] + end
        began = time.thread_time()
        compiled.fullmatch(text)
        # Some milliseconds at most, where those that are refused take hours.
        self.assertLess(time.thread_time() - began, 1)
