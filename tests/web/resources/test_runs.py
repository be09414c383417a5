"""Tests for L{shellstream.web.resources.runs}: runs that need no viewer."""

from uuid import UUID

from shellstream.config.loader import Config
from shellstream.model.errors import CannotStart
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
