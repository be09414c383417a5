"""
The problem that this project solves: Bottle's server, Requests' C{iter_lines()}.

Both hold output back or lose it to this day; these tests show how.
"""

import os
import signal
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.interop.real_clients import (
    CLIENTS,
    GateHeld,
    folder,
    pass_gate,
    start_bottle,
    start_client,
)
from tests.support.programs import (
    Gate,
    Program,
    needs,
    readable,
    run,
    start_daemon,
)


class EndlessGate(Gate):
    """A gate whose command goes on after its last line, or that line would be lost."""

    @property
    def shell(self) -> str:
        return f"{super().shell}; read go < '{self.path}'"

    def open(self) -> None:
        """Let the command run to its end."""
        for _ in range(self.LINES + 1):
            self.let_through()


class LastLineLost(Exception):
    """The server did not send a line that the command printed before its end."""


class HeldTests(TestCase):
    """
    The gate behind Bottle's server: HTTP/1.0, ended by closing the connection.

    From that, Requests reads as many bytes as its caller asked for, or to the end.
    """

    timeout = 60

    async def assert_live(self, *client: str) -> None:
        gate = EndlessGate(self)
        _, url = await start_bottle(self, gate.shell)
        self.addCleanup(gate.open)  # Bottle leaves its commands running
        await pass_gate(gate, start_client(self, *client, url))

    async def test_requests_iter_lines(self) -> None:
        """Requests' iter_lines() shows each line at once."""
        await self.assert_live(*CLIENTS["requests_iter_lines"])

    test_requests_iter_lines.todo = (
        [GateHeld],
        "iter_lines() waits for 512 bytes: the mistake that this project began with",
    )

    async def test_requests_iter_content(self) -> None:
        """Requests with a chunk size of 1 shows each line at once."""
        await self.assert_live(*CLIENTS["requests_iter_content"])

    async def test_curl(self) -> None:
        """curl shows each line at once, so the server does not hold it back."""
        await self.assert_live(*CLIENTS["curl"])

    test_curl.skip = needs("curl")


class LastLineTests(TestCase):
    """Output right before the end of a command, while the server is busy."""

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
        """Bottle's server sends the last line."""
        await self.assert_last_line(*await start_bottle(self, self.shell))

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
