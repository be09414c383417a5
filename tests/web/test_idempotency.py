"""Tests for L{shellstream.web}: repeated requests, and clients that leave."""

from collections.abc import Callable
from typing import TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred

from shellstream.config.loader import Config
from shellstream.model.errors import CannotStart
from shellstream.model.events import Reason
from shellstream.model.limits import Limits, WhenBusy
from tests.support.fakes import SAY
from tests.support.http import Connection
from tests.support.registries import Thread
from tests.support.web import RunsTestCase

T = TypeVar("T")

KEY = {"Idempotency_Key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}
ECHO_A = {"command": "echo", "params": {"x": "a"}}


class SlowTestCase(RunsTestCase):
    """A store whose disk takes its time, if C{thread} is made to."""

    def setUp(self) -> None:
        self.thread = Thread()
        super().setUp()

    def in_thread(self, call: Callable[[], T], /) -> Deferred[T]:
        return self.thread(call)


class KeyTests(SlowTestCase):
    """An C{Idempotency-Key} makes a retry safe."""

    def test_replayed(self) -> None:
        """The same request with the same key is for the same run, as it is now."""
        first = self.post("/runs", ECHO_A, **KEY)
        again = self.post("/runs", ECHO_A, **KEY)
        for name in ("location", "shellstream-run"):
            self.assertEqual(again.headers[name], first.headers[name])
        self.assertEqual(self.document(201)["state"], "running")
        self.started.exit(3)
        self.post("/runs", ECHO_A, **KEY)
        self.assertEqual(self.document(201)["code"], 3)
        self.assertEqual(len(self.spawn.started), 1)

    def test_spelling(self) -> None:
        """The key may be quoted or not, the body written in another way."""
        self.post("/runs", ECHO_A, Idempotency_Key='"k"')
        body = b' { "params":{"x":"\\u0061"},"command":"echo"}'
        self.ask("POST", "/runs", body, {"Idempotency-Key": "k"})
        self.assertEqual(self.reply().status, 201)
        self.assertEqual(len(self.spawn.started), 1)

    def test_other_request(self) -> None:
        """Another request with the same key is refused."""
        self.post("/runs", ECHO_A, **KEY)
        for other in ({"command": "say"}, {"command": "echo", "params": {"x": "b"}}):
            self.post("/runs", other, **KEY)
            self.assert_problem(422, "a key of its own")
        self.assertEqual(len(self.spawn.started), 1)

    def test_other_key(self) -> None:
        """The same request with another key, or without one, is for another run."""
        for key in ("1", "2", None):
            headers = {} if key is None else {"Idempotency_Key": key}
            self.assertEqual(self.post("/runs", ECHO_A, **headers).status, 201)
        self.assertEqual(len({each.run.id for each in self.spawn.started}), 3)

    def test_no_key(self) -> None:
        """A malformed key is refused."""
        for key in ("", '""', "k" * 256, "\t", "\u00e9"):
            self.post("/runs", ECHO_A, Idempotency_Key=key)
            self.assert_parameters(
                self.problem(), **{"Idempotency-Key": "1 to 255 printable"}
            )
        self.assertEqual(self.post("/runs", {}, Idempotency_Key="k" * 255).status, 201)
        self.assertEqual(self.post("/runs", {}, Idempotency_Key='"').status, 201)

    def test_forgotten(self) -> None:
        """A key outlives its run: nothing is run a second time."""
        self.post("/runs", ECHO_A, **KEY)
        self.started.exit()
        self.ask("DELETE", f"/runs/{self.started.run.id}")
        self.post("/runs", ECHO_A, **KEY)
        self.assert_problem(410, "with another key")
        self.assertEqual(self.problem()["run"], self.started.run.id)
        self.assertEqual(len(self.spawn.started), 1)

    def test_cannot_start(self) -> None:
        """A failed start is reported again for each repeat of its key."""
        self.spawn.error = CannotStart("echo", "its program was not found")
        for _ in range(2):
            self.post("/runs", ECHO_A, **KEY)
            first = self.document(201)
            self.assertEqual(first["state"], "failed")
            self.post("/stream/echo?x=a", **KEY)
            self.assert_problem(500, "its program was not found")
            self.assertEqual(self.problem()["run"], first["id"])
            self.spawn.error = None
        self.assertEqual(self.spawn.started, [])

    def test_two_at_once(self) -> None:
        """
        Of two simultaneous requests, the one that is recorded first runs, for both.
        """
        self.thread.manual = True
        other = Connection(self.site)
        body = b'{"command": "echo", "params": {"x": "a"}}'
        headers = {"Idempotency-Key": "k"}
        for connection in (self.connection, other):
            connection.send(
                b"POST /runs HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            self.assertEqual(connection.wire.value(), b"")
        self.thread.finish()
        replies = [each.reply() for each in (self.connection, other)]
        self.assertEqual([each.status for each in replies], [201, 201])
        self.assertEqual(
            {each.headers["shellstream-run"] for each in replies},
            {self.started.run.id},
        )
        self.assertEqual(self.ask("POST", "/runs", body, headers).status, 201)
        self.started.exit()
        self.assertEqual(self.registry.active, {})

    def test_at_the_limit(self) -> None:
        """A retry is neither turned away, nor ends the run that it is for."""
        for when_busy in WhenBusy:
            limits = Limits(max_running=1, when_busy=when_busy)
            say = evolve(SAY, limits=limits)
            self.serve(Config(commands={"say": say}, default="say", max_running=1))
            first = self.post("/runs", {}, **KEY)
            again = self.post("/runs", {}, **KEY)
            self.assertEqual(self.document(201)["state"], "running")
            self.assertEqual(again.headers["location"], first.headers["location"])
            self.assertEqual(self.started.child.signals, [])

    def test_stream(self) -> None:
        """At C{/stream} the retry follows the run from its beginning."""
        self.post("/stream/echo?x=a", **KEY)
        self.started.say(b"one ")
        self.connection.lose()
        again = Connection(self.site)
        headers = {"Idempotency-Key": KEY["Idempotency_Key"]}
        reply = again.ask("POST", "/stream/echo?x=a", b"", headers)
        self.assertEqual(reply.headers["shellstream-run"], self.started.run.id)
        self.clock.advance(100)
        self.started.say(b"two")
        self.started.exit()
        reply = again.reply()
        self.assertEqual((reply.body, reply.whole), (b"one two", True))

    def test_stream_ended(self) -> None:
        """
        A run that has ended meanwhile is delivered whole, with its end in the headers.
        """
        self.post("/stream/echo?x=a", **KEY)
        self.started.say(b"all")
        self.started.exit(3)
        reply = self.post("/stream/echo?x=a", **KEY)
        self.assertEqual((reply.status, reply.body, reply.whole), (200, b"all", True))
        self.assertEqual(reply.headers["shellstream-exit-code"], "3")

    def test_stream_overrun(self) -> None:
        """If its beginning is no longer kept, a repeat is refused before any output."""
        say = evolve(SAY, limits=Limits(retain=1000))
        self.serve(Config(commands={"say": say}, default="say"))
        self.post("/stream", **KEY)
        for _ in range(9):
            self.started.say(b"x" * 100)
        for _ in range(2):
            reply = Connection(self.site).ask(
                "POST", "/stream", b"", {"Idempotency-Key": KEY["Idempotency_Key"]}
            )
            self.assertEqual((reply.status, reply.whole), (410, True))
            self.assertEqual(reply.headers["shellstream-run"], self.started.run.id)
            if self.registry.active:
                self.started.exit()


class JoinTests(RunsTestCase):
    """A command may let requests join its running run."""

    config = Config(
        commands={
            "say": evolve(
                SAY, limits=Limits(max_running=1, when_busy=WhenBusy.JOIN, retain=1000)
            )
        },
        default="say",
    )

    def test_joined(self) -> None:
        """A request that joins a run gets 200 and its location."""
        self.assertEqual(self.post("/runs", {}).status, 201)
        self.post("/runs", {})
        run_id = self.started.run.id
        self.assertEqual(self.document(200)["id"], run_id)
        self.assertEqual(self.connection.target(), f"/runs/{run_id}")

    def test_stream(self) -> None:
        """At C{/stream} it follows that run from its beginning, if that is kept."""
        self.begin()
        self.started.say(b"x" * 100)
        other = Connection(self.site)
        self.assertEqual(other.ask("GET", "/stream").body, b"x" * 100)
        for _ in range(9):
            self.started.say(b"x" * 100)
        self.assertEqual(len(other.reply().body), 1000)
        self.ask("GET", "/stream")
        self.assert_problem(410, "not kept any more")

    def test_leaves(self) -> None:
        """When one of several viewers leaves, the run goes on."""
        one, two = Connection(self.site), Connection(self.site)
        one.ask("GET", "/stream")
        two.ask("GET", "/stream")
        one.lose()
        self.clock.advance(100)
        self.assertEqual(self.started.child.signals, [])
        two.lose()
        self.clock.advance(10)
        self.assertIn("SIGTERM", self.started.child.signals)

    def test_key(self) -> None:
        """A key is for the run that was joined, even when that has ended."""
        self.begin()
        self.post("/runs", {}, **KEY)
        self.assertEqual(self.document(201)["id"], self.started.run.id)
        self.started.exit(3)
        self.post("/runs", {}, **KEY)
        self.assertEqual(self.document(201)["code"], 3)


class LeavingTests(SlowTestCase):
    """A client that leaves before its response gets no more writes."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.lose()

    def leave(self, method: str, path: str, *lines: str) -> None:
        """Ask, leave before the store has answered, then let it answer."""
        self.thread.manual = True
        head = (
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            "Content-Length: 0",
            *lines,
        )
        connection = Connection(self.site)
        connection.send("\r\n".join(head).encode() + b"\r\n\r\n")
        self.assertTrue(self.thread.waiting, "it waits for nothing")
        connection.lose()
        self.thread.finish()
        self.assertEqual(connection.wire.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stream(self) -> None:
        """A run that was begun for it is ended as if it had seen it begin."""
        self.leave("POST", "/stream/say")
        self.assertEqual(self.started.child.signals, [])
        self.clock.advance(10)
        self.assertEqual(self.started.child.signals, ["SIGTERM", "SIGCONT"])
        self.started.exit(None, 15)
        self.assertIs(self.started.run.record.reason, Reason.DISCONNECTED)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cannot_start(self) -> None:
        """An error of a client that has left is not logged."""
        self.leave("GET", "/runs/nothing")

    def test_ended(self) -> None:
        """Reading and deleting an ended run leave nothing behind."""
        for method, rest in (
            ("GET", ""),
            ("GET", "/output"),
            ("HEAD", "/output"),
            ("DELETE", ""),
        ):
            with self.subTest(method=method, rest=rest):
                started = self.begin()
                started.exit()
                path = f"/runs/{started.run.id}"
                del started
                self.spawn.started.clear()
                self.leave(method, path + rest)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unchanged(self) -> None:
        """A client that would have got 304 is as any other."""
        started = self.begin()
        started.exit()
        run = f"/runs/{started.run.id}"
        del started
        for path in (run, f"{run}/output", "/runs"):
            with self.subTest(path=path):
                self.leave("GET", path, "If-None-Match: *")

    def test_created(self) -> None:
        """A run that needs no viewer starts nevertheless."""
        self.leave("GET", "/runs")
        self.thread.manual = True
        connection = Connection(self.site)
        connection.send(
            b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        )
        connection.lose()
        self.thread.finish()
        self.clock.advance(3600)
        self.assertEqual(self.started.child.signals, [])
