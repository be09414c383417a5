"""Tests for L{shellstream.web}: the requests that start runs."""

import json

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.model.errors import Busy, CannotStart
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection, WebTestCase


class StartTests(WebTestCase):
    """Requests that start runs."""

    def assert_echoed(self, path: str, body: bytes = b"", media_type: str = "") -> None:
        """Check that this request starts C{echo} with C{x} as one item."""
        self.serve(self.config)
        reply = self.ask("POST", path, body, {"Content-Type": media_type})
        self.assertEqual(reply.status, 200, reply)
        self.assertEqual(self.started.invocation.argv, ("echo", "a b&ü"))

    def test_parameters(self) -> None:
        """Parameters come by query, form or JSON, with any details of the type."""
        form = "application/x-www-form-urlencoded"
        self.assert_echoed("/stream/echo?x=a+b%26%C3%BC")
        self.assert_echoed("/stream/echo", b"x=a%20b%26%C3%BC", form)
        self.assert_echoed(
            "/stream/echo", b"x=a+b%26%C3%BC", f"{form.upper()};charset=x"
        )
        body = json.dumps({"x": "a b&ü"}).encode()
        self.assert_echoed("/stream/echo", body, "application/json")
        self.assert_echoed("/stream/echo", body, "application/json; charset=utf-8")

    def test_default_command(self) -> None:
        """Without a name the default command is run, by GET or POST."""
        for method in ("GET", "POST"):
            self.assertEqual(self.ask(method, "/stream").status, 200)
            self.spawn.started[-1].exit()
        names = [each.command.name for each in self.spawn.started]
        self.assertEqual(names, ["say", "say"])

    def test_get(self) -> None:
        """A command that was declared for it is run by GET."""
        self.assertEqual(self.ask("GET", "/stream/say").status, 200)
        self.assertIs(self.started.command, SAY)

    def test_slash(self) -> None:
        """A slash at the end of a path is ignored."""
        for path in ("/stream/", "/stream/say/", "/stream/say//"):
            self.assertEqual(self.ask("GET", path).status, 200)
            self.spawn.started[-1].exit()
        self.assertEqual({each.command.name for each in self.spawn.started}, {"say"})

    def test_absolute(self) -> None:
        """The target may be a whole URL, as proxies send it (RFC 9112, 3.2.2)."""
        self.serve(Config(commands={"echo": ECHO, "say": SAY}))
        for base in ("http://localhost", "HTTPS://a.localhost:1"):
            path = f"{base}/stream/echo?x=http://h/"
            self.assertEqual(self.ask("POST", path).status, 200)
            argv = self.spawn.started[-1].invocation.argv
            self.assertEqual(argv, ("echo", "http://h/"))
            self.spawn.started[-1].exit()
            for path in (f"{base}/", base, f"{base}?a=b/c"):
                self.assertEqual(self.ask("GET", path).status, 200)
                self.assertIn(b'"stream"', self.reply().body)

    def test_escaped_name(self) -> None:
        """A name may be percent-encoded, as any path may."""
        self.assertEqual(self.ask("GET", "/stream/s%61y").status, 200)

    def test_head(self) -> None:
        """HEAD answers with the headers of the stream, and starts nothing."""
        for path in ("/stream", "/stream/say"):
            reply = self.ask("HEAD", path)
            self.assertEqual((reply.status, reply.rest), (200, b""))
            self.assertEqual(reply.headers["content-type"], "text/plain; charset=utf-8")
            self.assertEqual(reply.headers["x-accel-buffering"], "no")
        self.assertEqual(self.spawn.started, [])
        self.assertEqual(self.ask("GET", "/commands").status, 200)

    def test_two_viewers(self) -> None:
        """Each request is a run of its own."""
        other = Connection(self.site)
        self.ask("GET", "/stream")
        other.ask("GET", "/stream")
        one, two = self.spawn.started
        one.say(b"one")
        two.say(b"two")
        self.assertEqual((self.reply().body, other.reply().body), (b"one", b"two"))
        self.assertNotEqual(one.run.id, two.run.id)


class RefusedStartTests(WebTestCase):
    """
    A request that starts nothing gets a whole answer, and the connection stays open.
    """

    config = Config(commands={"echo": ECHO, "say": SAY}, max_running=1)

    def assert_problem(self, status: int, method: str, path: str) -> dict[str, str]:
        """Check that the request is refused; return the headers."""
        before = len(self.spawn.started)
        reply = self.ask(method, path)
        self.assertEqual((reply.status, reply.whole), (status, True))
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertNotIn("shellstream-run", reply.headers)
        self.assertEqual(len(self.spawn.started), before)
        self.assertFalse(self.connection.wire.disconnecting)
        return reply.headers

    def test_not_by_get(self) -> None:
        """A command that was not declared for it is not run by GET, nor by others."""
        for method in ("GET", "HEAD", "PUT", "DELETE", "get", "ALLOWED"):
            if method == "HEAD":
                reply = self.ask(method, "/stream/echo?x=1")
                self.assertEqual(reply.status, 405)
                self.assertEqual(reply.headers["allow"], "POST, OPTIONS")
            else:
                headers = self.assert_problem(405, method, "/stream/echo?x=1")
                self.assertEqual(headers["allow"], "POST, OPTIONS")
        headers = self.assert_problem(405, "PUT", "/stream/say")
        self.assertEqual(headers["allow"], "GET, HEAD, POST, OPTIONS")
        self.assertEqual(self.spawn.started, [])

    def test_default_by_get(self) -> None:
        """GET runs the default command at both of its addresses."""
        echo = evolve(SAY, name="echo", get=False)
        self.serve(Config(commands={"echo": echo, "say": SAY}, default="echo"))
        for path in ("/stream", "/stream/echo"):
            self.assertEqual(Connection(self.site).ask("GET", path).status, 200)
            told = json.loads(self.ask("GET", "/commands/echo").body)
            self.assertEqual(told["methods"], ["GET", "POST"])
            document = json.loads(self.ask("GET", "/openapi.json").body)
            self.assertIn("get", document["paths"][path])

    def test_not_found(self) -> None:
        """An unknown command, no default command, an unknown path."""
        for method in ("GET", "POST", "PUT"):
            for path in ("/stream/no", "/stream", "/stream/", "/stream/say/x", "/no"):
                self.assert_problem(404, method, path)

    def test_busy(self) -> None:
        """At the limit a client gets a time to retry, and succeeds later."""
        other = Connection(self.site)
        other.ask("GET", "/stream/say")
        headers = self.assert_problem(503, "GET", "/stream/say")
        self.assertEqual(headers["retry-after"], "5")
        self.started.exit()
        self.assertEqual(self.ask("GET", "/stream/say").status, 200)

    def test_stopping(self) -> None:
        """A stopping daemon starts nothing."""
        self.registry.supervisor.stop()
        self.assertIn("retry-after", self.assert_problem(503, "GET", "/stream/say"))

    def test_cannot_start(self) -> None:
        """A process that cannot be started is reported before any output."""
        self.spawn.error = CannotStart("say", "its program was not found")
        self.assert_problem(500, "GET", "/stream/say")
        self.spawn.error = Busy("the machine has no room for a process", 5)
        headers = self.assert_problem(503, "GET", "/stream/say")
        self.assertEqual(headers["retry-after"], "5")
