"""Tests for L{shellstream.web.access_control}: hosts, origins, fixed headers."""

from attrs import evolve

from shellstream.security.principals import AccessSettings
from shellstream.web.console.frame import POLICY
from shellstream.web.server.response_head import DEFAULT_POLICY, FIXED_HEADERS
from tests.support.authentication import AuthenticationTestCase
from tests.support.http import Connection, Reply

#: The headers of every answer that is not a page.
GUARDED = {**FIXED_HEADERS, "Content-Security-Policy": DEFAULT_POLICY}


class HostTests(AuthenticationTestCase):
    """Only requests for a name of the daemon are answered."""

    required = False

    def raw(self, head: str) -> Reply:
        connection = Connection(self.site)
        connection.send(head.encode() + b"\r\n\r\n")
        return connection.reply()

    def test_rebound(self) -> None:
        """A page whose name was rebound to this address gets nothing."""
        for method, path in (("GET", "/"), ("POST", "/stream/say"), ("GET", "/x")):
            reply = self.raw(f"{method} {path} HTTP/1.1\r\nHost: evil.example:8000")
            self.assertEqual(reply.status, 421)
            self.assertIn("'evil.example:8000'", self.problem(reply))
        self.assertEqual(self.spawn.started, [])

    def test_absent(self) -> None:
        """Only HTTP/1.0 may omit C{Host}; two are always refused."""
        self.assertEqual(self.raw("GET / HTTP/1.1").status, 400)
        twice = "GET / HTTP/1.1\r\nHost: x\r\nHost: evil.example"
        self.assertEqual(self.raw(twice).status, 400)
        self.assertEqual(self.raw("GET / HTTP/1.0").status, 200)
        self.assertEqual(self.raw("GET / HTTP/1.0\r\nHost: evil.example").status, 421)


class FixedHeaderTests(AuthenticationTestCase):
    """The headers of every response."""

    def test_headers(self) -> None:
        """No other site can embed or read the page, and no script in it runs."""
        token = self.tokens.make("alice")
        run_id = self.run_by(token)
        for path in ("/runs", "/nothing", f"/runs/{run_id}/output", "/events"):
            for reply in (self.by(token, path=path), self.by("wrong", path=path)):
                for name, value in GUARDED.items():
                    self.assertEqual(reply.headers[name.lower()], value, path)
                self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_page(self) -> None:
        """A page of ours runs only scripts of ours, and is shown in no other."""
        reply = self.by(self.tokens.make("alice"), accept="text/html")
        self.assertEqual(reply.headers["content-security-policy"], POLICY)
        self.assertIn("frame-ancestors 'none'", POLICY)
        self.assertIn("script-src 'self'; ", POLICY)
        self.assertEqual(reply.headers["cross-origin-opener-policy"], "same-origin")


class ListedOriginTests(AuthenticationTestCase):
    """Pages of origins that the operator lists."""

    config = evolve(
        AuthenticationTestCase.config,
        access=AccessSettings(origins=("https://dash.example",)),
    )

    def test_preflight(self) -> None:
        """
        A listed origin gets a preflight with C{Authorization}; others get no headers.
        """
        headers = {
            "Origin": "https://dash.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        reply = self.ask("OPTIONS", "/runs", headers=headers)
        self.assertEqual(reply.status, 204)
        origin = reply.headers["access-control-allow-origin"]
        self.assertEqual(origin, "https://dash.example")
        self.assertIn("Authorization", reply.headers["access-control-allow-headers"])
        self.assertNotIn("access-control-allow-credentials", reply.headers)
        for name in ("Cache-Control", "Last-Event-ID", "X-Requested-With"):
            self.assertIn(name, reply.headers["access-control-allow-headers"])
        headers["Origin"] = "https://evil.example"
        reply = Connection(self.site).ask("OPTIONS", "/runs", headers=headers)
        self.assertEqual(reply.status, 401)
        self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_body(self) -> None:
        """A page of a listed origin may read why its body was not accepted."""
        origin = {"Origin": "https://dash.example"}
        reply = self.ask("POST", "/stream/say", b"x=1", headers=origin)
        self.assertEqual(reply.status, 401)
        shared = reply.headers["access-control-allow-origin"]
        self.assertEqual(shared, "https://dash.example")

    def test_options(self) -> None:
        """The root tells anybody its methods, as proxies ask; other paths do not."""
        for version in ("HTTP/1.0", "HTTP/1.1"):
            reply = Connection(self.site).ask("OPTIONS", "/", version=version)
            self.assertEqual(reply.status, 204)
            self.assertEqual(reply.headers["allow"], "GET, HEAD, POST, OPTIONS")
        for path in ("/runs", "/stream/echo", "/nothing"):
            self.assertEqual(Connection(self.site).ask("OPTIONS", path).status, 401)
        token = self.tokens.make("alice")
        reply = self.by(token, "OPTIONS", "/stream/echo")
        self.assertEqual(reply.headers["allow"], "POST, OPTIONS")
        reply = self.by(token, "OPTIONS", "/runs", origin="https://dash.example")
        self.assertEqual(reply.headers["allow"], "GET, HEAD, POST, OPTIONS")

    def test_shared(self) -> None:
        """A listed origin may start a run, and read any response."""
        token = self.tokens.make("alice")
        asked = {"origin": "https://dash.example", "sec_fetch_site": "cross-site"}
        for path, status in (("/runs", 201), ("/runs/x/cancel", 404)):
            reply = self.by(
                token, "POST", path, b"{}" if status == 201 else b"", **asked
            )
            self.assertEqual(reply.status, status)
            origin = reply.headers["access-control-allow-origin"]
            self.assertEqual(origin, "https://dash.example")
            self.assertIn("Origin", reply.headers["vary"])
            exposed = reply.headers["access-control-expose-headers"]
            for name in ("Shellstream-Run", "Shellstream-State", "Location"):
                self.assertIn(name, exposed)
