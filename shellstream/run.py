"""One execution of a command."""

from collections.abc import Callable
from enum import Enum
from signal import SIGCONT, SIGKILL, SIGTERM
from typing import Protocol

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .command import Command
from .events import ExitStatus, Reason, Stream
from .outputlog import OutputLog

#: What a log keeps of a run's output in memory, in bytes.
RETAIN = 1 << 17

#: The most that one append may bring, in bytes; a pipe is read this much at once.
READ_SIZE = 1 << 16


class State(Enum):
    """Where a run is in its life."""

    RUNNING = "running"
    EXITED = "exited"
    SIGNALED = "signaled"


class Child(Protocol):
    """A started process and its group, as far as a run steers it."""

    def pause(self) -> None:
        """Leave its output unread."""

    def resume(self) -> None:
        """Read its output again."""

    def signal(self, number: int) -> None:
        """Send a signal to the whole group."""

    def group_lives(self) -> bool:
        """Whether any process of the group is left."""


class Viewer(Protocol):
    """Somebody who reads a run's output and may not miss a byte of it."""

    offset: int


@define(eq=False)
class Run:
    """
    A run ends when its process is reaped, its output drained, and, if it was
    made to end, its whole process group gone.

    @ivar reason: why it ended, where that was not its own doing.
    """

    #: While a cancelled run's group outlives its leader: how often to look, in
    #: seconds. Far too short for the group's number to be given to a stranger.
    LOOK = 0.05

    id: str
    command: Command
    _clock: IReactorTime
    _when_ended: Callable[["Run"], None]
    log: OutputLog = field(factory=lambda: OutputLog(RETAIN), init=False)
    state: State = field(default=State.RUNNING, init=False)
    status: ExitStatus | None = field(default=None, init=False)
    reason: Reason | None = field(default=None, init=False)
    _child: Child | None = field(default=None, init=False)
    _viewers: set[Viewer] = field(factory=set, init=False)
    _paused: bool = field(default=False, init=False)
    _awaits_viewers: bool = field(default=True, init=False)
    _timeout: IDelayedCall | None = field(default=None, init=False)
    _kill: IDelayedCall | None = field(default=None, init=False)

    def started(self, child: Child) -> None:
        """The command's process is there; its time begins."""
        self._child = child
        if self.command.timeout is not None:
            self._timeout = self._clock.callLater(
                self.command.timeout, self.cancel, Reason.TIMEOUT
            )

    def cancel(self, reason: Reason) -> None:
        """End the process group: TERM, then KILL after the command's grace time."""
        if self.state is not State.RUNNING:
            return
        if reason is Reason.SHUTDOWN:
            # A daemon that stops waits for no viewer: who is behind is cut off.
            self._awaits_viewers = False
            self.pace()
        if self.reason is not None:
            return
        assert self._child is not None, "cancelled before it was started"
        self.reason = reason
        self._stop(self._timeout)
        self._child.signal(SIGTERM)
        self._child.signal(SIGCONT)  # a stopped process cannot heed TERM
        self._kill = self._clock.callLater(self.command.grace, self._kill_group)

    def attach(self, viewer: Viewer) -> None:
        """A viewer begins to read the log."""
        self._viewers.add(viewer)

    def detach(self, viewer: Viewer) -> None:
        """A viewer is gone; a run that nobody watches any more is ended."""
        self._viewers.discard(viewer)
        self.pace()
        if not self._viewers:
            self.cancel(Reason.DISCONNECTED)

    def pace(self) -> None:
        """Read on, or not: no byte may be dropped before every viewer has it."""
        oldest = self.log.start_after(READ_SIZE)
        paused = self._awaits_viewers and any(
            viewer.offset < oldest for viewer in self._viewers
        )
        if paused is not self._paused and self._child is not None:
            self._paused = paused
            (self._child.pause if paused else self._child.resume)()

    def output(self, stream: Stream, data: bytes) -> None:
        """The child wrote something."""
        self.log.append(stream, data)
        self.pace()

    def finished(self, status: ExitStatus) -> None:
        """The child is reaped, and nothing of its output is still to come."""
        self.status = status
        self._stop(self._timeout)
        self._end_with_group()

    def _end_with_group(self) -> None:
        assert self._child is not None
        assert self.status is not None
        if self._kill is not None and self._kill.active():
            if self._child.group_lives():
                self._clock.callLater(self.LOOK, self._end_with_group)
                return
            self._kill.cancel()
        self.state = State.EXITED if self.status.signal is None else State.SIGNALED
        self._when_ended(self)
        self.log.close()

    def _kill_group(self) -> None:
        assert self._child is not None
        self._child.signal(SIGKILL)

    @staticmethod
    def _stop(call: IDelayedCall | None) -> None:
        if call is not None and call.active():
            call.cancel()
