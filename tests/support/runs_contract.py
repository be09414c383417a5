"""
What every implementation of L{IRuns} does, wherever its runs are.

A test case that has L{RunsContract}, C{contract_output.OutputContract} and
C{contract_input.InputContract} among its bases says how to have a run's process do
something; all else is asked for by way of L{IRuns}.
"""

import json
from abc import abstractmethod
from collections.abc import Awaitable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.config.loader import Config
from shellstream.model.errors import (
    Busy,
    CommandUnknown,
    IdempotencyKeyReused,
    ParametersRefused,
    RunActive,
    RunNotRunning,
    RunUnknown,
)
from shellstream.model.events import OnDisconnect, Outcome, Reason, State, Stream
from shellstream.model.limits import Limits
from shellstream.model.run_record import RunQuery, RunRecord
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.runs.interfaces import IRuns, RunRequest
from tests.support.fakes import ECHO, HEAR, SAY

T = TypeVar("T")

#: Small outputs, so that no test has to write much to fill one.
_SMALL = Limits(retain=1 << 18)

#: What the tests below expect: room for two runs.
CONTRACTED = Config(
    commands={each.name: evolve(each, limits=_SMALL) for each in (ECHO, HEAR, SAY)},
    default="say",
    max_running=2,
    drain=0.0,
)
UNKNOWN = "018f2c5e-0000-7000-8000-000000000000"


if TYPE_CHECKING:
    _Base = SynchronousTestCase
else:
    _Base = object  # or trial would run it by itself


class Contract(_Base):
    """The operations that a test case must supply, and helpers to ask."""

    @abstractmethod
    def runs(self) -> IRuns:
        """
        Return the tested implementation, with L{CONTRACTED}; the same during a test.
        """

    @abstractmethod
    def say(self, run_id: str, data: bytes, stream: Stream = Stream.STDOUT) -> None:
        """Have the run's process write something."""

    @abstractmethod
    def exit(
        self, run_id: str, code: int | None = 0, signal: int | None = None
    ) -> None:
        """End the run's process, and all that it has started."""

    @abstractmethod
    def signals(self, run_id: str) -> Sequence[str]:
        """The names of the signals that the run's process was sent."""

    @abstractmethod
    def waits(self, run_id: str) -> bool:
        """Return whether a write of the run's process would have to wait."""

    def result(self, asked: Awaitable[T]) -> T:
        """Return the result, which must be there at once."""
        return self.successResultOf(deferred(asked))

    def refused(self, asked: Awaitable[object], error: type[Exception]) -> Exception:
        """Return the error, which must be there at once."""
        found: Exception = self.failureResultOf(deferred(asked), error).value
        return found

    def run_request(
        self, command: str | None, given: Sequence[Any] = (), **wish: Any
    ) -> RunRequest:
        """A request for a run of a command that the caller finds by its name."""
        found = self.runs().config.command(command)
        default = command is None
        return RunRequest(found, given, OnDisconnect.KEEP, by_default=default, **wish)

    def request(self, command: str | None = None, *given: Any, key: str | None = None):
        """Ask for a run."""
        return self.runs().submit(self.run_request(command, given, key=key))

    def requested(self, command: str | None = None, *given: Any) -> IRun:
        """A run that is new."""
        run: IRun
        run, began = self.result(self.request(command, *given))
        self.assertTrue(began)
        return run

    def record(self, run_id: str) -> RunRecord:
        """A run as it stands now."""
        record: RunRecord = self.result(self.runs().find(run_id)).snapshot()
        return record

    def text(self, log: OutputLog, offset: int = 0) -> bytes:
        """Read the output from there on."""
        found = b""
        while offset < log.end:
            for chunk in log.read(offset, 1 << 16):
                self.assertEqual(chunk.offset, offset)
                found += chunk.data
                offset = chunk.end
        return found


def deferred(asked: Awaitable[T]) -> Deferred[T]:
    """Return a Deferred of the answer."""
    if isinstance(asked, Deferred):
        return asked
    assert isinstance(asked, Coroutine)
    return Deferred.fromCoroutine(asked)


