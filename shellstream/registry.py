"""All runs of this machine: those that go on, those that wait, those that ended."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from .admission import Admission
from .command import Command, Invocation
from .config import Config
from .errors import (
    Busy,
    CannotStart,
    CommandUnknown,
    NoDefaultCommand,
    RunActive,
    RunNotRunning,
    ShellstreamError,
)
from .events import Reason, State, Stream, WallClock
from .history import History, Logs, Store
from .interfaces import IRun, IRuns, Order
from .limits import Sync
from .outputlog import OutputLog
from .record import Key, RunRecord, described, next_id
from .run import Child, Run

_log = Logger()

#: What is kept of the news about runs, in bytes of memory.
EVENTS = 1 << 18


class Spawn(Protocol):
    """Starts the process of a command and tells the run what becomes of it."""

    def __call__(self, command: Command, invocation: Invocation, run: Run) -> Child: ...


@implementer(IRuns)
@define(eq=False)
class Registry:
    """
    Starts runs, knows every one until it has ended, and finds it again later.

    A run is written down before it is started, and its end before anybody is
    told of it: whatever happens, no order is carried out twice.

    @ivar active: the runs that are not concluded, by id.
    """

    config: Config
    clock: IReactorTime
    wall: WallClock
    _spawn: Spawn
    _store: Store
    _logs: Logs
    active: dict[str, Run] = field(factory=dict, init=False)
    events: OutputLog = field(factory=lambda: OutputLog(EVENTS), init=False)
    _admission: Admission = field(init=False)
    _history: History = field(init=False)
    _keys: set[str] = field(factory=set, init=False)  # with orders under way
    _newest: str | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _draining: IDelayedCall | None = field(default=None, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._admission = Admission(self.config.max_running, self.config.max_queued)
        self._history = History(
            self.config.keep, self.clock, self.wall, self._store, self._logs
        )

    def command(self, name: str | None) -> Command:
        name = self.config.default if name is None else name
        if name is None:
            raise NoDefaultCommand
        try:
            return self.config.commands[name]
        except KeyError:
            raise CommandUnknown(name, self.config.commands) from None

    async def submit(self, order: Order) -> tuple[IRun, bool]:
        command = self.command(order.command)
        invocation = command.invoke(order.given)
        key = _key(order, invocation)
        if key is None:
            return await self._submit(order, command, invocation, None)
        while key.key in self._keys:
            await self._store.flush()
        self._keys.add(key.key)
        try:
            return await self._submit(order, command, invocation, key)
        finally:
            self._keys.remove(key.key)

    async def _submit(
        self, order: Order, command: Command, invocation: Invocation, key: Key | None
    ) -> tuple[IRun, bool]:
        record = self._record(order, command, invocation)
        if key is not None:
            # Before anybody is turned away, or replaced, for what is there already.
            first = await self._store.first(record.principal, key)
            if first is not None:
                return await self.find(first), False
        joined = await self._joined(command, invocation)
        if joined is not None:
            if key is not None:
                first = await self._store.join(joined.record, key)
                if first is not None:
                    return await self.find(first), False
            return joined, False
        self._check_running()
        run = self._new(record, command, invocation)
        self.active[run.id] = run
        try:
            if self._admission.admit(run):
                run.admitted()
            first = await self._store.add(run.record, key)
        except ShellstreamError:
            self._forget(run)
            raise
        if first is not None:
            self._forget(run)
            return await self.find(first), False
        try:
            self._check_running()
        except Busy:
            run.cancel(Reason.SHUTDOWN)
            raise
        run.recorded = True
        self._announce("created", run.record)
        if run.record.state is State.RUNNING:
            self._launch(run)
        else:
            self._launch_next()
        return run, True

    async def find(self, run_id: str) -> IRun:
        run = self.active.get(run_id)
        if run is not None and not run.log.released:
            return run
        # One whose end cannot be written down yet may have told it long since.
        return await self._history.find(run_id, None if run is None else run.record)

    async def page(
        self, limit: int, after: str | None, state: State | None, command: str | None
    ) -> list[RunRecord]:
        page = await self._history.page(limit, after, state, command)
        known = (self.active.get(each.id) for each in page)
        return [
            each if run is None else run.record
            for each, run in zip(page, known, strict=True)
        ]

    async def signal(self, run_id: str, number: int) -> None:
        run = self.active.get(run_id)
        if run is None or not run.signal(number):
            raise await self._not_running(run_id)

    async def cancel(self, run_id: str) -> None:
        run = self.active.get(run_id)
        if run is None or run.over:
            raise await self._not_running(run_id)
        run.cancel(Reason.CANCELLED)

    async def delete(self, run_id: str) -> None:
        if run_id in self.active:
            raise RunActive(run_id)
        await self._history.forget(run_id)

    def recover(self, unended: Iterable[RunRecord], newest: str | None) -> None:
        """
        Take over what another daemon left: what it ran is lost, what it had
        queued is run.

        @param newest: the newest id that was ever given.
        """
        self._newest = newest
        for record in unended:
            if record.state is State.RUNNING:
                self._history.lose(record)
            else:
                self._requeue(record)
        self._launch_next()

    def hurry(self) -> None:
        """Start nothing more, and give no more time to what still runs."""
        self._begin_to_stop()
        for run in tuple(self.active.values()):
            if run not in self._admission.queue:
                run.cancel(Reason.SHUTDOWN)

    def stop(self) -> Deferred[None]:
        """
        Start nothing more, and end what runs after the time it is given to end by
        itself; fires when all has ended. What is queued stays so.
        """
        self._begin_to_stop()
        for run in tuple(self._admission.queue):
            if run.recorded:  # of the others submit() takes care
                self._admission.leave(run)
                del self.active[run.id]
                run.abandon()
        if self.config.drain and self.active:
            self._draining = self.clock.callLater(self.config.drain, self.hurry)
        else:
            self.hurry()
        return self.idle().addCallback(lambda _: self._store.flush())

    def idle(self) -> Deferred[None]:
        """Fires when nothing runs."""
        if not self.active:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def tidy(self) -> Deferred[None]:
        """Forget the runs that have been kept long enough; never fails."""
        tidying = Deferred.fromCoroutine(self._history.tidy())
        return tidying.addErrback(_unforeseen)

    def sync(self, run: Run) -> Deferred[None]:
        return self._logs.sync(run.id, run.log)

    def over(self, run: Run, outcome: RunRecord) -> None:
        self._admission.leave(run)
        settling = Deferred.fromCoroutine(self._settle(run, outcome))
        settling.addErrback(_unforeseen)
        self._launch_next()

    async def _settle(self, run: Run, outcome: RunRecord) -> None:
        synced = run.command.limits.sync is not Sync.NEVER
        if synced and outcome.size:
            await self._logs.sync(run.id, run.log)
        if not await self._history.recorded(outcome, synced=synced):
            # Its viewers have waited long enough, and the daemon may have to stop.
            self._conclude(run, outcome)
            await self._history.record_late(outcome)
        else:
            self._conclude(run, outcome)
        self._logs.settled(run.id, run.log)
        del self.active[run.id]
        if not self.active:
            if self._draining is not None and self._draining.active():
                self._draining.cancel()
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)
        await self._history.tidy()

    def _conclude(self, run: Run, outcome: RunRecord) -> None:
        run.conclude(outcome)
        self._announce("ended", outcome)

    def _record(
        self, order: Order, command: Command, invocation: Invocation
    ) -> RunRecord:
        now = self.wall()
        self._newest = next_id(now, self._newest)
        return RunRecord(
            id=self._newest,
            command=command.name,
            params=invocation.params,
            created=now,
            on_disconnect=command.limits.on_disconnect or order.on_disconnect,
        )

    def _new(self, record: RunRecord, command: Command, invocation: Invocation) -> Run:
        log = self._logs.create(record.id, command.limits)
        return Run(record, command, invocation, log, self.clock, self.wall, self)

    def _requeue(self, record: RunRecord) -> None:
        try:
            command = self.command(record.command)
            invocation = command.invoke(record.params.items())
        except ShellstreamError as error:
            why = f"the configuration has changed: {error}"
            self._history.bury(
                evolve(record, state=State.FAILED, failure=why, ended=self.wall())
            )
            return
        run = self._new(record, command, invocation)
        run.recorded = True
        self.active[run.id] = run
        self._admission.queue.append(run)
        run.await_viewer()

    async def _joined(self, command: Command, invocation: Invocation) -> Run | None:
        """The run that an order for the same is to join, once it is written down."""
        while (run := self._admission.joinable(command, invocation.params)) is not None:
            if run.recorded:
                return run
            await self._store.flush()
        return None

    async def _not_running(self, run_id: str) -> RunNotRunning:
        run = self.active.get(run_id)
        if run is not None and run.over and not run.record.state.ended:
            return RunNotRunning("ending")
        return RunNotRunning((await self.find(run_id)).record.state.value)

    def _begin_to_stop(self) -> None:
        self._stopping = True
        self._history.close()

    def _check_running(self) -> None:
        if self._stopping:
            raise Busy("the daemon is stopping", 10)

    def _forget(self, run: Run) -> None:
        """It was never more than a plan."""
        if not run.over:  # or it was cancelled meanwhile, which is seen to already
            self._admission.leave(run)
            del self.active[run.id]
            self._logs.settled(run.id, run.log)
        self._logs.remove([run.id])
        self._launch_next()

    def _launch_next(self) -> None:
        while not self._stopping and (run := self._admission.next()) is not None:
            Deferred.fromCoroutine(self._launch_queued(run)).addErrback(_unforeseen)

    async def _launch_queued(self, run: Run) -> None:
        run.admitted()
        try:
            # Or the next daemon, if this one dies, would start it a second time.
            await self._store.put(run.record, synced=True)
            self._launch(run)
        except ShellstreamError as error:
            if not run.over:
                run.failed(str(error))

    def _launch(self, run: Run) -> None:
        if run.over:
            return
        try:
            child = self._spawn(run.command, run.invocation, run)
        except (Busy, CannotStart) as error:
            run.failed(str(error))
            raise
        run.started(child)
        self._history.write_down(run.record)
        self._announce("started", run.record)

    def _announce(self, event: str, record: RunRecord) -> None:
        document = json.dumps({"event": event, "run": described(record)})
        self.events.append(Stream.STDOUT, self.wall(), document.encode())


def _key(order: Order, invocation: Invocation) -> Key | None:
    if order.key is None:
        return None
    asked = [order.command, sorted(invocation.params.items())]
    return Key(order.key, sha256(json.dumps(asked).encode()).hexdigest())


def _unforeseen(failure: Failure) -> None:
    _log.failure("while looking after runs", failure=failure)
