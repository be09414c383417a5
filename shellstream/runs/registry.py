"""All runs of this machine: those that run, those that wait, those that ended."""

from collections.abc import Callable, Collection

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from shellstream.config.command import Command, Invocation
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.model.errors import (
    RunActive,
    RunForgotten,
    RunNotRunning,
    RunUnknown,
    ShellstreamError,
)
from shellstream.model.events import OnDisconnect, Reason, State, WallClock
from shellstream.model.run_input import StdinChunk, StdinState
from shellstream.model.run_record import IdempotencyKey, RunQuery, RunRecord, next_id
from shellstream.output.interfaces import IRun
from shellstream.output.log import OutputLog
from shellstream.output.unforeseen import UNFORESEEN, log_unforeseen
from shellstream.security.audit import AuditEntry

from .admission import Admission
from .history import History, in_background
from .interfaces import IRuns, RunRequest
from .reporter import RunReporter
from .run import Run
from .supervisor import RunSupervisor, Spawn, invoke_again

#: Seconds that the first viewer of a run that must have one is given to come, at
#: least: it makes a request of its own, perhaps over a network that breaks.
FIRST_VIEWER_GRACE = 10.0

#: Seconds within which a run that was started without a record gets one; with output or
#: its end it gets one before. A shorter time would cost short runs a second record, on
#: a machine where many start at once.
RECORD_WITHIN = 0.05


