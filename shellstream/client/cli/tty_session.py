"""C{--tty}: a user at a run's terminal."""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredQueue

from shellstream.client.api import Client
from shellstream.client.errors import Refused
from shellstream.client.events import RunInfo

from .local_terminal import EscapeDetector, LocalTerminal
from .messages import Messages
from .signals import SignalHandler, on_signal
from .stdin import StdinReader
from .terminal_modes import TerminalModes


class TtySession:
    """
    Connects the local terminal with a run's: keys and sizes are sent, one request of
    each kind at a time. Use it as a context manager: on exit the local terminal is as
    it was found.

    @ivar modes: has to be fed what the run writes.
    """

    def __init__(
        self,
        reactor: Any,
        terminal: LocalTerminal,
        run: RunInfo,
        client: Client,
        messages: Messages,
        signals: SignalHandler,
    ) -> None:
        self._reactor = reactor
        self._terminal = terminal
        self._run = run
        self._client = client
        self._messages = messages
        self._signals = signals
        self._escape = EscapeDetector()
        self.modes = TerminalModes()
        self._resizes: DeferredQueue[None] = DeferredQueue()

    def __enter__(self) -> "TtySession":
        self._keys = StdinReader(
            self._reactor,
            0,
            "standard input",
            filter_data=self._filter_keys,
            on_eof=partial(self._signals.exit, 128 + signal.SIGHUP),
        )
        self._messages.line_end = "\r\n"
        self._signals.set_cleanup(self._restore)
        self._terminal.set_raw()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGWINCH: self._note_resize,
            signal.SIGCONT: self._resume,
            # From another terminal, since Ctrl-\\ goes to the command.
            signal.SIGQUIT: partial(self._signals.leave, 128 + signal.SIGQUIT),
        }
        self._before = {number: signal.getsignal(number) for number in handlers}
        for number, handler in handlers.items():
            on_signal(self._reactor, number, handler)
        return self

    def __exit__(self, *exc: object) -> None:
        self._keys.close()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._restore()
        self._signals.set_cleanup(None)

    async def send_keys(self) -> None:
        """Send what the user types."""
        await self._client.feed(self._run["id"], self._keys)

    async def send_sizes(self) -> None:
        """Send each new size; of several that come during a request, the last."""
        while True:
            await self._resizes.get()
            size = self._terminal.size()
            try:
                if size is not None:
                    await self._client.resize(self._run["id"], *size)
            except Refused as error:
                if error.status != 409:
                    raise
                return  # the run has ended

    def _note_resize(self) -> None:
        # One is enough: send_sizes asks for the size of its own time.
        if not self._resizes.pending:
            self._resizes.put(None)

    def _filter_keys(self, data: bytes) -> bytes:
        sent = self._escape.feed(data)
        if self._escape.found:
            self._signals.leave(128 + signal.SIGHUP)
        return sent

    def _resume(self) -> None:
        # While we were stopped, the shell has used the terminal in its own mode.
        self._terminal.set_raw()
        self._note_resize()

    def _restore(self) -> None:
        reset = self.modes.reset()
        if reset and os.isatty(1):
            os.write(1, reset)
        self._terminal.restore()
        self._messages.line_end = "\n"
