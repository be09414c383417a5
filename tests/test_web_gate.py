"""Tests for L{shellstream.web.gate} and C{entrance}: nobody gets in who may not."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from attrs import define, evolve, field
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.web.resource import Resource as TwistedResource

from shellstream.access import EVERYTHING, Action, Caller, Principal
from shellstream.config import Config
from shellstream.failures import BURST
from shellstream.identities import Access, Known
from shellstream.limits import Limits, WhenBusy
from shellstream.permitted import Permitted
from shellstream.sessions import LASTS
from shellstream.web import Gate
from shellstream.web.entrance import GUARDED, PUBLIC, Entrance
from shellstream.web.gate import MAX_CREDENTIAL
from shellstream.web.http import Request
from shellstream.web.page import POLICY, PROOF
from shellstream.web.resource import ANYBODY, Resource
from tests.decoders import event_source
from tests.test_fakes import HEAR, SAY, Connection, Reply, WebTestCase, wall

ALL = frozenset(Action)
JOINED = evolve(SAY, limits=Limits(max_running=1, when_busy=WhenBusy.JOIN))


@define(eq=False)
class FakeTokens:
    """Tokens that a test gives and takes."""

    there: dict[str, Principal] = field(factory=dict)

    def find(self, text: str) -> Principal | None:
        return self.there.get(text)

    def live(self, credential: str) -> bool:
        return credential in {each.credential for each in self.there.values()}

    def make(self, name: str, **grant: Any) -> str:
        """A token for somebody with this grant."""
        text = f"token-of-{name}-{len(self.there)}"
        self.there[text] = Principal(
            name=name,
            grant=evolve(EVERYTHING, **grant),
            credential=f"token {len(self.there)}",
        )
        return text


class GateTestCase(WebTestCase):
    """A daemon that asks everybody who they are."""

    config = evolve(
        WebTestCase.config, commands={**WebTestCase.config.commands, "hear": HEAR}
    )
    demanded = True

    def make_gate(self, config: Config) -> Gate:
        self.tokens = FakeTokens()
        gate = super().make_gate(config)
        gate.tokens, gate.demanded = self.tokens, self.demanded
        return gate

    def by(
        self,
        token: str,
        method: str = "GET",
        path: str = "/",
        body: bytes | None = None,
        **headers: str,
    ) -> Reply:
        """Ask on a connection of its own, with a token."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {token}"
        return Connection(self.site).ask(method, path, body, named)

    def run_by(self, token: str, command: str = "say") -> str:
        """The id of a run that somebody starts."""
        body = json.dumps({"command": command}).encode()
        reply = self.by(token, "POST", "/runs", body)
        self.assertEqual(reply.status, 201, reply)
        return reply.headers["shellstream-run"]

    def problem(self, reply: Reply) -> str:
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        detail: str = json.loads(reply.body)["detail"]
        return detail


def tree(resource: TwistedResource, path: str = "") -> Iterator[tuple[str, Resource]]:
    """Every resource there is; C{*} stands for whatever a client may name."""
    assert isinstance(resource, Resource), f"{path} has no rules: {resource!r}"
    yield path or "/", resource
    for name, child in resource.children.items():
        yield from tree(child, f"{path}/{name.decode()}")


def is_handler(name: str) -> bool:
    return name.startswith("render_") and name != "render_HEAD"


