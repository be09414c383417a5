"""Tests for L{shellstream.web}: the audit of actions and refusals."""

import json
import re
from ipaddress import ip_network
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from shellstream.config.loader import Config
from shellstream.model.errors import CannotStart
from shellstream.model.limits import Limits
from shellstream.security.audit import AuditAction, AuditEntry, render_line
from shellstream.security.authorization import Action
from shellstream.security.principals import AccessSettings
from tests.support.authentication import AuthenticationTestCase
from tests.support.fakes import ECHO, HEAR, SAY
from tests.support.http import PEER, Connection, WebTestCase
from tests.support.pages import Page
from tests.support.registries import LOGIN, SECRET

JSON = {"Content-Type": "application/json"}
#: Where the client is.
HERE = PEER.host


class AuditedTests(WebTestCase):
    """A client's action has an entry with the client's address."""

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
        """Start a run without audit entries, and return its id."""
        asked: dict[str, Any] = {"command": command, "stdin": command == "hear"}
        reply = self.ask("POST", "/runs", json.dumps(asked).encode(), JSON)
        self.noted.clear()
        return reply.headers["shellstream-run"]

    def entry(self) -> AuditEntry:
        """Return the only entry."""
        (entry,) = self.noted
        self.noted.clear()
        return entry

    def assert_done(self, what: AuditAction, run: str, **facts: Any) -> None:
        """Check that this is the only entry."""
        entry = self.entry()
        self.assertEqual((entry.action, entry.run, entry.facts), (what, run, facts))
        self.assertEqual((entry.principal, entry.credential), ("anonymous", "none"))
        self.assertEqual(entry.address, HERE)

    def assert_refused(self, request: str, status: int, reason: str) -> AuditEntry:
        """Check that a refusal is the only entry."""
        entry = self.entry()
        self.assertIs(entry.action, AuditAction.REFUSED)
        self.assertEqual(entry.facts["request"], request)
        self.assertEqual(entry.facts["status"], status)
        self.assertIn(reason, str(entry.facts["reason"]))
        self.assertEqual(entry.address, HERE)
        return entry

    def test_start(self) -> None:
        """A run that is started, in either way."""
        self.ask("POST", "/runs", b'{"command": "say"}', JSON)
        run = self.started.run
        self.assert_done(AuditAction.START, run.id, state="running")
        self.ask("GET", "/stream")
        run = self.spawn.started[-1].run
        self.assert_done(AuditAction.START, run.id, state="running")

    def test_control(self) -> None:
        """A signal, with its name, a cancelled run, and a deleted run have entries."""
        run = self.begun()
        self.ask("POST", f"/runs/{run}/signal", b'{"signal": "SIGINT"}')
        self.assert_done(AuditAction.SIGNAL, run, signal="INT")
        self.ask("POST", f"/runs/{run}/cancel")
        self.assert_done(AuditAction.CANCEL, run)
        self.started.exit()
        self.noted.clear()
        self.ask("DELETE", f"/runs/{run}")
        self.assert_done(AuditAction.DELETE, run)

    def test_input(self) -> None:
        """Input is audited when it is taken, or when its client leaves before."""
        run = self.begun("hear")
        self.ask("POST", f"/runs/{run}/stdin", b"hello")
        self.assert_done(AuditAction.INPUT, run)
        self.started.child.room = 0
        head = f"POST /runs/{run}/stdin HTTP/1.1\r\nHost: localhost\r\n"
        head += "Content-Length: 5\r\n\r\n"
        self.connection.send(head.encode() + b"hello")
        self.assertEqual(self.noted, [])
        self.connection.lose()
        self.assert_done(AuditAction.INPUT, run)

    def test_only_looked_at(self) -> None:
        """A read is not audited."""
        run = self.begun()
        for path in ("/", "/commands", "/runs", f"/runs/{run}", f"/runs/{run}/output"):
            self.ask("GET", f"{path}")
        self.assertEqual(self.noted, [])

    def test_refused(self) -> None:
        """The entry of a refusal has the request and the reason."""
        run = self.begun()
        for path, shown, status, reason in (
            ("/stream/nothing", "/stream/***", 404, "there is no such command"),
            (f"/runs/{run}/stdin", f"/runs/{run}/stdin", 409, "without input"),
            ("/runs/x/cancel", "/runs/***/cancel", 404, "there is no such run"),
            ("/commands", "/commands", 405, "not allowed"),
        ):
            self.ask("POST", path)
            self.assert_refused(f"POST {shown}", status, reason)
        self.ask("DELETE", f"/runs/{run}")
        self.assert_refused(f"DELETE /runs/{run}", 409, "is active")

    def test_not_of_this_site(self) -> None:
        """The same for a request of another site's page."""
        self.ask("GET", "/stream?a=b", headers={"Sec-Fetch-Site": "cross-site"})
        self.assert_refused("GET /stream", 403, "another site")

    def test_start_refused(self) -> None:
        """The refusal of a start names the command and the parameters."""
        self.begin("echo", x="1")
        self.noted.clear()
        body = b'{"command": "echo", "params": {"x": "2"}}'
        self.ask("POST", "/runs", body, JSON)
        entry = self.assert_refused("POST /runs", 503, "running already")
        self.assertEqual((entry.command, entry.params), ("echo", {"x": "2"}))
        self.ask("POST", "/stream/echo?y=2")
        entry = self.assert_refused("POST /stream/echo", 400, "a name that is unknown")
        self.assertEqual((entry.command, entry.params), ("echo", {}))

    def test_malformed(self) -> None:
        """For a malformed request the audit has an address, but no caller."""
        self.connection.send(b"no request\r\n\r\n")
        entry = self.assert_refused("", 400, "no well-formed")
        self.assertEqual(entry.principal, "")

    def test_nothing_here(self) -> None:
        """
        A request for an unknown path is not audited: browsers make them by themselves.
        """
        self.ask("GET", "/favicon.ico")
        self.assertEqual(self.reply().status, 404)
        self.assertEqual(self.noted, [])

    def test_failed(self) -> None:
        """A run that cannot be started has its start and its end, which says why."""
        self.spawn.error = CannotStart("say", "its program was not found")
        self.assertEqual(self.ask("POST", "/stream/say").status, 500)
        first, second = self.noted
        self.assertEqual(
            (first.action, second.action), (AuditAction.START, AuditAction.END)
        )
        self.assertIn("was not found", str(second.facts["failure"]))


