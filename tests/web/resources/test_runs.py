"""Tests for L{shellstream.web.resources.runs}: runs that need no viewer."""

import json
from uuid import UUID

from attrs import evolve

from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.model.errors import CannotStart
from shellstream.model.limits import Limits, OnFull, WhenBusy
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection
from tests.support.web import FORM, JSON, RunsTestCase


class CreateTests(RunsTestCase):
    """C{POST /runs} creates a run, and does not wait for it."""

    def test_created(self) -> None:
        """The answer is the new run and where it is; the command runs."""
        reply = self.post("/runs", {"command": "echo", "params": {"x": "a b"}})
        found = self.document(201)
        self.assertEqual(self.started.invocation.argv, ("echo", "a b"))
        self.assertEqual(UUID(found["id"]).version, 7)
        self.assertEqual(self.connection.target(), f"/runs/{found['id']}")
        self.assertEqual(reply.headers["shellstream-run"], found["id"])
        expected = {
            "command": "echo",
            "params": {"x": "a b"},
            "state": "running",
            "end": None,
            "ended": None,
            "on_disconnect": "keep",
            "principal": "anonymous",
            "created": "2026-01-01T00:00:00.000000Z",
            "started": "2026-01-01T00:00:00.000000Z",
            "start": 0,
            "size": 0,
            "output": f"/runs/{found['id']}/output",
        }
        self.assertEqual({name: found[name] for name in expected}, expected)
        self.assertEqual(self.get(f"/runs/{found['id']}"), found)

    def test_default_command(self) -> None:
        """The default command is run if the request names no other."""
        self.post("/runs", {})
        self.assertEqual(self.document(201)["command"], "say")
        self.assertEqual(self.post("/runs/", {"command": None}).status, 201)

    def test_unwatched(self) -> None:
        """A run continues when its creator leaves, without any viewer."""
        self.post("/runs", {})
        self.connection.lose()
        self.clock.advance(3600)
        self.assertEqual(self.started.child.signals, [])

    def test_last_viewer_gone(self) -> None:
        """A run without C{cancel} continues when its last viewer leaves."""
        started = self.begin()
        self.ask("GET", f"/runs/{started.run.id}/output")
        self.connection.lose()
        self.clock.advance(3600)
        self.assertEqual(started.child.signals, [])

    def test_on_disconnect(self) -> None:
        """With C{cancel} the run ends when its last viewer has left."""
        self.post("/runs", {"command": "say", "on_disconnect": "cancel"})
        found = self.document(201)
        self.assertEqual(found["on_disconnect"], "cancel")
        viewer = Connection(self.site)
        viewer.ask("GET", f"/runs/{found['id']}/output")
        self.clock.advance(3600)
        self.assertEqual(self.started.child.signals, [])
        viewer.lose()
        self.clock.advance(SAY.limits.linger)
        self.assertEqual(self.started.child.signals, ["SIGTERM", "SIGCONT"])

    def test_wait(self) -> None:
        """With C{wait=end} the answer comes when the run has ended, and tells how."""
        for code in (0, 3):
            waiting = self.wait()
            started = self.spawn.started[-1]
            started.say(b"x" * 100)
            self.assertEqual(waiting.wire.value(), b"")
            started.exit(code)
            self.assertEqual(waiting.reply().status, 201)
            found = json.loads(waiting.reply().body)
            self.assertEqual(found["end"]["code"], code)
            self.assertEqual(found["size"], 100)
        self.spawn.error = CannotStart("say", "its program was not found")
        found = json.loads(self.wait().reply().body)
        self.assertEqual(found["state"], "failed")

    def test_wait_again(self) -> None:
        """With a key the same answer comes again, at once for an ended run."""
        first, second = (self.wait(idempotency_key="k") for _ in range(2))
        self.started.exit(3)
        third = self.wait(idempotency_key="k")
        for each in (second, third):
            self.assertEqual(each.reply().status, 201)
            self.assertEqual(each.reply().body, first.reply().body)

    def test_wait_left(self) -> None:
        """
        A client that waits counts as a viewer; when it leaves, the run goes on, unless
        it asked for another end.
        """
        waiting = self.wait()
        self.wait(on_disconnect="cancel").lose()
        kept, cancelled = self.spawn.started
        waiting.lose()
        self.clock.advance(SAY.limits.linger)
        self.assertEqual(kept.child.signals, [])
        self.assertEqual(cancelled.child.signals, ["SIGTERM", "SIGCONT"])
        waiting = self.wait(on_disconnect="cancel")
        self.clock.advance(3600)
        self.assertEqual(self.spawn.started[-1].child.signals, [])
        for each in self.spawn.started:
            each.exit()
        self.assertEqual(self.registry.active, {})

    def test_wait_costs(self) -> None:
        """
        A client that waits is one of the viewers that there may be, and its body is not
        kept.
        """
        limits = HttpLimits(viewers=1)
        self.serve(Config(commands={"say": SAY}, default="say", http=limits))
        waiting = self.wait()
        self.assertEqual((self.site.viewers, self.site.body_quota.used), (1, 0))
        self.assertEqual(self.wait().reply().status, 503)
        self.started.exit()
        self.assertEqual(waiting.reply().status, 201)
        self.assertEqual(self.site.viewers, 0)
        self.wait().lose()
        self.assertEqual(self.site.viewers, 0)

    def test_wait_pauses_nothing(self) -> None:
        """A command that pauses without viewers does not pause for one that waits."""
        limits = Limits(retain=1000, on_full=OnFull.PAUSE)
        self.serve(Config(commands={"say": evolve(SAY, limits=limits)}, default="say"))
        waiting = self.wait()
        for _ in range(9):
            self.started.say(b"x" * 500)
            self.assertFalse(self.started.child.paused)
        self.started.exit()
        self.assertEqual(waiting.reply().status, 201)

    def test_wait_stopped(self) -> None:
        """A run that goes back to the queue when the daemon stops is told of."""
        limits = Limits(when_busy=WhenBusy.QUEUE, max_running=1)
        self.serve(Config(commands={"say": evolve(SAY, limits=limits)}, default="say"))
        self.begin()
        waiting = self.wait()
        self.registry.supervisor.stop()
        self.assertEqual(waiting.reply().status, 503)
        self.assertIn("waits for the next one", waiting.reply().body.decode())

    def test_wait_wrong(self) -> None:
        """Nothing else can be waited for."""
        self.ask("POST", "/runs?wait=start&x=1", b"{}")
        self.assert_parameters(
            self.problem(), wait="must be end, or left out", x="is unknown here"
        )
        self.assertEqual(self.spawn.started, [])

    def wait(self, idempotency_key: str | None = None, **members: str) -> Connection:
        """Start a run, and wait for its end on a connection of its own."""
        connection = Connection(self.site)
        headers = {} if idempotency_key is None else {"Idempotency-Key": "k"}
        body = json.dumps(members).encode()
        connection.request("POST", "/runs?wait=end", body, headers)
        return connection

    def test_members(self) -> None:
        """Members that are not known, or of the wrong type, are named, all at once."""
        wrong: list[tuple[object, dict[str, str]]] = [
            ({"comand": "say"}, {"comand": "is unknown here; send command, params"}),
            ({"on_disconnect": 1}, {"on_disconnect": 'must be "keep" or "cancel"'}),
            ({"stdin": "x"}, {"stdin": "input itself goes to POST /runs/ID/stdin"}),
            ({"stdin": None}, {"stdin": "must be true or false"}),
            ({"command": 1}, {"command": "must be a string"}),
            ({"command": ["say"]}, {"command": "must be a string"}),
            ({"command": {"a": 1}}, {"command": "must be a string"}),
            ({"params": "x=1"}, {"params": "must be an object"}),
            ({"params": None}, {"params": "must be an object"}),
            ({"params": []}, {"params": "must be an object"}),
            ({"params": [["x", "1"]]}, {"params": "must be an object"}),
            (
                {"command": 1, "params": 2, "\ud800": 3},
                {"command": "string", "params": "object", "\ud800": "unknown"},
            ),
        ]
        for document, expected in wrong:
            with self.subTest(document=document):
                self.post("/runs", document)
                self.assert_parameters(self.problem(), **expected)
        self.assertEqual(self.spawn.started, [])

    def test_parameters(self) -> None:
        """Parameters are refused as at C{/stream}."""
        self.post("/runs", {"command": "echo", "params": {"z": 1}})
        found = self.problem()
        self.assert_parameters(found, x="is required", z="is not a parameter of 'echo'")
        body = b'{"command": "echo", "params": {"x": "1", "x": "2"}}'
        found = self.refused("/runs", body, JSON)
        self.assert_parameters(found, x="is given more than once")

    def test_body(self) -> None:
        """A body that is not a JSON object is refused."""
        for body in (b"", b"{", b"[]", b'"say"', b"\xff", b'{"command": NaN}'):
            found = self.refused("/runs", body, JSON)
            self.assertEqual((found["status"], "parameters" in found), (400, False))
            self.assertIn("JSON", found["detail"])
        found = self.refused("/runs", b'{"command": "say", "command": "echo"}', JSON)
        self.assertIn("a member twice", found["detail"])

    def test_media_type(self) -> None:
        """A body that says that it is something else is refused."""
        for media_type in (FORM, "text/plain", "application/json5"):
            found = self.refused("/runs", b"{}", media_type)
            self.assertEqual(found["status"], 415)
            self.assertTrue(found["detail"].endswith("send application/json"), found)

    def test_unknown_command(self) -> None:
        """An unknown command is 404, with the likely one."""
        self.post("/runs", {"command": "ehco"})
        self.assert_problem(404, "did you mean 'echo'?")
        self.serve(Config(commands={"echo": ECHO}))
        self.post("/runs", {})
        self.assert_problem(404, "no default command")

    def test_busy(self) -> None:
        """At the limit a client gets a time to retry."""
        self.serve(Config(commands={"say": SAY}, default="say", max_running=1))
        self.begin()
        self.assertEqual(self.post("/runs", {}).headers["retry-after"], "5")
        self.assert_problem(503, "running already")
        self.assertEqual(len(self.get("/runs")["runs"]), 1)

    def test_cannot_start(self) -> None:
        """A run that could not be started is reported, and can be read."""
        self.spawn.error = CannotStart("say", "its program was not found")
        self.post("/runs", {})
        found, where = self.document(201), self.connection.target()
        self.assertEqual(self.get("/runs")["runs"], [found])
        self.assertEqual(self.get(where), found)
        self.assertEqual(found["state"], "failed")
        self.assertIn("its program was not found", found["failure"])
        self.assertEqual(found["end"]["state"], "failed")
