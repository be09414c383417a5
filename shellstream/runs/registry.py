"""All runs of this machine: those that go on, those that wait, those that ended."""

import json
from collections.abc import Callable, Iterable

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from shellstream.config.command import Command, Invocation
from shellstream.config.loader import Config
from shellstream.model.errors import (
    Busy,
    CommandUnknown,
    NoDefaultCommand,
    RunActive,
    RunForgotten,
    RunNotRunning,
    RunUnknown,
    ShellstreamError,
)
from shellstream.model.events import OnDisconnect, Reason, State, Stream, WallClock
from shellstream.model.run_input import StdinChunk, StdinState
from shellstream.model.run_record import (
    IdempotencyKey,
    RunFilter,
    RunRecord,
    next_id,
    to_document,
)
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.security.audit import AuditAction, Entry

from .admission import Admission
from .history import History, Logs, Store
from .interfaces import IRuns, RunRequest
from .run import Run
from .supervisor import RunSupervisor, Spawn

_log = Logger()

#: What is kept of the news about runs, in bytes of memory.
EVENTS = 1 << 17

#: Seconds that the first viewer of a run that has to have one is given to come, at
#: the least: a request of its own, perhaps over a network that breaks.
FIRST_VIEWER_GRACE = 10.0


@implementer(IRuns)
@define(eq=False)
class Registry:
    """
    Starts runs, knows every one until it has ended, and finds it again later.

    An order is written down before it is carried out, and with a key it is so once.
    """

    config: Config
    clock: IReactorTime
    wall: WallClock
    _spawn: Spawn
    _store: Store
    _logs: Logs
    _note: Callable[[Entry], object]
    _pepper: bytes = field(repr=False)
    events: OutputLog = field(factory=lambda: OutputLog(EVENTS), init=False)
    _history: History = field(init=False)
    _active: RunSupervisor = field(init=False)
    #: Whose keys have orders under way.
    _keys: set[tuple[str, str]] = field(factory=set, init=False)
    _newest: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        config, store, logs = self.config, self._store, self._logs
        self._history = History(config.keep, self.clock, self.wall, store, logs)
        self._active = RunSupervisor(
            Admission(config.max_running, config.max_queued),
            config.drain,
            self.clock,
            self._spawn,
            store,
            logs,
            self._history,
            self._announce,
        )

    @property
    def active(self) -> dict[str, Run]:
        """The runs that are not concluded, by id."""
        return self._active.runs

    def command(self, name: str | None) -> Command:
        name = self.config.default if name is None else name
        if name is None:
            raise NoDefaultCommand
        try:
            return self.config.commands[name]
        except KeyError:
            raise CommandUnknown(name, self.config.commands) from None

    async def check(self) -> None:
        self._active.check_running()
        await self._store.check()

    async def submit(self, order: RunRequest) -> tuple[IRun, bool]:
        command = self.command(order.command)
        try:
            return await self._take(order, command)
        except ShellstreamError as error:
            error.requested = command.name, command.masked(order.given)
            raise

    async def _take(self, order: RunRequest, command: Command) -> tuple[IRun, bool]:
        invocation = command.invoke(order.given, order.stdin, order.tty)
        if order.key is None:
            return await self._submit(order, command, invocation, None)
        asked = (invocation.params, invocation.stdin, invocation.tty)
        hidden = (invocation.secrets, self._pepper)
        key = IdempotencyKey.of(order.key, order.command, *asked, *hidden)
        mine = order.by.principal.name, key.key
        while mine in self._keys:
            await self._store.flush()
        self._keys.add(mine)
        try:
            return await self._submit(order, command, invocation, key)
        finally:
            self._keys.remove(mine)

    async def _submit(
        self,
        order: RunRequest,
        command: Command,
        invocation: Invocation,
        key: IdempotencyKey | None,
    ) -> tuple[IRun, bool]:
        record = self._record(order, command, invocation)
        if key is not None:
            # Before anybody is turned away, or replaced, for what is there already.
            first = await self._store.first(record.principal, key)
            if first is not None:
                return await self._again(first), False
        principal = order.by.principal
        owner = principal.name if principal.grant.own else None
        joined = await self._active.joinable(command, invocation, owner)
        if joined is not None:
            if key is not None:
                first = await self._store.join(joined.record, key, record.principal)
                if first is not None:
                    return await self._again(first), False
            return joined, False
        self._active.check_running()
        run = self._new(record, command, invocation)
        self._active.admit(run)
        try:
            first = await self._store.add(run.record, key)
        except ShellstreamError:
            self._active.forget(run)
            raise
        if first is not None:
            self._active.forget(run)
            return await self._again(first), False
        self._note_start(order, run.record)
        try:
            await self._active.begin(run)
        except Busy:
            if key is not None:  # or whoever comes back with it would find no run
                await self._store.free(record.principal, key)
            raise
        if order.on_disconnect is OnDisconnect.CANCEL:
            run.await_viewer(
                FIRST_VIEWER_GRACE
            )  # who asked for it may be gone before it comes
        return run, True

    async def _again(self, run_id: str) -> IRun:
        """The run that a key was used for before."""
        try:
            return await self.find(run_id)
        except RunUnknown:
            raise RunForgotten(run_id) from None

    async def find(self, run_id: str) -> IRun:
        run = self.active.get(run_id)
        if run is not None and not run.log.storage_closed:
            return run
        # One whose end cannot be written down yet may have told it long since.
        return await self._history.find(run_id, None if run is None else run.record)

    async def page(
        self,
        limit: int,
        after: str | None,
        state: State | None,
        command: str | None,
        within: RunFilter | None = None,
    ) -> list[RunRecord]:
        page = await self._history.page(limit, after, state, command, within)
        known = (self.active.get(each.id) for each in page)
        return [
            each if run is None else run.snapshot()
            for each, run in zip(page, known, strict=True)
        ]

    async def feed(self, run_id: str, piece: StdinChunk) -> int:
        return await (await self._going_on(run_id)).feed(piece)

    async def resize(self, run_id: str, rows: int, columns: int) -> None:
        (await self._going_on(run_id)).resize(rows, columns)

    async def signal(self, run_id: str, number: int) -> None:
        run = self.active.get(run_id)
        if run is None or not run.signal(number):
            raise await self._not_running(run_id)

    async def cancel(self, run_id: str) -> None:
        (await self._going_on(run_id)).cancel(Reason.CANCELLED)

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
                self._announce("ended", self._history.mark_lost(record))
            else:
                self._requeue(record)
        self._active.launch_next()

    def hurry(self) -> None:
        """@see: L{RunSupervisor.hurry}"""
        self._active.hurry()

    def stop(self) -> Deferred[None]:
        """@see: L{RunSupervisor.stop}"""
        return self._active.stop()

    def idle(self) -> Deferred[None]:
        """@see: L{RunSupervisor.idle}"""
        return self._active.idle()

    def tidy(self) -> Deferred[None]:
        """Forget the runs that have been kept long enough; never fails."""
        tidying = Deferred.fromCoroutine(self._history.tidy())
        return tidying.addErrback(_unforeseen)

    def _record(
        self, order: RunRequest, command: Command, invocation: Invocation
    ) -> RunRecord:
        now = self.wall()
        self._newest = next_id(now, self._newest)
        return RunRecord(
            id=self._newest,
            command=command.name,
            params=invocation.params,
            secrets=invocation.secrets,
            created=now,
            principal=order.by.principal.name,
            on_disconnect=command.limits.on_disconnect or order.on_disconnect,
            stdin=StdinState() if invocation.stdin else None,
            tty=invocation.tty,
        )

    def _new(self, record: RunRecord, command: Command, invocation: Invocation) -> Run:
        log = self._logs.create(record.id, command.limits)
        host = self._active
        return Run(record, command, invocation, log, self.clock, self.wall, host)

    def _requeue(self, record: RunRecord) -> None:
        try:
            command = self.command(record.command)
            wanted = (record.stdin is not None, record.tty)
            given = {**record.params, **record.secrets}.items()
            invocation = command.invoke(given, *wanted)
        except ShellstreamError as error:
            why = f"the configuration has changed: {error}"
            failed = evolve(record, state=State.FAILED, failure=why, secrets={})
            failed = evolve(failed, ended=self.wall())
            self._history.adopt_ended(failed)
            self._announce("ended", failed)
            return
        self._active.wait(self._new(record, command, invocation))

    async def _going_on(self, run_id: str) -> Run:
        run = self.active.get(run_id)
        if run is None or run.has_ended:
            raise await self._not_running(run_id)
        return run

    async def _not_running(self, run_id: str) -> RunNotRunning:
        run = self.active.get(run_id)
        if run is not None and run.has_ended and not run.record.state.ended:
            return RunNotRunning("ending")
        return RunNotRunning((await self.find(run_id)).record.state.value)

    def _announce(self, event: str, record: RunRecord) -> None:
        document = json.dumps({"event": event, "run": to_document(record)})
        self.events.append(Stream.STDOUT, self.wall(), document.encode())
        if record.state.ended:
            self._note(ended(record))

    def _note_start(self, order: RunRequest, record: RunRecord) -> None:
        """To be called before it is in the hands of anything that can end it."""
        self._note(
            Entry.of(
                AuditAction.START,
                order.by,
                command=record.command,
                run=record.id,
                params=record.params,
                facts={"state": record.state.value},
            )
        )


def ended(record: RunRecord) -> Entry:
    """How a run ended, for the audit."""
    end = record.end
    return Entry(
        what=AuditAction.END,
        who=record.principal,
        command=record.command,
        run=record.id,
        facts={
            "state": end.state.value,
            "code": end.code,
            "signal": end.signal,
            "reason": None if end.reason is None else end.reason.value,
            "failure": record.failure,
        },
    )


def _unforeseen(failure: Failure) -> None:
    _log.failure("while looking after runs", failure=failure)