@implementer(IRuns)
@define(eq=False)
class Registry:
    """
    Starts runs, knows each until it has ended, and finds it again later.

    @ivar supervisor: has the active runs.
    @ivar reporter: tells what happens to them.
    """

    live: LiveConfig
    clock: IReactorTime
    wall: WallClock
    _spawn: Spawn
    _history: History
    _audit: Callable[[AuditEntry], object]
    _pepper: bytes = field(repr=False)
    _record_within: float = RECORD_WITHIN
    supervisor: RunSupervisor = field(init=False)
    reporter: RunReporter = field(init=False)
    #: The principals' keys for which a request is under way, and who waits for its end.
    _keys: dict[tuple[str, str], list[Deferred[None]]] = field(factory=dict, init=False)
    _newest: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.reporter = RunReporter(self.wall, self._audit)
        self.supervisor = RunSupervisor(
            Admission(self.live),
            self.live,
            self.clock,
            self._spawn,
            self._history,
            self.reporter,
            self._record_within,
        )

    @property
    def config(self) -> Config:
        return self.live.now

    @property
    def active(self) -> dict[str, Run]:
        """The runs whose end is not recorded yet, by id."""
        return self.supervisor.runs

    @property
    def events(self) -> OutputLog:
        return self.reporter.news

    async def check(self) -> None:
        self.supervisor.check_running()
        await self._history.check()

    async def submit(self, request: RunRequest) -> tuple[IRun, bool]:
        command = request.command
        try:
            invocation = command.invoke(request.given, request.stdin, request.tty)
            if request.key is None:
                return await self._submit(request, invocation, None)
            return await self._submit_once(request, invocation, request.key)
        except ShellstreamError as error:
            error.requested = command.name, command.masked(request.given)
            raise

    async def _submit_once(
        self, request: RunRequest, invocation: Invocation, text: str
    ) -> tuple[IRun, bool]:
        """Submit a request, or find the run that its key leads to."""
        asked = (invocation.params, invocation.stdin, invocation.tty)
        hidden = (invocation.secrets, self._pepper)
        principal = request.by.principal.name
        name = None if request.by_default else request.command.name
        key = IdempotencyKey.of_request(text, principal, name, *asked, *hidden)
        # One request of a key at a time: a key that is new here stays new until it is
        # added.
        while (waiting := self._keys.get((principal, text))) is not None:
            done: Deferred[None] = Deferred()
            waiting.append(done)
            await done
        self._keys[principal, text] = []
        try:
            # First of all: a repeated request must not be refused as busy, or replace
            # the very run that it asks for.
            first = await self._history.run_of_key(key)
            if first is None:
                return await self._submit(request, invocation, key)
            try:
                return await self.find(first), False
            except RunUnknown:
                raise RunForgotten(first) from None
        finally:
            for done in self._keys.pop((principal, text)):
                done.callback(None)

    async def _submit(
        self, request: RunRequest, invocation: Invocation, key: IdempotencyKey | None
    ) -> tuple[IRun, bool]:
        supervisor, history, command = self.supervisor, self._history, request.command
        principal = request.by.principal
        owner = principal.name if principal.grant.own else None
        joined = await supervisor.joinable(command, invocation, owner)
        if joined is not None:
            if key is not None:
                await history.join(joined.record, key)
            self.reporter.report_join(joined.record, request.by)
            return joined, False
        supervisor.check_running()
        run = self._new(self._record(request, invocation), command, invocation)
        run.by, run.trace = request.by, request.trace
        # Its place is taken before it is recorded: or two requests could both find the
        # last free one, while the disk is waited for.
        supervisor.admit(run)
        await supervisor.begin(run, key)
        if request.on_disconnect is OnDisconnect.CANCEL:
            run.await_viewer(FIRST_VIEWER_GRACE)  # its client may be gone already
        return run, True

    async def find(self, run_id: str) -> IRun:
        run = self.active.get(run_id)
        if run is not None and not run.recorded:
            await run.recording.wait()  # its process knows it by its environment
        if run is not None and not run.log.storage_closed:
            return run
        # A run whose end cannot be recorded yet may be closed for its viewers: then it
        # is found like any ended run, by what is known of its end.
        return await self._history.find(run_id, None if run is None else run.record)

    async def page(self, query: RunQuery) -> list[RunRecord]:
        page = await self._history.page(query)
        known = (self.active.get(each.id) for each in page)
        return [
            each if run is None else run.snapshot()
            for each, run in zip(page, known, strict=True)
        ]

    async def feed(self, run_id: str, chunk: StdinChunk) -> int:
        return await (await self._running(run_id)).feed(chunk)

    async def resize(self, run_id: str, rows: int, columns: int) -> None:
        (await self._running(run_id)).resize(rows, columns)

    async def signal(self, run_id: str, number: int) -> None:
        run = self.active.get(run_id)
        if run is None or not run.signal(number):
            raise await self._not_running(run_id)

    async def cancel(self, run_id: str) -> None:
        (await self._running(run_id)).cancel(Reason.CANCELLED)

    async def delete(self, run_id: str) -> None:
        if run_id in self.active or self._history.has_left(run_id):
            raise RunActive(run_id)
        await self._history.delete(run_id)

    async def recover(
        self, find_left: Callable[[list[RunRecord]], Collection[str]] = lambda _: ()
    ) -> list[RunRecord]:
        """
        Take over the runs of another daemon: its queue waits again, and what it ran is
        lost. Returns the lost runs, as that daemon recorded them last.

        @param find_left: returns which of these have processes that live. Each counts
            as running until L{processes_gone} is called with its id.
        """
        unended, self._newest = await self._history.unended()
        lost = [each for each in unended if each.state is State.RUNNING]
        left = find_left(lost)
        for record in unended:
            if record.state is not State.RUNNING:
                self._requeue(record)
            elif record.id in left:
                self._history.mark_lost(record, left=True)
                self.supervisor.admission.hold_place(record.command)
            else:
                self.reporter.report_end(self._history.mark_lost(record))
        self.supervisor.launch_next()
        return lost

    async def audit_ends(self, since: int, audited: Collection[str]) -> None:
        """
        Audit the ends that another daemon recorded, but was killed before it could
        audit them. Call this before L{recover}.

        @param since: all ends since then are audited, in microseconds since 1970 ...
        @param audited: ... except those of these runs, which are already.
        """
        for record in await self._history.ended_since(since):
            if record.id not in audited:
                self.reporter.audit_end(record)

    def processes_gone(self, run_id: str) -> None:
        """What was left of a lost run has ended: others may have its place."""
        record = self._history.record_lost(run_id)
        self.reporter.report_end(record)
        self.supervisor.admission.free_place(record.command)
        self.supervisor.launch_next()

    def tidy(self) -> Deferred[None]:
        """Forget the runs that have been kept long enough. Never fails."""
        return in_background(self._history.tidy())

    def _record(self, request: RunRequest, invocation: Invocation) -> RunRecord:
        now, command = self.wall(), request.command
        self._newest = next_id(now, self._newest, self._pepper)
        return RunRecord(
            id=self._newest,
            command=command.name,
            params=invocation.params,
            secrets=invocation.secrets,
            created=now,
            principal=request.by.principal.name,
            on_disconnect=command.limits.on_disconnect or request.on_disconnect,
            stdin=StdinState() if invocation.stdin else None,
            tty=invocation.tty,
        )

    def _new(self, record: RunRecord, command: Command, invocation: Invocation) -> Run:
        log = self._history.logs.create(record.id, command.limits)
        owner = self.supervisor
        return Run(record, command, invocation, log, self.clock, self.wall, owner)

    def _requeue(self, record: RunRecord) -> None:
        if record.failure is not None:
            self._fail_queued(record, record.failure)
            return
        try:
            command, invocation = invoke_again(self.config, record, record.secrets)
            run = self._new(record, command, invocation)
        except ShellstreamError as error:
            self._fail_queued(record, str(error))
        except Exception:  # noqa: BLE001  # the other runs must have their turn
            log_unforeseen(record.id)
            self._fail_queued(record, UNFORESEEN)
        else:
            self.supervisor.requeue(run)

    def _fail_queued(self, record: RunRecord, why: str) -> None:
        """A run that another daemon left queued cannot be started."""
        now = self.wall()
        failed = evolve(record, state=State.FAILED, failure=why, secrets={}, ended=now)
        in_background(self._history.adopt_ended(failed), failed.id)
        self.reporter.report_end(failed)

    async def _running(self, run_id: str) -> Run:
        run = self.active.get(run_id)
        if run is None or run.has_ended:
            raise await self._not_running(run_id)
        return run

    async def _not_running(self, run_id: str) -> RunNotRunning:
        run = self.active.get(run_id)
        if run is not None and run.has_ended and not run.record.state.ended:
            return RunNotRunning("ending")
        return RunNotRunning((await self.find(run_id)).record.state.value)
