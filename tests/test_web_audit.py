"""Tests for L{shellstream.web}: what clients do is noted, and what they may not."""

import json
from typing import Any

from attrs import evolve

from shellstream.audit import Entry, What
from shellstream.config import Config
from shellstream.errors import CannotStart
from shellstream.limits import Limits
from tests.test_fakes import ECHO, HEAR, SAY, WebTestCase
from tests.test_registry_audit import LOGIN, SECRET

JSON = {"Content-Type": "application/json"}


class NotedTests(WebTestCase):
    """What a client did has an entry that says where it was."""

    config = Config(
        commands={
            "echo": evolve(ECHO, limits=Limits(max_running=1)),
            "hear": HEAR,
            "login": LOGIN,
            "say": SAY,
        },
        default="say",
    )

    def begun(self, command: str = "say") -> str:
        """The id of a run of which nothing is noted yet."""
        asked: dict[str, Any] = {"command": command, "stdin": command == "hear"}
        reply = self.ask("POST", "/runs", json.dumps(asked).encode(), JSON)
        self.noted.clear()
        return reply.headers["shellstream-run"]

    def entry(self) -> Entry:
        """The one that there is."""
        (entry,) = self.noted
        self.noted.clear()
        return entry

    def assert_done(self, what: What, run: str, **facts: Any) -> None:
        """This was noted, and nothing else."""
        entry = self.entry()
        self.assertEqual((entry.what, entry.run, entry.facts), (what, run, facts))
        self.assertEqual((entry.who, entry.credential), ("anonymous", "none"))
        self.assertEqual(entry.address, "192.168.1.1")

    def assert_refused(self, request: str, status: int, reason: str) -> Entry:
        """A refusal was noted, and nothing else."""
        entry = self.entry()
        self.assertIs(entry.what, What.REFUSED)
        self.assertEqual(entry.facts["request"], request)
        self.assertEqual(entry.facts["status"], status)
        self.assertIn(reason, str(entry.facts["reason"]))
        self.assertEqual(entry.address, "192.168.1.1")
        return entry

    def test_start(self) -> None:
        """A run that is started, in either way."""
        self.ask("POST", "/runs", b'{"command": "say"}', JSON)
        run = self.started.run
        self.assert_done(What.START, run.id, state="running")
        self.ask("GET", "/stream")
        run = self.spawn.started[-1].run
        self.assert_done(What.START, run.id, state="running")

    def test_steering(self) -> None:
        """A signal says which; a run that is cancelled and one that is forgotten."""
        run = self.begun()
        self.ask("POST", f"/runs/{run}/signal", b'{"signal": "SIGINT"}')
        self.assert_done(What.SIGNAL, run, signal="INT")
        self.ask("POST", f"/runs/{run}/cancel")
        self.assert_done(What.CANCEL, run)
        self.started.exit()
        self.noted.clear()
        self.ask("DELETE", f"/runs/{run}")
        self.assert_done(What.DELETE, run)

    def test_input(self) -> None:
        """Input, when it was taken, or when who sent it does not wait for that."""
        run = self.begun("hear")
        self.ask("POST", f"/runs/{run}/stdin", b"hello")
        self.assert_done(What.INPUT, run)
        self.started.child.room = 0
        head = f"POST /runs/{run}/stdin HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
        self.connection.send(head.encode() + b"hello")
        self.assertEqual(self.noted, [])
        self.connection.lose()
        self.assert_done(What.INPUT, run)

    def test_only_looked_at(self) -> None:
        """Who looks at what there is does nothing."""
        run = self.begun()
        for path in ("/", "/commands", "/runs", f"/runs/{run}", f"/runs/{run}/output"):
            self.ask("GET", f"{path}")
        self.assertEqual(self.noted, [])

    def test_refused(self) -> None:
        """A refusal says what was asked for, and why that was not done."""
        run = self.begun()
        for path, status, reason in (
            ("/stream/nothing", 404, "no command 'nothing'"),
            (f"/runs/{run}/stdin", 409, "without input"),
            ("/runs/x/cancel", 404, "no run 'x'"),
            ("/commands", 405, "not allowed"),
        ):
            self.ask("POST", path)
            self.assert_refused(f"POST {path}", status, reason)
        self.ask("DELETE", f"/runs/{run}")
        self.assert_refused(f"DELETE /runs/{run}", 409, "is active")

    def test_not_of_this_site(self) -> None:
        """So is one of a page of another site."""
        self.ask("GET", "/stream?a=b", headers={"Sec-Fetch-Site": "cross-site"})
        self.assert_refused("GET /stream", 403, "another site")

    def test_ordered(self) -> None:
        """Of an order it says for which command, and with what."""
        self.begin("echo", x="1")
        self.noted.clear()
        body = b'{"command": "echo", "params": {"x": "2"}}'
        self.ask("POST", "/runs", body, JSON)
        entry = self.assert_refused("POST /runs", 503, "running already")
        self.assertEqual((entry.command, entry.params), ("echo", {"x": "2"}))
        self.ask("POST", "/stream/echo?y=2")
        entry = self.assert_refused("POST /stream/echo", 400, "y: is no parameter")
        self.assertEqual((entry.command, entry.params), ("echo", {}))

    def test_malformed(self) -> None:
        """Nobody knows who sent what is no request; from where is known."""
        self.connection.send(b"no request\r\n\r\n")
        entry = self.assert_refused("", 400, "no well-formed")
        self.assertEqual(entry.who, "")

    def test_nothing_here(self) -> None:
        """A path where nothing is, as browsers ask for by themselves, is no entry."""
        self.ask("GET", "/favicon.ico")
        self.assertEqual(self.reply().status, 404)
        self.assertEqual(self.noted, [])

    def test_failed(self) -> None:
        """A run that cannot be started has its start and its end, which says why."""
        self.spawn.error = CannotStart("say", "its program was not found")
        self.assertEqual(self.ask("POST", "/stream/say").status, 500)
        first, second = self.noted
        self.assertEqual((first.what, second.what), (What.START, What.END))
        self.assertIn("was not found", str(second.facts["failure"]))


