"""Notifications by a program, which reads the text from its standard input."""

from collections.abc import Callable, Mapping
from signal import SIGKILL
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred

from shellstream.config.command import Invocation
from shellstream.config.notification import Notification
from shellstream.model.errors import Busy, CannotStart
from shellstream.model.events import ExitStatus, Stream
from shellstream.process.child import ChildProcess, ChildProtocol
from shellstream.process.launch_plan import LaunchPlan
from shellstream.process.spawn import InThread, spawn
from shellstream.process.tracking.process_scanner import ProcessScanner

from .attempt import Attempt, Result
from .message import Message

#: How much of what a program says is kept, in bytes.
KEPT = 4096


@define(eq=False)
class _Observer:
    """
    Gives a process its input, and waits for its end.

    @ivar said: the beginning of its output.
    @ivar ended: fires when it has ended, unless that was cancelled.
    @ivar gone: fires when it has ended.
    """

    _text: memoryview
    said: bytes = field(default=b"", init=False)
    ended: Deferred[ExitStatus] = field(factory=Deferred, init=False)
    gone: Deferred[None] = field(factory=Deferred, init=False)
    _process: ChildProcess | None = field(default=None, init=False)

    def feed(self, process: ChildProcess) -> None:
        """Write its input, as fast as it reads."""
        self._process = process
        self._feed()

    def output(self, stream: Stream, data: bytes) -> None:
        """Keep the beginning; the rest is read, too, or the process would wait."""
        self.said = (self.said + data)[:KEPT]

    def input_lost(self) -> None:
        """It reads no more: its exit code tells whether that was enough."""
        self._text = memoryview(b"")

    def finished(self, status: ExitStatus) -> None:
        """It has ended."""
        if not self.ended.called:
            self.ended.callback(status)
        self.gone.callback(None)

    def _feed(self) -> None:
        process = self._process
        if process is None or not self._text:
            return
        taken = process.write(self._text, self._feed)
        self._text = self._text[taken:]
        if not self._text:
            process.end_input()


@define(eq=False)
class ProcessSender:
    """
    Starts programs as those of commands are started, and waits until they have ended.

    @ivar _plans: returns how to start each.
    """

    _reactor: Any
    _plans: Callable[[], Mapping[str, LaunchPlan]]
    _scanner: ProcessScanner
    _in_thread: InThread | None = None

    async def send(self, to: Notification, message: Message) -> Attempt:
        """Run a program. If this is cancelled, all processes of it are killed."""
        text, _ = message.text_for(to)
        observer = _Observer(memoryview(f"{text}\n".encode("utf-8", "replace")))
        command = to.as_command()
        try:
            child = await spawn(
                self._reactor,
                command,
                Invocation(message.argv_for(to), {}, {}, stdin=True),
                ChildProtocol(observer, self._reactor),
                message.run["id"],
                self._plans()[command.name],
                self._scanner,
                self._in_thread,
            )
        except Busy as error:
            return Attempt(Result.LATER, str(error))
        except CannotStart as error:
            return Attempt(Result.LATER, error.for_operator)
        try:
            observer.feed(child)
            status = await observer.ended
        except CancelledError:
            child.signal(SIGKILL)
            await observer.gone  # or the next attempt would begin beside it
            raise
        if status.code == 0:
            return Attempt(Result.DELIVERED, "exit code 0", observer.said)
        how = f"exit code {status.code}"
        if status.signal is not None:
            how = f"ended by signal {status.signal}"
        return Attempt(Result.LATER, how, observer.said)
