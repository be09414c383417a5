"""Input for runs of a real daemon: pipes, terminals, breaks, the end."""

import hashlib
import json
import os
import socket
from http.client import HTTPConnection
from random import Random
from typing import Any

from attrs import define, field
from twisted.internet.threads import deferToThread

from tests.end_to_end.state_daemons import StateTestCase, processes_gone
from tests.support.http_watcher import (
    Watcher,
    ask,
    fetch,
    fetch_output,
    get,
    post,
    watch,
)
from tests.support.programs import Daemon, needs
from tests.support.resident import resident

CONFIG = """
[commands.cat]
argv = ["cat"]
stdin = true
[commands.count]
argv = ["wc", "-c"]
stdin = true
[commands.deaf]
shell = "echo here; exec sleep 1000"
stdin = true
[commands.sh]
argv = ["sh"]
tty = true
env = { PS1 = "ready> " }
[commands.bash]
argv = ["bash", "--norc", "-i"]
tty = true
env = { PS1 = "ready> " }
"""
PIECE = 1 << 20
DATA = Random(2).randbytes(5_000_000)


@define
class Sender:
    """
    A client that sends input, and blocks: all of it belongs into a thread.

    @ivar taken: how much of it was answered for.
    """

    port: int
    run: str
    taken: int = field(default=0, init=False)

    def send(self, data: bytes, *, eof: bool = False) -> int:
        """Send a piece; return the status, and record a failure."""
        connection = HTTPConnection("127.0.0.1", self.port)
        path = f"/runs/{self.run}/stdin?offset={self.taken}&eof={str(eof).lower()}"
        connection.request("POST", path, data)
        answer = connection.getresponse()
        self.taken = int(answer.headers["Shellstream-Stdin-Offset"])
        connection.close()
        return answer.status

    def break_off(self, data: bytes, size: int) -> None:
        """Send the beginning of a request, and vanish."""
        head = (
            f"POST /runs/{self.run}/stdin?offset={self.taken} HTTP/1.1\r\n"
            f"Host: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall((head.encode() + data)[:size])

    def send_all(self, data: bytes, random: Random) -> None:
        """Send all input, over connections that break now and then."""
        while self.taken < len(data):
            piece = data[self.taken : self.taken + random.randrange(1, PIECE)]
            for _ in range(random.randrange(3)):
                # Nearly all was sent: the client does not know how much arrived.
                self.break_off(piece, random.randrange(len(piece) + 200))
            before = self.taken
            status = self.send(piece)
            assert status == 204, status
            # More of a broken request may have been taken than this counts.
            assert self.taken >= before + len(piece), (self.taken, before)
        assert self.send(b"", eof=True) == 204


class InputTestCase(StateTestCase):
    """A daemon whose commands read."""

    async def begin(self, daemon: Daemon, command: str, **wish: object) -> str:
        """Start a run with input, or with other options."""
        order = {"command": command, **(wish or {"stdin": True})}
        answer = await ask(daemon.port, post("/runs", order))
        run = answer.run
        assert run is not None, answer.body
        return run

    async def document(self, daemon: Daemon, run: str) -> Any:
        """A run as it stands."""
        return json.loads((await fetch(daemon.port, f"/runs/{run}")).body)


class PipeTests(InputTestCase):
    """Input by a pipe."""

    async def test_back(self) -> None:
        """Binary input comes back as it was, over connections that break."""
        daemon = await self.start(CONFIG)
        run = await self.begin(daemon, "cat")
        sender = Sender(daemon.port, run)
        await deferToThread(sender.send_all, DATA, Random(3))
        account = await fetch_output(daemon.port, run)
        found = hashlib.sha256(account.data).hexdigest()
        self.assertEqual(found, hashlib.sha256(DATA).hexdigest())
        stdin = (await self.document(daemon, run))["stdin"]
        self.assertEqual(stdin, {"offset": len(DATA), "open": False})

    async def test_count(self) -> None:
        """A program that waits for the end of its input gets it."""
        daemon = await self.start(CONFIG)
        run = await self.begin(daemon, "count")
        sender = Sender(daemon.port, run)
        self.assertEqual(await deferToThread(sender.send, DATA[:PIECE]), 204)
        self.assertEqual((await self.document(daemon, run))["state"], "running")
        self.assertEqual(await deferToThread(sender.send, b"", eof=True), 204)
        self.assertEqual((await fetch_output(daemon.port, run)).data, b"%d\n" % PIECE)

    async def test_never_reads(self) -> None:
        """Input that is never read costs little, and the run can still be ended."""
        daemon = await self.start(CONFIG)
        runs = [await self.begin(daemon, "deaf") for _ in range(10)]
        before = resident(daemon.pid)
        senders = [Sender(daemon.port, run) for run in runs]
        waiting = [deferToThread(each.send, DATA[:PIECE]) for each in senders]
        for run in runs:
            while (await self.document(daemon, run))["stdin"]["offset"] < 1 << 16:
                pass
        self.assertLess(resident(daemon.pid) - before, 30 << 20)
        for run in runs:
            await ask(daemon.port, post(f"/runs/{run}/cancel"))
        for each in waiting:
            self.assertEqual(await each, 409)
        self.assertEqual({each.taken for each in senders}, {1 << 16})
        await processes_gone(runs)


class TerminalTests(InputTestCase):
    """Input by a terminal, whose output is watched live."""

    async def sit(
        self, daemon: Daemon, command: str, **size: int
    ) -> tuple[str, Watcher]:
        """A run on a terminal, and its output, up to the first prompt."""
        run = await self.begin(daemon, command, tty=size)
        shown = await watch(daemon.port, get(f"/runs/{run}/output"))
        await shown.seen(b"ready> ")
        return run, shown

    async def type(self, daemon: Daemon, run: str, text: str) -> None:
        """Type something."""
        request = get(f"/runs/{run}/stdin", Content_Length=str(len(text))) + text
        answer = await ask(daemon.port, request.replace("GET", "POST", 1))
        self.assertIn("204", answer.head.splitlines()[0], answer.body)

    async def test_session(self) -> None:
        """A terminal has a size, hidden input, Ctrl-C and Ctrl-D."""
        daemon = await self.start(CONFIG)
        run, shown = await self.sit(daemon, "sh", rows=50, columns=132)
        await self.type(daemon, run, "tty; stty size\r")
        await shown.seen(b"/dev/pts/")
        await shown.seen(b"\r\n50 132\r\n")
        size = {"rows": 33, "columns": 44}
        await ask(daemon.port, post(f"/runs/{run}/resize", size))
        await self.type(daemon, run, "stty size\r")
        await shown.seen(b"\r\n33 44\r\n")
        read = 'read -s -p "Your pass""word: " p; echo; echo ${#p} letters'
        await self.type(daemon, run, f"bash -c '{read}'\r")
        await shown.seen(b"Your password: ")
        await self.type(daemon, run, "secret\r")
        await shown.seen(b"\r\n6 letters\r\n")
        self.assertNotIn(b"secret", shown.body)
        await self.type(daemon, run, "sh -c 'echo be\"\"gun; exec sleep 1000'\r")
        await shown.seen(b"begun")
        await self.type(daemon, run, "\x03")
        await self.type(daemon, run, "echo status $?\r")
        await shown.seen(b"status 130\r\n")
        await self.type(daemon, run, "\x04")
        await shown.gone
        found = await self.document(daemon, run)
        self.assertEqual((found["state"], found["code"]), ("exited", 0))
        self.assertEqual(found["tty"], {**size, "term": "xterm"})
        await processes_gone([run])

    async def test_jobs(self) -> None:
        """Cancelling a shell ends its jobs, in the background or stopped."""
        daemon = await self.start(CONFIG)
        run, shown = await self.sit(daemon, "bash")
        await self.type(daemon, run, "sleep 1001 &\r(trap '' HUP; sleep 1002) &\r")
        await self.type(daemon, run, "sh -c 'echo be\"\"gun; exec sleep 1003'\r")
        await shown.seen(b"begun")
        await self.type(daemon, run, "\x1a")
        await shown.seen(b"Stopped")
        await ask(daemon.port, post(f"/runs/{run}/cancel"))
        await shown.gone
        found = await self.document(daemon, run)
        self.assertEqual((found["state"], found["reason"]), ("signaled", "cancelled"))
        await processes_gone([run])

    async def test_killed(self) -> None:
        """The jobs do not long outlive a daemon that was killed."""
        daemon = await self.start(CONFIG)
        run, shown = await self.sit(daemon, "bash")
        await self.type(daemon, run, "(trap '' HUP; sleep 1001) & echo $((40+2))\r")
        await shown.seen(b"\r\n42\r\n")
        self.assertEqual(await self.stop(daemon, "KILL"), -9)
        daemon = await self.start(CONFIG)
        await processes_gone([run])
        found = await self.document(daemon, run)
        self.assertEqual(found["state"], "lost")
        self.assertEqual(found["stdin"], {"offset": None, "open": False})

    async def test_other_user(self) -> None:
        """Another user has the terminal, or the pipe, and may open it again by name."""
        script = "id -un; echo by name > $(tty); echo there > /dev/tty; cat /dev/stdin"
        others = "".join(
            f'[commands.{key}]\nuser = "nobody"\nshell = "{shell}"\n{key} = true\n'
            for key, shell in (("tty", script), ("stdin", "cat /dev/stdin"))
        )
        daemon = await self.start(others)
        run = await self.begin(daemon, "tty", tty=True)
        shown = await watch(daemon.port, get(f"/runs/{run}/output"))
        await shown.seen(b"there\r\n")
        await self.type(daemon, run, "typed\r\x04")
        account = await fetch_output(daemon.port, run)
        expected = b"nobody\r\nby name\r\nthere\r\ntyped\r\ntyped\r\n"
        self.assertEqual(account.data, expected)
        run = await self.begin(daemon, "stdin")
        await deferToThread(Sender(daemon.port, run).send, b"piped", eof=True)
        self.assertEqual((await fetch_output(daemon.port, run)).data, b"piped")

    test_other_user.skip = needs("setpriv") or (
        None if os.geteuid() == 0 else "only root may become another user"
    )
    for _test in (test_session, test_jobs, test_killed):
        _test.skip = needs("bash")
