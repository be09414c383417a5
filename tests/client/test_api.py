"""Tests for L{shellstream.client.Client}, on treq, against a server in memory."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from shellstream.client import Client, Following, TreqWire, View
from shellstream.client.errors import (
    ClientError,
    ContractViolation,
    CutShort,
    NoResponse,
    Refused,
    ServerFailed,
    Usage,
)
from shellstream.client.events import Event, Output
from shellstream.client.follow import SILENCE
from tests.support.client_wires import FakeWire, begun, document, ended, finish, frame

URL = "http://localhost"
PROBLEM = "application/problem+json"
FRAMES = "application/vnd.shellstream.frames"


class Server(Resource):
    """A server that answers as a test says, and remembers its requests."""

    isLeaf = True

    def __init__(self, *answers: Callable[[Request], object]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []

    def render(self, request: Request) -> int:
        self.requests.append(request)
        self.bodies.append(request.content.read())
        self.answers.pop(0)(request)
        return NOT_DONE_YET

    @property
    def asked(self) -> list[str]:
        """Return all requests, as lines."""
        return [f"{r.method.decode()} {r.uri.decode()}" for r in self.requests]


class ClientTestCase(SynchronousTestCase):
    """A client of a server in memory."""

    def client(
        self, *answers: Callable[[Request], object], token: str | None = None
    ) -> Client:
        """Return a client of this server."""
        self.server = Server(*answers)
        self.treq = StubTreq(self.server)
        self.clock = Clock()
        http: Any = self.treq
        return Client(URL, TreqWire(self.clock, http), token=token)

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> "Deferred[Any]":
        """Go as far as is possible without another word of the server."""
        done = Deferred.fromCoroutine(coroutine)
        self.treq.flush()
        return done

    def result(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine whose responses are already there."""
        return self.successResultOf(self.begin(coroutine))


def answering(
    body: bytes, media_type: str = "application/json", status: int = 200, **more: str
) -> Callable[[Request], None]:
    """A whole answer."""

    def answer(request: Request) -> None:
        request.setResponseCode(status)
        request.setHeader("content-type", media_type)
        for name, value in more.items():
            request.setHeader(name.replace("_", "-"), value)
        request.write(body)
        request.finish()

    return answer


def streaming(wire: bytes, run: str = "r") -> Callable[[Request], None]:
    """The beginning of an answer that is a run's output, in frames."""

    def answer(request: Request) -> None:
        request.setHeader("content-type", FRAMES)
        request.setHeader("shellstream-run", run)
        request.write(wire)

    return answer


async def watch(following: Following, seen: list[Event]) -> None:
    """Collect events."""
    async with following:
        async for event in following:
            seen.append(event)


