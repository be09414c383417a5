"""C{--tty}: somebody sits at a run's terminal."""

import asyncio
import os
import signal
from collections.abc import Callable

from shellstream.client.api import Client
from shellstream.client.errors import Refused
from shellstream.client.events import RunInfo

from .local_terminal import Escape, Terminal
from .messages import Messages
from .signals import SignalHandler
from .stdin import StdinReader
from .terminal_modes import TerminalModes

_WATCHED = (signal.SIGWINCH, signal.SIGCONT, signal.SIGQUIT)


class TtySession:
    """
    A terminal here and one there: keys and sizes go there, one request of a kind at
    a time. Use it as a context: outside it, the terminal is as it was found.

    @ivar screen: is told what the run writes.
    """

    def __init__(
        self,
        terminal: Terminal,
        run: RunInfo,
        client: Client,
        notes: Messages,
        steering: SignalHandler,
    ) -> None:
        self._terminal = terminal
        self._run = run
        self._client = client
        self._notes = notes
        self._steering = steering
        self._escape = Escape()
        self.screen = TerminalModes()
        self._resized = asyncio.Event()

    def __enter__(self) -> "TtySession":
        self._keys = StdinReader(0, "standard input", self._heed, self._leave(129))
        self._notes.ending = "\r\n"
        self._steering.before_leaving(self._restore)
        self._terminal.raw()
        handlers = (
            self._resized.set,
            self._continued,
            self._leave(128 + signal.SIGQUIT),
        )
        for number, handler in zip(_WATCHED, handlers, strict=True):
            asyncio.get_running_loop().add_signal_handler(number, handler)
        return self

    def __exit__(self, *exc: object) -> None:
        self._keys.close()
        for number in _WATCHED:
            asyncio.get_running_loop().remove_signal_handler(number)
        self._restore()
        self._steering.before_leaving(None)

    async def type(self) -> None:
        """Send what is typed."""
        await self._client.feed(self._run["id"], self._keys)

    async def resize(self) -> None:
        """Send each new size, or of many that come at once the last."""
        while True:
            await self._resized.wait()
            self._resized.clear()
            size = self._terminal.size()
            try:
                if size is not None:
                    await self._client.resize(self._run["id"], *size)
            except Refused as error:
                if error.status != 409:
                    raise
                return  # it has ended

    def _heed(self, data: bytes) -> bytes:
        sent = self._escape.feed(data)
        if self._escape.typed:
            self._restore()
            self._notes.say(self._parting())
            self._steering.leave(129)
        return sent

    def _parting(self) -> str:
        then = f"shellstream attach {self._run['id']} shows its output"
        if self._run["on_disconnect"] == "keep":
            return f"left; the run goes on; {then}"
        return f"left; the run is ended soon, unless somebody watches it; {then}"

    def _continued(self) -> None:
        # Whoever stopped us has had the terminal meanwhile.
        self._terminal.raw()
        self._resized.set()

    def _leave(self, code: int) -> Callable[[], None]:
        return lambda: self._steering.leave(code)

    def _restore(self) -> None:
        undo = self.screen.undo()
        if undo and os.isatty(1):
            os.write(1, undo)
        self._terminal.restore()
        self._notes.ending = "\n"
