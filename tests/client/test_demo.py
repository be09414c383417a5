"""Tests for L{shellstream.client.demo}: what keeps it from starting."""

import signal
import sys

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.demo import demo
from shellstream.client.errors import CannotConnect


class DemoTests(SynchronousTestCase):
    """A demo that cannot run says why in a line."""

    def test_no_python(self) -> None:
        """The Python that runs the client may be one that it may not execute."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.patch(sys, "executable", "/nowhere/python")
        error = self.assertRaises(CannotConnect, demo)
        self.assertIn("/nowhere/python: No such file or directory", str(error))