class FollowTests(ClientTestCase):
    """Output is delivered as it arrives."""

    def test_live(self) -> None:
        """
        Each chunk is delivered as soon as it arrives; the last one ends the output.
        """
        client = self.client(streaming(begun() + frame(1, b"one ")))
        seen: list[Event] = []
        following = client.run("c")
        done = self.begin(watch(following, seen))
        self.assertEqual(seen[-1], Output(0, "stdout", b"one "))
        self.server.requests[0].write(frame(2, b"two"))
        self.treq.flush()
        self.assertEqual(seen[-1], Output(4, "stderr", b"two"))
        self.assertNoResult(done)
        self.server.requests[0].write(ended(7, code=3))
        self.treq.flush()
        self.successResultOf(done)
        assert following.end is not None
        self.assertEqual(following.end.code, 3)

    def test_cut(self) -> None:
        """A cut stream goes on with a second request, at the next byte."""
        rest = streaming(begun(4) + frame(1, b"two") + ended(7))
        client = self.client(streaming(begun() + frame(1, b"one two")[:12]), rest)
        seen: list[Event] = []
        done = self.begin(watch(client.run("c"), seen))
        self.server.requests[0].transport.loseConnection()
        self.treq.flush()
        self.successResultOf(done)
        data = b"".join(each.data for each in seen if isinstance(each, Output))
        self.assertEqual(data, b"one two")
        expected = ["POST /stream/c", "GET /runs/r/output?offset=4&lossless=true"]
        self.assertEqual(self.server.asked, expected)

    def test_silence(self) -> None:
        """A connection without output or pings is given up."""
        client = self.client(streaming(begun()), streaming(begun() + ended(0)))
        gone: list[object] = []
        done = self.begin(watch(client.follow("r"), []))
        self.server.requests[0].notifyFinish().addErrback(gone.append)
        self.clock.advance(SILENCE - 1)
        self.treq.flush()
        self.assertNoResult(done)
        self.clock.advance(2)
        self.treq.flush()
        self.successResultOf(done)
        self.assertEqual(len(gone), 1)

    def test_left(self) -> None:
        """A caller that stops listening closes the connection."""
        client = self.client(streaming(begun() + frame(1, b"x")))
        gone: list[object] = []

        async def leave() -> None:
            async with client.follow("r") as following:
                async for event in following:
                    if isinstance(event, Output):
                        break

        self.result(leave())
        self.treq.flush()
        self.server.requests[0].notifyFinish().addErrback(gone.append)
        self.treq.flush()
        self.assertTrue(self.server.requests[0]._disconnected)

    def test_attach(self) -> None:
        """A run waits for a client that attaches to it, as for its starter."""
        client = self.client(streaming(begun(3) + ended(3)))
        self.result(watch(client.attach("r", 3), []))
        expected = "GET /runs/r/output?offset=3&lossless=true"
        self.assertEqual(self.server.asked, [expected])

    def test_token(self) -> None:
        """A token is shown with every request."""
        client = self.client(
            streaming(begun()[:9]),
            streaming(begun() + ended(0)),
            answering(b"{}"),
            token="t0k",
        )
        done = self.begin(watch(client.run("c"), []))
        self.server.requests[0].transport.loseConnection()
        self.treq.flush()
        self.successResultOf(done)
        self.result(client.show("r"))
        for request in self.server.requests:
            self.assertEqual(request.getHeader("authorization"), "Bearer t0k")


class GetTests(ClientTestCase):
    """Any URL may be asked for."""

    def test_foreign(self) -> None:
        """The answer of another server can be read as it comes."""
        client = self.client(lambda request: request.write(b"one"))

        async def read() -> list[bytes]:
            answer = await client.get(f"{URL}/some/where?x=1", [("a", "b c")])
            assert not isinstance(answer, Following)
            return [await answer.read(), await answer.read()]

        done = self.begin(read())
        (request,) = self.server.requests
        self.assertEqual(request.uri, b"/some/where?x=1&a=b+c")
        self.assertEqual(request.getHeader("accept"), "*/*")
        request.finish()
        self.treq.flush()
        self.assertEqual(self.successResultOf(done), [b"one", b""])

    def test_ours(self) -> None:
        """The answer of a shellstream is a run, which is followed to its end."""
        client = self.client(streaming(begun()), streaming(begun() + ended(0, code=7)))

        async def follow() -> Following:
            following = await client.get(f"{URL}/stream/c", {"a": "1"})
            assert isinstance(following, Following)
            await watch(following, [])
            return following

        done = self.begin(follow())
        self.server.requests[0].transport.loseConnection()
        self.treq.flush()
        end = self.successResultOf(done).end
        assert end is not None
        self.assertEqual(end.code, 7)
        again = "GET /runs/r/output?offset=0&lossless=true"
        self.assertEqual(self.server.asked, ["GET /stream/c?a=1", again])

    def test_by_another_name(self) -> None:
        """A server that has no frames to give is any other server."""
        client = self.client(answering(b"hi", "text/plain", Shellstream_Run="r"))

        async def read() -> bytes:
            answer = await client.get(f"{URL}/stream")
            assert not isinstance(answer, Following)
            return await answer.read()

        self.assertEqual(self.result(read()), b"hi")