class RunsContract(Contract):
    """Runs are begun, found, ended and forgotten."""

    def test_verified(self) -> None:
        """All promised methods exist, with their arguments."""
        runs = self.runs()
        verifyObject(IRuns, runs)
        run = self.requested()
        run_id = run.record.id
        for _ in range(2):
            verifyObject(IRun, run)
            self.assertGreater(run.stall_timeout, 0)
            if run.record.state is State.RUNNING:
                self.exit(run_id)
                run = self.result(runs.find(run_id))

    def test_command(self) -> None:
        """Commands are found by name; the default needs no name."""
        runs = self.runs()
        self.assertEqual(runs.config.command("echo"), CONTRACTED.commands["echo"])
        self.assertEqual(runs.config.command(None), CONTRACTED.commands["say"])
        self.assertRaises(CommandUnknown, runs.config.command, "ehco")

    def test_check(self) -> None:
        """The check passes even while there is no room for another run."""
        self.result(self.runs().check())
        for _ in range(CONTRACTED.max_running):
            self.requested()
        self.refused(self.request(), Busy)
        self.result(self.runs().check())

    def test_begin(self) -> None:
        """A request starts a run, which is found by its id."""
        run = self.requested("echo", ("x", "hello"))
        record = run.record
        self.assertEqual((record.command, record.params), ("echo", {"x": "hello"}))
        self.assertEqual((record.state, record.ended), (State.RUNNING, None))
        self.assertEqual(UUID(record.id).version, 7)
        self.assertIsNotNone(record.started)
        self.assertEqual(self.record(record.id), record)

    def test_refused(self) -> None:
        """A request that is refused leaves nothing behind."""
        self.refused(self.request("echo"), ParametersRefused)
        self.refused(self.request("echo", ("x", "1"), ("x", "1")), ParametersRefused)
        self.assertEqual(self.result(self.runs().page(RunQuery(10))), [])

    def test_busy(self) -> None:
        """At the limit a request is refused, until there is room."""
        run = self.requested()
        self.requested()
        self.refused(self.request(), Busy)
        self.exit(run.record.id)
        self.requested()

    def test_key(self) -> None:
        """A key leads to the same run again; with another request it is refused."""
        run, began = self.result(self.request("echo", ("x", "1"), key="k"))
        run_id = run.record.id
        for _ in range(2):
            again, anew = self.result(self.request("echo", ("x", "1"), key="k"))
            self.assertEqual((again.record.id, began, anew), (run_id, True, False))
            self.refused(
                self.request("echo", ("x", "2"), key="k"), IdempotencyKeyReused
            )
            if again.record.state is State.RUNNING:
                self.exit(run_id)
        self.assertEqual(len(self.result(self.runs().page(RunQuery(10)))), 1)

    def test_end(self) -> None:
        """The end of a run is recorded with its code or its signal."""
        run_id = self.requested().record.id
        self.say(run_id, b"hello")
        self.exit(run_id, 3)
        record = self.record(run_id)
        self.assertEqual((record.state, record.code), (State.EXITED, 3))
        self.assertEqual((record.signal, record.reason, record.size), (None, None, 5))
        self.assertIsNotNone(record.ended)
        run_id = self.requested().record.id
        self.exit(run_id, None, 9)
        record = self.record(run_id)
        self.assertEqual((record.state, record.signal), (State.SIGNALED, 9))

    def test_unknown(self) -> None:
        """An unknown run is unknown to every operation."""
        runs = self.runs()
        for run_id in (UNKNOWN, "", "../../etc/passwd", "x" * 10_000):
            self.refused(runs.find(run_id), RunUnknown)
            self.refused(runs.signal(run_id, 15), RunUnknown)
            self.refused(runs.cancel(run_id), RunUnknown)
            self.refused(runs.delete(run_id), RunUnknown)

    def test_page(self) -> None:
        """Runs are listed newest first, page by page, as they stand."""
        ids: list[str] = []
        for n in range(4):
            run_id = self.requested("echo", ("x", str(n))).record.id
            ids.insert(0, run_id)
            if n < 3:
                self.exit(run_id)
        runs = self.runs()

        def page(*asked: Any) -> list[str]:
            return [each.id for each in self.result(runs.page(RunQuery(*asked)))]

        self.assertEqual(page(10, None, None, None), ids)
        self.assertEqual(page(2, None, None, None), ids[:2])
        self.assertEqual(page(2, ids[1], None, None), ids[2:])
        self.assertEqual(page(2, ids[3], None, None), [])
        self.assertEqual(page(10, None, State.RUNNING, None), ids[:1])
        self.assertEqual(page(10, None, State.EXITED, "echo"), ids[1:])
        self.assertEqual(page(10, None, None, "say"), [])
        self.say(ids[0], b"hello")
        newest = self.result(runs.page(RunQuery(1)))
        self.assertEqual(newest, [self.record(ids[0])])
        self.assertEqual(newest[0].size, 5)

    def test_outcome(self) -> None:
        """Ended runs can be asked for by how they went."""
        ids = [self.requested().record.id for _ in range(2)]
        for run_id, how in zip(ids, ((0, None), (3, None)), strict=True):
            self.exit(run_id, *how)
        ids.append(self.requested().record.id)
        self.exit(ids[-1], None, 9)
        self.requested()

        def page(**asked: Any) -> list[str]:
            query = RunQuery(10, **asked)
            return [each.id for each in self.result(self.runs().page(query))]

        self.assertEqual(page(outcome=Outcome.SUCCESS), ids[:1])
        self.assertEqual(page(outcome=Outcome.FAILURE), [ids[2], ids[1]])
        self.assertEqual(page(code=3), ids[1:2])
        self.assertEqual(page(code=0), ids[:1])
        self.assertEqual(page(code=3, outcome=Outcome.SUCCESS), [])
        self.assertEqual(page(state=State.EXITED, outcome=Outcome.FAILURE), ids[1:2])

    def test_signal(self) -> None:
        """A signal reaches only a running run."""
        run_id = self.requested().record.id
        self.result(self.runs().signal(run_id, 10))
        self.assertEqual(self.signals(run_id), ["SIGUSR1"])
        self.assertIs(self.record(run_id).state, State.RUNNING)
        self.exit(run_id)
        self.refused(self.runs().signal(run_id, 10), RunNotRunning)

    def test_cancel(self) -> None:
        """A cancelled run gets TERM, and ends when it heeds it."""
        run_id = self.requested().record.id
        for _ in range(2):
            self.result(self.runs().cancel(run_id))
            self.assertEqual(self.signals(run_id), ["SIGTERM", "SIGCONT"])
            self.assertIs(self.record(run_id).state, State.RUNNING)
        self.exit(run_id, None, 15)
        record = self.record(run_id)
        self.assertEqual(
            (record.state, record.reason), (State.SIGNALED, Reason.CANCELLED)
        )
        self.refused(self.runs().cancel(run_id), RunNotRunning)

    def test_delete(self) -> None:
        """An ended run can be deleted, once; a running one cannot."""
        runs = self.runs()
        run_id = self.requested().record.id
        self.say(run_id, b"hello")
        self.refused(runs.delete(run_id), RunActive)
        self.exit(run_id)
        self.result(runs.find(run_id))
        self.result(runs.delete(run_id))
        self.refused(runs.find(run_id), RunUnknown)
        self.refused(runs.delete(run_id), RunUnknown)
        self.assertEqual(self.result(runs.page(RunQuery(10))), [])

    def test_events(self) -> None:
        """Each event of a run is a chunk of JSON, in order."""
        runs = self.runs()
        run_id = self.requested().record.id
        self.exit(run_id)
        news = [json.loads(each.data) for each in runs.events.read(0, 1 << 16)]
        self.assertEqual(
            [(each["event"], each["run"]["id"]) for each in news],
            [(event, run_id) for event in ("created", "started", "ended")],
        )
        self.assertFalse(runs.events.closed)
