"""What a user waits for, on one line of the terminal."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.task import deferLater

from shellstream.client.api import Client
from shellstream.client.cli.messages import Messages
from shellstream.client.cli.signals import until_done
from shellstream.client.errors import ClientError
from shellstream.client.events import Event, Gap, Output

_T = TypeVar("_T")

#: Seconds between two looks at what is waited for, and at the queue.
_EACH, _EACH_QUEUE = 1, 3

#: The most runs to count in the queue.
_MOST_QUEUED = 1000


class Waiting:
    """
    What a client waits for: a connection, or the turn of its run.

    Once there is output, the line is shown only where the output has come to the end of
    a line: it must not erase what a command has written.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._connected = False
        self._run: str | None = None
        # Whether the run may be in the queue. It never comes back to it.
        self._may_wait = True
        self._at_line_start = True

    def disconnected(self) -> None:
        """The connection broke."""
        self._connected = False

    def received(self, event: Event, run: str | None) -> None:
        """Something came from the server, of this run."""
        self._connected, self._run = True, run
        if isinstance(event, Output):
            self._at_line_start = event.data.endswith(b"\n")
        if isinstance(event, Output | Gap):
            self._may_wait = False

    async def watch(
        self, reactor: Any, messages: Messages, main: Coroutine[Any, Any, _T]
    ) -> _T:
        """Carry out C{main}, and meanwhile say what it waits for."""
        if not messages.shows_status:
            return await main
        try:
            return await until_done(main, self._tell(reactor, messages))
        finally:
            messages.clear_status()

    async def _tell(self, reactor: Any, messages: Messages) -> None:
        ticks, seconds, text = 0, 0, ""
        while True:
            await deferLater(reactor, _EACH)
            if self._connected:
                seconds = 0
                if ticks % _EACH_QUEUE == 0 or not self._may_wait:
                    text = await self._place() if self._may_wait else ""
                ticks += 1
            else:
                seconds += _EACH
                text = f"waiting for {self._client.server} ({seconds} s)"
            # Output may have come while the server was asked.
            if text and self._at_line_start and (self._may_wait or not self._connected):
                messages.status(text)
            else:
                messages.clear_status()

    async def _place(self) -> str:
        """Where the run stands in the queue, in words; empty if it is not in it."""
        run = self._run
        if run is None:
            return ""
        try:
            if (await self._client.show(run))["state"] != "queued":
                self._may_wait = False
                return ""
            before = 0
            async for other in self._client.list(state="queued", limit=_MOST_QUEUED):
                before += other["id"] < run
        except ClientError:  # the main request tells what is wrong
            return ""
        return f"queued, position {before + 1}"
