"""Tokens, as an operator makes them, and as the first start of a daemon does."""

import os
import re
import stat
from pathlib import Path

from tests.support.programs import (
    Program,
    needs,
    open_terminal,
    run,
    script,
    start_daemon,
)
from tests.support.token_daemons import CONFIG, EVERYWHERE, TOKEN, TokensTestCase

RUN = "01a2050e-a04c-7e78-8dd1-12bb84a02f7a"


class ToolTests(TokensTestCase):
    """C{shellstreamd tokens} is no daemon."""

    async def test_life(self) -> None:
        """A token is made, listed and revoked."""
        text = await self.make("pi", "--commands", "build*", "--expires", "30d")
        self.assertRegex(text, r"^shs_[0-9a-f]{8}_[0-9a-f]{64}$")
        _, token_id, secret = text.split("_")
        listed = (await self.tool("list")).out.decode()
        self.assertRegex(listed, rf"(?m)^{token_id}  pi    build\* ")
        self.assertNotIn(secret, listed)
        await self.tool("revoke", token_id)
        self.assertIn(b"has no tokens", (await self.tool("list")).err)

    async def test_wrong(self) -> None:
        """Exit code 1 is a failure, 2 a bad command line; stderr gives advice."""
        program = await self.tool("revoke", "pi", status=1)
        self.assertIn(b"has no token 'pi'", program.err)
        for argv in ((), ("mak",), ("make", "a b")):
            program = await self.tool(*argv, status=2)
            self.assertEqual(program.out, b"")
            self.assertIn(b"usage: shellstreamd", program.err)

    async def test_help(self) -> None:
        """Help shows how it is typed, and is found from the daemon's."""
        program = await self.tool("--help")
        self.assertIn(b"tokens make pi", program.out)
        program = self.twistd("--help")
        self.assertEqual(await program.ended(), 0)
        self.assertIn(b"tokens  ", program.out)


class FirstStartTests(TokensTestCase):
    """A daemon beyond loopback requires a token."""

    async def start(self, *options: str, terminal: bool = True) -> Program:
        """A daemon that listens on all addresses."""
        config = Path(self.mktemp()).absolute()
        config.write_text(CONFIG)
        where = ("--state-dir", str(self.state), "--config", str(config))
        argv = (script("twistd"), "-n", "shellstream", *where, *EVERYWHERE, *options)
        pty = open_terminal() if terminal else None
        daemon = run(self, *argv, cwd=str(self.cwd), end_with="INT", pty=pty)
        await daemon.seen(b"on another machine, type:")
        return daemon

    async def test_pasted(self) -> None:
        """The printed lines work as they are, but not without the token."""
        daemon = await self.start()
        await daemon.seen(b"A browser asks")
        lines = [each.strip() for each in daemon.out.decode().splitlines()]
        (client,) = [each for each in lines if each.startswith("SHELLSTREAM_TOKEN=")]
        (curl,) = [each for each in lines if each.startswith("curl ")]
        beside = {"PATH": f"{Path(script('twistd')).parent}:{os.environ['PATH']}"}
        for line in (client, curl):
            program = run(self, "/bin/sh", "-c", line, env=beside)
            self.assertEqual(await program.ended(), 0, program.err)
            self.assertEqual(program.out, b"hello\n")
        url = client.split()[-1]
        program = run(self, script("shellstream"), url)
        self.assertEqual(await program.ended(), 65)
        self.assertIn(b"this needs a token", program.err)
        self.assertIn(b"--token-file FILE", program.err)
        self.assertIn(b"tokens make NAME", program.err)

    async def test_once(self) -> None:
        """A token is shown at the first start; later starts say how to make one."""
        daemon = await self.start()
        await daemon.seen(b"A browser asks")
        (secret,) = set(TOKEN.findall(daemon.out))
        daemon.signal("INT")
        await daemon.ended()
        daemon = await self.start()
        self.assertEqual(TOKEN.findall(daemon.out), [])
        tool = f"shellstreamd --state-dir {self.state} tokens make NAME"
        self.assertIn(tool.encode(), daemon.out)
        for path in self.state.rglob("*"):
            mode = stat.S_IMODE(path.stat().st_mode)
            self.assertEqual(mode, 0o700 if path.is_dir() else 0o600, path)
            if path.is_file():
                self.assertNotIn(secret, path.read_bytes(), path)

    async def test_background(self) -> None:
        """Without -n the token is shown on the terminal, and is not in the log."""
        program = self.twistd(*EVERYWHERE, pty=open_terminal())
        self.assertEqual(await program.ended(), 0)
        self.addCleanup(os.kill, int((self.cwd / "twistd.pid").read_text()), 15)
        (secret,) = set(TOKEN.findall(program.out))
        log = (self.cwd / "twistd.log").read_bytes()
        self.assertIn(b"on another machine, type:", log)
        self.assertNotIn(secret, log)

    async def test_unseen(self) -> None:
        """Without a terminal no token is made; the line in the log makes one."""
        daemon = await self.start(terminal=False)
        self.assertEqual(TOKEN.findall(daemon.out + daemon.err), [])
        line = re.search(rb"to make one, type: shellstreamd (.*) NAME", daemon.out)
        assert line is not None, daemon.out
        made = run(self, script("shellstreamd"), *line[1].decode().split(), "pi")
        self.assertEqual(await made.ended(), 0, made.err)
        url = re.findall(rb"curl -N (\S+)", daemon.out)[0].decode()
        token = {"SHELLSTREAM_TOKEN": made.out.decode().strip()}
        while True:  # it looks every second
            client = run(self, script("shellstream"), url, env=token)
            if await client.ended() == 0:
                break
            self.assertEqual(client.status, 65, client.err)

    async def test_insecure(self) -> None:
        """With --insecure no token is required, and each start warns."""
        for _ in range(2):
            daemon = await self.start("--insecure")
            await daemon.seen(b"--insecure: anyone who can reach")
            url = re.findall(rb"curl -N (\S+)", daemon.out)[0].decode()
            client = run(self, script("shellstream"), url)
            self.assertEqual(await client.ended(), 0, client.err)
            self.assertEqual(TOKEN.findall(daemon.out), [])
            self.assertFalse((self.state / "tokens.json").exists())
            daemon.signal("INT")
            await daemon.ended()

    async def test_not_to_be_trusted(self) -> None:
        """The daemon does not start if other users can read the tokens."""
        await self.make("pi")
        (self.state / "tokens.json").chmod(0o644)
        argv = ("-n", "shellstream", "--state-dir", str(self.state), "--port", "0")
        program = run(self, script("twistd"), *argv)
        self.assertEqual(await program.ended(), 1)
        said = (program.out + program.err).decode()
        self.assertIn(f"type: chmod 600 {self.state}/tokens.json", said)
        self.assertNotIn("Traceback", said)


