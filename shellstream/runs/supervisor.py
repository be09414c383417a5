"""The runs that have not ended: whose turn it is, how they end, and how all stops."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from shellstream.config.command import Command, Invocation
from shellstream.config.live import LiveConfig
from shellstream.config.loader import Config
from shellstream.model.errors import (
    Busy,
    CannotRecord,
    CannotStart,
    ShellstreamError,
    TooManyKeys,
)
from shellstream.model.events import Reason
from shellstream.model.limits import Sync
from shellstream.model.run_record import IdempotencyKey, RunRecord
from shellstream.output.counts import OutputCounts
from shellstream.output.fair_turns import FairTurns
from shellstream.output.unforeseen import UNFORESEEN, contained, log_unforeseen

from .admission import Admission
from .history import RETRY, History, in_background
from .reporter import RunReporter
from .run import Child, Run
from .run_state import Phase

#: Starts the process of a command, whose output and end go to the run.
Spawn = Callable[[Command, Invocation, Run], Awaitable[Child]]


def invoke_again(
    config: Config, record: RunRecord, secrets: Mapping[str, str]
) -> tuple[Command, Invocation]:
    """
    What a configuration makes of a run that was submitted under another one.

    @raise CannotStart: if it has no such command, or that takes other parameters.
    """
    try:
        command = config.command(record.command)
        given = {**record.params, **secrets}.items()
        return command, command.invoke(given, record.stdin is not None, record.tty)
    except ShellstreamError as error:
        why = f"the configuration has changed: {error}"
        raise CannotStart(record.command, why) from None


@define(eq=False)
class RunSupervisor:
    """
    The active runs: those that wait, those that run, and those whose end is not
    recorded yet. L{shellstream.runs.run_state} has the order of events.

    @ivar runs: all of them, by id.
    @ivar admission: which of them wait.
    @ivar stopping: whether nothing more is started.
    @ivar counts: what it counts of all of them.
    """

    admission: Admission
    _live: LiveConfig
    _clock: IReactorTime
    _spawn: Spawn
    _history: History
    _reporter: RunReporter
    _record_within: float
    runs: dict[str, Run] = field(factory=dict, init=False)
    stopping: bool = field(default=False, init=False)
    counts: OutputCounts = field(factory=OutputCounts, init=False)
    _draining: IDelayedCall | None = field(default=None, init=False)
    _hurried: bool = field(default=False, init=False)
    # While it is set, the queue waits for the disk.
    _holding: IDelayedCall | None = field(default=None, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)
    _turns: FairTurns = Factory(lambda self: FairTurns(self._clock), takes_self=True)

    async def joinable(
        self, command: Command, invocation: Invocation, owner: str | None
    ) -> Run | None:
        """
        The run that a request for the same shall join, once it is recorded.

        @see: L{Admission.joinable}
        """
        while True:
            run = self.admission.joinable(command, invocation, owner)
            if run is None or run.recorded:
                return run
            await run.recording.wait()

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
        """Drop a run that was never started."""
        if not run.has_ended:  # otherwise it was cancelled meanwhile, and leaves so
            self._leave(run)
        self._history.logs.remove([run.id])
        run.tell_recorded(None)
        self.launch_next()

    async def begin(self, run: Run, key: IdempotencyKey | None) -> None:
        """
        Record a run that has its place, and launch it if its turn is now: a run without
        a key first, while its record is still to be written.

        If it cannot be started, this is done when that end is recorded.

        @raise TooManyKeys: if the principal has its share of the keys.
        @raise CannotRecord: if the disk does not take it. Then it is dropped, or ended
            if it was started.
        @raise Busy: if the daemon stops, or the machine has no room for it.
        """
        at_once = key is None and run.phase is Phase.STARTING
        at_once = at_once and not self._history.failing
        try:
            if at_once:
                self._history.logs.check()
            else:
                await self._history.add(run.record, key)
        except (CannotRecord, TooManyKeys):
            self.drop(run)
            raise
        except Exception:
            run.broke()  # not dropped: it may be recorded
            raise
        if at_once:
            await self._launch_unrecorded(run)
            return
        self._recorded(run)
        try:
            await self._launch_recorded(run, key)
        finally:
            run.tell_recorded(None)

    async def _launch_recorded(self, run: Run, key: IdempotencyKey | None) -> None:
        if self.stopping:
            run.cancel(Reason.SHUTDOWN)
            self.check_running()
        if run.phase is not Phase.STARTING:
            self.launch_next()
            return
        try:
            await self._launch(run)
        except CannotStart:
            # The request is answered with this end, which must be recorded before.
            while not run.record.state.ended:
                await self._history.flush()
        except Busy:
            if key is not None:  # or the next request with it would find a failed run
                await self._history.delete_key(key)
            raise

    async def _launch_unrecorded(self, run: Run) -> None:
        with suppress(CannotStart):  # the request is answered with this end
            await self._launch(run)
        run.record_within(self._record_within)
        await run.recording.wait()

    def requeue(self, run: Run) -> None:
        """A run that another daemon recorded waits for its turn."""
        run.recording.done = run.reported = True
        with contained(run.id):
            self._history.logs.settle(run.id)
        self.runs[run.id] = run
        self.admission.enqueue(run)
        run.await_viewer()

    async def follow(self) -> None:
        """
        The configuration has changed: all that wait follow it, or fail. Those whose
        process was started go on as they are.
        """
        for run in tuple(self.admission.queue):
            await self._turns.turn()  # a path among the parameters is looked up on disk
            if run.phase is Phase.QUEUED:
                try:
                    self._follow(run)
                except CannotStart as error:
                    run.failed(str(error))
        self.launch_next()

    def _follow(self, run: Run) -> None:
        """
        Take the definition of a run's command that is in force.

        @raise CannotStart: if there is none, or it does not take the run's parameters.
        """
        config = self._live.now
        if run.command is config.commands.get(run.command.name):
            return
        run.redefine(*invoke_again(config, run.record, run.invocation.secrets))

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
        """
        Start nothing more, and stop all runs that have a process. Called again, it
        leaves them no more of their grace time.
        """
        again, self._hurried = self._hurried, True
        self._begin_to_stop()
        for run in tuple(self.runs.values()):
            if not run.can_stay_queued:
                run.cancel(Reason.SHUTDOWN)
                if again:
                    run.kill()

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
        drain = self._live.now.drain
        if drain and self.runs:
            self._draining = self._clock.callLater(drain, self.hurry)
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

    def short_output(self, run: Run) -> bytes:
        return self._history.logs.short(run.id)

    def record(self, run: Run) -> None:
        in_background(self._record(run), run.id)

    def run_ended(self, run: Run, outcome: RunRecord) -> None:
        self.admission.leave(run)
        in_background(self._record_end(run, outcome), run.id)
        self.launch_next()

    async def _record(self, run: Run) -> None:
        try:
            # Before anybody sees a byte that is on the disk.
            synced = run.command.limits.sync is Sync.ALWAYS
            latest = lambda: (  # noqa: E731
                run.outcome or run.record.but(output=self.short_output(run))
            )
            written = await self._history.write(latest, synced=synced)
        except CannotRecord as error:
            self._report_request(run)  # it did run
            run.cannot_record(error)
        except Exception:
            run.cannot_record(CannotRecord(UNFORESEEN))
            raise
        else:
            self._recorded(run)
            run.tell_recorded(written)

    async def _record_end(self, run: Run, outcome: RunRecord) -> None:
        # Each step is contained: however one goes, the next ones are owed to others.
        synced = run.command.limits.sync in (Sync.END, Sync.ALWAYS)
        refusal: CannotRecord | None = CannotRecord(UNFORESEEN)
        with contained(run.id):
            if synced and outcome.size:
                await self.sync(run)
        with contained(run.id), suppress(CannotRecord):
            recording = run.recording
            if recording.under_way and await recording.wait() is outcome and not synced:
                refusal = None  # it was written with its end
        with contained(run.id):
            if refusal is not None:
                refusal = await self._history.save(outcome, synced=synced)
        if refusal is None:
            run.recording.done = True
        elif not run.recorded:
            run.cannot_record(refusal)
        # In the audit before a client can do anything because of it.
        if run.reported:
            self._reporter.report_end(outcome)
        else:
            run.reported = True
            self._reporter.report_whole(run.record, run.by, outcome)
        counts = self.counts
        counts.output += outcome.size
        if outcome.stdin is not None:
            counts.input += outcome.stdin.offset or 0
        run.publish_end(outcome)
        if refusal is not None:
            await self._history.save_late(outcome)
        self._retire(run)
        with contained(run.id):
            await self._history.make_room()

    def _recorded(self, run: Run) -> None:
        run.recording.done = True
        with contained(run.id):
            self._history.logs.settle(run.id)
        self._report_request(run)

    def _report_request(self, run: Run) -> None:
        """Report that a run was requested, and perhaps started; once."""
        if not run.reported:
            run.reported = True
            self._reporter.report_request(run.record, run.by)

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
            recorded = await self._history.save(run.record, synced=True) is None
        if run.has_ended:
            return
        if self.stopping:  # since the disk was asked
            run.leave_queued()
            await self._history.save(run.record, synced=True)
            self._leave(run)
        elif not recorded:
            run.wait_again()
            # It may be in the page cache that it runs, if only the sync has failed.
            in_background(self._history.save(run.record), run.id)
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
            self._follow(run)  # it may have waited for long
            invocation = run.invocation
            run.command.recheck_paths(invocation)
            began = self._clock.seconds()
            child = await self._spawn(run.command, invocation, run)
            self.counts.spawn.observe(self._clock.seconds() - began)
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
        if run.recorded:
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
