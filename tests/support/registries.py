"""Shared by the tests of runs and registries: owners, threads, restarts."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from shellstream.config.command import Command
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.config.parameters import String
from shellstream.model.events import Chunk, OnDisconnect, State
from shellstream.model.limits import Limits, WhenBusy
from shellstream.model.run_record import Retention, RunRecord
from shellstream.output.counts import OutputCounts
from shellstream.output.interfaces import IViewer
from shellstream.output.log import OutputLog
from shellstream.runs.history import History
from shellstream.runs.interfaces import RunRequest
from shellstream.runs.registry import Registry
from shellstream.runs.run import Run
from shellstream.security.audit import AuditEntry
from shellstream.storage.database import Database
from shellstream.storage.log_store import FileLogs, MemoryLogs
from shellstream.storage.run_store import RunStore
from shellstream.storage.state.age_clock import AgeClock
from shellstream.storage.state_dir import StateDir
from tests.support.fakes import ECHO, SAY, FakeSpawn, Started, wall

CONFIG = Config(
    commands={"echo": ECHO, "say": SAY}, default="say", max_running=2, drain=0.0
)


@implementer(IViewer)
@define(eq=False)
class Reader:
    """A viewer that is where the test says."""

    offset: int = 0
    lossless: bool = False
    cuts: int = 0

    def abort(self) -> None:
        self.cuts += 1


@define(eq=False)
class Thread:
    """
    A thread that makes a call when the test says so, or fails as a disk does.

    @ivar works: how many calls it still makes before it is C{broken}.
    @ivar error: what any call fails with, if it is not the disk.
    """

    manual: bool = False
    broken: bool = False
    works: int = 0
    error: Exception | None = None
    waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = field(factory=list)

    def __call__(self, call: Callable[[], Any], /) -> Deferred[Any]:
        if not self.manual:
            return self._made(call)
        done: Deferred[Any] = Deferred()
        self.waiting.append((call, done))
        return done

    def step(self) -> None:
        """Make the oldest call."""
        call, done = self.waiting.pop(0)
        self._made(call).chainDeferred(done)

    def finish(self) -> None:
        """Make all calls, and from here on each at once."""
        self.manual = False
        while self.waiting:
            self.step()

    def _made(self, call: Callable[[], Any]) -> Deferred[Any]:
        if self.error is not None:
            return fail(Failure(self.error))
        if self.broken and not self.works:
            return fail(Failure(sqlite3.OperationalError("disk I/O error")))
        self.works = max(0, self.works - 1)
        return maybeDeferred(call)


@define(eq=False)
class FakeOwner:
    """
    Makes outcomes durable at once, unless the test wants to do it itself.

    @ivar ends: how the run ended, and whether its log was closed before.
    @ivar syncs: those under way.
    """

    at_once: bool = True
    ends: list[tuple[RunRecord, bool]] = field(factory=list)
    syncs: list[Deferred[None]] = field(factory=list)
    counts: OutputCounts = field(factory=OutputCounts)

    def record(self, run: Run) -> None:
        run.recording.done = True
        run.tell_recorded(run.record)

    def sync(self, run: Run) -> Deferred[None]:
        if self.at_once:
            return succeed(None)
        self.syncs.append(Deferred())
        return self.syncs[-1]

    def short_output(self, run: Run) -> bytes:
        return b""

    def run_ended(self, run: Run, outcome: RunRecord) -> None:
        self.ends.append((outcome, run.log.closed))
        if self.at_once:
            run.publish_end(outcome)


def run_request(
    config: Config,
    command: str | None = None,
    given: Sequence[tuple[str, object]] = (),
    key: str | None = None,
    on_disconnect: OnDisconnect = OnDisconnect.KEEP,
) -> RunRequest:
    """A request for a run, by default one of the default command."""
    return RunRequest(
        config.command(command),
        given,
        on_disconnect,
        key,
        by_default=command is None,
    )


def text(log: OutputLog, offset: int = 0) -> bytes:
    """Return all output of a log from C{offset} on."""
    found: list[Chunk] = []
    while offset < log.end:
        found += log.read(offset, 1 << 16)
        offset = found[-1].end
    return b"".join(chunk.data for chunk in found)


class RegistryTestCase(SynchronousTestCase):
    """A registry that keeps all in memory, and the one after its restart."""

    config = CONFIG
    record_within = 0.0  # at once

    def setUp(self) -> None:
        self.begin(self.config)

    def begin(self, config: Config) -> None:
        """A daemon that never ran before."""
        self.clock, self.thread = Clock(), Thread()
        self.database = Database.open(":memory:", AgeClock(self.clock.seconds))
        self.addCleanup(self.database.close)
        self.restart(config)

    def restart(self, config: Config, *, recover: bool = True) -> None:
        """Kill the daemon, and start another in its place."""
        for call in tuple(self.clock.getDelayedCalls()):
            call.cancel()
        self.spawn = FakeSpawn()
        self.store = RunStore(self.database, self.thread, self.clock)
        self.logs = self.make_logs()
        now = wall(self.clock)
        live = LiveConfig(config)
        history = History(live, self.clock, now, self.store, self.logs)
        self.noted: list[AuditEntry] = []
        self.registry = Registry(
            live,
            self.clock,
            now,
            self.spawn,
            history,
            lambda *entries: self.noted.extend(entries),
            b"pepper",
            self.record_within,
        )
        if recover:
            self.recover()

    def make_logs(self) -> MemoryLogs | FileLogs:
        return MemoryLogs()

    def recover(self) -> None:
        """Take over the database."""
        self.successResultOf(Deferred.fromCoroutine(self.registry.recover()))

    def submit(
        self,
        command: str | None = None,
        given: Sequence[tuple[str, object]] = (),
        key: str | None = None,
        on_disconnect: OnDisconnect = OnDisconnect.KEEP,
    ) -> Run:
        """Request a run, and have it."""
        run = self.successResultOf(self.ask(command, given, key, on_disconnect))[0]
        assert isinstance(run, Run), run
        return run

    def ask(
        self,
        command: str | None = None,
        given: Sequence[tuple[str, object]] = (),
        key: str | None = None,
        on_disconnect: OnDisconnect = OnDisconnect.KEEP,
    ) -> Deferred[Any]:
        """Request a run: it, and whether it is new, once it is recorded."""
        config = self.registry.config
        asked = run_request(config, command, given, key, on_disconnect)
        return Deferred.fromCoroutine(self.registry.submit(asked))

    def record_first(self) -> None:
        """Let the disk be in doubt, so that no run is started before it is recorded."""
        self.store.failing = self.thread.manual = True

    @property
    def last(self) -> Started:
        """The process that was started last."""
        return self.spawn.started[-1]

    def kept(self, run_id: str) -> RunRecord:
        """Return the stored record of a run."""
        record = self.database.get(run_id)
        assert record is not None
        return record

    def assert_nothing_left(self) -> None:
        """No run is active, and no timer is left."""
        self.assertEqual(self.registry.active, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FileTestCase(RegistryTestCase):
    """A registry that keeps all in a real folder."""

    def setUp(self) -> None:
        self._dirs: list[StateDir] = []
        super().setUp()
        self.addCleanup(self._close)

    def begin(self, config: Config) -> None:
        self.clock, self.thread = Clock(), Thread()
        self.folder = Path(self.mktemp()).absolute()
        self._open()
        self.restart(config)

    def make_logs(self) -> FileLogs:
        return FileLogs(self._dirs[-1], lambda: Retention().bytes, self.thread)

    def reopen(self, config: Config) -> None:
        """The daemon is killed, and another opens its folder."""
        self._close()
        self._open()
        self.restart(config)

    def _open(self) -> None:
        self._dirs.append(StateDir.open(self.folder, wall(self.clock)))
        self.database = self._dirs[-1].database

    def _close(self) -> None:
        while self._dirs:
            opened = self._dirs.pop()
            opened.database.close()
            opened.close()


def limited(**limits: Any) -> Config:
    """C{say} and C{echo} with these limits."""
    commands = {
        each.name: evolve(each, limits=evolve(each.limits, **limits))
        for each in (SAY, ECHO)
    }
    return evolve(CONFIG, commands=commands)


LOGIN = Command(
    name="login",
    shell="login",
    params={
        "who": String(name="who"),
        "password": String(name="password", secret=True),
        "pin": String(name="pin", secret=True, default="0000"),
    },
    limits=Limits(max_running=1, when_busy=WhenBusy.QUEUE),
)


SECRET = "tr0ub4dor"


class BusyTestCase(RegistryTestCase):
    """A registry with room for two runs."""

    when_busy = WhenBusy.REJECT

    def setUp(self) -> None:
        self.config = limited(when_busy=self.when_busy)
        super().setUp()

    def one(self) -> Config:
        """Return a configuration in which each command runs only once at a time."""
        return limited(when_busy=self.when_busy, max_running=1)

    def queue(self) -> list[Run]:
        """The runs that wait, in their order."""
        runs = self.registry.active.values()
        return [run for run in runs if run.record.state is State.QUEUED]