class RuleTests(GateTestCase):
    """Every route has a rule, and every rule is kept."""

    def routes(self) -> list[tuple[str, str, Resource]]:
        """All that can be asked for: method, path, and who answers."""
        token = self.tokens.make("root")
        run_id = self.run_by(token)
        entrance = self.site.resource
        assert isinstance(entrance, Entrance)
        inside = entrance.inside
        assert isinstance(inside, Resource)
        found = list(tree(inside))
        # What is made for a name that a client gives is made anew each time.
        request = Request(Connection(self.site).channel)
        caller = Caller(self.tokens.there[token])
        request.gate = self.gate
        request.runs = Permitted(self.registry, caller, self.noted.append)
        children = dict(found)
        for path, name in (("/stream", "say"), ("/commands", "say"), ("/runs", run_id)):
            child = children[path].getChild(name.encode(), request)
            found += tree(child, f"{path}/{name}")
        return [
            (method, path, resource)
            for path, resource in found
            for method in resource.rules
        ]

    def test_each_has_one(self) -> None:
        """A handler without a rule, or a rule without a handler, is a mistake."""
        routes = self.routes()
        self.assertGreater(len(routes), 18)
        for resource in {resource for _, _, resource in routes}:
            handlers = {name for name in dir(resource) if is_handler(name)}
            rules = {f"render_{method}" for method in resource.rules}
            self.assertEqual(handlers - {"render_OPTIONS"}, rules, resource)

    def test_stranger(self) -> None:
        """Whoever has not said who they are gets no further than the door."""
        for method, path, _ in self.routes():
            reply = Connection(self.site).ask(method, path, self.body(method))
            if path[1:].encode() in PUBLIC:
                self.assertNotIn(b"this needs a token", reply.body, (method, path))
                continue
            self.assertEqual(reply.status, 401, (method, path))
            challenge = reply.headers["www-authenticate"]
            self.assertIn("Bearer", challenge)
            self.assertIn("Basic", challenge)
        # Nor do they learn what there is.
        for path in ("/nothing", "/runs/x", "/stream/x", "/commands/x", "/runs/x/y"):
            self.assertEqual(Connection(self.site).ask("GET", path).status, 401)
        for method in ("OPTIONS", "PUT", "PATCH", "TRACE", "FOO", "HEAD"):
            reply = Connection(self.site).ask(method, "/runs")
            self.assertEqual(reply.status, 401, method)
        self.assertEqual(len(self.spawn.started), 1)

    def test_each_action(self) -> None:
        """Whoever lacks an action that a route takes is refused; who has all is not."""
        for method, path, resource in self.routes():
            rule = resource.rules[method]
            if path[1:].encode() in PUBLIC:
                self.assertEqual(rule, ANYBODY)
                continue
            for lacking in rule:
                token = self.tokens.make("lacking", actions=ALL - {lacking})
                reply = self.by(token, method, path, self.body(method))
                self.assertEqual(reply.status, 403, (method, path, lacking))
                self.assertIn(repr(lacking.value), self.problem(reply))
            token = self.tokens.make("just", actions=rule)
            reply = self.by(token, method, path, self.body(method))
            self.assertNotIn(reply.status, (401, 403), (method, path))

    def test_lossless(self) -> None:
        """To make a command wait for oneself takes the right to signal it."""
        run_id = self.run_by(self.tokens.make("root"))
        path = f"/runs/{run_id}/output?lossless=true"
        reader = self.tokens.make("reader", actions=frozenset({Action.READ}))
        self.assertEqual(self.by(reader, "GET", path).status, 403)
        both = self.tokens.make("b", actions=frozenset({Action.READ, Action.SIGNAL}))
        self.assertEqual(self.by(both, "GET", path).status, 200)

    def test_input(self) -> None:
        """Nothing large is taken of somebody before it is known who that is."""
        reader = self.tokens.make("reader", actions=frozenset({Action.READ}))
        for header, status in (
            ("X: y", 401),
            ("Authorization: Bearer wrong", 401),
            (f"Authorization: Bearer {reader}", 403),
        ):
            connection = Connection(self.site)
            lines = ("POST /runs/x/stdin HTTP/1.1", "Host: x", header)
            head = "\r\n".join((*lines, "Content-Length: 100000", "", ""))
            connection.send(head.encode() + b"x" * 1000)
            self.assertEqual(connection.reply().status, status, header)
            self.assertTrue(connection.wire.half_closed)

    def test_signal_alone(self) -> None:
        """Whoever may end a run and not see it is not shown it by that."""
        run_id = self.run_by(self.tokens.make("root"))
        token = self.tokens.make("guard", actions=frozenset({Action.SIGNAL}))
        reply = self.by(token, "POST", f"/runs/{run_id}/cancel", b"")
        self.assertEqual((reply.status, json.loads(reply.body)), (202, {"id": run_id}))

    def test_run_alone(self) -> None:
        """Whoever may start runs and not see any learns their ids, and no more."""
        self.serve(evolve(self.config, commands={"say": JOINED}))
        theirs = self.run_by(self.tokens.make("root"))
        token = self.tokens.make("starter", actions=frozenset({Action.RUN}))
        reply = self.by(token, "POST", "/runs", b'{"command": "say"}')
        self.assertEqual((reply.status, json.loads(reply.body)), (200, {"id": theirs}))
        self.started.exit(3)
        again = {"Idempotency_Key": "k"}
        for _ in range(2):
            reply = self.by(token, "POST", "/runs", b'{"command": "say"}', **again)
            run_id = reply.headers["shellstream-run"]
            self.assertEqual(json.loads(reply.body), {"id": run_id})

    def body(self, method: str) -> bytes | None:
        return b"" if method == "POST" else None


