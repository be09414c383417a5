"""Tests of L{shellstream.runs}: errors that nobody foresaw, at each place in turn."""

import os
from collections.abc import Callable, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.python.failure import Failure

from shellstream.config.command import Command
from shellstream.config.loader import Config
from shellstream.model.errors import ShellstreamError
from shellstream.model.events import ExitStatus, OnDisconnect, State
from shellstream.model.limits import Limits, OnFull, Sync, WhenBusy
from shellstream.model.run_input import StdinChunk
from shellstream.model.run_record import Retention, RunQuery
from shellstream.output import formats
from shellstream.output.interfaces import ViewOptions
from shellstream.output.log import OutputLog
from shellstream.output.shared_encoding import SharedEncoding
from shellstream.output.viewer import Viewer
from shellstream.runs import reporter
from shellstream.runs.history import RETRY, History
from shellstream.runs.interfaces import RunRequest
from shellstream.runs.run import Run
from shellstream.runs.stdin import Stdin
from shellstream.runs.timers import Timers
from shellstream.storage.database import Database
from shellstream.storage.log_store import FileLogs
from shellstream.storage.ring_file import RingFile
from shellstream.storage.state_dir import StateDir
from tests.support.fakes import FakeChild, FakeSpawn, Started, wall
from tests.support.registries import RegistryTestCase, text

#: Errors of several kinds: of the system, of a stack, of a text, of memory, of ours.
ERRORS: tuple[Exception, ...] = (
    OSError(5, "Input/output error"),
    RecursionError("maximum recursion depth exceeded"),
    UnicodeEncodeError("ascii", "\u2713", 0, 1, "ordinal not in range(128)"),
    MemoryError(),
    RuntimeError("can't start new thread"),
)

#: A command with whatever the places need: input, a terminal, all limits, one place.
BUSY = Command(
    name="busy",
    argv=("busy",),
    stdin=True,
    limits=Limits(
        max_running=1,
        when_busy=WhenBusy.QUEUE,
        timeout=60.0,
        idle_timeout=50.0,
        linger=40.0,
        grace=5.0,
        sync=Sync.ALWAYS,
        on_full=OnFull.PAUSE,
    ),
)


CONFIG = Config(
    commands={"busy": BUSY}, default="busy", max_running=2, max_queued=2, drain=0.0
)


@frozen
class Place:
    """
    Where something raises.

    @ivar when: whether it has done its work by then.
    """

    owner: Any
    name: str
    when: tuple[bool, ...] = (False, True)

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.name}"


BEFORE, AFTER = (False,), (True,)

PLACES = (
    # before there is a process
    Place(Command, "recheck_paths"),
    Place(FakeSpawn, "__call__", BEFORE),  # it leaves no process: see its tests
    Place(FileLogs, "create"),
    Place(Database, "add"),
    Place(Database, "save"),
    Place(History, "run_of_key"),
    Place(History, "add"),
    Place(History, "update"),
    # its output, and those who watch
    Place(OutputLog, "append"),
    Place(OutputLog, "publish"),
    Place(OutputLog, "read"),
    Place(OutputLog, "reserve"),
    Place(OutputLog, "_wake"),
    Place(RingFile, "append"),
    Place(RingFile, "reserve"),
    Place(RingFile, "prepare_sync"),
    Place(RingFile, "_sync"),
    Place(RingFile, "close", AFTER),
    Place(SharedEncoding, "encode_from"),
    Place(formats.Ndjson, "output"),
    Place(formats.Ndjson, "end"),
    Place(StringTransport, "write"),
    # its process
    Place(FakeChild, "signal"),
    Place(FakeChild, "session_lives"),
    Place(Stdin, "connect"),
    Place(Stdin, "close"),
    # its phases and timers
    Place(Timers, "set"),
    Place(Timers, "stop"),
    Place(Run, "_end_as_exited"),
    # what others are told, and what is freed
    Place(reporter, "to_document"),
    Place(reporter, "AuditEntry"),
    Place(History, "make_room"),
    Place(FileLogs, "short"),
    Place(FileLogs, "settle"),
    Place(FileLogs, "sync"),
    Place(FileLogs, "retire"),
)


