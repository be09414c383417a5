"""Tests for L{shellstream.client}: an answer is followed, or refused."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from shellstream.client import stream
from shellstream.client.errors import (
    ClientError,
    CutShort,
    Refused,
    ServerFailed,
)

URL = "http://shellstream.test/stream"
PROBLEM = "application/problem+json"


class Server(Resource):
    """Answers as a test tells it to, and remembers what it was asked."""

    isLeaf = True

    def __init__(self, answer: Callable[[Request], object]) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[bytes, dict[bytes, list[bytes]]]] = []

    def render(self, request: Request) -> int:
        self.asked.append((request.method, dict(request.args)))
        self.request = request
        self.answer(request)
        return NOT_DONE_YET


class ClientTestCase(SynchronousTestCase):
    """A client of a server in memory."""

    def ask(
        self,
        answer: Callable[[Request], object],
        method: str = "GET",
        params: Sequence[tuple[str, str]] = (),
        write: Callable[[bytes], None] | None = None,
    ) -> "Deferred[None]":
        """Follow what this server answers; what has come is in C{self.seen}."""
        self.seen: list[bytes] = []
        self.server = Server(answer)
        self.treq = StubTreq(self.server)
        http: Any = self.treq
        done = stream(http, method, URL, params, write or self.seen.append)
        return Deferred.fromCoroutine(done)


class FollowTests(ClientTestCase):
    """Output is given on as it comes."""

    def test_live(self) -> None:
        """Each chunk is given on the moment it is there; the end ends it."""
        done = self.ask(lambda request: request.write(b"one "))
        self.treq.flush()
        self.assertEqual(self.seen, [b"one "])
        self.server.request.write(b"two")
        self.treq.flush()
        self.assertEqual(self.seen, [b"one ", b"two"])
        self.assertNoResult(done)
        self.server.request.finish()
        self.treq.flush()
        self.assertIsNone(self.successResultOf(done))

    def test_nothing(self) -> None:
        """No output is a whole answer too."""
        done = self.ask(lambda request: request.finish())
        self.treq.flush()
        self.successResultOf(done)
        self.assertEqual(self.seen, [])

    def test_get(self) -> None:
        """GET sends parameters in the query, repeats included."""
        params = [("a", "1 &ü"), ("b", ""), ("a", "2")]
        self.ask(lambda request: request.finish(), "GET", params)
        expected = {b"a": ["1 &ü".encode(), b"2"], b"b": [b""]}
        self.assertEqual(self.server.asked, [(b"GET", expected)])

    def test_post(self) -> None:
        """POST sends them as a form."""
        params = [("a", "1 &ü"), ("b", ""), ("a", "2")]
        self.ask(lambda request: request.finish(), "POST", params)
        expected = {b"a": ["1 &ü".encode(), b"2"], b"b": [b""]}
        self.assertEqual(self.server.asked, [(b"POST", expected)])
        self.assertNotIn(b"?", self.server.request.uri)

    def test_post_without(self) -> None:
        """POST needs no parameters."""
        done = self.ask(lambda request: request.finish(), "POST")
        self.treq.flush()
        self.successResultOf(done)
        self.assertEqual(self.server.asked, [(b"POST", {})])

    def test_cut_short(self) -> None:
        """An answer that stops before its end is told as such, after what came."""
        done = self.ask(lambda request: request.write(b"half"))
        self.treq.flush()
        self.server.request.transport.loseConnection()
        self.treq.flush()
        error = self.failureResultOf(done, CutShort).value
        self.assertEqual(self.seen, [b"half"])
        self.assertIn(URL, str(error))

    def test_cannot_write(self) -> None:
        """An error of who takes the output is given on, and the connection closed."""

        def write(data: bytes) -> None:
            raise BrokenPipeError

        gone: list[object] = []

        def answer(request: Request) -> None:
            request.notifyFinish().addErrback(gone.append)
            request.write(b"x")

        done = self.ask(answer, write=write)
        self.treq.flush()
        self.failureResultOf(done, BrokenPipeError)
        self.treq.flush()
        self.assertEqual(len(gone), 1)


class RefusedTests(ClientTestCase):
    """An answer that is an error is told in the server's words."""

    def refusal(self, status: int, media_type: str, body: bytes) -> ClientError:
        """The error that such an answer becomes."""

        def answer(request: Request) -> None:
            request.setResponseCode(status)
            request.setHeader("content-type", media_type)
            request.write(body)
            request.finish()

        done = self.ask(answer)
        self.treq.flush()
        error: ClientError = self.failureResultOf(done, ClientError).value
        self.assertEqual(self.seen, [])
        self.assertTrue(str(error).startswith(f"{URL}: {status} "), str(error))
        return error

    def test_problem(self) -> None:
        """A problem document's detail is told."""
        body = json.dumps({"status": 404, "detail": "there is no command 'x'"}).encode()
        error = self.refusal(404, PROBLEM, body)
        self.assertIsInstance(error, Refused)
        self.assertEqual(str(error), f"{URL}: 404 Not Found: there is no command 'x'")
        error = self.refusal(503, f"{PROBLEM}; charset=utf-8", body)
        self.assertIsInstance(error, ServerFailed)
        self.assertIn("there is no command", str(error))

    def test_plain(self) -> None:
        """Of plain text the first line is told."""
        error = self.refusal(403, "text/plain; charset=utf-8", b"\nno entry\nat all\n")
        self.assertEqual(str(error), f"{URL}: 403 Forbidden: no entry")

    def test_unreadable(self) -> None:
        """What does not read as what it says it is leaves the status to tell."""
        for media_type, body in (
            ("text/html", b"<h1>no</h1>"),
            (PROBLEM, b"{"),
            (PROBLEM, b"[]"),
            (PROBLEM, b"{}"),
            (PROBLEM, b"\xff"),
            ("", b"no"),
        ):
            error = self.refusal(400, media_type, body)
            self.assertEqual(str(error), f"{URL}: 400 Bad Request")

    def test_hostile(self) -> None:
        """A server cannot make the client fail with a document of brackets."""
        self.assertIsInstance(self.refusal(400, PROBLEM, b"[" * 60_000), Refused)

    def test_one_line(self) -> None:
        """An error is one line for a person, whatever line breaks a detail holds."""
        body = json.dumps({"detail": "no\nshellstream: all is well\x1b[2J"}).encode()
        said = str(self.refusal(400, PROBLEM, body))
        self.assertTrue(said.isprintable(), said)

    def test_endless(self) -> None:
        """Of an explanation without end only so much is kept."""
        error = self.refusal(400, "text/plain", b"x" * 200_000)
        self.assertLess(len(str(error)), 70_000)

    def test_broken_off(self) -> None:
        """Half an explanation is none."""

        def answer(request: Request) -> None:
            request.setResponseCode(500)
            request.setHeader("content-type", "text/plain")
            request.write(b"do not")

        done = self.ask(answer)
        self.treq.flush()
        self.server.request.transport.loseConnection()
        self.treq.flush()
        error = self.failureResultOf(done, ServerFailed).value
        self.assertEqual(str(error), f"{URL}: 500 Internal Server Error")
