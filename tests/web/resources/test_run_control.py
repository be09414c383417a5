"""Tests for L{shellstream.web.resources.run_control}.

What is put into a run by HTTP.
"""

import json

from shellstream.config.command import Command
from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from shellstream.model.events import State
from shellstream.model.limits import Limits, WhenBusy
from shellstream.model.run_input import Tty
from tests.support.fakes import HEAR, SAY, Started
from tests.support.http import Connection, Reply
from tests.support.pages import BROWSER
from tests.support.web import RunsTestCase

ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
LIMITS = HttpLimits()


class InputTestCase(RunsTestCase):
    """Runs that read."""

    config = Config(commands={"say": SAY, "hear": HEAR}, default="hear", max_running=2)

    def hearing(self, **wish: object) -> Started:
        """Start one more run, with input by default."""
        count = len(self.spawn.started)
        reply = self.post("/runs", {"command": "hear", **(wish or {"stdin": True})})
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(len(self.spawn.started), count + 1)
        return self.spawn.started[-1]

    def feed(
        self,
        run_id: str,
        data: bytes,
        query: str = "",
        connection: Connection | None = None,
    ) -> Reply:
        """Send some input."""
        ask = (connection or self.connection).ask
        return ask("POST", f"/runs/{run_id}/stdin{query}", data)

    def assert_taken(self, reply: Reply, offset: int) -> None:
        """Check that all input was taken, up to this offset."""
        self.assertEqual((reply.status, reply.rest), (204, b""), reply)
        self.assertEqual(reply.headers["shellstream-stdin-offset"], str(offset))

    def assert_not_taken(self, reply: Reply, offset: int, why: str) -> None:
        """Check for a refusal that says how far the input has come."""
        self.assertEqual(reply.status, 409, reply)
        found = json.loads(reply.body)
        self.assertIn(why, found["detail"])
        self.assertEqual(found["stdin_offset"], offset)
        self.assertEqual(reply.headers["shellstream-stdin-offset"], str(offset))