class SeenTests(GateTestCase):
    """What one may not see is not there, wherever one looks."""

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.tokens.make("alice", own=True)
        self.bob = self.tokens.make("bob", commands=("hear",))
        self.root = self.tokens.make("root")

    def test_runs(self) -> None:
        """404 for others' runs is the same as for none, word for word."""
        run_id = self.run_by(self.root)
        other = run_id[:-1] + ("0" if run_id[-1] != "0" else "1")
        for token in (self.alice, self.bob):
            for method, rest, body in (
                ("GET", "", None),
                ("GET", "/output", None),
                ("POST", "/cancel", b""),
                ("POST", "/signal", b'{"signal": "INT"}'),
                ("POST", "/stdin?offset=0", b"x"),
                ("POST", "/resize", b'{"rows": 1, "columns": 1}'),
                ("DELETE", "", None),
            ):
                hidden = self.by(token, method, f"/runs/{run_id}{rest}", body)
                none = self.by(token, method, f"/runs/{other}{rest}", body)
                self.assertEqual((hidden.status, none.status), (404, 404), rest)
                told = hidden.body.replace(run_id.encode(), other.encode())
                self.assertEqual(told, none.body)
        self.assertEqual(self.started.child.signals, [])

    def test_lists(self) -> None:
        """Lists and indexes have what one may see."""
        mine, other = self.run_by(self.alice), self.run_by(self.root, "hear")

        def listed(token: str) -> list[str]:
            return [
                each["id"]
                for each in json.loads(self.by(token, path="/runs").body)["runs"]
            ]

        self.assertEqual(listed(self.alice), [mine])
        self.assertEqual(listed(self.bob), [other])
        self.assertEqual(listed(self.root), [other, mine])
        commands = json.loads(self.by(self.bob, path="/commands").body)
        names = [each["name"] for each in commands["commands"]]
        self.assertEqual((names, commands["default"]), (["hear"], None))
        self.assertIsNone(json.loads(self.by(self.bob).body)["default"])
        page = self.by(self.bob, accept="text/html").body
        self.assertIn(b"hear", page)
        self.assertNotIn(b"echo", page)

    def test_commands(self) -> None:
        """No other command can be named, in any way."""
        for method, path, body in (
            ("GET", "/commands/say", None),
            ("GET", "/stream/say", None),
            ("POST", "/stream/say", b""),
            ("GET", "/stream", None),
            ("POST", "/runs", b'{"command": "say"}'),
            ("POST", "/runs", b"{}"),
            ("PUT", "/stream/say", None),
        ):
            reply = self.by(self.bob, method, path, body)
            self.assertEqual(reply.status, 404, (method, path))
            self.assertNotIn(b"did you mean", reply.body)
        self.assertEqual(self.spawn.started, [])

    def test_events(self) -> None:
        """Nobody hears of runs that they may not see."""
        listening = {}
        for token in (self.alice, self.bob, self.root):
            connection = Connection(self.site)
            headers = {"Authorization": f"Bearer {token}"}
            connection.ask("GET", "/events", headers=headers)
            listening[token] = connection
        mine, other = self.run_by(self.alice), self.run_by(self.root, "hear")

        def heard(token: str) -> set[str]:
            events, _ = event_source(listening[token].reply().body)
            return {json.loads(each.data)["run"]["id"] for each in events}

        self.assertEqual(heard(self.alice), {mine})
        self.assertEqual(heard(self.bob), {other})
        self.assertEqual(heard(self.root), {mine, other})


