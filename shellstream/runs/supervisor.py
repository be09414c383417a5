"""The runs that have not ended: whose turn it is, how they end, and how all stops."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from shellstream.config.command import Command, Invocation
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import Reason
from shellstream.model.limits import Sync
from shellstream.model.run_record import RunRecord
from shellstream.output.unforeseen import UNFORESEEN, contained, log_unforeseen

from .admission import Admission
from .history import RETRY, History, in_background
from .reporter import RunReporter
from .run import Child, Run
from .run_state import Phase

#: Starts the process of a command, whose output and end go to the run.
Spawn = Callable[[Command, Invocation, Run], Awaitable[Child]]


@define(eq=False)
class RunSupervisor:
    """
    The active runs: those that wait, those that run, and those whose end is not
    recorded yet. L{shellstream.runs.run_state} has the order of events.

    @ivar runs: all of them, by id.
    @ivar admission: which of them wait.
    @ivar stopping: whether nothing more is started.
    """

    admission: Admission
    _drain: float
    _clock: IReactorTime
    _spawn: Spawn
    _history: History
    _reporter: RunReporter
    runs: dict[str, Run] = field(factory=dict, init=False)
    stopping: bool = field(default=False, init=False)
    _draining: IDelayedCall | None = field(default=None, init=False)
    # While it is set, the queue waits for the disk.
    _holding: IDelayedCall | None = field(default=None, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    async def joinable(
        self, command: Command, invocation: Invocation, owner: str | None
    ) -> Run | None:
        """
        The run that a request for the same shall join, once it is recorded.

        @see: L{Admission.joinable}
        """
        while (run := self.admission.joinable(command, invocation, owner)) is not None:
            if run.recorded:
                return run
            await self._history.flush()
        return None

    def admit(self, run: Run) -> None:
        """
        Give a run a place, which it keeps until it has ended, or L{drop}.

        @raise Busy: if there is none.
        """
        self.runs[run.id] = run
        try:
            if self.admission.admit(run):
                run.take_turn()
        except Exception:
            self.drop(run)
            raise

    def drop(self, run: Run) -> None:
        """Drop a run that was never recorded."""
        if not run.has_ended:  # otherwise it was cancelled meanwhile, and leaves so
            self._leave(run)
        self._history.logs.remove([run.id])
        self.launch_next()

    async def begin(self, run: Run) -> None:
        """
        A run was recorded: launch it, if its turn is now.

        If it cannot be started, this is done when that end is recorded.

        @raise Busy: if the daemon stops, or the machine has no room for it.
        """
        if self.stopping:
            run.cancel(Reason.SHUTDOWN)
            self.check_running()
        run.recorded = True
        self._reporter.report("created", run.record)
        if run.phase is not Phase.STARTING:
            self.launch_next()
            return
        try:
            await self._launch(run)
        except CannotStart:
            # The request is answered with this end, which must be recorded before.
            while not run.record.state.ended:
                await self._history.flush()

    def requeue(self, run: Run) -> None:
        """A run that another daemon recorded waits for its turn."""
        run.recorded = True
        self.runs[run.id] = run
        self.admission.enqueue(run)
        run.await_viewer()

    def check_running(self) -> None:
        """
        @raise Busy: if the daemon stops.
        """
        if self.stopping:
            raise Busy("the daemon is stopping", 10)

    def launch_next(self) -> None:
        """Launch those that wait and have room now, unless the disk fails."""
        while not (self.stopping or self._holding):
            run = self.admission.next()
            if run is None:
                break
            in_background(self._launch_queued(run), run.id)

    def hurry(self) -> None:
        """Start nothing more, and stop all runs that have a process."""
        self._begin_to_stop()
        for run in tuple(self.runs.values()):
            if not run.can_stay_queued:
                run.cancel(Reason.SHUTDOWN)

    def stop(self) -> Deferred[None]:
        """
        Start nothing more, and stop all runs that have not ended after C{drain}
        seconds. Fires when all have ended. Queued runs are left to the next daemon.
        """
        self._begin_to_stop()
        for run in tuple(self.admission.queue):  # _leave changes it
            if run.recorded:  # the others are cancelled once they are
                run.leave_queued()
                self._leave(run)
        if self._drain and self.runs:
            self._draining = self._clock.callLater(self._drain, self.hurry)
        else:
            self.hurry()
        return self.idle().addCallback(lambda _: self._history.flush())

    def idle(self) -> Deferred[None]:
        """Fires when no run is active."""
        if not self.runs:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def sync(self, run: Run) -> Deferred[None]:
        return self._history.logs.sync(run.id)

    def run_ended(self, run: Run, outcome: RunRecord) -> None:
        self.admission.leave(run)
        in_background(self._record_end(run, outcome), run.id)
        self.launch_next()

    async def _record_end(self, run: Run, outcome: RunRecord) -> None:
        # Each step is contained: however one goes, the next ones are owed to others.
        synced, recorded = run.command.limits.sync is not Sync.NEVER, False
        with contained(run.id):
            if synced and outcome.size:
                await self.sync(run)
        with contained(run.id):
            recorded = await self._history.save(outcome, synced=synced)
        # In the audit before a client can do anything because of it.
        self._reporter.report_end(outcome)
        run.publish_end(outcome)
        if not recorded:
            await self._history.save_late(outcome)
        self._retire(run)
        with contained(run.id):
            await self._history.make_room()

    async def _launch_queued(self, run: Run) -> None:
        try:
            await self._take_turn(run)
        except Exception:  # noqa: BLE001  # or it would keep its place for ever
            run.broke()

    async def _take_turn(self, run: Run) -> None:
        run.take_turn()
        # Recorded as running first, or the next daemon would start it a second time.
        recorded = False
        with contained(run.id):
            recorded = await self._history.save(run.record, synced=True)
        if run.has_ended:
            return
        if self.stopping:  # since the disk was asked
            run.leave_queued()
            await self._history.save(run.record, synced=True)
            self._leave(run)
        elif not recorded:
            run.wait_again()
            self.admission.give_back(run)
            self._hold_queue()
        else:
            with suppress(Busy, CannotStart):  # it has failed, and says why
                await self._launch(run)

    def _hold_queue(self) -> None:
        """Launch nothing that waits until the disk has had time to recover."""
        if self._holding is None:
            self._holding = self._clock.callLater(RETRY, self._release_queue)

    def _release_queue(self) -> None:
        self._holding = None
        self.launch_next()

    async def _launch(self, run: Run) -> None:
        """
        Start the process of a run, or let the run fail.

        @raise Busy: if the machine has no room for it.
        @raise CannotStart: if it cannot be started for another reason.
        """
        if run.has_ended:
            return
        run.launch()
        invocation = run.invocation
        try:
            run.command.recheck_paths(invocation)  # it may have waited for long
            child = await self._spawn(run.command, invocation, run)
        except (Busy, CannotStart) as error:
            run.failed(str(error))
            raise
        except Exception:  # noqa: BLE001  # any error is the run's
            log_unforeseen(run.id)
            unforeseen = CannotStart(run.command.name, UNFORESEEN)
            run.failed(str(unforeseen))
            raise unforeseen from None
        run.started(child)
        tty = run.invocation.tty
        if tty is not None and run.invocation is not invocation:  # resized meanwhile
            child.resize(tty)
        # Not waited for: the process is known by its environment as well.
        in_background(self._history.save(run.record), run.id)
        self._reporter.report("started", run.record)

    def _begin_to_stop(self) -> None:
        self.stopping = True
        if self._holding is not None and self._holding.active():
            self._holding.cancel()
        self._history.close()

    def _leave(self, run: Run) -> None:
        """This daemon never starts it."""
        self.admission.leave(run)
        self._retire(run)

    def _retire(self, run: Run) -> None:
        del self.runs[run.id]
        with contained(run.id):
            self._history.logs.retire(run.id)
        if not self.runs:
            if self._draining is not None and self._draining.active():
                self._draining.cancel()
            waiting, self._idle = self._idle, []
            for each in waiting:
                each.callback(None)