class SecretTests(WebTestCase):
    """A secret is in no answer, and in no entry."""

    config = Config(commands={"login": LOGIN}, default="login")

    def test_answers(self) -> None:
        """A run, a list of runs and an error never hold a secret."""
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

    def test_in_the_wrong_place(self) -> None:
        """A secret without its name is told to its client, and is in no log."""
        lines: list[str] = []
        site: Any = self.site
        site.log = lambda request: lines.append(str(site.access_log.line(request)))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = json.dumps({"command": "login", "params": {SECRET: "x"}}).encode()
        with capturedLogs() as logged:
            for method, path, sent, headers in (
                ("POST", "/stream/login", SECRET.encode(), form),
                ("POST", "/stream/login", f"passwrod={SECRET}".encode(), form),
                ("POST", "/stream/login", SECRET.encode(), {"Content-Type": SECRET}),
                ("POST", "/stream/login", SECRET.encode(), JSON),
                ("POST", "/runs", body, JSON),
                ("POST", "/runs", json.dumps({"command": SECRET}).encode(), JSON),
                ("POST", "/runs", json.dumps({SECRET: "x"}).encode(), JSON),
                ("POST", f"/stream/login/{SECRET}", b"", {}),
                ("POST", f"/stream/{SECRET}", b"", {}),
                ("POST", f"/stream/login?{SECRET}", b"", {}),
                ("POST", f"/stream/login?passwrod={SECRET}", b"", {}),
                ("GET", f"/runs/{SECRET}", None, {}),
                ("GET", f"/commands/{SECRET}", None, {}),
                ("GET", f"/{SECRET}", None, {"Referer": f"http://x/{SECRET}"}),
                ("GET", f"/runs?{SECRET}=1", None, {}),
                (SECRET, "/runs", None, {}),
                (SECRET, f"/runs/{SECRET}/stdin?offset={SECRET}", None, {}),
            ):
                reply = Connection(self.site).ask(method, path, sent, headers)
                self.assertGreaterEqual(reply.status, 400, path)
        noted = [render_line(each, 0) for each in self.noted]
        everything = "\n".join([*lines, *noted, *map(str, map(formatEvent, logged))])
        self.assertNotIn(SECRET, re.sub(f"offset={SECRET}", "", everything))
        self.assertGreater(len(lines), 12)
        self.assertGreater(len(noted), 12)
        self.assertIn("a name that is unknown", everything)

    def test_commands(self) -> None:
        """Its default is shown to no client, only that it may be left out."""
        reply = self.ask("GET", "/commands/login")
        schema = json.loads(reply.body)["parameters"]
        pin = {"type": "string", "maxLength": 4096, "writeOnly": True}
        self.assertEqual(schema["properties"]["pin"], pin)
        self.assertEqual(schema["required"], ["who", "password"])

    def test_page(self) -> None:
        """The page's field for a secret is hidden and empty."""
        reply = self.ask("GET", "/", headers={"Accept": "text/html"})
        self.assertNotIn(b"0000", reply.body)
        (field,) = [
            each
            for each in Page(reply.body.decode()).all("input")
            if each.get("name") == "pin"
        ]
        self.assertEqual(field["type"], "password")
        self.assertNotIn("value", field)


