"""A shell in tmux: a terminal whose screen a test can read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import TimeoutError as TooLate
from twisted.internet.utils import getProcessOutputAndValue

from tests.end_to_end.command_line import ClientTestCase
from tests.support.programs import needs, readable, socket_path

#: The prompt of the shell.
PROMPT = "here> "

#: Seconds without a change on the screen after which a test gives up.
PATIENCE = 20


class TmuxTestCase(ClientTestCase):
    """
    A shell in tmux, where C{s} is the client.

    @ivar screen: the lines of the screen when it was last read.
    @ivar folder: a folder with a short name.
    """

    skip = needs("tmux")

    async def open(self, rows: int = 24, columns: int = 80) -> None:
        """Start tmux and the shell."""
        self.screen: list[str] = []
        self._socket = socket_path(self)
        self.folder = Path(self._socket).parent
        news = str(self.folder / "news")
        os.mkfifo(news)
        # Open for reading and writing, so that it has no end.
        self._news = os.open(news, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, self._news)
        client = f"'{sys.executable}' -m shellstream.client"
        start = self.folder / "start"
        start.write_text(f's() {{ {client} "$@"; }}\nPS1="{PROMPT}"\n')
        size = ("-x", str(columns), "-y", str(rows))
        await self.tmux(
            *("-f", "/dev/null", "new-session", "-d", *size, f"ENV='{start}' exec sh")
        )
        self.addCleanup(self.tmux, "kill-server")
        await self.tmux("pipe-pane", "-O", f"exec cat > '{news}'")
        await self.shows(PROMPT.strip())

    async def tmux(self, *words: str) -> str:
        """Run a command of tmux; returns its output."""
        argv = ("-S", self._socket, *words)
        env = {**os.environ, "SHELLSTREAM_URL": self.daemon.url}
        found: Any = await getProcessOutputAndValue("tmux", argv, env)
        out, err, code = found
        self.assertEqual((code, err), (0, b""))
        return str(out.decode())

    async def type(self, *keys: str) -> None:
        """Press keys, by their names in tmux: C{Enter}, C{C-c}, C{Escape}, C{x}."""
        await self.tmux("send-keys", *keys)

    async def line(self, text: str) -> None:
        """Type a line."""
        await self.tmux("send-keys", "-l", text)
        await self.type("Enter")

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        await self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    async def state(self, *names: str) -> list[str]:
        """The values of variables of tmux: C{alternate_on}, C{cursor_flag}."""
        wanted = " ".join(f"#{{{name}}}" for name in names)
        return (await self.tmux("display-message", "-p", wanted)).split()

    async def until(self, what: str, true: Callable[[list[str]], bool]) -> None:
        """Read the screen after each change, until C{true} is true of its lines."""
        try:
            while True:
                self.screen = (await self.tmux("capture-pane", "-p")).splitlines()
                if true(self.screen):
                    return
                await readable(self._news).addTimeout(PATIENCE, reactor)
                os.read(self._news, 1 << 16)
        except TooLate:
            shown = "\n".join(self.screen)
            raise AssertionError(f"never on the screen: {what}\n{shown}") from None

    async def shows(self, line: str) -> None:
        """Wait until the screen has this line; spaces at its end do not count."""
        await self.until(
            repr(line), lambda lines: line in [each.rstrip() for each in lines]
        )
