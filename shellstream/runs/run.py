"""One execution of a command, on this machine."""

from collections.abc import Callable
from functools import wraps
from signal import SIGCONT, SIGHUP, SIGKILL, SIGTERM
from typing import Any, Concatenate, ParamSpec, Protocol

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from shellstream.config.command import Command, Invocation
from shellstream.model.errors import (
    Busy,
    CannotRecord,
    RunNotRunning,
    ShellstreamError,
)
from shellstream.model.events import (
    ExitStatus,
    OnDisconnect,
    Reason,
    State,
    Stream,
    WallClock,
)
from shellstream.model.limits import OnFull
from shellstream.model.run_input import NoInput, NoTerminal, StdinChunk, StdinState, Tty
from shellstream.model.run_record import RunRecord
from shellstream.model.trace_context import TraceContext
from shellstream.output.counts import SAMPLE, OutputCounts
from shellstream.output.interfaces import IRun, IViewer
from shellstream.output.log import READ_SIZE, OutputLog
from shellstream.output.short_output import MAX_SHORT
from shellstream.output.unforeseen import UNFORESEEN, contained, log_unforeseen
from shellstream.security.authorization import ANONYMOUS_CALLER, Caller

from .attached_viewers import AttachedViewers
from .recording import Recording
from .run_state import HAVE_PROCESS, OVER, Event, Phase, after
from .stdin import Sink, Stdin
from .timers import Timers

P = ParamSpec("P")

#: With C{sync = "always"}: how many bytes of output may wait for the disk, until the
#: command has to wait as well.
UNSYNCED = 1 << 20

#: Seconds in which the end of a run may follow its first output, if that is short. Then
#: both are recorded at once; otherwise its first viewer has waited for so long.
END_MAY_FOLLOW = 0.01

#: Nobody asked for the end of these runs: a program that left the session in order to
#: outlive it does so.
_SPARE_STRAYS = frozenset({Reason.DISCONNECTED, Reason.SHUTDOWN})

#: The timers at whose end a run is stopped.
_STOPS = "timeout", "idle", "linger"

_log = Logger()


class Child(Sink, Protocol):
    """
    A started process and its session, as far as a run controls it.

    @ivar start_time: when it began, as its kernel counts; L{None} if that is not known.
    """

    @property
    def pid(self) -> int: ...
    @property
    def start_time(self) -> int | None: ...

    def pause(self) -> None:
        """Leave its output unread."""

    def resume(self) -> None:
        """Read its output again."""

    def resize(self, size: Tty) -> None:
        """Give its terminal, which it must have, another size."""

    def signal(self, *numbers: int, strays: bool = False) -> None:
        """
        Send signals to the whole session.

        @param strays: and, from now on, to what has left it.
        """

    def session_lives(self) -> bool:
        """
        Whether any process of those that L{signal} reaches is left, apart from zombies.
        """


class RunOwner(Protocol):
    """
    The supervisor of a run.

    @ivar counts: what it counts of all its runs.
    """

    counts: OutputCounts

    def record(self, run: "Run") -> None:
        """
        Record a run that was started without a record, then call L{Run.tell_recorded}
        or L{Run.cannot_record}.
        """

    def sync(self, run: "Run") -> Deferred[None]:
        """Bring the output that was written so far to the disk. Never fails."""

    def short_output(self, run: "Run") -> bytes:
        """Its output for its record, if it is short."""

    def run_ended(self, run: "Run", outcome: RunRecord) -> None:
        """
        Record this outcome, then call L{Run.publish_end}: until then only the owner
        knows of it.
        """


