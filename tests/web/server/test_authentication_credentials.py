"""Tests for L{shellstream.web.server.authentication}: all kinds of credentials."""

import json
from base64 import b64encode
from ipaddress import ip_network
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address, UNIXAddress

from shellstream.security.authorization import EVERYTHING, Principal
from shellstream.security.login_throttle import BURST
from shellstream.security.principals import AccessSettings, KnownPrincipal
from shellstream.web.server.authentication import MAX_CREDENTIAL
from tests.support.authentication import AuthenticationTestCase
from tests.support.fakes import wall
from tests.support.http import Connection, Reply


class CredentialTests(AuthenticationTestCase):
    """The forms of a credential."""

    def who(self, **headers: str) -> str | int:
        """Return the owner of a new run, or the status of the refusal."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = Connection(self.site).ask("POST", "/runs", b"{}", named)
        if reply.status != 201:
            return reply.status
        principal: str = json.loads(reply.body)["principal"]
        return principal

    def basic(self, user: str, password: str) -> str:
        return "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    def test_bearer_and_basic(self) -> None:
        """A token is sent as it is, or as a password with any name."""
        token = self.tokens.make("alice")
        for header in (
            f"Bearer {token}",
            f"bearer  {token} ",
            self.basic("", token),
            self.basic("bob", token),
            self.basic("bob", token).replace("Basic", "BASIC"),
        ):
            self.assertEqual(self.who(authorization=header), "alice", header)

    def test_wrong(self) -> None:
        """Any other credential is refused."""
        token = self.tokens.make("alice")
        for header in (
            "",
            token,
            "Bearer",
            f"Bearer{token}",
            f"Bearer {token}x",
            f"Bearer {token[:-1]}",
            f"Bearer {token}, Bearer {token}",
            f"Digest {token}",
            self.basic(token, ""),
            "Basic !",
            "Basic " + b64encode(token.encode()).decode(),
        ):
            self.serve(self.config)
            self.tokens.there[token] = evolve(
                Principal(name="alice", grant=EVERYTHING, credential="token 0")
            )
            self.assertEqual(self.who(authorization=header), 401, header)

    def test_twice(self) -> None:
        """Two credentials are refused: one of them may be for a proxy."""
        token = self.tokens.make("alice")
        for kind in (f"Bearer {token}", self.basic("bob", token)):
            for pair in ((kind, "Basic eDp5"), ("Basic eDp5", kind), (kind, kind)):
                lines = "".join(f"\r\nAuthorization: {each}" for each in pair)
                connection = Connection(self.site)
                head = f"GET /runs HTTP/1.1\r\nHost: localhost{lines}\r\n\r\n"
                connection.send(head.encode())
                self.assertEqual(connection.reply().status, 401, pair)

    def test_nothing(self) -> None:
        """A request without a credential gets a challenge."""
        reply = self.ask("GET", "/runs")
        self.assertEqual(reply.status, 401)
        for each in (
            "Authorization: Bearer TOKEN",
            "$SHELLSTREAM_TOKEN",
            "type on the machine of this server: shellstreamd tokens make NAME",
        ):
            self.assertIn(each, self.problem(reply))

    def test_challenges(self) -> None:
        """Each challenge has a line of its own: many clients read only one in each."""
        connection = Connection(self.site)
        connection.ask("GET", "/runs")
        lines = connection.wire.value().split(b"\r\n")
        found = [each for each in lines if each.startswith(b"WWW-Authenticate:")]
        self.assertEqual(
            found,
            [
                b'WWW-Authenticate: Bearer realm="shellstream"',
                b'WWW-Authenticate: Basic realm="shellstream", charset="UTF-8"',
            ],
        )

    def test_certificate_gone(self) -> None:
        """A client certificate that became invalid ends what its connection may do."""
        token = self.tokens.make("alice")
        connection = Connection(self.site)
        named = {"Authorization": f"Bearer {token}"}
        valid = [True, False, False]
        connection.wire.is_client_valid = lambda: valid.pop(0)
        self.assertEqual(connection.ask("GET", "/runs", headers=named).status, 200)
        connection.wire.clear()
        reply = connection.ask("GET", "/healthz", headers=named)
        self.assertEqual(reply.status, 401)
        self.assertIn("certificate of this connection has expired", self.problem(reply))
        connection.wire.clear()
        reply = connection.ask("POST", "/runs/1/stdin", b"x", named)
        self.assertEqual(reply.status, 401)

    def test_long(self) -> None:
        """A credential that is too long is refused without a look-up."""
        token = "x" * (MAX_CREDENTIAL + 1)
        self.tokens.there[token] = Principal(
            name="x", grant=EVERYTHING, credential="token 0"
        )
        self.assertEqual(self.who(authorization=f"Bearer {token}"), 401)

    def test_failures(self) -> None:
        """Wrong ones are limited, each address by itself; right ones never are."""
        token = self.tokens.make("alice")
        for _ in range(BURST):
            self.assertEqual(self.who(authorization="Bearer wrong"), 401)
        reply = self.by("wrong", "POST", "/runs", b"{}")
        self.assertEqual(reply.status, 429)
        self.assertGreater(int(reply.headers["retry-after"]), 0)
        self.assertEqual(self.who(authorization=f"Bearer {token}"), "alice")
        self.assertEqual(self.who(), 401)  # to ask without one is no guess
        self.clock.advance(60)
        self.assertEqual(self.who(authorization="Bearer wrong"), 401)

    def test_cut_off(self) -> None:
        """When a token is revoked or expires, its open responses are cut."""
        for ends in ("revoked", "expired"):
            self.serve(self.config)
            token, other = self.tokens.make("alice"), self.tokens.make("bob")
            if ends == "expired":
                until = wall(self.clock)() + 5_000_000
                self.tokens.there[token] = evolve(
                    self.tokens.there[token], expires=until
                )
            run_id = self.run_by(token)
            connections = {}
            for each in (token, other):
                connection = connections[each] = Connection(self.site)
                reply = connection.ask(
                    "GET",
                    f"/runs/{run_id}/output",
                    headers={"Authorization": f"Bearer {each}"},
                )
                self.assertEqual(reply.status, 200)
            self.authenticator.abort_revoked()
            self.assertFalse(connections[token].wire.disconnected)
            if ends == "revoked":
                del self.tokens.there[token]
            else:
                self.clock.advance(5)
            self.authenticator.abort_revoked()
            self.assertTrue(connections[token].wire.disconnected, ends)
            self.assertFalse(connections[other].wire.disconnected, ends)
            connections[token].lose()
            connections[other].lose()
            self.authenticator.abort_revoked()


class NotRequiredTests(AuthenticationTestCase):
    """A daemon that requires no authentication."""

    required = False

    def test_anonymous(self) -> None:
        """Everybody may do everything; a token still says whose it is."""
        alice = self.tokens.make("alice")
        for headers, name in (
            ({}, "anonymous"),
            ({"Authorization": f"Bearer {alice}"}, "alice"),
            ({"Authorization": "Bearer wrong"}, "anonymous"),
            ({"Authorization": "Negotiate abc"}, "anonymous"),
        ):
            reply = Connection(self.site).ask("POST", "/runs", b"{}", headers)
            self.assertEqual(reply.status, 201)
            self.assertEqual(json.loads(reply.body)["principal"], name)


class ProxyTests(AuthenticationTestCase):
    """A trusted proxy names the user and the address."""

    config = evolve(
        AuthenticationTestCase.config,
        access=AccessSettings(
            proxies=("unix",),
            user_header="x-remote-user",
            known={"alice": KnownPrincipal(grant=EVERYTHING)},
        ),
    )

    def ask_from(self, peer: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = Connection(self.site, peer)
        return connection.ask("POST", "/runs", b"{}", named)

    def test_user(self) -> None:
        """Only a trusted proxy's user counts, and only if it is known."""
        proxy = UNIXAddress(None)
        reply = self.ask_from(proxy, x_remote_user="alice")
        self.assertEqual(json.loads(reply.body)["principal"], "alice")
        for name in ("bob", "", "anonymous", "*", "alice,bob"):
            reply = self.ask_from(proxy, x_remote_user=name)
            self.assertEqual(reply.status, 401, name)
        other = IPv4Address("TCP", "127.0.0.1", 5)
        self.assertEqual(self.ask_from(other, x_remote_user="alice").status, 401)
        self.assertEqual(self.ask_from(proxy).status, 401)

    def test_changed(self) -> None:
        """
        When the settings change, the streams of principals end that have other rights
        now, or whose proxy is not trusted any more; those of others go on.
        """
        named = {"x-remote-user": "alice"}
        access, names = self.config.access, self.authenticator.names
        less = KnownPrincipal(grant=evolve(EVERYTHING, own=True))
        for changed, stays in (
            ({"hosts": ("x",)}, True),
            ({"known": {**access.known, "bob": less}}, True),
            ({"proxies": ("unix", ip_network("10.0.0.0/8"))}, True),
            ({"known": {"alice": less}}, False),
            ({"known": {}}, False),
            ({"proxies": ()}, False),
            ({"user_header": "x-other"}, False),
        ):
            self.serve(self.config)
            token = {"Authorization": f"Bearer {self.tokens.make('alice')}"}
            proxied = Connection(self.site, UNIXAddress(None))
            other = Connection(self.site)
            for connection, headers in ((proxied, named), (other, token)):
                connection.request("GET", "/events", None, headers)
                self.assertEqual(connection.reply().status, 200)
            self.authenticator.follow(names, evolve(access, **changed))
            ended = [each.wire.disconnected for each in (proxied, other)]
            self.assertEqual(ended, [not stays, False], changed)

    def test_address(self) -> None:
        """Wrong tokens count for the address that the proxy names, and no other."""
        proxy = UNIXAddress(None)
        wrong = {"authorization": "Bearer wrong"}
        for _ in range(BURST):
            self.ask_from(proxy, x_forwarded_for="8.8.8.8, 192.0.2.1", **wrong)
        for hops, status in (
            ("192.0.2.1", 429),
            ("9.9.9.9, 192.0.2.1", 429),  # its sender wrote the first
            ("192.0.2.1, 192.0.2.2", 401),
            ("junk", 401),
            ("192.0.2.1:4711", 429),
            ('"192.0.2.1"', 429),
        ):
            reply = self.ask_from(proxy, x_forwarded_for=hops, **wrong)
            self.assertEqual(reply.status, status, hops)
