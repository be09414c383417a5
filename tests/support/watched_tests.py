"""Tests that fail if a turn of a daemon's reactor exceeds the deadline."""

from pathlib import Path
from typing import Any

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import TestCase

#: How often a test is run whose daemon had a late turn each time.
TRIES = 4


class LateTurn(AssertionError):
    """A turn of the reactor took more CPU time than its deadline allows."""


class WatchedTestCase(TestCase):
    """
    A test whose daemons are watched by L{tests.support.reactor_deadline}.

    It fails for a late turn only if each of L{TRIES} runs had one. A daemon does the
    same work each time, so what is too long is too long again. What the kernel charged
    it for by mistake is not.
    """

    def run(self, result: Any) -> None:  # type: ignore[override]  # as trial does
        """Run the test until no turn is late, and report its last run alone."""
        result.startTest(self)
        for _ in range(TRIES):
            found = TestResult()
            TestCase.run(type(self)(self._testMethodName), found)
            bad = [*found.errors, *found.failures]
            if not bad or not all(_is_late(failure) for _, failure in bad):
                break
        for _, failure in found.errors:
            result.addError(self, failure)
        for _, failure in found.failures:
            result.addFailure(self, failure)
        for _, reason in found.skips:
            result.addSkip(self, reason)
        if found.successes:
            result.addSuccess(self)
        result.stopTest(self)


def _is_late(failure: Any) -> bool:
    return failure.check(LateTurn) is not None


def assert_in_time(turns: Path) -> None:
    """
    Check that a watched daemon wrote no late turn to a file.

    @raise LateTurn: with the stacks of those that it wrote.
    """
    if turns.exists():
        raise LateTurn(turns.read_text("utf-8"))