def _guarded(
    method: Callable[Concatenate["Run", P], None],
) -> Callable[Concatenate["Run", P], None]:
    """
    Wrap a method that is called from outside the run: what it raises goes to
    L{Run.broke}, and not to the caller, who could do nothing about it.
    """

    @wraps(method)
    def guarded(run: "Run", /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(run, *args, **kwargs)
        except Exception:  # noqa: BLE001  # it is logged there, and ends the run
            run.broke()

    return guarded


@implementer(IRun)
@define(eq=False)
class Run:
    """
    One run, from the request for it until its process has ended.

    L{shellstream.runs.run_state} has the table of its phases.

    @ivar record: as of the last change of its state.
    @ivar outcome: how it ended, from then on; clients find it in C{record} once it is
        recorded.
    @ivar phase: changed by L{_advance} only.
    @ivar by: who asked for it.
    @ivar trace: the trace that it is a part of. It is not kept: a run that waits while
        the daemon restarts has none.
    @ivar recording: of its first record.
    @ivar reported: whether the audit and the news have it.
    @ivar paused_since: when its process began to wait, by the clock; L{None} if it
        does not.
    """

    #: Seconds between two looks at the session of a stopped run whose leader is reaped.
    LOOK = 0.05

    #: How often KILL is sent to processes that keep appearing, or do not end.
    MOST_KILLS = 20

    #: Seconds between looks whether a killed process is gone, though its end was not
    #: told: far more than that takes. Then the run is lost.
    AFTER_KILL = 10.0

    record: RunRecord
    command: Command
    invocation: Invocation
    log: OutputLog
    _clock: IReactorTime
    _wall: WallClock
    _owner: RunOwner
    phase: Phase = field(default=Phase.QUEUED, init=False)
    outcome: RunRecord | None = field(default=None, init=False)
    by: Caller = field(default=ANONYMOUS_CALLER, init=False)
    trace: TraceContext | None = field(default=None, init=False)
    recording: Recording = field(factory=Recording, init=False)
    reported: bool = field(default=False, init=False)
    paused_since: float | None = field(default=None, init=False)
    _reason: Reason | None = field(default=None, init=False)
    _child: Child | None = field(default=None, init=False)
    _stdin: Stdin | None = field(default=None, init=False)
    _status: ExitStatus | None = field(default=None, init=False)
    _viewers: AttachedViewers = field(factory=AttachedViewers, init=False)
    _paused: bool = field(default=False, init=False)
    _syncing: bool = field(default=False, init=False)
    _kills: int = field(default=0, init=False)
    _gone: bool = field(default=False, init=False)  # at the last look after KILL
    _awaits_viewers: bool = field(default=True, init=False)
    _said: bool = field(default=False, init=False)  # something, before its record
    _notes_output: bool = field(default=False, init=False)
    _last_output: float = field(default=0.0, init=False)
    _timers: Timers = field(
        default=Factory(lambda self: Timers(self._clock), takes_self=True), init=False
    )

    def __attrs_post_init__(self) -> None:
        if self.record.stdin is not None:
            self._stdin = Stdin(self.record.stdin)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def stall_timeout(self) -> float:
        return self.command.limits.stall_timeout

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for the daemon, though perhaps not yet for viewers."""
        return self.phase in OVER

    @property
    def can_stay_queued(self) -> bool:
        """Whether it may be left to the next daemon, which starts it then."""
        return self.phase is Phase.QUEUED or (
            # A run whose turn came at once is recorded and started in one step.
            self.phase is Phase.STARTING and self.recorded
        )

    def snapshot(self) -> RunRecord:
        """Its record, with the sizes of its output and input as they are now."""
        record, log = self.record, self.log
        if record.state.ended:
            return record
        return record.but(
            start=log.start,
            size=log.end,
            stored=log.stored,
            stdin=self._stdin_state(),
        )

    @property
    def recorded(self) -> bool:
        """Whether it is in the history. Nobody is told of it before."""
        return self.recording.done

    @_guarded
    def tell_recorded(self, written: RunRecord | None) -> None:
        """It is in the history, with this; or it was dropped."""
        self.recording.tell(written)
        self._apply_backpressure()

    def record_within(self, seconds: float) -> None:
        """It was started: have it recorded after that time, if not before."""
        if not (self.recorded or self.recording.under_way or self.has_ended):
            if seconds:
                self._timers.set("record", seconds, self._record)
            else:
                self._record()

    @_guarded
    def cannot_record(self, why: CannotRecord) -> None:
        """It was started, and the disk does not take its record: end it."""
        if self.recording.refusal is not None:
            return
        text = "run {run} was started, and is ended: {why}"
        _log.error(text, run=self.id, trace=self._trace_id, why=why)
        self.recording.refuse(why)
        self.cancel(Reason.ERROR)

    @property
    def _trace_id(self) -> str | None:
        return None if self.trace is None else self.trace.trace_id

    def take_turn(self) -> None:
        """There is room for it: its process will be started at once."""
        self._advance(Event.TURN)
        self.record = self.record.but(state=State.RUNNING, secrets={})

    def wait_again(self) -> None:
        """Its turn cannot be recorded: it waits for the next."""
        self._advance(Event.WAIT)
        self._restore_queued()

    def redefine(self, command: Command, invocation: Invocation) -> None:
        """Its command has changed before its process was started."""
        self.command, self.invocation = command, invocation

    def launch(self) -> None:
        """Its process is being started: until L{started} or L{failed}, it goes on."""
        self._advance(Event.LAUNCH)

    @_guarded
    def started(self, child: Child) -> None:
        """The command's process is there; its time begins."""
        self._child = child
        self._advance(Event.START)
        self.record = self.record.but(started=self._wall(), pid=child.pid)
        if self.recorded:
            self._note_start_time()
        if self._stdin is not None:
            self._stdin.connect(child)
        limits = self.command.limits
        if limits.timeout is not None:
            self._timers.set("timeout", limits.timeout, self.cancel, Reason.TIMEOUT)
        if limits.idle_timeout is not None:
            self._notes_output = True
            self._last_output = self._clock.seconds()
            self._timers.set("idle", limits.idle_timeout, self._maybe_idle)
        if self._reason is not None:  # since it was launched
            self._stop(self._reason)

    def failed(self, why: str) -> None:
        """The command's process could not, or cannot, be started."""
        self._end(Event.FAIL, state=State.FAILED, failure=why)

    def broke(self) -> None:
        """
        Something unforeseen was raised while the run was looked after, and is being
        handled: log it, and end the run. Never raises.
        """
        log_unforeseen(self.id)
        with contained(self.id):
            if self.has_ended:  # its outcome is fixed
                self._abort_viewers()  # or they might wait for its end for ever
            elif self._child is None and self.phase is not Phase.LAUNCHING:
                self._end(Event.BREAK, state=State.FAILED, failure=UNFORESEEN)
            elif self._status is not None:
                if self.phase is not Phase.RUNNING:
                    with contained(self.id):
                        self._kill()  # what is left of its session
                self._end_as_exited(Event.BREAK)
            elif self.phase in (Phase.LAUNCHING, Phase.RUNNING):
                self.cancel(Reason.ERROR)
            else:  # it is stopped already, but perhaps not as far as it should be
                self._timers.set("kill", self.command.limits.grace, self._kill_session)

    @_guarded
    def cancel(self, reason: Reason) -> None:
        """End all its processes: TERM, then KILL after the command's grace time."""
        if self.has_ended:
            return
        if self._reason is None:
            self._reason = reason
            # Nobody may be left to see it: the operator finds here why a job went away.
            _log.info(
                "run {run} of {command} is ended: {reason}",
                run=self.id,
                trace=self._trace_id,
                command=self.command.name,
                reason=reason.value,
            )
            if self._child is not None:
                self._stop(reason)
            elif self.phase is not Phase.LAUNCHING:  # else once it is started
                self._end(Event.STOP, state=State.CANCELLED)
                return
        if reason is Reason.SHUTDOWN or not self._viewers:
            # A daemon that stops waits for no viewer: slow ones are cut off. Without
            # viewers, output that stays unread would keep the run from its end.
            self._awaits_viewers = False
            self.apply_backpressure()

    def _stop(self, reason: Reason) -> None:
        child = self._child
        assert child is not None
        self._advance(Event.STOP)
        self._timers.stop(*_STOPS)  # one reason to stop is enough
        self._timers.set("kill", self.command.limits.grace, self._kill_session)
        # An interactive shell ignores TERM; a stopped process cannot act on it.
        hang_up = () if self.record.tty is None else (SIGHUP,)
        strays = reason not in _SPARE_STRAYS
        child.signal(SIGTERM, *hang_up, SIGCONT, strays=strays)

    @_guarded
    def kill(self) -> None:
        """It is being stopped: leave it no more of its grace time."""
        if self.phase in (Phase.STOPPING, Phase.REAPED):
            self._kill_session()

    def signal(self, number: int) -> bool:
        """Send a signal to the session. Returns L{False} if there is none."""
        if self._child is None or self.phase not in HAVE_PROCESS:
            return False
        self._child.signal(number)
        return True

    def feed(self, chunk: StdinChunk) -> Deferred[int]:
        """
        Write to its standard input: see L{Stdin.feed}.

        @raise NoInput: if it was started without input.
        """
        if self._stdin is None:
            raise NoInput
        return self._stdin.feed(chunk)

    @_guarded
    def input_lost(self) -> None:
        """The child reads no more input, or is given no more."""
        if self._stdin is not None:
            self._stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        """
        Give the terminal another size, even before the process is there.

        @raise NoTerminal: if it has none.
        """
        if self.record.tty is None:
            raise NoTerminal
        tty = evolve(self.record.tty, rows=rows, columns=columns)
        self.record = self.record.but(tty=tty)
        self.invocation = evolve(self.invocation, tty=tty)
        # A queued run gets the new size when its process starts: see invocation.
        if self._child is not None:
            self._child.resize(tty)

    @_guarded
    def attach(self, viewer: IViewer) -> None:
        # A command that pauses while it has no viewer pauses for each that it has,
        # too: or that one would miss output which was held back for viewers.
        waits = viewer.lossless or self.command.limits.on_full is OnFull.PAUSE
        self._viewers.add(viewer, waits=waits)
        self._timers.stop("linger")
        self._apply_backpressure()

    @_guarded
    def detach(self, viewer: IViewer) -> None:
        if self._viewers.remove(viewer):
            self._apply_backpressure()
            self.await_viewer()

    @_guarded
    def await_viewer(self, least: float = 0.0) -> None:
        """
        If it has to have a viewer and has none, begin to wait for one: it is cancelled
        after the command's C{linger}.

        @param least: the shortest time to wait, in seconds.
        """
        required = self.record.on_disconnect is OnDisconnect.CANCEL
        if required and not (self._viewers or self.has_ended):
            seconds = max(self.command.limits.linger, least)
            self._timers.set("linger", seconds, self.cancel, Reason.DISCONNECTED)

    @_guarded
    def leave_queued(self) -> None:
        """Leave it to the next daemon: its viewers may come back then."""
        self._advance(Event.LEAVE)
        self._restore_queued()
        self._timers.stop()
        self._close_stdin(Busy("the daemon is stopping", 10))
        self._abort_viewers()

    @_guarded
    def apply_backpressure(self) -> None:
        # A viewer that moves on can only end a pause. To compare thousands of them,
        # whenever one of them does, would take seconds for each chunk.
        if self._paused:
            self._apply_backpressure()

    def _apply_backpressure(self) -> None:
        """
        Read the child's output, or leave it unread so that the child has to wait.

        It waits while too much is not synced yet; while more output would drop a byte
        that a lossless viewer has not been given; and, if the command says C{on_full =
        "pause"}, while there is no viewer and more output would drop any byte.
        """
        if self._child is None:
            return
        log, on_full = self.log, self.command.limits.on_full
        paused = log.written - log.end > UNSYNCED
        if self.recording.pending:
            # Its first viewer comes when it is recorded, and shall find all of it.
            paused = paused or log.written + READ_SIZE > UNSYNCED
            paused = paused or log.reserve(READ_SIZE) > log.start
        elif self._awaits_viewers and not paused:
            viewers = self._viewers
            if viewers.waited_for or viewers.others:
                paused = bool(viewers.waited_for) and viewers.would_lose(log)
            elif on_full is OnFull.DROP_OLDEST:
                pass
            elif log.reserve(READ_SIZE) > log.start:
                paused = on_full is OnFull.PAUSE
                if on_full is OnFull.CANCEL:
                    self.cancel(Reason.OUTPUT_LIMIT)
        if paused is not self._paused:
            self._paused = paused
            self._last_output = now = self._clock.seconds()
            if self.paused_since is not None:
                self._owner.counts.paused += now - self.paused_since
            self.paused_since = now if paused else None
            (self._child.pause if paused else self._child.resume)()

    def output(self, stream: Stream, data: bytes) -> None:
        """The child wrote something."""
        try:  # as L{_guarded} does, without a call more for each chunk
            if self._notes_output:
                self._last_output = self._clock.seconds()
            log = self.log
            time = self._wall()
            log.append(stream, time, data)
            if not self.recorded:
                self._record_output()
            if log.written > log.end:
                self._sync()
            counts = self._owner.counts
            counts.chunks += 1
            if not counts.chunks % SAMPLE and self._viewers:
                counts.latency.observe((self._wall() - time) / 1_000_000)
            self._apply_backpressure()
        except Exception:  # noqa: BLE001
            self.broke()

    @_guarded
    def finished(self, status: ExitStatus) -> None:
        """The child is reaped, and all of its output was read."""
        if self.has_ended:
            return  # it was taken for lost
        self._status = status
        self._timers.stop(*_STOPS)
        if self.phase is Phase.RUNNING:
            self._end_as_exited(Event.EXIT)
        else:
            self._advance(Event.EXIT)
            self._await_session()

    @_guarded
    def publish_end(self, outcome: RunRecord) -> None:
        """The outcome is recorded: tell the viewers."""
        self._advance(Event.PUBLISH)
        self.record = outcome
        # The first viewer of a short run comes here, and finds its output in memory.
        self.tell_recorded(outcome)
        self.log.close()

    @_guarded
    def _record(self) -> None:
        if not (self.recorded or self.recording.under_way or self.has_ended):
            self.recording.under_way = True
            self._timers.stop("record")
            self._note_start_time()
            self._owner.record(self)

    def _record_output(self) -> None:
        """It said something, and nobody is told before it is recorded."""
        if self.log.written > MAX_SHORT:
            self._record()
        elif not self._said:  # that may be all: its end is recorded with it
            self._said = True
            self._timers.set("record", END_MAY_FOLLOW, self._record)

    def _note_start_time(self) -> None:
        """Needed in the record of a run that goes on, to find its process later."""
        if self._child is not None:
            self.record = self.record.but(pid_start=self._child.start_time)

    def _advance(self, event: Event) -> None:
        self.phase = after(self.phase, event)

    @_guarded
    def _await_session(self) -> None:
        """End the run once nothing of it is left, or nothing more can be done."""
        child = self._child
        assert child is not None
        if not child.session_lives():
            self._end_as_exited(Event.SESSION_GONE)
            return
        if self._kills:
            if self._kills >= self.MOST_KILLS:
                text = "run {run}: processes are left that KILL does not end"
                _log.error(text, run=self.id, trace=self._trace_id)
                self._end_as_exited(Event.SESSION_GONE)
                return
            self._kill()  # what it began meanwhile
        self._timers.set("look", self.LOOK, self._await_session)

    @_guarded
    def _kill_session(self) -> None:
        child = self._child
        assert child is not None
        if self.phase is Phase.KILLED:
            # Output that waits for viewers keeps it from its end, and a daemon that was
            # stopped has yet to read of it: so only the second look in a row counts.
            gone = not (self._paused or child.session_lives())
            if gone and self._gone:
                self._end(Event.BREAK, state=State.LOST, failure=UNFORESEEN)
                return
            self._gone = gone
        else:
            self._kill()
            self._advance(Event.KILL)
        if self.phase is Phase.REAPED:
            self._timers.set("look", self.LOOK, self._await_session)
        else:
            self._timers.set("kill", self.AFTER_KILL, self._kill_session)

    def _kill(self) -> None:
        assert self._child is not None
        self._kills += 1
        self._child.signal(SIGKILL)

    def _restore_queued(self) -> None:
        secrets = self.invocation.secrets
        self.record = self.record.but(state=State.QUEUED, secrets=secrets)

    def _end_as_exited(self, event: Event) -> None:
        status = self._status
        assert status is not None
        if not status.output_complete:
            # A part must not look like the whole, whatever the command returned.
            why = "the machine failed to read a part of its output"
            if status.code is None and status.signal is None:
                why = "its process was reaped by other code: how it ended is unknown"
            self._end(event, state=State.LOST, failure=why)
            return
        self._end(
            event,
            state=State.EXITED if status.signal is None else State.SIGNALED,
            code=status.code,
            signal=status.signal,
            cpu=status.cpu,
            memory=status.memory,
        )

    def _end(self, event: Event, *, state: State, **facts: Any) -> None:
        self._advance(event)
        # What is tidied here must not keep the owner from what it has to free.
        with contained(self.id):
            self._timers.stop()
        with contained(self.id):
            self._close_stdin(RunNotRunning(state.value))
        with contained(self.id):
            log = self.log
            facts |= {"start": log.start, "size": log.written, "stored": log.stored}
            facts |= {
                "output": self._owner.short_output(self),
                "stdin": self._stdin_state(),
            }
        self.outcome = outcome = self.record.but(
            state=state,
            reason=self._reason,
            ended=self._wall(),
            secrets={},  # needed only to start it, and not to be kept any longer
            **facts,
        )
        self._owner.run_ended(self, outcome)

    def _abort_viewers(self) -> None:
        for viewer in self._viewers:
            with contained(self.id):
                viewer.abort()

    def _stdin_state(self) -> StdinState | None:
        return None if self._stdin is None else self._stdin.state

    def _close_stdin(self, why: ShellstreamError) -> None:
        if self._stdin is not None:
            self._stdin.close(why)

    def _sync(self) -> None:
        if self.log.written > self.log.end and not self._syncing:
            self._syncing = True
            written = self.log.written
            self._owner.sync(self).addCallback(lambda _: self._synced(written))

    @_guarded
    def _synced(self, offset: int) -> None:
        self._syncing = False
        self.log.publish(offset)
        # What was written meanwhile is one more round: so a slow disk gets few, large
        # syncs instead of one for each chunk.
        self._sync()
        if not self.has_ended:
            self._apply_backpressure()

    @_guarded
    def _maybe_idle(self) -> None:
        limit = self.command.limits.idle_timeout
        assert limit is not None
        if self._paused:  # it may have output that is left unread
            self._last_output = self._clock.seconds()
        # Set again when it fires too early, instead of with every chunk of output: a
        # command may write a hundred thousand of these a second.
        left = self._last_output + limit - self._clock.seconds()
        if left > 0:
            self._timers.set("idle", left, self._maybe_idle)
        else:
            self.cancel(Reason.IDLE_TIMEOUT)
