"""The input of every implementation of runs: see L{runs_contract}."""

from abc import abstractmethod
from collections.abc import Awaitable

from twisted.internet.defer import CancelledError

from shellstream.model.errors import (
    IdempotencyKeyReused,
    ParametersRefused,
    RunNotRunning,
    RunUnknown,
)
from shellstream.model.events import State
from shellstream.model.run_input import (
    InputBusy,
    InputClosed,
    InputMisplaced,
    InputReplaced,
    NoInput,
    NoTerminal,
    StdinChunk,
    StdinState,
    Tty,
)
from shellstream.model.run_record import RunQuery
from tests.support.runs_contract import UNKNOWN, Contract, deferred

SIZE = Tty(rows=50, columns=132, term="vt100")


class InputContract(Contract):
    """Input is taken, counted, and ended; terminals have their sizes."""

    @abstractmethod
    def full(self, run_id: str) -> None:
        """Make the run's process take no more input."""

    @abstractmethod
    def take(self, run_id: str, size: int) -> None:
        """Have it take so much more."""

    @abstractmethod
    def given(self, run_id: str) -> bytes:
        """Return all input that the run has read."""

    @abstractmethod
    def over(self, run_id: str) -> bool:
        """Return whether the run's input has ended."""

    @abstractmethod
    def deaf(self, run_id: str) -> None:
        """Have it close its input."""

    @abstractmethod
    def size(self, run_id: str) -> Tty | None:
        """The terminal that it has now."""

    def hearing(self, tty: Tty | None = None) -> str:
        """A run that reads."""
        request = self.run_request("hear", stdin=True, tty=tty)
        run, began = self.result(self.runs().submit(request))
        self.assertTrue(began)
        run_id: str = run.record.id
        return run_id

    def feed(
        self, run_id: str, data: bytes, offset: int | None = None, eof: bool = False
    ) -> Awaitable[int]:
        return self.runs().feed(run_id, StdinChunk(data, offset, eof))

    def stdin(self, run_id: str) -> StdinState | None:
        return self.record(run_id).stdin

    def test_input(self) -> None:
        """Input is taken at its offset, which the run tells, until its end."""
        run_id = self.hearing()
        self.assertEqual(self.stdin(run_id), StdinState(offset=0, open=True))
        self.assertEqual(self.result(self.feed(run_id, b"abc")), 3)
        self.assertEqual(self.result(self.feed(run_id, b"bcd", 1)), 4)
        self.assertEqual(self.stdin(run_id), StdinState(offset=4, open=True))
        self.refused(self.feed(run_id, b"x", 5), InputMisplaced)
        self.assertFalse(self.over(run_id))
        for _ in range(2):
            self.assertEqual(self.result(self.feed(run_id, b"e", 4, eof=True)), 5)
        self.assertEqual(self.given(run_id), b"abcde")
        self.assertTrue(self.over(run_id))
        self.assertEqual(self.stdin(run_id), StdinState(offset=5, open=False))
        self.refused(self.feed(run_id, b"f"), InputClosed)
        self.exit(run_id)
        self.assertEqual(self.stdin(run_id), StdinState(offset=5, open=False))
        self.refused(self.feed(run_id, b"f"), RunNotRunning)

    def test_input_waits(self) -> None:
        """Input that is not taken waits; it may be given up, or sent again."""
        run_id = self.hearing()
        self.full(run_id)
        first = deferred(self.feed(run_id, b"abc", 0))
        self.assertNoResult(first)
        self.take(run_id, 1)
        self.assertEqual(self.stdin(run_id), StdinState(offset=1))
        self.refused(self.feed(run_id, b"x"), InputBusy)
        second = deferred(self.feed(run_id, b"abc", 0))
        self.failureResultOf(first, InputReplaced)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.take(run_id, 100)
        self.assertEqual(self.given(run_id), b"a")
        self.assertEqual(self.result(self.feed(run_id, b"bc")), 3)
        self.assertEqual(self.given(run_id), b"abc")

    def test_input_of_deaf(self) -> None:
        """Input for a process that has closed it, or has ended, is refused."""
        run_id = self.hearing()
        self.full(run_id)
        feeding = deferred(self.feed(run_id, b"abc"))
        self.deaf(run_id)
        self.failureResultOf(feeding, InputClosed)
        self.assertEqual(self.stdin(run_id), StdinState(offset=0, open=False))
        self.assertIs(self.record(run_id).state, State.RUNNING)
        run_id = self.hearing()
        self.full(run_id)
        feeding = deferred(self.feed(run_id, b"abc"))
        self.exit(run_id)
        self.failureResultOf(feeding, InputClosed)

    def test_no_input(self) -> None:
        """
        A run that was started without input takes none; an unknown run is an error.
        """
        run_id = self.requested("hear").record.id
        self.assertIsNone(self.stdin(run_id))
        self.refused(self.feed(run_id, b"x"), NoInput)
        self.refused(self.feed(UNKNOWN, b"x"), RunUnknown)

    def test_not_allowed(self) -> None:
        """Input and terminals are for commands that may have them."""
        for request in (
            self.run_request("say", stdin=True),
            self.run_request("say", tty=Tty()),
        ):
            self.refused(self.runs().submit(request), ParametersRefused)
        self.assertEqual(self.result(self.runs().page(RunQuery(10))), [])

    def test_terminal(self) -> None:
        """A terminal has the size of its request, and then another."""
        run_id = self.hearing(SIZE)
        self.assertEqual(self.size(run_id), SIZE)
        self.assertEqual(self.record(run_id).tty, SIZE)
        self.result(self.feed(run_id, b"abc"))
        self.assertEqual(self.given(run_id), b"abc")
        self.result(self.runs().resize(run_id, 33, 44))
        small = Tty(rows=33, columns=44, term="vt100")
        self.assertEqual(self.size(run_id), small)
        self.assertEqual(self.record(run_id).tty, small)
        self.exit(run_id)
        self.assertEqual(self.record(run_id).tty, small)
        self.refused(self.runs().resize(run_id, 1, 1), RunNotRunning)
        self.refused(self.runs().resize(UNKNOWN, 1, 1), RunUnknown)
        run_id = self.hearing()
        self.refused(self.runs().resize(run_id, 1, 1), NoTerminal)

    def test_cancel_on_terminal(self) -> None:
        """A terminal also gets HUP: shells ignore TERM."""
        run_id = self.hearing(SIZE)
        self.result(self.runs().cancel(run_id))
        self.assertEqual(self.signals(run_id), ["SIGTERM", "SIGHUP", "SIGCONT"])
        self.exit(run_id, None, 1)

    def test_input_with_key(self) -> None:
        """With a key, input and terminal are part of the request."""

        def requested(stdin: bool, tty: Tty | None) -> Awaitable[object]:
            request = self.run_request("hear", key="k", stdin=stdin, tty=tty)
            return self.runs().submit(request)

        wishes = ((False, None), (True, None), (True, Tty()), (True, SIZE))
        self.result(requested(*wishes[1]))
        for wish in wishes:
            if wish == wishes[1]:
                self.result(requested(*wish))
            else:
                self.refused(requested(*wish), IdempotencyKeyReused)
        self.assertEqual(len(self.result(self.runs().page(RunQuery(10)))), 1)