class CredentialTests(GateTestCase):
    """How one says who one is."""

    def who(self, **headers: str) -> str | int:
        """Whose run somebody starts, or how they are refused."""
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
        """Whatever else is sent is refused."""
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
        """Of two credentials, one for a proxy before us perhaps, none is taken."""
        token = self.tokens.make("alice")
        for kind in (f"Bearer {token}", self.basic("bob", token)):
            for pair in ((kind, "Basic eDp5"), ("Basic eDp5", kind), (kind, kind)):
                lines = "".join(f"\r\nAuthorization: {each}" for each in pair)
                connection = Connection(self.site)
                head = f"GET /runs HTTP/1.1\r\nHost: x{lines}\r\n\r\n"
                connection.send(head.encode())
                self.assertEqual(connection.reply().status, 401, pair)

    def test_nothing(self) -> None:
        """One who says nothing is told how to."""
        reply = self.ask("GET", "/runs")
        self.assertEqual(reply.status, 401)
        self.assertIn("Authorization: Bearer TOKEN", self.problem(reply))

    def test_long(self) -> None:
        """Nobody makes us look at a credential of any length."""
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
        """When a token is revoked, or no longer good, what it opened is cut."""
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
            self.gate.watch()
            self.assertFalse(connections[token].wire.disconnected)
            if ends == "revoked":
                del self.tokens.there[token]
            else:
                self.clock.advance(5)
            self.gate.watch()
            self.assertTrue(connections[token].wire.disconnected, ends)
            self.assertFalse(connections[other].wire.disconnected, ends)
            connections[token].lose()
            connections[other].lose()
            self.gate.watch()


class OpenTests(GateTestCase):
    """Where nobody has to say who they are."""

    demanded = False

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


class HostTests(GateTestCase):
    """Only for a name of ours is a request for us."""

    demanded = False

    def raw(self, head: str) -> Reply:
        connection = Connection(self.site)
        connection.send(head.encode() + b"\r\n\r\n")
        return connection.reply()

    def test_rebound(self) -> None:
        """A page whose name was made to lead here gets nothing, and learns nothing."""
        for method, path in (("GET", "/"), ("POST", "/stream/say"), ("GET", "/x")):
            reply = self.raw(f"{method} {path} HTTP/1.1\r\nHost: evil.example:8000")
            self.assertEqual(reply.status, 421)
            self.assertIn("'evil.example:8000'", self.problem(reply))
        self.assertEqual(self.spawn.started, [])

    def test_absent(self) -> None:
        """Only HTTP/1.0 may leave it out; nobody may send two."""
        self.assertEqual(self.raw("GET / HTTP/1.1").status, 400)
        twice = "GET / HTTP/1.1\r\nHost: x\r\nHost: evil.example"
        self.assertEqual(self.raw(twice).status, 400)
        self.assertEqual(self.raw("GET / HTTP/1.0").status, 200)
        self.assertEqual(self.raw("GET / HTTP/1.0\r\nHost: evil.example").status, 421)


