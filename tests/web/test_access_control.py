"""Tests for L{shellstream.web.access_control}: hosts, origins, fixed headers."""

import re
from ipaddress import ip_network

from attrs import evolve
from twisted.internet.address import IPv4Address

from shellstream.security.authorization import EVERYTHING
from shellstream.security.principals import AccessSettings, KnownPrincipal
from shellstream.web.console.frame import POLICY
from shellstream.web.server.response_head import DEFAULT_POLICY, FIXED_HEADERS
from tests.support.authentication import AuthenticationTestCase
from tests.support.http import Connection, FakePolicy, Reply

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
        twice = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"
        self.assertEqual(self.raw(twice).status, 400)
        self.assertEqual(self.raw("GET / HTTP/1.0").status, 200)
        self.assertEqual(self.raw("GET / HTTP/1.0\r\nHost: evil.example").status, 421)

    def test_told(self) -> None:
        """The refusal says which line of the configuration allows the name."""
        problem = self.problem(self.raw("GET / HTTP/1.1\r\nHost: ci.lan:8000"))
        self.assertIn("[access] hosts = ['ci.lan']", problem)

    def test_token(self) -> None:
        """With a token any name is right: a page that came here so has none."""
        token = self.tokens.make("alice")
        self.authenticator.policy = FakePolicy(required=True)
        head = "GET /runs HTTP/1.1\r\nHost: evil.example\r\n"
        shown = f"Authorization: Bearer {token}"
        self.assertEqual(self.raw(f"{head}{shown}").status, 200)
        self.assertEqual(self.raw(f"{head}{shown}x").status, 401)
        self.assertEqual(self.raw(f"{head}Cookie: a=b").status, 401)
        self.assertEqual(self.raw(f"{head}X: y").status, 421)
        self.authenticator.policy = FakePolicy()
        self.assertEqual(self.raw(f"{head}{shown}x").status, 421)
        self.authenticator.policy = FakePolicy(insecure=True)
        self.assertEqual(self.raw(f"{head}{shown}").status, 421)


class ProxiedTests(AuthenticationTestCase):
    """Where local clients need no credential, those behind a proxy do."""

    required = False

    def status(
        self, *headers: str, host: str = "localhost", version: str = "1.1"
    ) -> int:
        connection = Connection(self.site)
        lines = (f"GET /stream/say HTTP/{version}", f"Host: {host}", *headers, "", "")
        connection.send("\r\n".join(lines).encode())
        return connection.reply().status

    def test_headers(self) -> None:
        """A header of a proxy shows that a request is not from this machine."""
        self.assertEqual(self.status(), 200)
        for header in (
            "Forwarded: for=192.0.2.1",
            "X-Forwarded-For: 127.0.0.1",
            "x-forwarded-proto: https",
            "X-Forwarded-Anything: y",
            "X-Real-IP: 127.0.0.1",
            "Via: 1.1 proxy",
            "CF-Connecting-IP: 192.0.2.1",
        ):
            self.assertEqual(self.status(header), 401, header)
            # Whatever name the proxy goes by: first the token.
            self.assertEqual(self.status(header, host="evil.example"), 401, header)
        self.assertEqual(len(self.spawn.started), 1)
        self.authenticator.policy = FakePolicy(insecure=True)
        self.assertEqual(self.status("Via: 1.1 proxy"), 200)

    def test_host(self) -> None:
        """So does a name of this daemon that is not loopback's."""
        for host, status in (
            ("ci.example.org", 401),
            ("127.0.0.2:80", 200),
            ("[::1]:8000", 200),
            ("a.localhost", 200),
        ):
            self.assertEqual(self.status(host=host), status, host)

    def test_old(self) -> None:
        """
        nginx without settings closes each connection, in HTTP/1.0. Its clients choose
        all else, and may send as little as they like.
        """
        nginx = "Connection: close"
        self.assertEqual(self.status(nginx, version="1.0"), 401)
        self.assertEqual(self.status(nginx), 200)
        self.assertEqual(self.status(version="1.0"), 200)

    def test_told(self) -> None:
        """The refusal says why, and how to make a token."""
        reply = self.ask("GET", "/runs", headers={"X-Forwarded-For": "192.0.2.1"})
        problem = self.problem(reply)
        self.assertIn("through a proxy, as its header X-Forwarded-For", problem)
        self.assertIn("tokens make NAME", problem)

    def test_page(self) -> None:
        """A browser is asked for the token, by a page whose parts come too."""
        proxied = {"X-Forwarded-For": "192.0.2.1", "Accept": "text/html"}
        reply = self.ask("GET", "/", headers=proxied)
        self.assertEqual(reply.status, 401)
        (script, *_) = re.findall(rb'src="(assets/[^"]+)"', reply.body)
        reply = self.ask("GET", f"/{script.decode()}", headers=proxied)
        self.assertEqual(reply.status, 200)


class ListedProxyTests(AuthenticationTestCase):
    """A peer that is listed as a proxy."""

    required = False
    config = evolve(
        AuthenticationTestCase.config,
        access=AccessSettings(
            proxies=(ip_network("127.0.0.1"),),
            user_header="x-user",
            known={"alice": KnownPrincipal(grant=EVERYTHING)},
        ),
    )

    def test_listed(self) -> None:
        """Its requests need a credential without any header, and others' do not."""
        self.assertEqual(self.ask("GET", "/runs").status, 401)
        self.assertIn("one of proxies in [access]", self.problem(self.reply()))
        other = Connection(self.site, IPv4Address("TCP", "127.0.0.2", 1))
        self.assertEqual(other.ask("GET", "/runs").status, 200)

    def test_rebound(self) -> None:
        """The proxy may name its user for a page of any site: it is no token."""
        lines = "GET /runs HTTP/1.1\r\nHost: evil.example\r\nX-User: alice\r\n\r\n"
        connection = Connection(self.site)
        connection.send(lines.encode())
        self.assertEqual(connection.reply().status, 421)

    def test_basic(self) -> None:
        """What the proxy has checked is not taken for a token."""
        self.authenticator.policy = FakePolicy(required=True)
        headers = {"X-User": "alice", "Authorization": "Basic YWxpY2U6c2VjcmV0"}
        self.assertEqual(self.ask("GET", "/runs", headers=headers).status, 200)
        del headers["X-User"]
        self.assertEqual(self.ask("GET", "/runs", headers=headers).status, 401)


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
