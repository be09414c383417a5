"""The runs that are not over: whose turn it is, how they end, and how all stops."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from shellstream.config.command import Command, Invocation
from shellstream.model.errors import Busy, CannotRecord, CannotStart
from shellstream.model.events import Reason, State
from shellstream.model.limits import Sync
from shellstream.model.run_record import RunRecord

from .admission import Admission
from .history import History, Logs, Store
from .run import Child, Run

_log = Logger()


class Spawn(Protocol):
    """Starts the process of a command and tells the run what becomes of it."""

    def __call__(self, command: Command, invocation: Invocation, run: Run) -> Child: ...


@define(eq=False)
class RunSupervisor:
    """
    The runs that wait, that go on, or whose end is not written down yet.

    That a run starts is written down before it does, and its end before anybody is
    told of it: whatever happens, no order is carried out twice.

    @ivar runs: all of them, by id.
    @ivar admission: who of them waits.
    @ivar stopping: whether nothing more is started.
    """

    admission: Admission
    _drain: float
    _clock: IReactorTime
    _spawn: Spawn
    _store: Store
    _logs: Logs
    _history: History
    _announce: Callable[[str, RunRecord], None]
    runs: dict[str, Run] = field(factory=dict, init=False)
    stopping: bool = field(default=False, init=False)
    _launching: set[Run] = field(factory=set, init=False)  # whose turn it is just now
    _draining: IDelayedCall | None = field(default=None, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    async def joinable(
        self, command: Command, invocation: Invocation, owner: str | None
    ) -> Run | None:
        """
        The run that an order for the same is to join, once it is written down.

        @see: L{Admission.joinable}
        """
        while (run := self.admission.joinable(command, invocation, owner)) is not None:
            if run.recorded:
                return run
            await self._store.flush()
        return None

    def admit(self, run: Run) -> None:
        """
        Give a run a place, which it keeps until it is over, or L{forget}.

        @raise Busy: if there is none.
        """
        self.runs[run.id] = run
        try:
            if self.admission.admit(run):
                run.admitted()
        except Busy:
            self.forget(run)
            raise

    def forget(self, run: Run) -> None:
        """It was never more than a plan."""
        if not run.has_ended:  # or it was cancelled meanwhile, which is seen to already
            self._leave(run)
        self._logs.remove([run.id])
        self.launch_next()

    async def begin(self, run: Run) -> None:
        """
        A run is written down: launch it, if its turn is now.

        When it cannot be started, this is done when it has failed.

        @raise Busy: if the daemon stops, or the machine has no room for it.
        """
        if self.stopping:
            run.cancel(Reason.SHUTDOWN)
            self.check_running()
        run.recorded = True
        self._announce("created", run.record)
        if run.record.state is not State.RUNNING:
            self.launch_next()
            return
        try:
            self._launch(run)
        except CannotStart:
            while not run.record.state.ended:
                await self._store.flush()

    def wait(self, run: Run) -> None:
        """A run that another daemon has written down waits for its turn."""
        run.recorded = True
        self.runs[run.id] = run
        self.admission.queue.append(run)
        run.await_viewer()

    def check_running(self) -> None:
        """
        @raise Busy: if the daemon stops.
        """
        if self.stopping:
            raise Busy("the daemon is stopping", 10)

    def launch_next(self) -> None:
        """Launch those that wait and have room now."""
        while not self.stopping and (run := self.admission.next()) is not None:
            Deferred.fromCoroutine(self._launch_queued(run)).addErrback(_unforeseen)

    def hurry(self) -> None:
        """Start nothing more, and give no more time to what still runs."""
        self._begin_to_stop()
        waiting = {*self.admission.queue, *self._launching}
        for run in tuple(self.runs.values()):
            if run not in waiting:
                run.cancel(Reason.SHUTDOWN)

    def stop(self) -> Deferred[None]:
        """
        Start nothing more, and end what runs after the time it is given to end by
        itself; fires when all has ended. What is queued stays so.
        """
        self._begin_to_stop()
        for run in tuple(self.admission.queue):
            if run.recorded:  # the others are cancelled once they are
                run.abandon()
                self._leave(run)
        if self._drain and self.runs:
            self._draining = self._clock.callLater(self._drain, self.hurry)
        else:
            self.hurry()
        return self.idle().addCallback(lambda _: self._store.flush())

    def idle(self) -> Deferred[None]:
        """Fires when nothing runs."""
        if not self.runs:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def sync(self, run: Run) -> Deferred[None]:
        return self._logs.sync(run.id, run.log)

    def run_ended(self, run: Run, outcome: RunRecord) -> None:
        self.admission.leave(run)
        settling = Deferred.fromCoroutine(self._settle(run, outcome))
        settling.addErrback(_unforeseen)
        self.launch_next()

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
        self._gone(run)
        await self._history.make_room()

    def _conclude(self, run: Run, outcome: RunRecord) -> None:
        # In the audit before anybody may do something because of it.
        self._announce("ended", outcome)
        run.publish_end(outcome)

    async def _launch_queued(self, run: Run) -> None:
        run.admitted()
        self._launching.add(run)
        failure = None
        try:
            # Or the next daemon, if this one dies, would start it a second time.
            await self._store.put(run.record, synced=True)
        except CannotRecord as error:
            failure = str(error)
        self._launching.remove(run)
        if run.has_ended:
            return
        if self.stopping:
            run.abandon()
            await self._history.recorded(run.record, synced=True)
            self._leave(run)
        elif failure is not None:
            run.failed(failure)
        else:
            with suppress(Busy, CannotStart):  # it has failed, and says why
                self._launch(run)

    def _launch(self, run: Run) -> None:
        if run.has_ended:
            return
        try:
            run.command.recheck_paths(run.invocation)  # it may have waited for long
            child = self._spawn(run.command, run.invocation, run)
        except (Busy, CannotStart) as error:
            run.failed(str(error))
            raise
        run.started(child)
        self._history.save_soon(run.record)
        self._announce("started", run.record)

    def _begin_to_stop(self) -> None:
        self.stopping = True
        self._history.close()

    def _leave(self, run: Run) -> None:
        """This daemon never starts it."""
        self.admission.leave(run)
        self._logs.settled(run.id, run.log)
        self._gone(run)

    def _gone(self, run: Run) -> None:
        del self.runs[run.id]
        if not self.runs:
            if self._draining is not None and self._draining.active():
                self._draining.cancel()
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)


def _unforeseen(failure: Failure) -> None:
    _log.failure("while looking after runs", failure=failure)