class CallTests(ClientTestCase):
    """Requests other than those for output."""

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.result(coroutine)

    def test_start(self) -> None:
        """A run is started by a document, with its own key or the caller's."""
        client = self.client(answering(b'{"id": "r"}', status=201), answering(b"{}"))
        run = self.call(client.start("c", [("a", "1"), ("b", "")]))
        self.assertEqual(run["id"], "r")
        self.call(client.start(key="mine"))
        first, second = self.server.requests
        self.assertEqual(self.server.asked, ["POST /runs"] * 2)
        body = {"command": "c", "params": {"a": "1", "b": ""}}
        self.assertEqual(json.loads(self.server.bodies[0]), body)
        self.assertEqual(first.getHeader("content-type"), "application/json")
        self.assertTrue(first.getHeader("idempotency-key"))
        self.assertEqual(json.loads(self.server.bodies[1]), {"params": {}})
        self.assertEqual(second.getHeader("idempotency-key"), "mine")
        twice = self.begin(client.start("c", [("a", "1"), ("a", "2")]))
        self.assertIn("more than once", str(self.failureResultOf(twice, Usage).value))

    def test_steer(self) -> None:
        """A run is cancelled, signalled and shown by its id."""
        client = self.client(*[answering(b"{}")] * 3)
        self.call(client.cancel("r/1"))
        self.call(client.signal("r", "INT"))
        self.call(client.show("r"))
        expected = ["POST /runs/r%2F1/cancel", "POST /runs/r/signal", "GET /runs/r"]
        self.assertEqual(self.server.asked, expected)
        self.assertEqual(json.loads(self.server.bodies[1]), {"signal": "INT"})

    def test_commands(self) -> None:
        """Commands are listed."""
        client = self.client(answering(b'{"commands": [{"name": "c"}]}'))
        self.assertEqual(self.call(client.commands()), [{"name": "c"}])

    def test_list(self) -> None:
        """The list follows the pages up to its limit, or to the last page."""
        first = {"runs": [{"id": "3"}, {"id": "2"}], "next": "/runs?after=2"}
        last = {"runs": [{"id": "1"}], "next": None}
        for limit, ids, pages in (
            (None, "321", 2),
            (2, "32", 1),
            (1, "3", 1),
            (0, "", 0),
        ):
            client = self.client(
                answering(json.dumps(first).encode()),
                answering(json.dumps(last).encode()),
            )

            async def ids_of(client: Client, limit: int | None) -> str:
                runs = client.list(state="exited", command="c", limit=limit)
                return "".join([run["id"] async for run in runs])

            self.assertEqual(self.call(ids_of(client, limit)), ids)
            size = 1000 if limit is None else limit
            query = f"limit={size}&state=exited&command=c"
            expected = [f"GET /runs?{query}", f"GET /runs?{query}&after=2"][:pages]
            self.assertEqual(self.server.asked, expected)

    def test_references(self) -> None:
        """References in documents become URLs, wherever they were."""
        run = {"id": "1", "output": "../runs/1/output", "params": {"output": "x"}}
        client = self.client(answering(json.dumps(run).encode()))
        found = self.call(client.show("1"))
        url = f"{client.server}/runs/1/output"
        self.assertEqual(found, {**run, "output": url})
        commands = {"commands": [{"name": "c", "stream": "stream/c"}]}
        client = self.client(answering(json.dumps(commands).encode()))
        (command,) = self.call(client.commands())
        self.assertEqual(command["stream"], f"{client.server}/stream/c")
        odds: list[Any] = [{"output": "//["}, {"output": 1}, {"runs": {"runs": [[1]]}}]
        for odd in odds:
            client = self.client(answering(json.dumps(odd).encode()))
            self.assertEqual(self.call(client.show("1")), odd)

    def test_again(self) -> None:
        """An idempotent call without an answer is retried."""
        again = NoResponse("h")
        for call, harmless in (
            (lambda client: client.show("r"), True),
            (lambda client: client.start("c"), True),
            (lambda client: client.signal("r", "INT"), False),
        ):
            wire = FakeWire([again, document({})])
            client = Client("http://h", wire)
            if harmless:
                finish(call(client))
                self.assertEqual(wire.asked[0], wire.asked[1])
            else:
                self.assertRaises(NoResponse, finish, call(client))

    def test_no_document(self) -> None:
        """A response that is not a shellstream's is an error that says so."""
        for body in (b"<html>", b"\xff", b"[" * 50_000):
            done = self.begin(self.client(answering(body)).show("r"))
            self.assertIn(
                "is this a shellstream server?",
                str(self.failureResultOf(done, ContractViolation).value),
            )