class SecretTests(WebTestCase):
    """A secret is in no answer, and in no entry."""

    config = Config(commands={"login": LOGIN}, default="login")

    def test_answers(self) -> None:
        """Neither a run, nor a list of them, nor an error has it."""
        params = {"who": "me", "password": SECRET}
        body = json.dumps({"command": "login", "params": params}).encode()
        reply = self.ask("POST", "/runs", body, JSON)
        shown = {"who": "me", "password": "***", "pin": "***"}
        self.assertEqual(json.loads(reply.body)["params"], shown)
        run = self.started.run.id
        for path in ("/runs", f"/runs/{run}"):
            reply = self.ask("GET", path)
            self.assertIn(b'"***"', reply.body)
            self.assertNotIn(SECRET.encode(), reply.body)
        for value in (f"{SECRET}%00", f"-{SECRET}", SECRET * 1000):
            reply = self.ask("POST", f"/stream/login?who=me&password={value}")
            self.assertEqual(reply.status, 400)
            self.assertNotIn(SECRET.encode(), reply.body)
        self.assertNotIn(SECRET, repr(self.noted))
        self.assertEqual(len(self.noted), 4)

    def test_commands(self) -> None:
        """What it is by default is told to nobody, only that it need not be sent."""
        reply = self.ask("GET", "/commands/login")
        schema = json.loads(reply.body)["parameters"]
        pin = {"type": "string", "maxLength": 4096, "writeOnly": True}
        self.assertEqual(schema["properties"]["pin"], pin)
        self.assertEqual(schema["required"], ["who", "password"])

    def test_page(self) -> None:
        """The page has a field for it that shows nothing, and that nobody fills."""
        reply = self.ask("GET", "/", headers={"Accept": "text/html"})
        self.assertNotIn(b"0000", reply.body)
        field = b'<input type="password" autocomplete="off" name="pin" title="" />'
        self.assertIn(field, reply.body)
