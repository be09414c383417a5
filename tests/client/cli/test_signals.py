"""Tests for how the command line runs on a reactor, and ends by a signal."""

import os
import signal
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.signals import on_ending_signals, run_until_done
from shellstream.client.errors import Usage


class RunUntilDoneTests(SynchronousTestCase):
    """L{run_until_done} on a reactor of its own, since each runs only once."""

    def setUp(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor: Any = SelectReactor()
        self.addCleanup(self.reactor.waker.connectionLost, None)

    def test_result(self) -> None:
        """The coroutine's result is the exit code."""

        async def main() -> int:
            await deferLater(self.reactor, 0)
            return 7

        self.assertEqual(run_until_done(self.reactor, main), 7)

    def test_error(self) -> None:
        """The coroutine's error is raised."""

        async def main() -> int:
            raise Usage("wrong")

        self.assertRaises(Usage, run_until_done, self.reactor, main)

    def test_signal(self) -> None:
        """A signal cancels the coroutine, which cleans up first."""
        cleaned: list[bool] = []

        async def main() -> int:
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await Deferred()
            except CancelledError:
                await deferLater(self.reactor, 0)
                cleaned.append(True)
            return 0

        self.assertEqual(run_until_done(self.reactor, main), 128 + signal.SIGTERM)
        self.assertEqual(cleaned, [True])

    def test_own_handler(self) -> None:
        """A coroutine may handle the signals in its own way."""

        async def main() -> int:
            received: Deferred[int] = Deferred()
            on_ending_signals(self.reactor, received.callback)
            os.kill(os.getpid(), signal.SIGHUP)
            return await received

        self.assertEqual(run_until_done(self.reactor, main), signal.SIGHUP)

    def test_ignored(self) -> None:
        """A signal that is ignored, as under nohup(1), stays so."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        on_ending_signals(self.reactor, lambda number: None)
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)
