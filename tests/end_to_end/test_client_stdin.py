"""The command line's standard input goes to the command."""

import hashlib
import sys
from pathlib import Path
from random import Random
from typing import Any

from tests.end_to_end.command_line import ClientTestCase
from tests.support.cutting_proxy import start_cutting_proxy
from tests.support.programs import Program, run

CONFIG = """
default = "count"
[commands.cat]
argv = ["cat"]
stdin = true
[commands.count]
argv = ["wc", "-c"]
stdin = true
[commands.head]
shell = "head -n 1; exit 5"
stdin = true
[commands.quiet]
shell = "cat; echo nothing"
[commands.slow]
shell = "echo ready; read line; echo got $line; exec sleep 1000"
stdin = true
linger = 0
[commands.left]
shell = "cat; echo ready; exec sleep 1000"
stdin = true
"""


class StdinTests(ClientTestCase):
    """Pipes and files."""

    def shell(self, line: str) -> Program:
        """A line of shell, where C{s} is the client."""
        client = f"'{sys.executable}' -m shellstream.client"
        script = f's() {{ {client} "$@"; }}; {line}'
        env = {"SHELLSTREAM_URL": self.daemon.url}
        return run(self, "/bin/sh", "-c", script, env=env)

    async def told(self, line: str, code: int = 0) -> str:
        """The output of a line of shell."""
        program = self.shell(line)
        self.assertEqual(await program.ended(), code, (program.out, program.err))
        self.assertEqual(program.err, b"")
        return program.out.decode()

    def write(self, program: Program, data: bytes, *, eof: bool) -> None:
        """Put something into a program's standard input."""
        transport: Any = program.transport
        transport.write(data)
        if eof:
            transport.closeStdin()

    async def test_back(self) -> None:
        """Binary data comes back as it was, over connections that are cut."""
        await self.serve(CONFIG)
        data, random = Random(5).randbytes(5_000_000), Random(6)
        # In the headers of an answer, in documents, in the output that comes back.
        limits = (random.choice([1, 90, 300, 50_000, 500_000]) for _ in range(25))
        proxy = await start_cutting_proxy(self, self.daemon, limits)
        client = self.client("--server", proxy.url, "cat")
        self.write(client, data, eof=True)
        self.assertEqual(await client.ended(), 0, client.err)
        found = hashlib.sha256(client.out).hexdigest()
        self.assertEqual(found, hashlib.sha256(data).hexdigest())
        self.assertGreater(proxy.cuts, 10)
        (found_,) = await self.runs()
        stdin = {"offset": len(data), "open": False}
        self.assertEqual(found_["stdin"], stdin)

    async def test_live(self) -> None:
        """Each line is there when it is written, not only at the end."""
        await self.serve(CONFIG)
        client = self.client("cat")
        for line in (b"one\n", b"two\n"):
            self.write(client, line, eof=False)
            await client.seen(line)
        self.write(client, b"three", eof=True)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out, b"one\ntwo\nthree")

    async def test_end(self) -> None:
        """A pipe, a file and an empty input end at the command too."""
        await self.serve(CONFIG)
        path = Path(self.mktemp()).absolute()
        path.write_bytes(bytes(1_000_000))
        self.assertEqual(await self.told("echo abc | s count"), "4\n")
        self.assertEqual(await self.told("echo abc | s"), "4\n")
        self.assertEqual(await self.told(f"s count < '{path}'"), "1000000\n")
        self.assertEqual(await self.told("s count < /dev/null"), "0\n")
        self.assertEqual(await self.told("s count <&-"), "0\n")
        self.assertEqual(await self.told("echo abc | s --no-stdin count"), "0\n")

    async def test_stops(self) -> None:
        """A command that has read enough ends it, though more would come."""
        await self.serve(CONFIG)
        program = self.shell("yes | s head")
        self.assertEqual(await program.ended(), 5, program.err)
        self.assertEqual(program.out, b"y\n")
        client = self.client("head")
        self.write(client, b"y\n", eof=False)
        self.assertEqual(await client.ended(), 5, client.err)
        self.assertEqual(client.out, b"y\n")

    async def test_loop(self) -> None:
        """A command that takes no input leaves that of a loop alone."""
        await self.serve(CONFIG)
        loop = "printf '1\\n2\\n' | while read x; do echo $x; s quiet; done"
        self.assertEqual(await self.told(loop), "1\nnothing\n2\nnothing\n")
        client = self.client("-v", "quiet")
        await client.ended()
        self.assertIn(b"standard input is not read", client.err)

    async def test_vanished(self) -> None:
        """A run whose client vanishes is ended, as without input."""
        await self.serve(CONFIG)
        client = self.client("slow")
        await client.seen(b"ready")
        client.signal("KILL")
        await client.ended()
        (found,) = await self.runs()
        await self.client("attach", found["id"]).ended()
        (found,) = await self.runs()
        self.assertEqual(found["reason"], "disconnected")

    async def test_interrupt(self) -> None:
        """Ctrl-C goes to the command, though its input is still open."""
        await self.serve(CONFIG)
        client = self.client("slow")
        self.write(client, b"it\n", eof=False)
        await client.seen(b"got it")
        client.signal("INT")
        self.assertEqual(await client.ended(), 130, client.err)

    async def test_detach(self) -> None:
        """Input that is left before its end stays open, and a message says so."""
        await self.serve(CONFIG)
        for eof in (False, True):
            client = self.client("--detach-on-int", "left")
            self.write(client, b"begun\n", eof=eof)
            await client.seen(b"ready" if eof else b"begun")
            client.signal("INT")
            self.assertEqual(await client.ended(), 130, client.err)
            self.assertIn(b"the run goes on", client.err)
            self.assertEqual(b"its input stays open" in client.err, not eof)
            found, *_ = await self.runs()
            self.assertEqual(found["state"], "running")
            self.assertEqual(found["stdin"], {"offset": 6, "open": not eof})
