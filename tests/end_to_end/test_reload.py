"""The configuration of a real daemon is reloaded by SIGHUP while it works."""

import json
from pathlib import Path

from tests.support.http_watcher import ask, fetch, fetch_output, get, post, watch
from tests.support.programs import Daemon, Gate, start_daemon
from tests.support.watched_tests import WatchedTestCase

#: How many clients watch, how often the daemon reloads meanwhile, and how many commands
#: a large file has.
VIEWERS, RELOADS, COMMANDS = 20, 6, 300

MANY = "".join(
    f"[commands.many-{n}]\nargv = ['true', '{{a}}']\n"
    "params.a = {type = 'string', pattern = '[a-z]{1,9}', default = 'x'}\n"
    for n in range(COMMANDS)
)

QUEUED = """
[commands.queued]
max_running = 1
when_busy = "queue"
shell = '''{0}'''
"""


class ReloadTests(WatchedTestCase):
    """A reload changes all of it or nothing, and disturbs no stream."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.folder = self.home / "shellstream"
        (self.folder / "commands.d").mkdir(parents=True)
        self.file = self.folder / "shellstream.toml"

    async def start(self, text: str) -> Daemon:
        """Start a daemon without --config, which finds this file."""
        self.file.write_text(text)
        env = {"XDG_CONFIG_HOME": str(self.home)}
        daemon = await start_daemon(self, None, env=env)
        self.assertIn(f"configuration: {self.file}".encode(), daemon.program.out)
        return daemon

    async def reload(self, daemon: Daemon, expected: bytes) -> None:
        """Send the signal, and wait for a line that was not in the log before."""
        daemon.program.out = b""
        daemon.program.signal("HUP")
        await daemon.program.seen(expected)

    async def test_good(self) -> None:
        """Streams and runs go on, those that wait follow, new commands are there."""
        gate = Gate(self)
        daemon = await self.start(gate.config + QUEUED.format("exec sleep 1000"))
        plain = await watch(daemon.port, get("/stream"))
        await plain.seen(b"line 1\n")
        paths = [
            (await ask(daemon.port, post("/runs", {"command": "queued"}))).body
            for _ in range(2)
        ]
        running, waiting = (json.loads(each)["id"] for each in paths)
        self.file.write_text("max_running = 9\n" + QUEUED.format("echo followed"))
        added = self.folder / "commands.d" / "new.toml"
        added.write_text("[commands.new]\nargv = ['echo', 'added']\nget = true\n")
        await self.reload(daemon, b"settings changed: default, max_running 1000 -> 9")
        for line in (
            f"reloaded the configuration: {self.file}, with 1 file of {added.parent}",
            "commands added: new",
            "commands removed: gated",
            "commands changed: queued (shell)",
        ):
            self.assertIn(line.encode(), daemon.program.out)
        self.assertEqual((await fetch(daemon.port, "/stream/new")).body, b"added\n")
        self.assertEqual((await fetch(daemon.port, "/stream/gated")).status, 404)
        for number in range(1, gate.LINES + 1):
            await plain.seen(b"line %d\n" % number)
            gate.let_through()
        await plain.seen(b"over\n")
        cancelled = await ask(daemon.port, post(f"/runs/{running}/cancel"))
        self.assertEqual(cancelled.status, 202)
        self.assertEqual((await fetch_output(daemon.port, waiting)).data, b"followed\n")
        kept = json.loads((await fetch(daemon.port, f"/runs/{plain.run}")).body)
        self.assertEqual((kept["command"], kept["state"]), ("gated", "exited"))

    async def test_broken_under_load(self) -> None:
        """
        Broken files change nothing, and right ones all, while output flows: no turn of
        the reactor is late, and no viewer misses a byte.
        """
        count = 200_000
        flood = (
            f"[commands.flood]\nshell = '''seq {count}; read go; echo over'''\n"
            "stdin = true\n"
        )
        daemon = await self.start(flood + MANY)
        order = post("/runs", {"command": "flood", "stdin": True})
        run = json.loads((await ask(daemon.port, order)).body)["id"]
        path = f"/runs/{run}/output"
        viewers = [await watch(daemon.port, get(path)) for _ in range(VIEWERS)]
        for number in range(RELOADS):
            if number % 2:
                name = f"later-{number}"
                self.file.write_text(flood.replace("flood", name) + MANY)
                await self.reload(daemon, b"commands added: later")
            else:
                self.file.write_text(f"{flood}{MANY}timout = 3\n")
                await self.reload(daemon, b"keeps the configuration that it has")
                line = f"not reloaded: {self.file}:{4 + 3 * COMMANDS}: commands.many-"
                self.assertIn(line.encode(), daemon.program.out)
        await ask(daemon.port, post(f"/runs/{run}/stdin?eof=true"))
        expected = b"".join(b"%d\n" % n for n in range(1, count + 1)) + b"over\n"
        for viewer in viewers:
            await viewer.seen(b"over\n")
            self.assertEqual(viewer.body, expected)
