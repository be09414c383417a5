"""The output and end of a real command, as a client sees them."""

import hashlib
import socket

from twisted.trial.unittest import TestCase

from tests.support.programs import (
    Daemon,
    Gate,
    Lifeline,
    Program,
    needs,
    run,
    start_daemon,
)


class StreamTests(TestCase):
    """C{/stream} delivers all output of a command, and its end."""

    timeout = 60
    skip = needs("curl")

    async def command(self, body: str, get: bool = True) -> Daemon:
        """A daemon whose default command has this TOML body."""
        config = f'default = "c"\n[commands.c]\nget = {str(get).lower()}\n{body}\n'
        return await start_daemon(self, config)

    async def shell(self, script: str, more: str = "") -> Daemon:
        """A daemon whose default command is this script."""
        return await self.command(f"shell = '''\n{script}\n'''\n{more}")

    def curl(self, daemon: Daemon, *options: str) -> Program:
        """curl on the default command."""
        return run(self, "curl", "-sN", *options, f"{daemon.url}/stream")

    async def test_live(self) -> None:
        """Each line arrives before the command may print the next."""
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        client = self.curl(daemon)
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)

    async def test_many_lines_then_failure(self) -> None:
        """A command that exits at once, and not well, loses no line."""
        daemon = await self.shell("seq 100000; exit 3")
        client = self.curl(daemon, "--raw")
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b"\r\nShellstream-Exit-Code: 3\r\n\r\n", client.out)
        whole = self.curl(daemon)
        await whole.ended()
        self.assertEqual(whole.out.split(), [b"%d" % n for n in range(1, 100_001)])

    async def test_binary(self) -> None:
        """Bytes that are no text arrive as they are."""
        daemon = await self.shell("head -c 3000000 /dev/urandom | tee copy", cwd(self))
        client = self.curl(daemon)
        self.assertEqual(await client.ended(), 0)
        with open(f"{self.folder}/copy", "rb") as copy:
            wanted = hashlib.sha256(copy.read()).hexdigest()
        self.assertEqual(len(client.out), 3_000_000)
        self.assertEqual(hashlib.sha256(client.out).hexdigest(), wanted)

    async def test_silent(self) -> None:
        """A command that prints nothing is a whole, empty answer."""
        daemon = await self.command('argv = ["true"]')
        client = self.curl(daemon)
        self.assertEqual((await client.ended(), client.out), (0, b""))

    async def test_headers_before_output(self) -> None:
        """The answer begins before the command has printed anything."""
        gate = Gate(self)
        daemon = await self.shell(f"read go < '{gate.path}'; echo over")
        client = self.curl(daemon, "-v")
        await client.seen(b"Shellstream-Run: ")
        gate.let_through()
        await client.seen(b"over")

    async def test_both_streams_in_order(self) -> None:
        """stdout and stderr come in the order in which they arrived."""
        gate = Gate(self)
        daemon = await self.shell(
            f"exec < '{gate.path}'; echo 1; read a; echo 2 >&2; read a; echo 3"
        )
        client = self.curl(daemon)
        for number in (b"1\n", b"2\n"):
            await client.seen(number)
            gate.let_through()
        await client.ended()
        self.assertEqual(client.out, b"1\n2\n3\n")

    async def test_closes_stdout_early(self) -> None:
        """A command that closes its output goes on, and its end is awaited."""
        gate = Gate(self)
        daemon = await self.shell(
            f"echo bye; exec >&- 2>&-; read a < '{gate.path}'; exit 7"
        )
        client = self.curl(daemon, "--raw")
        await client.seen(b"bye")
        self.assertNotIn(b"Shellstream-Exit-Code", client.out)
        gate.let_through()
        await client.ended()
        self.assertIn(b"Shellstream-Exit-Code: 7", client.out)

    async def test_killed(self) -> None:
        """A command killed by a signal says by which."""
        daemon = await self.shell("echo on my way; kill -SEGV $$")
        client = self.curl(daemon, "-i")
        await client.ended()
        self.assertIn(b"on my way", client.out)
        self.assertIn(b"Shellstream-State: signaled\r\n", client.out)
        self.assertIn(b"Shellstream-Exit-Signal: SEGV\r\n", client.out)

    async def test_leaves_a_daemon_behind(self) -> None:
        """A grandchild that keeps the pipe does not keep the viewer, and lives on."""
        gate = Gate(self)
        lifeline = Lifeline(self)
        daemon = await self.shell(
            f"exec 3> '{lifeline.path}'; echo started; read a < '{gate.path}' &"
        )
        client = self.curl(daemon)
        self.assertEqual((await client.ended(), client.out), (0, b"started\n"))
        gate.let_through()
        await lifeline.cut()

    async def test_viewer_gone(self) -> None:
        """When the viewer leaves, the command and its children are ended."""
        lifeline = Lifeline(self)
        daemon = await self.shell(
            f"exec 3> '{lifeline.path}'; sleep 1000 & echo here; wait"
        )
        client = self.curl(daemon)
        await client.seen(b"here")
        client.signal("KILL")
        await lifeline.cut()

    async def test_viewer_gone_that_sent_too_much(self) -> None:
        """A viewer that sends on and on is cut off, not left unnoticed."""
        lifeline = Lifeline(self)
        daemon = await self.shell(
            f"exec 3> '{lifeline.path}'; echo here; exec sleep 1000"
        )
        viewer = socket.create_connection(("127.0.0.1", daemon.port))
        self.addCleanup(viewer.close)
        viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        while b"here" not in seen:
            seen += viewer.recv(1000)
        viewer.sendall(b"x" * 20_000)
        await lifeline.cut()

    async def test_viewer_gone_term_ignored(self) -> None:
        """Processes that ignore TERM get KILL, grandchildren too."""
        lifeline = Lifeline(self)
        daemon = await self.shell(
            f"trap '' TERM; exec 3> '{lifeline.path}'\n"
            "(trap '' TERM; while :; do sleep 1000; done) & echo here; "
            "while :; do sleep 1000; done",
            "grace = 0.2",
        )
        client = self.curl(daemon)
        await client.seen(b"here")
        client.signal("KILL")
        await lifeline.cut()

    async def test_grandchild_outlives_leader(self) -> None:
        """The group gets KILL though its leader has obeyed TERM at once."""
        lifeline = Lifeline(self)
        daemon = await self.shell(
            f"exec 3> '{lifeline.path}'\n"
            "(trap '' TERM; exec > /dev/null 2>&1; while :; do sleep 1000; done) &\n"
            "echo here; exec sleep 1000",
            "grace = 0.2",
        )
        client = self.curl(daemon)
        await client.seen(b"here")
        client.signal("KILL")
        await lifeline.cut()

    async def test_timeout(self) -> None:
        """A run that exceeds its timeout is ended, and the answer says so."""
        daemon = await self.shell("echo here; exec sleep 1000", "timeout = 0.2")
        client = self.curl(daemon, "--raw")
        self.assertEqual(await client.ended(), 0)
        self.assertIn(b"here", client.out)
        self.assertIn(b"Shellstream-Exit-Signal: TERM\r\n", client.out)
        self.assertIn(b"Shellstream-Reason: timeout\r\n", client.out)

    async def test_environment(self) -> None:
        """A command sees an allow-list of variables, not the daemon's own."""
        daemon = await start_daemon(
            self,
            'default = "env"\n[commands.env]\nargv = ["env"]\nenv.MINE = "yes"\n',
            env={"SECRET_TOKEN": "hunter2", "LC_TIME": "C"},
        )
        client = self.curl(daemon)
        await client.ended()
        self.assertIn(b"MINE=yes\n", client.out)
        self.assertIn(b"LC_TIME=C\n", client.out)
        self.assertNotIn(b"hunter2", client.out)

    async def test_parameters_stay_data(self) -> None:
        """A client's value is one argument, or one variable, with any characters."""
        hostile = "a b; $(echo pwned) `id` '\"\\ * | > x \n&& é"
        daemon = await start_daemon(
            self,
            "[commands.argv]\n"
            'argv = ["printf", "[%s]", "x{p}", "end"]\n'
            'params.p.type = "string"\n'
            "[commands.shell]\n"
            """shell = 'printf "[%s]" "$p" end'\n"""
            'params.p.type = "string"\n',
        )
        for name, wanted in (
            ("argv", f"[x{hostile}][end]"),
            ("shell", f"[{hostile}][end]"),
        ):
            url = f"{daemon.url}/stream/{name}"
            client = run(self, "curl", "-sN", "--data-urlencode", f"p={hostile}", url)
            await client.ended()
            self.assertEqual(client.out.decode(), wanted)

    async def test_cannot_start(self) -> None:
        """A command that cannot start is reported at once, without its path."""
        folder = cwd(self)
        with open(f"{self.folder}/plain", "w") as plain:
            plain.write("no program")
        daemon = await start_daemon(
            self,
            "[commands.missing]\n"
            'argv = ["/nonexistent/program"]\n'
            "[commands.folder]\n"
            'argv = ["true"]\n'
            'cwd = "/nonexistent/folder"\n'
            "[commands.forbidden]\n"
            f'argv = ["{self.folder}/plain"]\n{folder}\n',
        )
        for name, why in (
            ("missing", b"its program was not found"),
            ("folder", b"its working directory was not found"),
            ("forbidden", b"its program may not be executed"),
        ):
            url = f"{daemon.url}/stream/{name}"
            client = run(self, "curl", "-si", "-X", "POST", url)
            await client.ended()
            self.assertIn(b"HTTP/1.1 500 ", client.out)
            self.assertIn(b"application/problem+json", client.out)
            self.assertIn(b"command '%s' cannot be started" % name.encode(), client.out)
            self.assertIn(why, client.out)
            self.assertNotIn(b"/", client.out.partition(b"\r\n\r\n")[2])

    async def test_too_many(self) -> None:
        """Beyond C{max_running} the response says when to try again."""
        gate = Gate(self)
        daemon = await start_daemon(self, "max_running = 1\n" + gate.config)
        first = self.curl(daemon)
        await first.seen(b"line 1")
        second = self.curl(daemon, "-i")
        await second.ended()
        self.assertIn(b"HTTP/1.1 503 ", second.out)
        self.assertIn(b"Retry-After: 5\r\n", second.out)
        gate.let_through()
        await first.seen(b"line 2")


def cwd(test: StreamTests) -> str:
    """A C{cwd} line for a new folder, which becomes C{test.folder}."""
    import os

    test.folder = os.path.abspath(test.mktemp())
    os.makedirs(test.folder)
    return f'cwd = "{test.folder}"'
