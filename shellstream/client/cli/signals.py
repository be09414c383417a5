"""Signals that the command line receives, and what it does about them."""

import os
import signal
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from shellstream.client.api import Client
from shellstream.client.errors import ClientError, Refused
from shellstream.client.follow import Following
from shellstream.programs import typed

from .exit_codes import explain
from .messages import Messages

_T = TypeVar("_T")

#: Seconds to wait, on leaving, for the server to say what becomes of the run.
_LEAVE_TIMEOUT = 2.0

#: The signals that end a program.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_signal(reactor: Any, number: int, handler: Callable[[], object]) -> None:
    """Have the reactor call C{handler} for each signal of this number."""
    # Python calls signal handlers between any two instructions; the reactor calls
    # ours between two events, where nothing is half done.
    signal.signal(number, lambda number, frame: reactor.callFromThread(handler))


def on_ending_signals(reactor: Any, handler: Callable[[int], object]) -> None:
    """The same for INT, TERM and HUP, unless they are ignored, as under nohup(1)."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            on_signal(reactor, number, partial(handler, number))


def run_until_done(reactor: Any, main: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """
    Run a reactor until a coroutine has returned or raised.

    INT, TERM or HUP cancels the coroutine, and the reactor runs until it has cleaned
    up; a coroutine may call L{on_ending_signals} to handle them in its own way.

    @param main: makes the coroutine.
    @return: the coroutine's result, or 128 + the number of the signal that ended it.
    """
    outcomes: list[int | Failure] = []
    received: list[int] = []

    def start() -> None:
        running = Deferred.fromCoroutine(main())
        running.addBoth(outcomes.append)
        running.addCallback(lambda _: reactor.stop())
        cancels.append(running.cancel)

    def cancel(number: int) -> None:
        received.append(number)
        for each in cancels:
            each()

    cancels: list[Callable[[], None]] = []
    on_ending_signals(reactor, cancel)
    # Not before it runs: stop() raises then, and a coroutine may return at once.
    reactor.callWhenRunning(start)
    # Twisted's own handlers would stop the reactor at once.
    reactor.run(installSignalHandlers=False)
    (outcome,) = outcomes
    if received:
        return 128 + received[0]
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome


async def until_done(
    main: Coroutine[Any, Any, _T], *others: Coroutine[Any, Any, object]
) -> _T:
    """
    Run coroutines at once until C{main} is done, and return its result; then cancel
    the others. An error of any of them ends all.
    """
    done: Deferred[_T] = Deferred()

    def failed(failure: Failure) -> None:
        if not done.called:  # what a cancelled coroutine raises comes too late
            done.errback(failure)

    running = Deferred.fromCoroutine(main)
    tasks: list[Deferred[Any]] = [running, *map(Deferred.fromCoroutine, others)]
    running.addCallback(done.callback)
    for task in tasks:
        task.addErrback(failed)
    try:
        return await done
    finally:
        for task in tasks:
            task.cancel()


class SignalHandler:
    """
    Turns signals into requests, and leaves when they are repeated.

    The first INT (Ctrl-C) is sent on to the run, the second cancels the run, the third
    leaves. The first TERM cancels, the second leaves. HUP leaves. All of them leave at
    once where no run can be told: before it began, and after its end, as when a slow
    terminal still shows the last of the output.

    @ivar leaving: whether the program is about to exit: nothing more is shown.
    @ivar starts_for_good: whether a run that is being started goes on without viewers.
    @ivar sending_input: whether the run waits for more input from us. Leaving then
        does not end the input: half of it must not look like all of it.
    """

    def __init__(self, reactor: Any, client: Client, messages: Messages) -> None:
        self._reactor = reactor
        self._client = client
        self._messages = messages
        self._following: Following | None = None
        self.sending_input = self.leaving = self.starts_for_good = False
        self._leave_on: Collection[int] = ()
        self._counts: dict[int, int] = {}
        self._cleanup: Callable[[], object] | None = None
        on_ending_signals(reactor, self._received)

    def follow(self, following: Following, *, leave_on: Collection[int]) -> None:
        """
        Send signals to the run of C{following} from now on.

        @param leave_on: the signals that leave at once, and do nothing to the run.
        """
        self._following = following
        self._leave_on = (*leave_on, signal.SIGHUP)

    def set_cleanup(self, cleanup: Callable[[], object] | None) -> None:
        """Have this called before the program exits, wherever that is decided."""
        self._cleanup = cleanup

    def leave(self, code: int) -> None:
        """
        Show no more; say what becomes of the run, and end the program. A further signal
        ends it at once, as does a server that does not answer.
        """
        run = None if self._following is None else self._following.run
        if run is None or self.leaving:
            self.exit(code)
        self.leaving = True
        if self._cleanup is not None:
            self._cleanup()

        def failed(failure: Failure) -> str:
            error = failure.value
            why = explain(error) if isinstance(error, ClientError) else "no answer"
            how = f"{typed('shellstream')} show {run} tells what becomes of the run"
            return f"left; {how} ({why})"

        asking = Deferred.fromCoroutine(self._farewell(run))
        asking.addTimeout(_LEAVE_TIMEOUT, self._reactor)
        asking.addErrback(failed)
        asking.addCallback(self._messages.info)
        asking.addBoth(lambda _: self.exit(code))

    def exit(self, code: int) -> NoReturn:
        """End the program now."""
        self._messages.clear_status()
        if self._cleanup is not None:
            self._cleanup()
        # Output is never buffered here, and the system closes the connections; to
        # unwind instead could wait for a terminal that takes no more.
        os._exit(code)

    def _received(self, number: int) -> None:
        run = None if self._following is None else self._following.run
        count = self._counts[number] = self._counts.get(number, 0) + 1
        if run is None and self.starts_for_good:
            how = f"it may have started a run; {typed('shellstream')} ps lists it"
            self._messages.info(f"left before the server answered: {how}")
        if run is None or self.leaving:
            self.exit(128 + number)
        elif number in self._leave_on:
            self.leave(128 + number)
        elif number == signal.SIGINT and count == 1:
            self._messages.detail("interrupted; again to cancel the run")
            self._request(number, self._interrupt(run))
        elif number == signal.SIGTERM and count == 1:
            self._request(number, self._client.cancel(run))
        elif number == signal.SIGINT and count == 2:
            self._messages.info("cancelling; again to leave without waiting")
            self._request(number, self._cancel(run))
        else:
            self._messages.info("left; the server was asked to cancel the run")
            self.exit(128 + number)

    async def _interrupt(self, run: str) -> None:
        try:
            await self._client.signal(run, "INT")
        except Refused as error:
            if error.status != 409:
                raise
            if (await self._client.show(run))["ended"] is None:  # it is queued
                await self._client.cancel(run)
            else:
                self._exit_after_end(run)

    async def _farewell(self, run_id: str) -> str:
        """What becomes of a run without us, in words."""
        run = await self._client.show(run_id)
        shellstream = typed("shellstream")
        attach = f"{shellstream} attach {run_id}"
        if run["ended"] is not None:
            return f"the run has ended; {attach} shows all of its output"
        waits = ", and its input stays open" if self.sending_input else ""
        if run["on_disconnect"] == "keep":
            interrupt = f"{shellstream} signal {run_id} INT"
            how = f"{attach} follows it, {interrupt} interrupts it"
            return f"left; the run goes on{waits}; {how}"
        when = await self._when_ended(run["command"])
        how = f"unless a client watches it: {attach}"
        return f"left{waits}; the run is ended {when}, {how}"

    async def _when_ended(self, name: str) -> str:
        """When a run of this command is ended that has no viewer."""
        try:
            command = await self._client.command(name)
        except ClientError:  # it is not in the configuration any more
            return "soon"
        return "soon" if command is None else f"in {command['linger']:g} s"

    async def _cancel(self, run: str) -> None:
        try:
            await self._client.cancel(run)
        except Refused as error:
            if error.status != 409:
                raise
            self._exit_after_end(run)

    def _exit_after_end(self, run: str) -> NoReturn:
        how = f"{typed('shellstream')} attach {run} shows all of its output"
        self._messages.info(f"the run has ended; {how}")
        self.exit(128 + signal.SIGINT)

    def _request(self, number: int, request: Coroutine[Any, Any, object]) -> None:
        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, ClientError):
                failure.raiseException()
            self._messages.info(explain(error))
            if number == signal.SIGTERM:  # the sender, say systemd, soon sends KILL
                self.exit(128 + number)

        Deferred.fromCoroutine(request).addErrback(failed)
