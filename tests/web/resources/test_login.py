"""Tests for L{shellstream.web.resources.login}: login and logout in a browser."""

from shellstream.security.login_sessions import SESSION_LIFETIME
from shellstream.security.login_throttle import BURST
from shellstream.web.console.frame import CSRF_FIELD
from tests.support.authentication import AuthenticationTestCase
from tests.support.http import Connection, Reply


class LoginTests(AuthenticationTestCase):
    """A person with a browser shows a token once, and has a cookie then."""

    html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    form = "application/x-www-form-urlencoded"

    def login(self, token: str, then: str = "/", accept: str = html) -> Reply:
        body = f"token={token}&next={then}".encode()
        headers = {"Content-Type": self.form, "Accept": accept}
        return Connection(self.site).ask("POST", "/login", body, headers)

    def cookie(self, token: str) -> str:
        reply = self.login(token)
        self.assertEqual(reply.status, 303)
        return reply.headers["set-cookie"].partition(";")[0]

    def with_cookie(
        self,
        cookie: str,
        method: str,
        path: str,
        body: bytes | None = None,
        /,
        **headers: str,
    ) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = Connection(self.site)
        return connection.ask(method, path, body, {"Cookie": cookie, **named})

    def csrf_token(self, cookie: str) -> str:
        """Return the CSRF token of our page."""
        page = self.with_cookie(cookie, "GET", "/", accept=self.html).body.decode()
        _, _, rest = page.partition(f'name="{CSRF_FIELD}" value="')
        return rest.partition('"')[0]

    def test_asked(self) -> None:
        """A browser that is refused is shown where to type a token, and comes back."""
        reply = self.ask("GET", "/runs?limit=1", headers={"Accept": self.html})
        self.assertEqual(reply.status, 401)
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(b'name="token"', reply.body)
        self.assertIn(b'value="/runs?limit=1"', reply.body)
        self.assertEqual(
            reply.headers["www-authenticate"], 'Bearer realm="shellstream"'
        )  # with Basic it would ask in a window above the page
        self.assertEqual(Connection(self.site).ask("GET", "/login").status, 200)

    def test_cookie(self) -> None:
        """
        The cookie is hidden from scripts and other sites, and has the token's rights.
        """
        reply = self.login(self.tokens.make("alice", own=True), "/runs")
        self.assertEqual((reply.status, reply.headers["location"]), (303, "./runs"))
        set_cookie = reply.headers["set-cookie"].lower()
        for attribute in ("httponly", "samesite=strict", "path=/"):
            self.assertIn(attribute, set_cookie)
        cookie = reply.headers["set-cookie"].partition(";")[0]
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 200)

    def test_secure(self) -> None:
        """The cookie of a browser that uses TLS, even only to a proxy, is C{Secure}."""
        body = f"token={self.tokens.make('alice')}".encode()
        for origin, secure in (("https", True), ("http", False)):
            headers = {"Content-Type": self.form, "Accept": self.html}
            headers["Origin"] = f"{origin}://localhost"
            reply = Connection(self.site).ask("POST", "/login", body, headers)
            attributes = reply.headers["set-cookie"].lower().split("; ")
            self.assertEqual("secure" in attributes, secure, origin)

    def test_wrong(self) -> None:
        """A wrong token is refused in the format that the client accepts."""
        self.assertIn(
            b"this token is unknown, revoked or expired", self.login("wrong").body
        )
        reply = self.login("wrong", accept="*/*")
        self.assertEqual(reply.status, 401)
        self.problem(reply)
        for _ in range(BURST):
            reply = self.login("wrong")
        self.assertEqual(reply.status, 429)

    def test_nowhere_else(self) -> None:
        """The login redirects to no other site, in any notation."""
        token = self.tokens.make("alice")
        for then in (
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "evil",
            "%0d%0aX: y",
            "/x%0d%0aX: y",
        ):
            reply = self.login(token, then)
            self.assertEqual(
                (reply.status, reply.headers["location"]), (303, "./"), then
            )

    def test_csrf_token(self) -> None:
        """A change by cookie needs the CSRF token of our page."""
        cookie = self.cookie(self.tokens.make("alice"))
        csrf_token = self.csrf_token(cookie)
        self.assertEqual(len(csrf_token), 64)
        typed = {"content_type": self.form}
        for fields in (b"", f"{CSRF_FIELD}=wrong".encode(), f"{CSRF_FIELD}=".encode()):
            reply = self.with_cookie(cookie, "POST", "/stream/say", fields, **typed)
            self.assertEqual(reply.status, 403, fields)
        self.assertEqual(self.with_cookie(cookie, "POST", "/runs", b"{}").status, 403)
        self.assertEqual(self.spawn.started, [])
        fields = f"{CSRF_FIELD}={csrf_token}".encode()
        reply = self.with_cookie(cookie, "POST", "/stream/say", fields, **typed)
        self.assertEqual(reply.status, 200)
        typed = {"content_type": "Application/X-WWW-Form-URLEncoded ; charset=utf-8"}
        reply = self.with_cookie(cookie, "POST", "/stream/say", fields, **typed)
        self.assertEqual(reply.status, 200)
        script = {"shellstream_csrf": csrf_token}
        reply = self.with_cookie(cookie, "POST", "/runs", b"{}", **script)
        self.assertEqual(reply.status, 201)

    def test_form(self) -> None:
        """A form of the page starts a run with the CSRF token, and none without."""
        cookie = self.cookie(self.tokens.make("alice"))
        typed = {"content_type": self.form}
        reply = self.with_cookie(cookie, "POST", "/?start=say", b"", **typed)
        self.assertEqual(reply.status, 403)
        self.assertEqual(self.spawn.started, [])
        body = f"{CSRF_FIELD}={self.csrf_token(cookie)}".encode()
        reply = self.with_cookie(cookie, "POST", "/?start=say", body, **typed)
        self.assertEqual(reply.status, 303)
        self.assertTrue(reply.headers["location"].startswith("./runs/"))

    def test_another_site(self) -> None:
        """A page of another site cannot start anything with a user's cookie."""
        cookie = self.cookie(self.tokens.make("alice"))
        for headers in (
            {"sec_fetch_site": "cross-site"},
            {"origin": "null"},
            {"origin": "http://evil.example"},
        ):
            for method, path in (("GET", "/stream"), ("POST", "/stream/say")):
                reply = self.with_cookie(cookie, method, path, **headers)
                self.assertEqual(reply.status, 403)
        self.assertEqual(self.spawn.started, [])

    def test_logout(self) -> None:
        """A logout makes the cookie invalid."""
        cookie = self.cookie(self.tokens.make("alice"))
        csrf_token = {"shellstream_csrf": self.csrf_token(cookie)}
        self.assertEqual(self.with_cookie(cookie, "POST", "/logout").status, 403)
        reply = self.with_cookie(cookie, "POST", "/logout", b"", **csrf_token)
        self.assertEqual(reply.status, 303)
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 401)

    def test_ends(self) -> None:
        """The session ends with its time, or its token; so do its open responses."""
        for ends in ("time", "token"):
            self.serve(self.config)
            token = self.tokens.make("alice")
            cookie = self.cookie(token)
            connection = Connection(self.site)
            reply = connection.ask("GET", "/events", headers={"Cookie": cookie})
            self.assertEqual(reply.status, 200)
            self.authenticator.abort_revoked()
            self.assertFalse(connection.wire.disconnected)
            if ends == "time":
                self.clock.advance(SESSION_LIFETIME)
            else:
                del self.tokens.there[token]
            self.authenticator.abort_revoked()
            self.assertTrue(connection.wire.disconnected, ends)
            self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 401)
            # A form that is sent then leads to the login, and from there to the start.
            kinds = {"Accept": self.html, "Content-Type": self.form}
            reply = self.with_cookie(cookie, "POST", "/?start=say", b"x=1", **kinds)
            self.assertEqual(reply.status, 401)
            self.assertNotIn("Basic", reply.headers["www-authenticate"])
            self.assertIn(b'name="next" value="/"', reply.body)

    def test_token_first(self) -> None:
        """A token in a header takes precedence over the cookie."""
        cookie = self.cookie(self.tokens.make("alice"))
        wrong = {"authorization": "Bearer wrong"}
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs", **wrong).status, 401)
