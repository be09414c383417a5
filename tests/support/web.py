"""Test cases and requests that the tests of several paths share."""

import json
from http import HTTPStatus
from typing import Any

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.model.limits import Limits
from tests.support.fakes import SAY
from tests.support.http import Connection, Reply, WebTestCase, resolved

FORM = "application/x-www-form-urlencoded"


JSON = "application/json"


class ProblemTestCase(WebTestCase):
    """A refused request, and its problem document."""

    def problem(self) -> dict[str, Any]:
        """The problem document that is the whole answer."""
        reply = self.reply()
        self.assertTrue(reply.whole)
        self.assertEqual(reply.headers["content-type"], "application/problem+json")
        self.assertEqual(reply.headers["x-content-type-options"], "nosniff")
        self.assertEqual(reply.headers["cache-control"], "no-store")
        self.assertTrue(reply.headers["server"].startswith("shellstream/"))
        self.assertEqual(int(reply.headers["content-length"]), len(reply.body))
        found: dict[str, Any] = json.loads(reply.body)
        self.assertEqual(found["status"], reply.status)
        self.assertEqual(found["title"], HTTPStatus(reply.status).phrase)
        self.assertTrue(found["detail"])
        return found

    def refused(
        self, path: str, body: bytes | None = None, media_type: str = FORM
    ) -> dict[str, Any]:
        """Return the problem of a refused POST; check that nothing started."""
        self.ask("POST", path, body, {"Content-Type": media_type})
        self.assertEqual(self.spawn.started, [])
        self.assertFalse(self.connection.wire.disconnecting)
        return self.problem()

    def assert_parameters(self, found: dict[str, Any], **expected: str) -> None:
        """Check that exactly these parameters are named, each with these words."""
        self.assertEqual(found["status"], 400)
        named = {each["name"]: each["detail"] for each in found["parameters"]}
        self.assertEqual(set(named), set(expected))
        for name, words in expected.items():
            self.assertIn(words, named[name])
            self.assertIn(words, found["detail"])


#: Keeps three chunks of a hundred bytes.
SMALL = Config(commands={"say": evolve(SAY, limits=Limits(retain=1000))}, default="say")


class RunsTestCase(ProblemTestCase):
    """Requests to C{/runs} and the paths below."""

    def post(
        self, path: str = "/runs", document: object = None, **headers: str
    ) -> Reply:
        """A POST of JSON; C{_} in the names of headers stands for C{-}."""
        body = b"" if document is None else json.dumps(document).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, {"Content-Type": JSON, **named})

    def document(self, status: int = 200) -> Any:
        """
        The JSON of the whole answer, which a cache may not keep, with paths in place of
        relative references.
        """
        reply = self.reply()
        self.assertEqual((reply.status, reply.whole), (status, True), reply)
        self.assertEqual(reply.headers["content-type"], JSON)
        self.assertEqual(reply.headers["cache-control"], "no-store")
        return resolved(self.connection.asked, json.loads(reply.body))

    def get(self, path: str) -> Any:
        """The document at a path."""
        self.ask("GET", path)
        return self.document()

    def assert_problem(self, status: int, *words: str) -> dict[str, Any]:
        """Check the problem and its words."""
        found = self.problem()
        self.assertEqual(found["status"], status, found)
        for each in words:
            self.assertIn(each, found["detail"])
        return found


class OutputTestCase(RunsTestCase):
    """A run, and requests for its output."""

    def setUp(self) -> None:
        super().setUp()
        self.run_ = self.begin()

    def serve(self, config: Config) -> None:
        super().serve(config)
        self.run_ = self.begin()

    def output(
        self, query: str = "", method: str = "GET", version: str = "HTTP/1.1"
    ) -> Reply:
        """The answer on a new connection, as far as it is there soon."""
        self.connection = Connection(self.site)
        self.reply = self.connection.reply
        path = f"/runs/{self.run_.run.id}/output{query}"
        self.connection.request(method, path, version=version)
        self.clock.advance(0)  # a tail is looked for in turns of its own
        return self.reply()

    def assert_body(self, body: bytes, query: str = "", *, whole: bool = True) -> None:
        """Check the body as far as it is there, and whether it is complete."""
        reply = self.output(query)
        self.assertEqual((reply.status, reply.body, reply.whole), (200, body, whole))


ANNOUNCED = (
    "Shellstream-State, Shellstream-Exit-Code, Shellstream-Exit-Signal, "
    "Shellstream-Reason"
)