class RunningTests(TokensTestCase):
    """A running daemon follows the changes of the tool."""

    async def test_taken_to_heart(self) -> None:
        """From the first token on one is required; a revoked one is refused."""
        daemon = await start_daemon(self, CONFIG, "--state-dir", str(self.state))
        self.assertEqual(await self.status(f"{daemon.url}/stream"), "200")
        text = await self.make("pi")
        while await self.status(f"{daemon.url}/stream") == "200":
            pass  # it looks every second
        as_pi = ("-u", f":{text}", f"{daemon.url}/stream")
        self.assertEqual(await self.status(*as_pi), "200")
        await self.tool("revoke", "pi")
        while await self.status(*as_pi) == "200":
            pass
        self.assertEqual(await self.status(*as_pi), "401")

    async def test_scoped(self) -> None:
        """A token's scope is enforced, with the exit code for that."""
        text = await self.make("watcher", "--actions", "read")
        daemon = await start_daemon(self, CONFIG, "--state-dir", str(self.state))
        env = {"SHELLSTREAM_URL": daemon.url, "SHELLSTREAM_TOKEN": text}
        program = run(self, script("shellstream"), "cancel", RUN, env=env)
        self.assertEqual(await program.ended(), 65)
        self.assertIn(b"watcher may not do this", program.err)
        self.assertIn(b"action 'signal'", program.err)
        program = run(self, script("shellstream"), "ps", "--all", env=env)
        self.assertEqual(await program.ended(), 0, program.err)

    async def status(self, *argv: str) -> str:
        """Return the HTTP status that curl gets, even if the answer is cut off."""
        shown = ("-s", "-o", "/dev/null", "-w", "%{http_code}")
        client = run(self, "curl", *shown, *argv)
        self.assertIn(await client.ended(), (0, 56))
        return client.out.decode()


for each in (
    FirstStartTests.test_pasted,
    RunningTests.test_taken_to_heart,
):
    each.skip = needs("curl")
