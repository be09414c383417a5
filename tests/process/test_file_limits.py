"""
Tests for L{shellstream.process.file_limits}: a reserve for open connections and runs.
"""

import resource

from twisted.trial.unittest import SynchronousTestCase

from shellstream.process.file_limits import file_limit, scarce


class ScarceTests(SynchronousTestCase):
    """A new use of descriptors is refused when few are left."""

    def limit(self, soft: int) -> None:
        """Let so many files be open."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, limits[1]))

    def test_limit(self) -> None:
        """The limit is the one in force."""
        self.limit(500)
        self.assertEqual(file_limit(), 500)

    def test_scarce(self) -> None:
        """The last 32 are spare, or an eighth of few; of runs twice as many."""
        for limit, first, first_of_runs in ((500, 468, 436), (100, 88, 76)):
            self.limit(limit)
            for parts, fd in ((1, first), (2, first_of_runs)):
                self.assertFalse(scarce(fd - 1, parts))
                self.assertTrue(scarce(fd, parts))
