"""Signals that we are sent, and what becomes of them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import NoReturn

from shellstream.client.api import Client
from shellstream.client.errors import ClientError, Refused
from shellstream.client.follow import Following

from .messages import Messages


class SignalHandler:
    """
    Ctrl-C is sent on to the run; a second one cancels it; a third leaves. SIGTERM
    cancels; a second one leaves. SIGHUP leaves, and so does each of them when there is
    no run to be told of it: not yet, or not any more, as when a slow terminal is still
    shown what it has written.

    @ivar feeding: whether the run waits for more input from us. Who leaves it does
        not end that: what was cut off must not look like the whole.
    """

    def __init__(self, client: Client, notes: Messages) -> None:
        self._client = client
        self._notes = notes
        self._following: Following | None = None
        self.feeding = False
        self._detach = False
        self._came: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._before: Callable[[], object] | None = None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup(1)
                loop.add_signal_handler(number, self._signalled, number)

    def steer(self, following: Following, *, detach: bool) -> None:
        """
        From now on there may be a run.

        @param detach: whether Ctrl-C leaves it going.
        """
        self._following = following
        self._detach = detach

    def before_leaving(self, do: Callable[[], object] | None) -> None:
        """What is still to be done when we leave, wherever that is decided."""
        self._before = do

    def leave(self, code: int) -> NoReturn:
        """End now: all output is written, sockets close themselves."""
        if self._before is not None:
            self._before()
        os._exit(code)

    def _signalled(self, number: int) -> None:
        run = None if self._following is None else self._following.run
        step = self._came.get(number, 0)
        self._came[number] = step + 1
        if run is None:
            self.leave(128 + number)
        elif number == signal.SIGINT and self._detach:
            on = "on, and its input stays open" if self.feeding else "on"
            self._notes.say(f"the run goes {on}; shellstream attach {run} follows it")
            self.leave(128 + number)
        elif number == signal.SIGINT and step == 0:
            self._notes.tell("interrupted; again to cancel the run")
            self._do(number, self._interrupt(run))
        elif number == signal.SIGTERM and step == 0:
            self._do(number, self._client.cancel(run))
        elif number == signal.SIGINT and step == 1:
            self._notes.say("cancelling; again to leave without waiting for its end")
            self._do(number, self._cancel(run))
        else:
            self.leave(128 + number)

    async def _interrupt(self, run: str) -> None:
        try:
            await self._client.signal(run, "INT")
        except Refused as error:
            if error.status != 409:
                raise
            if (await self._client.show(run))["ended"] is None:  # it is queued
                await self._client.cancel(run)
            else:
                self._leave_ended(run)

    async def _cancel(self, run: str) -> None:
        try:
            await self._client.cancel(run)
        except Refused as error:
            if error.status != 409:
                raise
            self._leave_ended(run)

    def _leave_ended(self, run: str) -> NoReturn:
        what = f"shellstream attach {run} shows all of its output"
        self._notes.say(f"the run has ended; {what}")
        self.leave(128 + signal.SIGINT)

    def _do(self, number: int, what: Awaitable[object]) -> None:
        async def told() -> None:
            try:
                await what
            except ClientError as error:
                self._notes.say(str(error))
                if number == signal.SIGTERM:  # whoever sent it will not wait for long
                    self.leave(128 + number)

        task = asyncio.ensure_future(told())
        self._tasks.add(task)  # or nobody would hold it
        task.add_done_callback(self._tasks.discard)
