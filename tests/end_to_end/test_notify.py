"""Somebody is told of runs: real servers and programs, and a daemon that is killed."""

import json
import sys
from pathlib import Path
from signal import SIGKILL
from typing import Any

import trustme
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.end_to_end.state_daemons import StateTestCase
from tests.support.http_watcher import ask, post
from tests.support.programs import Daemon, run, start_daemon

CONFIG = """
[commands.fail]
shell = 'echo first; echo last; exit 3'
[commands.hang]
argv = ["sleep", "1000"]
[notify.server]
url = "{url}/hook?token=hunter2"
headers = {{Authorization = "Bearer hunter3"}}
lines = 1
on = ["failure", "started"]
commands = ["fail", "hang"]
[notify.program]
argv = ["sh", "-c", "cat > {file}.new; mv {file}.new {file}"]
commands = ["fail"]
"""


@define(eq=False)
class Hook(Resource):
    """
    A server that is told of runs.

    @ivar answers: the codes of the next answers; then it is 200.
    """

    isLeaf = True  # Twisted's name

    answers: list[int] = field(factory=list)
    told: list[dict[str, Any]] = field(factory=list)
    _waiting: list[tuple[int, Deferred[None]]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        Resource.__init__(self)

    def render_POST(self, request: Any) -> bytes:
        assert request.getHeader("authorization") == "Bearer hunter3"
        assert request.uri == b"/hook?token=hunter2"
        self.told.append(json.loads(request.content.read()))
        request.setResponseCode(self.answers.pop(0) if self.answers else 200)
        for count, waiting in self._waiting:
            if len(self.told) >= count and not waiting.called:
                waiting.callback(None)
        return b""

    async def until(self, count: int) -> None:
        """Wait until it was told so often."""
        if len(self.told) < count:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((count, waiting))
            await waiting


def serve(test: TestCase, hook: Hook) -> tuple[str, str]:
    """Serve it by TLS: its address, and the file with the authority to trust."""
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    pem = made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes()
    options = PrivateCertificate.loadPEM(pem).options()
    site: Any = Site(hook)
    port: Any = reactor.listenSSL(0, site, options, interface="127.0.0.1")
    test.addCleanup(port.stopListening)
    trusted = Path(test.mktemp()).absolute()
    authority.cert_pem.write_to_path(str(trusted))
    return f"https://localhost:{port.getHost().port}", str(trusted)


class NotifyTests(StateTestCase):
    """A daemon tells a server and a program."""

    def setUp(self) -> None:
        super().setUp()
        self.hook, self.file = Hook(), Path(self.mktemp()).absolute()
        url, self.trusted = serve(self, self.hook)
        self.config = CONFIG.format(url=url, file=self.file)

    async def start(self, config: str | None = None) -> Daemon:
        where = ("--state-dir", str(self.state))
        env = {"SSL_CERT_FILE": self.trusted}
        return await start_daemon(self, self.config, *where, env=env)

    async def test_killed(self) -> None:
        """
        What was recorded is told by the next daemon, a lost run too, and a secret is
        nowhere but in the request.
        """
        daemon = await self.start()
        self.hook.answers = [200, 503]
        await ask(daemon.port, post("/runs", {"command": "hang"}))
        await self.hook.until(1)
        await ask(daemon.port, post("/runs", {"command": "fail"}))
        await self.hook.until(2)
        await daemon.program.seen(b"is not delivered: HTTP 503")
        daemon.program.signal("KILL")
        self.assertEqual(await daemon.program.ended(), -SIGKILL)
        again = await self.start()
        await self.hook.until(4)
        told = [(each["event"], each["run"]["state"]) for each in self.hook.told]
        self.assertEqual(told[:2], [("started", "running"), ("ended", "exited")])
        self.assertEqual(sorted(told[2:]), [("ended", "exited"), ("ended", "lost")])
        by_id = {each["delivery"] for each in self.hook.told}
        self.assertEqual(len(by_id), 3)
        failed = next(each for each in self.hook.told if each["run"]["code"] == 3)
        self.assertEqual(failed["output"], "last")
        self.assertEqual(
            json.loads(self.file.read_text())["summary"].partition(" after")[0],
            "fail failed: exit code 3",
        )
        await self.stop(again)
        audit = (self.state / "audit.jsonl").read_text()
        # The last answer may come too late for it.
        self.assertGreaterEqual(audit.count('"what":"notified"'), 3)
        written = [daemon.program.out, again.program.out, audit.encode()]
        written += [each.read_bytes() for each in self.state.glob("runs.db*")]
        for each in written:
            self.assertNotIn(b"hunter", each)


class TrialTests(TestCase):
    """C{shellstreamd notify} shows whether a notification arrives."""

    timeout = 120

    async def trial(self, text: str, env: dict[str, str] = {}) -> tuple[int, str]:
        path = Path(self.mktemp()).absolute()
        path.write_text(f"[commands.x]\nargv = ['true']\n[notify.a]\n{text}")
        words = ("-m", "shellstream.daemon", "--config", str(path), "notify", "a")
        program = run(self, sys.executable, *words, env=env)
        return await program.ended(), (program.out + program.err).decode()

    async def test_tls(self) -> None:
        """A certificate has to be of an authority that the system knows."""
        url, trusted = serve(self, Hook())
        text = (
            f"url = '{url}/hook?token=hunter2'\n"
            "headers = {Authorization = 'Bearer hunter3'}"
        )
        code, said = await self.trial(text)
        self.assertEqual(code, 1, said)
        self.assertIn("TLS failed: its certificate is not trusted", said)
        code, said = await self.trial(text, {"SSL_CERT_FILE": trusted})
        self.assertEqual((code, said), (0, "delivered: HTTP 200\n"))

    async def test_program(self) -> None:
        """What a program says is shown, without controls."""
        code, said = await self.trial(
            "argv = ['sh', '-c', 'printf \"\\033[1mno\"; exit 9']"
        )
        self.assertEqual(code, 1)
        self.assertIn("not delivered: exit code 9\nno\n", said)

    async def test_no_program(self) -> None:
        """A program that is not there is named; nobody else knows more."""
        code, said = await self.trial("argv = ['/no/such/program']")
        self.assertEqual(code, 1)
        line = said.splitlines()[-1]
        self.assertTrue(line.startswith("not delivered: its program was not found"))
        self.assertIn("'/no/such/program'", line)
        self.assertNotIn("operator", line)