class GuardedTests(GateTestCase):
    """What every answer tells a browser."""

    def test_headers(self) -> None:
        """No other site shows or reads it, and nothing in it is run."""
        token = self.tokens.make("alice")
        run_id = self.run_by(token)
        for path in ("/runs", "/nothing", f"/runs/{run_id}/output", "/events"):
            for reply in (self.by(token, path=path), self.by("wrong", path=path)):
                for name, value in GUARDED.items():
                    self.assertEqual(reply.headers[name.lower()], value, path)
                self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_page(self) -> None:
        """A page of ours runs no script, and is shown in no other."""
        reply = self.by(self.tokens.make("alice"), accept="text/html")
        self.assertEqual(reply.headers["content-security-policy"], POLICY.decode())
        self.assertIn("frame-ancestors 'none'", POLICY.decode())
        self.assertNotIn("script-src", POLICY.decode())
        self.assertEqual(reply.headers["cross-origin-opener-policy"], "same-origin")


class ListedTests(GateTestCase):
    """Pages of origins that the operator lists."""

    config = evolve(
        GateTestCase.config, access=Access(origins=("https://dash.example",))
    )

    def test_preflight(self) -> None:
        """They may ask, with a token of their own; others are not told what for."""
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
        headers["Origin"] = "https://evil.example"
        reply = Connection(self.site).ask("OPTIONS", "/runs", headers=headers)
        self.assertEqual(reply.status, 401)
        self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_shared(self) -> None:
        """They may start something, and read the answer, whatever it is."""
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