class StdinTests(InputTestCase):
    """C{POST /runs/ID/stdin} is answered when the run took it all."""

    def test_taken(self) -> None:
        """Input is taken unchanged, with any content type, and counted."""
        started = self.hearing()
        data = bytes(range(256))
        for media_type in ("", "application/json", "application/octet-stream"):
            path = f"/runs/{started.run.id}/stdin"
            reply = self.ask("POST", path, data, {"Content-Type": media_type})
            self.assert_taken(reply, len(started.child.given))
        self.assertEqual(started.child.given, 3 * data)
        found = self.get(f"/runs/{started.run.id}")
        self.assertEqual(found["stdin"], {"offset": 768, "open": True})

    def test_retried(self) -> None:
        """Input with an offset may be sent again; its end, too."""
        started = self.hearing()
        run_id = started.run.id
        self.assert_taken(self.feed(run_id, b"abc", "?offset=0"), 3)
        self.assert_taken(self.feed(run_id, b"abcd", "?offset=0"), 4)
        for _ in range(2):
            self.assert_taken(self.feed(run_id, b"e", "?offset=4&eof=true"), 5)
        self.assertEqual((started.child.given, started.child.ended), (b"abcde", True))
        self.assert_not_taken(self.feed(run_id, b"f"), 5, "send no more")
        reply = self.feed(run_id, b"x", "?offset=7")
        self.assert_not_taken(reply, 5, "go on with offset=5")

    def test_waits(self) -> None:
        """Input that is larger than the room waits."""
        started = self.hearing()
        started.child.room = 2
        connection = Connection(self.site)
        with self.assertRaises(AssertionError):  # there is no answer
            self.feed(started.run.id, b"abcdef", connection=connection)
        reply = self.feed(started.run.id, b"x")
        self.assert_not_taken(reply, 2, "other input still waits")
        self.assertEqual(reply.headers["retry-after"], "1")
        started.child.take(4)
        self.assert_taken(connection.reply(), 6)
        self.assertEqual(self.site.body_quota.used, 0)

    def test_left(self) -> None:
        """
        The input of a client that leaves counts as far as it was taken, and blocks no
        other.
        """
        started = self.hearing()
        started.child.room = 2
        connection = Connection(self.site)
        with self.assertRaises(AssertionError):
            self.feed(started.run.id, b"abcdef", connection=connection)
        connection.lose()
        started.child.take(100)
        self.assertEqual((started.child.given, self.site.body_quota.used), (b"ab", 0))
        self.assert_taken(self.feed(started.run.id, b"abcdef", "?offset=0"), 6)
        self.assertEqual(started.child.given, b"abcdef")

    def test_came_again(self) -> None:
        """
        A client that reconnects before its break is noticed replaces its old request.
        """
        started = self.hearing()
        started.child.room = 2
        first, second = Connection(self.site), Connection(self.site)
        for connection in (first, second):
            with self.assertRaises(AssertionError):
                self.feed(started.run.id, b"abcdef", "?offset=0", connection)
        self.assert_not_taken(first.reply(), 2, "newer input came")
        started.child.take(100)
        self.assert_taken(second.reply(), 6)
        self.assertEqual(started.child.given, b"abcdef")

    def test_deaf(self) -> None:
        """When a run closes its input, waiting and new requests are refused."""
        started = self.hearing()
        started.child.room = 2
        connection = Connection(self.site)
        with self.assertRaises(AssertionError):
            self.feed(started.run.id, b"abcdef", connection=connection)
        started.run.input_lost()
        self.assert_not_taken(connection.reply(), 2, "is closed, after 2 bytes")
        self.assert_not_taken(self.feed(started.run.id, b"x"), 2, "is closed")
        started.exit()
        self.feed(started.run.id, b"x")
        self.assert_problem(409, "it is exited")

    def test_no_input(self) -> None:
        """A run that was started without input takes none."""
        self.feed(self.begin().run.id, b"x")
        self.assert_problem(409, 'start one with {"stdin": true}')

    def test_query(self) -> None:
        """A bad query parameter is named."""
        run_id = self.hearing().run.id
        self.feed(run_id, b"x", "?offset=-1&eof=1&of=2")
        found = self.problem()
        self.assert_parameters(
            found, offset="an integer", eof="true or false", of="is unknown here"
        )

    def test_other_sites(self) -> None:
        """A page of another site cannot send input."""
        started = self.hearing(tty=True)
        path = f"/runs/{started.run.id}"
        self.assertEqual(self.ask("POST", f"{path}/stdin", b"x", ELSEWHERE).status, 403)
        body = b'{"rows": 1, "columns": 1}'
        self.assertEqual(
            self.ask("POST", f"{path}/resize", body, ELSEWHERE).status, 403
        )
        self.assertEqual((started.child.given, started.child.size), (b"", None))

    def test_stream(self) -> None:
        """C{/stream} gives no input."""
        self.ask("POST", "/stream/hear")
        self.assertFalse(self.started.invocation.stdin)
        self.assertIsNone(self.started.run.record.stdin)