class RefusalTests(AuthenticationTestCase):
    """Refusals and logins are audited."""

    def assert_audited(self, what: AuditAction, who: str = "", **facts: Any) -> None:
        """Check that this is the only entry."""
        (entry,) = self.noted
        self.noted.clear()
        self.assertEqual(
            (entry.action, entry.principal, entry.address), (what, who, HERE)
        )
        for name, value in facts.items():
            self.assertEqual(entry.facts[name], value)

    def test_stranger(self) -> None:
        """A missing or wrong token is audited, in a browser or not."""
        for accept in ("*/*", "text/html"):
            for headers in ({}, {"Authorization": "Bearer x"}):
                self.ask("GET", "/runs", headers={"Accept": accept, **headers})
                self.assertEqual(self.reply().status, 401)
                self.assert_audited(
                    AuditAction.REFUSED, status=401, request="GET /runs"
                )

    def test_wrong_name(self) -> None:
        """A request for another host is audited."""
        self.connection.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        self.assert_audited(AuditAction.REFUSED, status=421, request="GET /")

    def test_forbidden(self) -> None:
        """A forbidden caller is named, also if the run is hidden from it."""
        run = self.run_by(self.tokens.make("alice"))
        self.noted.clear()
        bob = self.tokens.make("bob", own=True)
        self.by(bob, "POST", f"/runs/{run}/cancel")
        path = f"POST /runs/{run}/cancel"
        self.assert_audited(AuditAction.REFUSED, "bob", status=404, request=path)
        carol = self.tokens.make("carol", actions=frozenset({Action.READ}))
        self.by(carol, "POST", f"/runs/{run}/cancel")
        self.assert_audited(AuditAction.REFUSED, "carol", status=403, request=path)

    def test_login(self) -> None:
        """A login is audited, and so is a failed one."""
        token = self.tokens.make("alice")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.ask("POST", "/login", f"token={token}".encode(), form)
        self.assert_audited(AuditAction.LOGIN, "alice")
        for accept in ("*/*", "text/html"):
            self.ask("POST", "/login", b"token=x", {**form, "Accept": accept})
            self.assert_audited(AuditAction.REFUSED, "stranger", status=401)

    def test_control_by_another(self) -> None:
        """The entry names the caller, also for a run of another principal."""
        run = self.run_by(self.tokens.make("alice"))
        self.noted.clear()
        self.by(self.tokens.make("bob"), "POST", f"/runs/{run}/cancel")
        self.assert_audited(AuditAction.CANCEL, "bob")
        self.started.exit(None, 15)
        self.assertEqual(self.noted[-1].principal, "alice")

    def test_through_a_proxy(self) -> None:
        """The audit has the address of the client, not that of a trusted proxy."""
        self.serve(
            evolve(self.config, access=AccessSettings(proxies=(ip_network(HERE),)))
        )
        headers = {"X-Forwarded-For": "192.0.2.7"}
        self.ask("GET", "/runs", headers=headers)
        self.ask("GET", "/login", headers=headers)
        self.connection.send(b"no request\r\n\r\n")
        found = [each.address for each in self.noted]
        self.assertEqual(found, ["192.0.2.7", HERE])
