"""Tests for L{shellstream.web.server.authentication}.

Every route has a rule, and every rule is kept.
"""

import json

from attrs import evolve

from shellstream.runs.authorized_runs import AuthorizedRuns
from shellstream.security.authorization import Action, Caller
from shellstream.web.access_control import PUBLIC
from shellstream.web.resources.base import Resource
from shellstream.web.server.request import Request, RequestContext
from tests.support.authentication import ALL, JOINED, AuthenticationTestCase, tree
from tests.support.decoders import event_source
from tests.support.http import Connection


def is_handler(name: str) -> bool:
    return name.startswith("render_") and name != "render_HEAD"


class RuleTests(AuthenticationTestCase):
    """Every route has a rule, and every rule is kept."""

    def routes(self) -> list[tuple[str, str, Resource]]:
        """Return all routes: method, path, and resource."""
        token = self.tokens.make("root")
        run_id = self.run_by(token)
        found = list(tree(self.access_control.tree))
        # What is made for a name that a client gives is made anew each time.
        request = Request(Connection(self.site).channel)
        caller = Caller(self.tokens.there[token])
        runs = AuthorizedRuns(self.registry, caller, self.noted.append)
        request.context = RequestContext(runs)
        children = dict(found)
        for path, name in (("/stream", "say"), ("/commands", "say"), ("/runs", run_id)):
            child = children[path].getChild(name.encode(), request)
            found += tree(child, f"{path}/{name}")
        return [
            (method, path, resource)
            for path, resource in found
            for method in resource.rules()
        ]

    def test_each_has_one(self) -> None:
        """A handler without a rule, or a rule without a handler, is a mistake."""
        routes = self.routes()
        self.assertGreater(len(routes), 18)
        for resource in {resource for _, _, resource in routes}:
            handlers = {name for name in dir(resource) if is_handler(name)}
            rules = {f"render_{method}" for method in resource.rules()}
            self.assertEqual(handlers - {"render_OPTIONS"}, rules, resource)

    def test_stranger(self) -> None:
        """A caller without credentials gets 401 on every path that is not public."""
        for method, path, _ in self.routes():
            reply = Connection(self.site).ask(method, path, self.body(method))
            if path.split("/")[1].encode() in PUBLIC:
                self.assertNotIn(b"this needs a token", reply.body, (method, path))
                continue
            self.assertEqual(reply.status, 401, (method, path))
            challenge = reply.headers["www-authenticate"]
            self.assertIn("Bearer", challenge)
            self.assertIn("Basic", challenge)
        # The errors do not show the existing commands either.
        for path in ("/nothing", "/runs/x", "/stream/x", "/commands/x", "/runs/x/y"):
            self.assertEqual(Connection(self.site).ask("GET", path).status, 401)
        for method in ("OPTIONS", "PUT", "PATCH", "TRACE", "FOO", "HEAD"):
            reply = Connection(self.site).ask(method, "/runs")
            self.assertEqual(reply.status, 401, method)
        self.assertEqual(len(self.spawn.started), 1)

    def test_each_action(self) -> None:
        """A caller that lacks an action of a route's rule is refused."""
        for method, path, resource in self.routes():
            rule = resource.rules()[method]
            if path.split("/")[1].encode() in PUBLIC:
                self.assertEqual(rule, frozenset())
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
        """A lossless viewer needs the right to signal the run."""
        run_id = self.run_by(self.tokens.make("root"))
        path = f"/runs/{run_id}/output?lossless=true"
        reader = self.tokens.make("reader", actions=frozenset({Action.READ}))
        self.assertEqual(self.by(reader, "GET", path).status, 403)
        both = self.tokens.make("b", actions=frozenset({Action.READ, Action.SIGNAL}))
        self.assertEqual(self.by(both, "GET", path).status, 200)

    def test_input(self) -> None:
        """Input is accepted only from a caller that may send it."""
        reader = self.tokens.make("reader", actions=frozenset({Action.READ}))
        for header, status in (
            ("X: y", 401),
            ("Authorization: Bearer wrong", 401),
            (f"Authorization: Bearer {reader}", 403),
        ):
            connection = Connection(self.site)
            lines = ("POST /runs/x/stdin HTTP/1.1", "Host: localhost", header)
            head = "\r\n".join((*lines, "Content-Length: 100000", "", ""))
            connection.send(head.encode() + b"x" * 1000)
            self.assertEqual(connection.reply().status, status, header)
            self.assertTrue(connection.wire.half_closed)
            noted = self.noted[-1]
            self.assertEqual(noted.principal, "reader" if status == 403 else "")
            self.assertEqual(noted.facts["request"], "POST /runs/***/stdin")

    def test_body(self) -> None:
        """No body is accepted from a stranger, wherever it is for."""
        for path in ("/runs", "/stream/say", "/runs/x/signal", "/nothing", "/logout"):
            for length in ("Content-Length: 60000", "Transfer-Encoding: chunked"):
                for header in ("X: y", "Authorization: Bearer wrong"):
                    connection = Connection(self.site)
                    lines = (
                        f"POST {path} HTTP/1.1",
                        "Host: localhost",
                        header,
                        length,
                        "",
                        "",
                    )
                    connection.send("\r\n".join(lines).encode())
                    self.assertEqual(connection.reply().status, 401, path)
                    self.assertTrue(connection.wire.half_closed)
        self.assertEqual(self.site.body_quota.used, 0)

    def test_signal_alone(self) -> None:
        """A caller that may cancel a run, but not read it, does not get its record."""
        run_id = self.run_by(self.tokens.make("root"))
        token = self.tokens.make("guard", actions=frozenset({Action.SIGNAL}))
        reply = self.by(token, "POST", f"/runs/{run_id}/cancel", b"")
        self.assertEqual((reply.status, json.loads(reply.body)), (202, {"id": run_id}))

    def test_run_alone(self) -> None:
        """A caller that may start runs, but not read them, learns only their ids."""
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


class VisibilityTests(AuthenticationTestCase):
    """Hidden runs are hidden everywhere."""

    def setUp(self) -> None:
        super().setUp()
        self.alice = self.tokens.make("alice", own=True)
        self.bob = self.tokens.make("bob", commands=("hear",))
        self.root = self.tokens.make("root")

    def test_runs(self) -> None:
        """404 for others' runs reads the same as for runs that do not exist."""
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
        """Lists and indexes have only the permitted runs and commands."""
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
        """A listener hears only of runs that it may see."""
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
