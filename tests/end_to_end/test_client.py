"""The command line, against the real daemon and against servers that misbehave."""

import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.support.programs import (
    Daemon,
    Gate,
    Lifeline,
    Program,
    run,
    script,
    start_daemon,
)


class OneAnswer(Protocol):
    """A server that answers every request with the same bytes, and hangs up."""

    answer = b""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        self.transport.loseConnection()


class ClientTests(TestCase):
    """C{shellstream} shows the output, or says in one line why it does not."""

    timeout = 60

    def client(self, *words: str, server: Daemon | None = None) -> Program:
        """The client, for this server by default."""
        env = {} if server is None else {"SHELLSTREAM_URL": server.url}
        return run(self, sys.executable, "-m", "shellstream.client", *words, env=env)

    async def server(self, answer: bytes) -> str:
        """The URL of a server that always gives this answer."""
        factory = Factory.forProtocol(type("Answer", (OneAnswer,), {"answer": answer}))
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/"

    async def fails(self, client: Program, code: int, *said: str) -> None:
        """The client ends with this code and one line that says all this."""
        self.assertEqual(await client.ended(), code, client.err)
        lines = client.err.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        for each in ("shellstream: ", *said):
            self.assertIn(each, lines[0])

    async def test_default(self) -> None:
        """Without a word it shows the default command, chunk by chunk."""
        gate = Gate(self)
        client = self.client(server=await start_daemon(self, gate.config))
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)
        self.assertEqual((client.out[-5:], client.err), (b"over\n", b""))

    async def test_installed_script(self) -> None:
        """C{shellstream} is the same program as C{python -m shellstream.client}."""
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        client = run(self, script("shellstream"), f"{daemon.url}/stream")
        await gate.passed_by(client)

    async def test_name_and_parameters(self) -> None:
        """A name is run by POST, with the parameters that were given."""
        daemon = await start_daemon(
            self,
            '[commands."say.it"]\nargv = ["printf", "%s|", "{a}", "{b}"]\n'
            'params.a.type = "string"\nparams.b = {type = "integer", default = 7}\n',
        )
        client = self.client("say.it", "a=1 + 1 = 2 & é", server=daemon)
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out.decode(), "1 + 1 = 2 & é|7|")

    async def test_url_and_parameters(self) -> None:
        """A URL is asked for by GET, parameters in its query."""
        daemon = await start_daemon(
            self,
            '[commands.say]\nget = true\nargv = ["printf", "%s|", "{a}"]\n'
            'params.a.type = "string"\n',
        )
        address = daemon.url.removeprefix("http://")
        client = self.client(f"{address}/stream/say", "a=x y")
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out, b"x y|")

    async def test_every_byte(self) -> None:
        """Bytes that are no text come through as they are."""
        daemon = await start_daemon(
            self,
            "default = \"x\"\n[commands.x]\nargv = ['printf', '\\000\\377\\r\\n']\n",
        )
        client = self.client(server=daemon)
        await client.ended()
        self.assertEqual(client.out, b"\0\xff\r\n")

    async def test_refused_by_server(self) -> None:
        """The client shows why the server refused a request, with the parameters."""
        daemon = await start_daemon(
            self,
            '[commands.build]\nargv = ["true", "{jobs}"]\n'
            'params.jobs = {type = "integer", max = 8}\n'
            '[commands.gone]\nargv = ["/nonexistent/x"]\n',
        )
        tries = self.client("build", "jobs=9", "job=1", server=daemon)
        await self.fails(tries, 65, "jobs: must be at most 8", "did you mean")
        await self.fails(self.client("bild", server=daemon), 65, "did you mean 'build'")
        await self.fails(self.client(server=daemon), 65, "no default command")
        await self.fails(
            self.client("gone", server=daemon), 70, "program was not found"
        )

    async def test_nobody_there(self) -> None:
        """A missing server, an unknown host and missing TLS have their own messages."""
        await self.fails(self.client("127.0.0.1:1"), 69, "connection refused")
        await self.fails(self.client("http://nowhere.invalid/"), 68, "no such host")
        plain = await self.server(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        client = self.client(plain.replace("http:", "https:"))
        await self.fails(client, 77, "TLS failed", "wrong version number")

    async def test_wrong_words(self) -> None:
        """A wrong command line has a message that says so."""
        await self.fails(self.client("build", "jobs"), 64, "NAME=VALUE")
        await self.fails(self.client("ftp://x/"), 64, "only http:// and https://")
        await self.fails(self.client("http://"), 64, "not a URL")
        await self.fails(self.client("--nonsense"), 64, "--nonsense", "--help")

    async def test_root(self) -> None:
        """The root of a server stands for its default command."""
        daemon = await start_daemon(
            self, 'default = "hi"\n[commands.hi]\nargv = ["printf", "hi"]\n'
        )
        for url in (daemon.url, f"{daemon.url}/"):
            client = self.client(url)
            self.assertEqual((await client.ended(), client.out), (0, b"hi"))

    async def test_foreign_server(self) -> None:
        """Any HTTP server will do, close-delimited or with a length."""
        for head in (
            b"HTTP/1.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        ):
            client = self.client(await self.server(head + b"hi"))
            self.assertEqual((await client.ended(), client.out), (0, b"hi"))

    async def test_cut_short(self) -> None:
        """A truncated answer is an error, and its output is shown."""
        for head in (
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n",
            b"Content-Length: 9\r\n\r\n",
        ):
            client = self.client(
                await self.server(b"HTTP/1.1 200 OK\r\n" + head + b"hi")
            )
            await self.fails(client, 75, "part of the output is missing")
            self.assertEqual(client.out, b"hi")

    async def test_daemon_killed(self) -> None:
        """A daemon that dies under a stream is an error, not the end."""
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        client = self.client("--retry-for", "0", server=daemon)
        await client.seen(b"line 1")
        daemon.program.signal("KILL")
        await self.fails(client, 75, "part of the output is missing")

    async def test_no_http(self) -> None:
        """A server that does not speak HTTP is an error."""
        client = self.client(await self.server(b"SSH-2.0-OpenSSH\r\n"))
        await self.fails(client, 76, "no HTTP response")
        await self.fails(self.client(await self.server(b"")), 76, "no HTTP response")

    async def test_reader_gone(self) -> None:
        """With C{| head -1} it leaves at once and quietly, and the run ends."""
        lifeline = Lifeline(self)
        daemon = await start_daemon(
            self,
            'default = "x"\n[commands.x]\n'
            f"shell = \"exec 3> '{lifeline.path}'; echo 1; sleep 1000 & wait\"\n",
        )
        command = (
            f"'{sys.executable}' -m shellstream.client {daemon.url}/stream | head -n 1"
        )
        client = run(self, "/bin/bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}")
        await client.ended()
        self.assertEqual((client.out, client.err), (b"1\n141\n", b""))
        await lifeline.cut()

    async def test_disk_full(self) -> None:
        """Output that cannot be written is an error."""
        daemon = await start_daemon(self)
        command = f"'{sys.executable}' -m shellstream.client {daemon.url}/stream"
        for where, why in ((" /dev/full", "No space left"), ("&-", "is closed")):
            client = run(self, "/bin/sh", "-c", f"exec {command} >{where}")
            await self.fails(client, 74, why)

    async def test_disk_full_for_help(self) -> None:
        """Text of its own that cannot be written is reported in one line."""
        for words in ("completion bash", "--help", "--version", "ps --help"):
            shell = f"exec {script('shellstream')} {words} > /dev/full"
            client = run(self, "/bin/sh", "-c", shell)
            self.assertEqual(await client.ended(), 74, words)
            why = b"shellstream: standard output: No space left on device\n"
            self.assertEqual(client.err, why)

    async def test_nohup(self) -> None:
        """Under nohup(1) the client ignores a hangup."""
        gate = Gate(self)
        daemon = await start_daemon(self, gate.config)
        url = f"{daemon.url}/stream"
        command = f"exec '{sys.executable}' -m shellstream.client {url}"
        client = run(self, "/bin/sh", "-c", f"trap '' HUP; {command}")
        await client.seen(b"line 1")
        client.signal("HUP")
        await gate.passed_by(client)
        self.assertEqual(await client.ended(), 0)

    async def test_demo(self) -> None:
        """C{demo} shows the demo without a server, and says what to type."""
        client = self.client("demo")
        self.assertEqual(await client.ended(), 0, client.err)
        self.assertEqual(client.out, b"1\n2\n3\n")
        self.assertIn(b"--interface 0.0.0.0", client.err)
        self.assertIn(b"The daemon has stopped again.", client.err)
        self.assertIn(b"with a token", client.err)

    async def test_demo_interrupted(self) -> None:
        """A demo that is ended takes its daemon with it."""
        client = self.client("demo")
        await client.seen(b"1\n")
        children = Path(f"/proc/{client.pid}/task/{client.pid}/children")
        pids = children.read_text().split()
        self.assertEqual(len(pids), 2)  # the daemon and the client
        client.signal("TERM")
        self.assertEqual(await client.ended(), 143)
        self.assertFalse(Path(f"/proc/{pids[0]}").exists())