class QueuedTests(InputTestCase):
    """A run that waits for its turn has input already."""

    def test_waits(self) -> None:
        """Input for a queued run waits with it, and so does a size."""
        limits = Limits(when_busy=WhenBusy.QUEUE, max_running=1)
        hear = Command(name="hear", argv=("hear",), stdin=True, tty=True, limits=limits)
        self.serve(Config(commands={"hear": hear}))
        first = self.hearing()
        self.post("/runs", {"command": "hear", "tty": True})
        queued = self.document(201)
        self.assertEqual(queued["state"], "queued")
        self.assertEqual(queued["stdin"], {"offset": 0, "open": True})
        connection = Connection(self.site)
        with self.assertRaises(AssertionError):
            self.feed(queued["id"], b"abc", "?eof=true", connection)
        size = {"rows": 33, "columns": 44}
        self.assertEqual(self.post(f"/runs/{queued['id']}/resize", size).status, 204)
        first.exit()
        self.assert_taken(connection.reply(), 3)
        second = self.spawn.started[-1]
        self.assertEqual((second.child.given, second.child.ended), (b"abc", True))
        self.assertEqual(second.invocation.tty, Tty(rows=33, columns=44))

    def test_cancelled(self) -> None:
        """Input for a run that never starts is refused when the run is cancelled."""
        limits = Limits(when_busy=WhenBusy.QUEUE, max_running=1)
        hear = Command(name="hear", argv=("hear",), stdin=True, limits=limits)
        self.serve(Config(commands={"hear": hear}))
        self.hearing()
        for end in ("cancel", "stop"):
            self.post("/runs", {"command": "hear", "stdin": True})
            run_id = self.document(201)["id"]
            connection = Connection(self.site)
            with self.assertRaises(AssertionError):
                self.feed(run_id, b"abc", connection=connection)
            if end == "cancel":
                self.ask("POST", f"/runs/{run_id}/cancel")
                self.assertEqual(connection.reply().status, 409)
            else:
                self.registry.supervisor.stop()
                self.assertEqual(connection.reply().status, 503)
            self.assertEqual(self.site.body_quota.used, 0)


class ResizeTests(InputTestCase):
    """Input comes in pieces, and all of them together are bounded."""

    def test_largest(self) -> None:
        """A piece may be of 1 MiB, however its target is written."""
        started = self.hearing()
        data = bytes(LIMITS.input_size)
        path = f"/runs/{started.run.id}/stdin"
        for target in (path, f"{path}/?eof=false", f"http://localhost{path}"):
            self.assertEqual(self.ask("POST", target, data).status, 204)
        self.assertEqual(len(started.child.given), 3 << 20)
        self.assertEqual(self.site.body_quota.used, 0)

    def test_too_large(self) -> None:
        """
        One byte over the limit is refused with advice; other resources have a smaller
        limit.
        """
        started = self.hearing()
        reply = self.feed(started.run.id, bytes(LIMITS.input_size + 1))
        self.assertEqual(reply.status, 413)
        self.assertIn(b"send it in pieces, each with its offset", reply.body)
        self.assertEqual(started.child.given, b"")
        for path in ("/cancel", "/resize", "/stdin/x", "/output?x=/runs/x/stdin"):
            connection = Connection(self.site)
            path = f"/runs/{started.run.id}{path}"
            reply = connection.ask("POST", path, bytes(LIMITS.body_size + 1))
            self.assertEqual(reply.status, 413, path)
        self.assertEqual(self.site.body_quota.used, 0)

    def test_all(self) -> None:
        """Waiting input of one address is limited to 48 MiB."""
        data = bytes(LIMITS.input_size)
        waiting = []
        for _ in range(48):
            connection = Connection(self.site)
            head = f"POST /runs/x/stdin HTTP/1.1\r\nContent-Length: {len(data)}\r\n"
            connection.send(f"{head}Host: localhost\r\n\r\n".encode() + data[1:])
            waiting.append(connection)
        self.assertEqual(self.site.body_quota.used, (48 << 20) - len(waiting))
        started = self.hearing()
        self.assert_taken(self.feed(started.run.id, b"x"), 1)
        reply = self.feed(started.run.id, bytes(100))
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "5"))
        self.connection.lose()
        waiting.pop().lose()
        reply = self.feed(started.run.id, bytes(100), connection=Connection(self.site))
        self.assert_taken(reply, 101)
        for connection in waiting:
            connection.lose()
        self.assertEqual(self.site.body_quota.used, 0)