class ProxyTests(GateTestCase):
    """A proxy that we trust says who asks, and where from."""

    config = evolve(
        GateTestCase.config,
        access=Access(
            proxies=("unix",),
            user_header="x-remote-user",
            known={"alice": Known(grant=EVERYTHING)},
        ),
    )

    def ask_from(self, peer: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = Connection(self.site, peer)
        return connection.ask("POST", "/runs", b"{}", named)

    def test_user(self) -> None:
        """Only its word counts, and only for those who are known."""
        proxy = UNIXAddress(None)
        reply = self.ask_from(proxy, x_remote_user="alice")
        self.assertEqual(json.loads(reply.body)["principal"], "alice")
        for name in ("bob", "", "anonymous", "*", "alice,bob"):
            reply = self.ask_from(proxy, x_remote_user=name)
            self.assertEqual(reply.status, 401, name)
        other = IPv4Address("TCP", "127.0.0.1", 5)
        self.assertEqual(self.ask_from(other, x_remote_user="alice").status, 401)
        self.assertEqual(self.ask_from(proxy).status, 401)

    def test_address(self) -> None:
        """Wrong tokens count for whoever the proxy says sent them, and no other."""
        proxy = UNIXAddress(None)
        wrong = {"authorization": "Bearer wrong"}
        for _ in range(BURST):
            self.ask_from(proxy, x_forwarded_for="8.8.8.8, 192.0.2.1", **wrong)
        for hops, status in (
            ("192.0.2.1", 429),
            ("9.9.9.9, 192.0.2.1", 429),  # whoever sent that one wrote the first
            ("192.0.2.1, 192.0.2.2", 401),
            ("junk", 401),
        ):
            reply = self.ask_from(proxy, x_forwarded_for=hops, **wrong)
            self.assertEqual(reply.status, status, hops)


class LoginTests(GateTestCase):
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

    def proof(self, cookie: str) -> str:
        """What a page of ours knows."""
        page = self.with_cookie(cookie, "GET", "/", accept=self.html).body.decode()
        _, _, rest = page.partition(f'name="{PROOF}" value="')
        return rest.partition('"')[0]

    def test_asked(self) -> None:
        """A browser that is refused is shown where to type a token, and comes back."""
        reply = self.ask("GET", "/runs?limit=1", headers={"Accept": self.html})
        self.assertEqual(reply.status, 401)
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(b'name="token"', reply.body)
        self.assertIn(b'value="/runs?limit=1"', reply.body)
        self.assertIn("Basic", reply.headers["www-authenticate"])
        self.assertEqual(Connection(self.site).ask("GET", "/login").status, 200)

    def test_cookie(self) -> None:
        """It is kept from scripts and other sites, and good for what the token is."""
        reply = self.login(self.tokens.make("alice", own=True), "/runs")
        self.assertEqual((reply.status, reply.headers["location"]), (303, "/runs"))
        set_cookie = reply.headers["set-cookie"].lower()
        for attribute in ("httponly", "samesite=strict", "path=/"):
            self.assertIn(attribute, set_cookie)
        cookie = reply.headers["set-cookie"].partition(";")[0]
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 200)

    def test_secure(self) -> None:
        """Where a browser speaks TLS, if only to a proxy, its cookie goes only so."""
        body = f"token={self.tokens.make('alice')}".encode()
        for origin, secure in (("https", True), ("http", False)):
            headers = {"Content-Type": self.form, "Accept": self.html}
            headers["Origin"] = f"{origin}://shellstream.test"
            reply = Connection(self.site).ask("POST", "/login", body, headers)
            attributes = reply.headers["set-cookie"].lower().split("; ")
            self.assertEqual("secure" in attributes, secure, origin)

    def test_wrong(self) -> None:
        """A wrong token is told so, in the form that was asked in."""
        self.assertIn(b"not, or no longer, good", self.login("wrong").body)
        reply = self.login("wrong", accept="*/*")
        self.assertEqual(reply.status, 401)
        self.problem(reply)
        for _ in range(BURST):
            reply = self.login("wrong")
        self.assertEqual(reply.status, 429)

    def test_nowhere_else(self) -> None:
        """It leads to no other site, however that is written."""
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
                (reply.status, reply.headers["location"]), (303, "/"), then
            )

    def test_proof(self) -> None:
        """What changes something takes what only a page of ours knows."""
        cookie = self.cookie(self.tokens.make("alice"))
        proof = self.proof(cookie)
        self.assertEqual(len(proof), 64)
        typed = {"content_type": self.form}
        for fields in (b"", f"{PROOF}=wrong".encode(), f"{PROOF}=".encode()):
            reply = self.with_cookie(cookie, "POST", "/stream/say", fields, **typed)
            self.assertEqual(reply.status, 403, fields)
        self.assertEqual(self.with_cookie(cookie, "POST", "/runs", b"{}").status, 403)
        self.assertEqual(self.spawn.started, [])
        fields = f"{PROOF}={proof}".encode()
        reply = self.with_cookie(cookie, "POST", "/stream/say", fields, **typed)
        self.assertEqual(reply.status, 200)
        script = {"shellstream_csrf": proof}
        reply = self.with_cookie(cookie, "POST", "/runs", b"{}", **script)
        self.assertEqual(reply.status, 201)

    def test_another_site(self) -> None:
        """No page of another site starts anything by somebody's cookie."""
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
        """Whoever logs out has a cookie that is no good any more."""
        cookie = self.cookie(self.tokens.make("alice"))
        proof = {"shellstream_csrf": self.proof(cookie)}
        self.assertEqual(self.with_cookie(cookie, "POST", "/logout").status, 403)
        reply = self.with_cookie(cookie, "POST", "/logout", b"", **proof)
        self.assertEqual(reply.status, 303)
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 401)

    def test_ends(self) -> None:
        """It ends with its time, or its token; and so does what it opened."""
        for ends in ("time", "token"):
            self.serve(self.config)
            token = self.tokens.make("alice")
            cookie = self.cookie(token)
            connection = Connection(self.site)
            reply = connection.ask("GET", "/events", headers={"Cookie": cookie})
            self.assertEqual(reply.status, 200)
            self.gate.watch()
            self.assertFalse(connection.wire.disconnected)
            if ends == "time":
                self.clock.advance(LASTS)
            else:
                del self.tokens.there[token]
            self.gate.watch()
            self.assertTrue(connection.wire.disconnected, ends)
            self.assertEqual(self.with_cookie(cookie, "GET", "/runs").status, 401)

    def test_token_first(self) -> None:
        """A token that is sent counts, whatever the cookie says."""
        cookie = self.cookie(self.tokens.make("alice"))
        wrong = {"authorization": "Bearer wrong"}
        self.assertEqual(self.with_cookie(cookie, "GET", "/runs", **wrong).status, 401)
