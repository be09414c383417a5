"""
Where it began: Bottle's server and requests' C{iter_lines()}, as they were.

What failed then fails still, and these tests say how.
"""

import os
import signal
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.interop.support import GateHeld, folder, passes, start_client
from tests.support.interop import CLIENTS, bottle
from tests.support.programs import (
    Gate,
    Program,
    needs,
    readable,
    run,
    start_daemon,
)


class EndlessGate(Gate):
    """A gate whose command goes on after its last line, which would else be lost."""

    @property
    def shell(self) -> str:
        return f"{super().shell}; read go < '{self.path}'"

    def open(self) -> None:
        """Let the command run to its end, unwatched."""
        for _ in range(self.LINES + 1):
            self.let_through()


class LastLineLost(Exception):
    """A line that the command printed before it ended was never sent."""


class HeldTests(TestCase):
    """
    The gate, at the server of then: HTTP/1.0, ended by closing the connection.

    There requests reads as many bytes as its caller asked for, or to the end.
    """

    timeout = 60

    async def assert_live(self, *client: str) -> None:
        gate = EndlessGate(self)
        _, url = await bottle(self, gate.shell)
        self.addCleanup(gate.open)  # that server leaves its commands running
        await passes(gate, start_client(self, *client, url))

    async def test_requests_iter_lines(self) -> None:
        """The client of then shows each line at once."""
        await self.assert_live(*CLIENTS["requests_iter_lines"])

    test_requests_iter_lines.todo = (
        [GateHeld],
        "iter_lines() waits for 512 bytes: the mistake that this project began with",
    )

    async def test_requests_iter_content(self) -> None:
        """The cure of then, a chunk size of 1, shows each line at once."""
        await self.assert_live(*CLIENTS["requests_iter_content"])

    async def test_curl(self) -> None:
        """curl shows each line at once, so it is not the server that holds it."""
        await self.assert_live(*CLIENTS["curl"])

    test_curl.skip = needs("curl")


class LastLineTests(TestCase):
    """What a command prints right before it ends, while the server is busy."""

    timeout = 60

    def setUp(self) -> None:
        self.fifo = str(folder(self) / "go")
        os.mkfifo(self.fifo)
        self.shell = f"echo $$; read go < '{self.fifo}'; printf 'one\\nlast\\n'"

    async def assert_last_line(self, server: Program, url: str) -> None:
        client = run(self, *CLIENTS["curl"], url)
        await client.seen(b"\n")
        # Stopped, the server cannot see the command end before all is printed.
        os.kill(server.pid, signal.SIGSTOP)
        try:
            stopped = os.WSTOPPED | os.WEXITED | os.WNOWAIT
            await deferToThread(os.waitid, os.P_PID, server.pid, stopped)
            Path(self.fifo).write_text("go\n")
            command = os.pidfd_open(int(client.out))
            self.addCleanup(os.close, command)
            await readable(command)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        self.assertEqual(await client.ended(), 0)
        if b"last\n" not in client.out:
            raise LastLineLost(client.out)

    async def test_bottle(self) -> None:
        """The server of then sends the last line."""
        await self.assert_last_line(*await bottle(self, self.shell))

    test_bottle.todo = (
        [LastLineLost],
        "it asks poll() whether the command runs, not the pipe whether it is empty",
    )

    async def test_shellstream(self) -> None:
        """shellstream sends the last line."""
        config = f'default = "last"\n[commands.last]\nshell = """{self.shell}"""\n'
        daemon = await start_daemon(self, config.replace("\\", "\\\\"))
        await self.assert_last_line(daemon.program, daemon.url + "/stream")

    skip = needs("curl")