class StartWithInputTests(InputTestCase):
    """C{POST /runs} may ask for input and for a terminal."""

    def test_stdin(self) -> None:
        """Only a run that was started with input takes input."""
        for wish, expected in (({"stdin": True}, True), ({"stdin": False}, False)):
            started = self.hearing(**wish)
            self.assertIs(started.invocation.stdin, expected)
            found = self.get(f"/runs/{started.run.id}")
            self.assertEqual(found["stdin"] is not None, expected)
            self.assertIsNone(found["tty"])

    def test_tty(self) -> None:
        """A terminal has the usual size and type, or those asked for, and input."""
        for wish, expected in (
            (True, Tty()),
            ({}, Tty()),
            ({"columns": 4096}, Tty(columns=4096)),
            ({"rows": 25.0, "columns": 8e1}, Tty(rows=25, columns=80)),
            (
                {"rows": 1, "columns": 2, "term": "screen.xterm-256color"},
                Tty(rows=1, columns=2, term="screen.xterm-256color"),
            ),
        ):
            started = self.hearing(tty=wish)
            self.assertEqual(started.invocation.tty, expected)
            self.assertTrue(started.invocation.stdin)
            self.assertIsNotNone(self.get(f"/runs/{started.run.id}")["tty"])
            started.exit()
        self.assertIsNone(self.hearing(tty=False).invocation.tty)

    def test_wrong(self) -> None:
        """An invalid terminal is refused by name."""
        side = "must be an integer from 1 to 4096"
        wrong: list[tuple[object, dict[str, str]]] = [
            (1, {"tty": "must be true, false or"}),
            ("xterm", {"tty": "must be true, false or"}),
            (None, {"tty": "must be true, false or"}),
            ({"rows": 0}, {"tty.rows": side}),
            ({"rows": 4097, "columns": True}, {"tty.rows": side, "tty.columns": side}),
            ({"columns": "80", "rows": 2.5}, {"tty.columns": side, "tty.rows": side}),
            ({"term": "../x"}, {"tty.term": "must be a terminal's type"}),
            ({"term": "xterm\n"}, {"tty.term": "must be a terminal's type"}),
            ({"term": 1, "cols": 2}, {"tty.term": "type", "tty.cols": "unknown"}),
        ]
        for wish, expected in wrong:
            with self.subTest(wish=wish):
                self.post("/runs", {"tty": wish})
                self.assert_parameters(self.problem(), **expected)
        self.ask("POST", "/runs", b'{"tty": {"rows": 1, "rows": 1}}')
        self.assert_parameters(self.problem(), tty="has a member twice")
        self.assertEqual(self.spawn.started, [])

    def test_not_allowed(self) -> None:
        """A command that allows neither says so, and who could change that."""
        for wish in ("stdin", "tty"):
            self.post("/runs", {"command": "say", wish: True})
            self.assert_parameters(self.problem(), **{wish: f"with {wish} = true"})
        self.assertEqual(self.spawn.started, [])

    def test_resize(self) -> None:
        """The size of a terminal may change; both sides have to be there."""
        started = self.hearing(tty=True)
        path = f"/runs/{started.run.id}/resize"
        reply = self.post(path, {"rows": 50, "columns": 132})
        self.assertEqual((reply.status, reply.rest), (204, b""))
        self.assertEqual(started.child.size, Tty(rows=50, columns=132))
        self.assertEqual(self.post(path, {"rows": 51.0, "columns": 132}).status, 204)
        self.assertEqual(repr(started.child.size), repr(Tty(rows=51, columns=132)))
        self.post(path, {"rows": 0, "size": 1})
        self.assert_parameters(
            self.problem(), rows="from 1 to", columns="is required", size="unknown"
        )
        self.post(f"/runs/{self.hearing().run.id}/resize", {"rows": 1, "columns": 1})
        self.assert_problem(409, 'start one with {"tty": true}')


class BrowserTests(RunsTestCase):
    """A browser without scripts uses forms."""

    def test_cancel(self) -> None:
        """Who cancels a run by a form is shown its page again."""
        started = self.begin()
        path = f"/runs/{started.run.id}"
        self.ask("POST", f"{path}/cancel", b"", {"Accept": BROWSER})
        self.assertEqual(self.reply().status, 303)
        self.assertEqual(self.connection.target(), path)
        self.assertEqual(started.run.snapshot().state, State.RUNNING)
        self.assertTrue(started.child.signals)