class RefusedTests(ClientTestCase):
    """An error is reported in the server's words."""

    def refusal(
        self, status: int, media_type: str, body: bytes, **more: str
    ) -> ClientError:
        """Return the error of this answer."""
        client = self.client(answering(body, media_type, status, **more))
        done = self.begin(watch(client.run("x"), []))
        error: ClientError = self.failureResultOf(done, ClientError).value
        self.assertTrue(str(error).startswith(f"{URL}/stream/x: {status} "), str(error))
        return error

    def test_problem(self) -> None:
        """The error shows the detail of a problem document."""
        body = json.dumps({"status": 404, "detail": "there is no command 'x'"}).encode()
        error = self.refusal(404, PROBLEM, body)
        assert isinstance(error, Refused)
        self.assertEqual(
            str(error), f"{URL}/stream/x: 404 Not Found: there is no command 'x'"
        )
        self.assertEqual(error.status, 404)
        error = self.refusal(503, f"{PROBLEM}; charset=utf-8", body)
        self.assertIsInstance(error, ServerFailed)
        self.assertIn("there is no command", str(error))

    def test_plain(self) -> None:
        """The error shows the first line of a plain-text explanation."""
        error = self.refusal(403, "text/plain; charset=utf-8", b"\nno entry\nat all\n")
        self.assertEqual(str(error), f"{URL}/stream/x: 403 Forbidden: no entry")

    def test_unreadable(self) -> None:
        """
        If the body does not match its media type, the error shows only the status.
        """
        for media_type, body in (
            ("text/html", b"<h1>no</h1>"),
            (PROBLEM, b"{"),
            (PROBLEM, b"[]"),
            (PROBLEM, b"{}"),
            (PROBLEM, b"\xff"),
            ("", b"no"),
        ):
            error = self.refusal(400, media_type, body)
            self.assertEqual(str(error), f"{URL}/stream/x: 400 Bad Request")

    def test_redirect(self) -> None:
        """A redirect is reported, not followed: it could send the token anywhere."""
        error = self.refusal(302, "text/html", b"", Location="https://o/stream\x1b[2J")
        self.assertIsInstance(error, Refused)
        self.assertIn("it redirects to https://o/stream", str(error))
        self.assertTrue(str(error).isprintable())

    def test_hostile(self) -> None:
        """A server cannot make the client fail with a document of brackets."""
        self.assertIsInstance(self.refusal(400, PROBLEM, b"[" * 60_000), Refused)

    def test_one_line(self) -> None:
        """An error is printed as one line, whatever line breaks its detail holds."""
        body = json.dumps({"detail": "no\nshellstream: all is well\x1b[2J"}).encode()
        said = str(self.refusal(400, PROBLEM, body))
        self.assertTrue(said.isprintable(), said)

    def test_endless(self) -> None:
        """The kept part of an endless explanation is limited."""
        error = self.refusal(400, "text/plain", b"x" * 200_000)
        self.assertLess(len(str(error)), 70_000)

    def test_broken_off(self) -> None:
        """Half an explanation is left out."""

        def answer(request: Request) -> None:
            request.setResponseCode(500)
            request.setHeader("content-type", "text/plain")
            request.write(b"do not")

        done = self.begin(self.client(answer).follow("r", View()).__anext__())
        self.server.requests[0].transport.loseConnection()
        self.treq.flush()
        error = self.failureResultOf(done, ServerFailed).value
        self.assertTrue(str(error).endswith(": 500 Internal Server Error"))
        self.assertNotIsInstance(error, CutShort)