@define(eq=False)
class Fault:
    """
    Lets a place raise once.

    @ivar left: how many calls come before the one that raises.
    @ivar late: whether it has done its work when it raises.
    """

    place: Place
    error: Exception
    left: int
    late: bool
    raised: bool = False
    _real: Any = field(init=False)

    def __enter__(self) -> "Fault":
        self._real = getattr(self.place.owner, self.place.name)

        def maybe(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            self.raised = self.raised or self.left == -1
            if self.left == -1 and not self.late:
                raise self.error
            result = self._real(*args, **kwargs)
            if self.left == -1:
                raise self.error
            return result

        setattr(self.place.owner, self.place.name, maybe)
        return self

    def __exit__(self, *raised: object) -> None:
        setattr(self.place.owner, self.place.name, self._real)


class Watching:
    """A client that follows a run by C{/stream}, and how its connection was closed."""

    def __init__(self, run: Run, clock: Clock) -> None:
        self.transport, self.closed = StringTransport(), list[str]()
        self.viewer = Viewer(
            ViewOptions(lossless=True),
            SharedEncoding(run, formats.Ndjson()),
            self.transport,
            lambda ended: self.closed.append("with its end"),
            self.cut,
            clock,
        )

    def cut(self) -> None:
        self.closed.append("cut")
        self.viewer.stopProducing()


#: How a run comes to its start: returns what its clients wait for.
Way = Callable[[Fault], list[Deferred[Any]]]


class UnforeseenTests(RegistryTestCase):
    """
    Whatever raises while a run is started, recorded, followed or ended: the run comes
    to a true end, what it held is free, its caller knows, and the log has its id.
    """

    config = CONFIG

    def setUp(self) -> None:
        # The outputs are in files. The records need not be, which takes a tenth of the
        # time.
        folder = Path(self.mktemp()).absolute()
        self.dir = StateDir.open(folder, wall(Clock()))
        self.addCleanup(self.dir.close)
        self.addCleanup(self.dir.database.close)
        super().setUp()
        self.met: set[Place] = set()
        self.watching: list[Watching] = []

    def at_each_place(self, way: Way, life: Callable[[], None]) -> None:
        """Raise at each place, each time that it is called, before and after."""
        kinds, met = cycle(ERRORS), set[Place]()
        for place, late in [(p, late) for p in PLACES for late in p.when]:
            for before in count():
                fault = Fault(place, next(kinds), before, late)
                try:
                    self.live(fault, way, life)
                except Exception as error:
                    what = f"{way.__name__}, {life.__name__}: {fault}"
                    raise AssertionError(what) from error
                if not fault.raised:
                    break
                met.add(place)
        self.met |= met

    def live(self, fault: Fault, way: Way, life: Callable[[], None]) -> None:
        """One life of a daemon with a fault, and a look at what it left."""
        self.begin(CONFIG)
        self.registry.events.subscribe(lambda: None)  # or no event is formatted
        files = len(os.listdir("/proc/self/fd"))
        self.watching.clear()
        self.keys = map(str, count())
        with capturedLogs() as logged:
            asked = way(fault)
            with fault:
                life()
                self.settle()
        self.flushLoggedErrors()
        self.check_ends()
        self.check_told(fault, asked, logged)
        self.check_next()
        self.assertEqual(len(os.listdir("/proc/self/fd")), files)

    def make_logs(self) -> FileLogs:
        return FileLogs(self.dir, lambda: Retention().bytes, self.thread)

    # The ways in

    def by_request(self, fault: Fault) -> list[Deferred[Any]]:
        """A request starts the run at once."""
        with fault:
            return [self.ask_one()]

    def by_queue(self, fault: Fault) -> list[Deferred[Any]]:
        """The end of another run starts it."""
        asked = [self.ask_one(), self.ask_one()]
        with fault:
            self.last.exit()
        return asked

    def by_restart(self, fault: Fault) -> list[Deferred[Any]]:
        """The next daemon starts it, which finds another run lost."""
        asked = [self.ask_one(), self.ask_one()]
        self.restart(CONFIG, recover=False)
        with fault:
            self.recover()
        return asked

    # The lives

    def exits(self) -> None:
        """It writes, is watched and fed, and exits."""
        for started in self.use():
            started.exit(0)

    def is_cancelled(self) -> None:
        """It does not end at TERM, and its group not with its leader."""
        for started in self.use():
            Deferred.fromCoroutine(self.registry.cancel(started.run.id))
            started.run.input_lost()
            started.run.finished(ExitStatus(None, 15))
            self.clock.advance(Run.LOOK)
            self.clock.advance(BUSY.limits.grace)
            started.child.lives = False

    def is_silent(self) -> None:
        """It comes to its limit of silence, and ends by KILL."""
        for started in self.use():
            self.clock.advance(BUSY.limits.idle_timeout or 0)
            self.clock.advance(BUSY.limits.grace)
            started.exit(None, 9)

    def use(self) -> list[Started]:
        """Use each process that runs as clients do."""
        running = [each for each in self.spawn.started if each.child.lives]
        for started in running:
            run = started.run
            self.watching.append(Watching(run, self.clock))
            self.watching[-1].viewer.start()
            for data in (b"one\n", b"two\n"):
                if not started.child.paused and run.phase == "running":
                    started.say(data)
            chunk = StdinChunk(b"input")
            fed = Deferred.fromCoroutine(self.registry.feed(run.id, chunk))
            fed.addErrback(lambda _: None)
        return running

    def settle(self) -> None:
        """Processes do as they are told, and time passes."""
        for _ in range(3):
            for started in self.spawn.started:
                if started.child.lives:
                    told = "SIGTERM" in started.child.signals
                    started.exit(*((None, 15) if told else (0, None)))
            self.clock.pump([RETRY] * 8)

    # What must be true then

    def check_ends(self) -> None:
        """Every run that was recorded has a true end, and holds nothing."""
        self.assertEqual(self.registry.active, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.database.unended(), [])
        for started in self.spawn.started:
            state = self.kept(started.run.id).state
            self.assertIn(state, (State.EXITED, State.SIGNALED))
            self.assertFalse(started.child.lives)
        ran = {each.run.id for each in self.spawn.started}
        for record in self.database.page(RunQuery(9)):
            if record.id not in ran:
                self.assertNotIn(record.state, (State.EXITED, State.SIGNALED))

    def check_told(
        self, fault: Fault, asked: list[Deferred[Any]], logged: Sequence[LogEvent]
    ) -> None:
        """Clients have an answer, or the end of what they follow; so has the log."""
        answered = False
        for each in asked:
            found: list[Any] = []
            each.addBoth(found.append)
            (result,) = found
            if isinstance(result, Failure):
                answered = answered or result.value is fault.error
                if not answered:
                    result.trap(ShellstreamError)
        for watching in self.watching:
            self.assertEqual(len(watching.closed), 1, watching.closed)
            if watching.closed == ["with its end"]:
                self.assertIn(b'"end"', watching.transport.value())
        if fault.raised and not answered:  # an error of a request is logged with it
            lines = "\n".join(map(str, map(formatEvent, logged)))
            ids = [record.id for record in self.database.page(RunQuery(9))]
            self.assertTrue(any(f"run {each}" in lines for each in ids), lines)

    def check_next(self) -> None:
        """The next run is like any other, and the daemon can be stopped."""
        run = self.submit()
        self.last.say(b"next")
        self.last.exit(0)
        self.assertIs(self.kept(run.id).state, State.EXITED)
        found = Deferred.fromCoroutine(self.registry.find(run.id))
        ended = self.successResultOf(found)  # held, or its log would be closed
        self.assertEqual(text(ended.log), b"next")
        self.successResultOf(self.registry.supervisor.stop())
        self.assert_nothing_left()

    def ask_one(self) -> Deferred[Any]:
        """A request with a key and with input, as by a client of C{/runs}."""
        asked = RunRequest(BUSY, (), OnDisconnect.CANCEL, next(self.keys), stdin=True)
        return Deferred.fromCoroutine(self.registry.submit(asked))

    def test_by_request(self) -> None:
        """However the life of a run goes that a request starts at once."""
        for life in (self.exits, self.is_cancelled, self.is_silent):
            self.at_each_place(self.by_request, life)
        self.assertEqual(self.met, {*PLACES})

    def test_by_queue(self) -> None:
        """The same for a run that starts when another one has ended."""
        self.at_each_place(self.by_queue, self.exits)

    def test_by_restart(self) -> None:
        """The same for a run that the next daemon starts."""
        self.at_each_place(self.by_restart, self.exits)
