"""Tests for how the command line runs on a reactor, and ends by a signal."""

import os
import signal
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.api import Client
from shellstream.client.cli.signals import (
    SignalHandler,
    on_ending_signals,
    run_until_done,
)
from shellstream.client.errors import CannotConnect, ClientError, Usage
from tests.support.client_wires import FakeAnswer, FakeWire, document


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


class FakeReactor(Clock):
    """A clock that makes the calls of signal handlers at once."""

    def callFromThread(self, f: Callable[[], object]) -> None:
        f()


@define
class FakeMessages:
    """Remembers what would be printed."""

    said: list[str] = field(factory=list)

    def info(self, text: str) -> None:
        self.said.append(text)

    def detail(self, text: str) -> None:
        """Not printed without C{--verbose}."""

    def clear_status(self) -> None:
        """There is no such line."""


class Unanswered:
    """A wire whose server is silent."""

    async def request(self, *args: object) -> FakeAnswer:
        return await Deferred()

    def seconds(self) -> float:
        return 0.0


@define
class FakeFollowing:
    """A run that is shown."""

    run: str | None = "r"


def shown(on_disconnect: str = "keep", ended: str | None = None) -> FakeAnswer:
    """The server's answer to C{show}."""
    run = {"command": "c", "on_disconnect": on_disconnect, "ended": ended}
    return document(run)


class SignalHandlerTests(SynchronousTestCase):
    """A signal goes to the run, or the client leaves and says what becomes of it."""

    def setUp(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.exits: list[int] = []
        self.patch(os, "_exit", self.exits.append)

    def handler(
        self, *answers: FakeAnswer | ClientError, wire: Any = None
    ) -> SignalHandler:
        """A handler of signals, and a server that gives these answers."""
        self.reactor, self.messages = FakeReactor(), FakeMessages()
        self.wire = FakeWire(answers)
        client = Client("http://h", wire or self.wire, retry_for=0)
        messages: Any = self.messages
        return SignalHandler(self.reactor, client, messages)

    def left(self) -> str:
        """Return what was said when the program ended."""
        (said,) = self.messages.said
        return said

    def follow(self, handler: SignalHandler, *leave_on: int) -> None:
        """The handler's run is shown."""
        following: Any = FakeFollowing()
        handler.follow(following, leave_on=leave_on)

    def test_viewer(self) -> None:
        """A viewer leaves, does nothing to the run, and says how to."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.follow(self.handler(shown()), signal.SIGINT, signal.SIGTERM)
            signal.raise_signal(number)
            self.assertEqual(
                self.left(),
                "left; the run goes on; shellstream attach r follows it, "
                "shellstream signal r INT interrupts it",
            )
            self.assertEqual(self.exits.pop(), 128 + number)
            self.assertEqual(self.wire.lines, ["GET /runs/r"])

    def test_ends(self) -> None:
        """On leaving a run that its viewers hold the time is told that is left."""
        for answers, when in (
            ((shown("cancel"), document({"linger": 10.0})), "in 10 s"),
            ((shown("cancel"), document({"linger": 0.5})), "in 0.5 s"),
            ((shown("cancel"), document({}, 404)), "soon"),
        ):
            self.follow(self.handler(*answers), signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            said = (
                f"left; the run is ended {when}, unless a client watches it: "
                "shellstream attach r"
            )
            self.assertEqual(self.left(), said)
            self.assertEqual(self.wire.lines[1], "GET /commands/c")

    def test_input(self) -> None:
        """Input that is left before its end stays open."""
        handler = self.handler(shown())
        handler.sending_input = True
        self.follow(handler, signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        self.assertIn("the run goes on, and its input stays open", self.left())

    def test_has_ended(self) -> None:
        """A run may have ended while its output is still shown."""
        self.follow(self.handler(shown(ended="2026")), signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        self.assertIn("the run has ended; shellstream attach r shows", self.left())

    def test_unknown(self) -> None:
        """A server that cannot be asked keeps nobody from leaving."""
        self.follow(self.handler(CannotConnect("u", "refused")), signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        self.assertRegex(self.left(), "left; [^ ]*shellstream show r tells what")
        handler = self.handler(wire=Unanswered())
        self.follow(handler, signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        self.assertEqual(self.messages.said, [])
        self.assertTrue(handler.leaving)
        self.reactor.advance(2)
        self.assertIn("what becomes of the run (no answer)", self.left())
        self.assertEqual(self.exits, [130, 130])

    def test_twice(self) -> None:
        """A second signal leaves without waiting for the server."""
        self.follow(self.handler(wire=Unanswered()), signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual((self.messages.said, self.exits), ([], [143]))

    def test_starter(self) -> None:
        """The starter of a run interrupts it, then cancels it, then leaves."""
        self.follow(self.handler(document({}), document({})))
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        lines = ["POST /runs/r/signal", "POST /runs/r/cancel"]
        self.assertEqual(self.wire.lines, lines)
        self.assertEqual(self.wire.asked[0].body, b'{"signal": "INT"}')
        self.assertIn("again to leave", self.messages.said[0])
        self.assertIn("was asked to cancel the run", self.messages.said[1])
        self.assertEqual(self.exits, [130])

    def test_terminated(self) -> None:
        """TERM cancels the run of its starter; a second one leaves."""
        self.follow(self.handler(document({})))
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.wire.lines, ["POST /runs/r/cancel"])
        signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.exits, [143])

    def test_no_run(self) -> None:
        """Before there is a run it leaves; one that would go on is told of."""
        handler = self.handler(document({}))
        signal.raise_signal(signal.SIGINT)
        self.assertEqual((self.messages.said, self.exits), ([], [130]))
        handler.starts_for_good = True
        signal.raise_signal(signal.SIGINT)
        self.assertIn("it may have started a run; shellstream ps", self.left())
