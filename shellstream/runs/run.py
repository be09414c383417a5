"""One execution of a command, on this machine."""

from signal import SIGCONT, SIGHUP, SIGKILL, SIGTERM
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from shellstream.config.command import Command, Invocation
from shellstream.model.errors import Busy, RunNotRunning, ShellstreamError
from shellstream.model.events import (
    ExitStatus,
    OnDisconnect,
    Reason,
    State,
    Stream,
    WallClock,
)
from shellstream.model.limits import OnFull
from shellstream.model.run_input import NoInput, NoTerminal, StdinChunk, Tty
from shellstream.model.run_record import RunRecord
from shellstream.output.interfaces import IRun, IViewer
from shellstream.output.log import READ_SIZE, OutputLog

from .stdin import Sink, Stdin

#: What may be written but not yet be on the disk where it has to be, in bytes.
UNSYNCED = 1 << 20


class Child(Sink, Protocol):
    """
    A started process and its group, as far as a run steers it.

    @ivar start_time: when it did, as its kernel counts; L{None} if that cannot be told.
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

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""

    def group_lives(self) -> bool:
        """Whether any process of the group is left but zombies."""


class RunOwner(Protocol):
    """Whoever a run belongs to."""

    def sync(self, run: "Run") -> Deferred[None]:
        """Bring what was written so far to the disk; never fails."""

    def run_ended(self, run: "Run", outcome: RunRecord) -> None:
        """
        The run has ended like this, which nobody knows yet: L{Run.publish_end} tells.
        """


@implementer(IRun)
@define(eq=False)
class Run:
    """
    A run ends when its process is reaped, its output drained, and, if it was
    made to end, its whole process group gone.

    Then its outcome is made durable, and only then its viewers are told.

    @ivar recorded: whether it is written down: only then it may be started.
    """

    #: While a cancelled run's group outlives its leader: how often to look, in
    #: seconds. Far too short for the group's number to be given to a stranger.
    LOOK = 0.05

    record: RunRecord
    command: Command
    invocation: Invocation
    log: OutputLog
    _clock: IReactorTime
    _wall: WallClock
    _host: RunOwner
    recorded: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _reason: Reason | None = field(default=None, init=False)
    _child: Child | None = field(default=None, init=False)
    _stdin: Stdin | None = field(default=None, init=False)
    _status: ExitStatus | None = field(default=None, init=False)
    # Those that the command waits for, and the others; as sets they would be large.
    _lossless: dict[IViewer, None] = field(factory=dict, init=False)
    _lossy: dict[IViewer, None] = field(factory=dict, init=False)
    _paused: bool = field(default=False, init=False)
    _syncing: bool = field(default=False, init=False)
    _awaits_viewers: bool = field(default=True, init=False)
    _heard: float = field(default=0.0, init=False)
    _timeout: IDelayedCall | None = field(default=None, init=False)
    _idle: IDelayedCall | None = field(default=None, init=False)
    _linger: IDelayedCall | None = field(default=None, init=False)
    _kill: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.record.stdin is not None:
            self._stdin = Stdin(self.record.stdin)

    @property
    def id(self) -> str:
        return self.record.id

    def snapshot(self) -> RunRecord:
        """Its record, with the sizes of its output and input as they are now."""
        record, log = self.record, self.log
        if record.state.ended:
            return record
        return evolve(
            record,
            start=log.start,
            size=log.end,
            stored=log.stored,
            stdin=record.stdin if self._stdin is None else self._stdin.intake,
        )

    @property
    def _watched(self) -> bool:
        return bool(self._lossless or self._lossy)

    @property
    def stall_timeout(self) -> float:
        return self.command.limits.stall_timeout

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, though perhaps nobody was told so yet."""
        return self._over

    def admitted(self) -> None:
        """It waits for nothing any more: its process is about to be started."""
        self.record = evolve(self.record, state=State.RUNNING, secrets={})

    def started(self, child: Child) -> None:
        """The command's process is there; its time begins."""
        self._child = child
        self.record = evolve(
            self.record,
            state=State.RUNNING,
            started=self._wall(),
            pid=child.pid,
            pid_start=child.start_time,
        )
        if self._stdin is not None:
            self._stdin.connect(child)
        limits = self.command.limits
        if limits.timeout is not None:
            self._timeout = self._clock.callLater(
                limits.timeout, self.cancel, Reason.TIMEOUT
            )
        if limits.idle_timeout is not None:
            self._heard = self._clock.seconds()
            self._idle = self._clock.callLater(limits.idle_timeout, self._maybe_idle)

    def failed(self, why: str) -> None:
        """The command's process could not be started."""
        self._end(evolve(self.record, state=State.FAILED, failure=why))

    def cancel(self, reason: Reason) -> None:
        """End the process group: TERM, then KILL after the command's grace time."""
        if self._over:
            return
        if reason is Reason.SHUTDOWN:
            # A daemon that stops waits for no viewer: who is behind is cut off.
            self._awaits_viewers = False
            self.apply_backpressure()
        if self._reason is not None:
            return
        self._reason = reason
        if self._child is None:
            self._end(evolve(self.record, state=State.CANCELLED))
            return
        self._stop_timers()
        self._child.signal(SIGTERM)
        if self.record.tty is not None:  # a shell that somebody types to heeds this
            self._child.signal(SIGHUP)
        self._child.signal(SIGCONT)  # a stopped process cannot heed TERM
        self._kill = self._clock.callLater(self.command.limits.grace, self._kill_group)

    def signal(self, number: int) -> bool:
        """Send a signal to the process group; L{False} if there is none."""
        if self._child is None or self._over:
            return False
        self._child.signal(number)
        return True

    def feed(self, piece: StdinChunk) -> Deferred[int]:
        """
        Put something in: see L{Stdin.feed}.

        @raise NoInput: if nothing can ever be.
        """
        if self._stdin is None:
            raise NoInput
        return self._stdin.feed(piece)

    def input_lost(self) -> None:
        """The child reads no more input, or is given no more."""
        if self._stdin is not None:
            self._stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        """
        Give the terminal another size, be it before the process is there.

        @raise NoTerminal: if there is none.
        """
        if self.record.tty is None:
            raise NoTerminal
        tty = evolve(self.record.tty, rows=rows, columns=columns)
        self.record = evolve(self.record, tty=tty)
        self.invocation = evolve(self.invocation, tty=tty)
        if self._child is not None:
            self._child.resize(tty)

    def attach(self, viewer: IViewer) -> None:
        # Where the command is to wait while nobody is there, it waits for those
        # that are: or they would miss what it waited with.
        waits = viewer.lossless or self.command.limits.on_full is OnFull.PAUSE
        (self._lossless if waits else self._lossy)[viewer] = None
        _stop(self._linger)
        self.apply_backpressure()

    def detach(self, viewer: IViewer) -> None:
        kind = self._lossless if viewer in self._lossless else self._lossy
        if viewer in kind:
            del kind[viewer]
            self.apply_backpressure()
            self.await_viewer()

    def await_viewer(self, least: float = 0.0) -> None:
        """
        Begin to wait for a viewer to come, or come back, if there is none and one
        must.

        @param least: seconds for that, however short C{linger} is.
        """
        wanted = self.record.on_disconnect is OnDisconnect.CANCEL
        if wanted and not self._watched and not self._over:
            _stop(self._linger)
            linger = max(self.command.limits.linger, least)
            self._linger = self._clock.callLater(
                linger, self.cancel, Reason.DISCONNECTED
            )

    def abandon(self) -> None:
        """It stays queued, for the next daemon: its viewers may come back then."""
        secrets = self.invocation.secrets
        self.record = evolve(self.record, state=State.QUEUED, secrets=secrets)
        self._over = True
        self._stop_timers()
        self._close_input(Busy("the daemon is stopping", 10))
        for viewer in (*self._lossless, *self._lossy):
            viewer.abort()

    def apply_backpressure(self) -> None:
        """Read on, or not: see L{View.lossless} and L{OnFull}."""
        if self._child is None:
            return
        log, on_full = self.log, self.command.limits.on_full
        paused = log.written - log.end > UNSYNCED
        if self._awaits_viewers and not paused:
            if self._watched:
                behind = [each for each in self._lossless if each.offset < log.end]
                # Who has all is given the next before anything is dropped.
                if behind:
                    start = log.reserve(READ_SIZE)
                    paused = any(each.offset < start for each in behind)
            elif on_full is OnFull.DROP_OLDEST:
                pass
            elif log.reserve(READ_SIZE) > log.start:
                paused = on_full is OnFull.PAUSE
                if on_full is OnFull.CANCEL:
                    self.cancel(Reason.OUTPUT_LIMIT)
        if paused is not self._paused:
            self._paused = paused
            self._heard = self._clock.seconds()
            (self._child.pause if paused else self._child.resume)()

    def output(self, stream: Stream, data: bytes) -> None:
        """The child wrote something."""
        self._heard = self._clock.seconds()
        self.log.append(stream, self._wall(), data)
        self._sync()
        self.apply_backpressure()

    def finished(self, status: ExitStatus) -> None:
        """The child is reaped, and nothing of its output is still to come."""
        self._status = status
        self._stop_timers()
        self._end_with_group()

    def publish_end(self, outcome: RunRecord) -> None:
        """The outcome is safe: tell everybody."""
        self.record = outcome
        self.log.close()

    def _end_with_group(self) -> None:
        assert self._child is not None
        assert self._status is not None
        if self._kill is not None and self._kill.active():
            if self._child.group_lives():
                self._clock.callLater(self.LOOK, self._end_with_group)
                return
            self._kill.cancel()
        status = self._status
        self._end(
            evolve(
                self.record,
                state=State.EXITED if status.signal is None else State.SIGNALED,
                code=status.code,
                signal=status.signal,
                cpu=status.cpu,
                memory=status.memory,
            )
        )

    def _end(self, outcome: RunRecord) -> None:
        self._over = True
        self._stop_timers()
        self._close_input(RunNotRunning(outcome.state.value))
        outcome = evolve(outcome, stdin=self.snapshot().stdin, secrets={})
        log = self.log
        self._host.run_ended(
            self,
            evolve(
                outcome,
                reason=self._reason,
                ended=self._wall(),
                start=log.start,
                size=log.written,
                stored=log.stored,
            ),
        )

    def _close_input(self, why: ShellstreamError) -> None:
        if self._stdin is not None:
            self._stdin.close(why)

    def _sync(self) -> None:
        if self.log.written > self.log.end and not self._syncing:
            self._syncing = True
            written = self.log.written
            self._host.sync(self).addCallback(lambda _: self._synced(written))

    def _synced(self, offset: int) -> None:
        self._syncing = False
        self.log.publish(offset)
        self._sync()
        if not self._over:
            self.apply_backpressure()

    def _maybe_idle(self) -> None:
        limit = self.command.limits.idle_timeout
        assert limit is not None
        if self._paused:  # it would speak, but may not
            self._heard = self._clock.seconds()
        left = self._heard + limit - self._clock.seconds()
        if left > 0:
            self._idle = self._clock.callLater(left, self._maybe_idle)
        else:
            self.cancel(Reason.IDLE_TIMEOUT)

    def _kill_group(self) -> None:
        assert self._child is not None
        self._child.signal(SIGKILL)

    def _stop_timers(self) -> None:
        for call in (self._timeout, self._idle, self._linger):
            _stop(call)


def _stop(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
