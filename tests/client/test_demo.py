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
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        self.patch(sys, "executable", "/nowhere/python")
        error = self.assertRaises(CannotConnect, demo)
        self.assertIn("/nowhere/python: No such file or directory", str(error))
