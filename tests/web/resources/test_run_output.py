"""Tests for L{shellstream.web.resources.run_output}.

A run's output, from any offset on.
"""

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.model.events import Stream
from shellstream.model.limits import Limits, WhenBusy
from tests.support.fakes import SAY
from tests.support.http import Connection
from tests.support.web import ANNOUNCED, OutputTestCase


class LiveTests(OutputTestCase):
    """The output of a run that goes on."""

    def test_followed(self) -> None:
        """
        Existing output comes at once, and new output as it is written, without a seam.
        """
        self.run_.say(b"one ")
        reply = self.output()
        self.assertEqual((reply.body, reply.whole), (b"one ", False))
        self.run_.say(b"two ", Stream.STDERR)
        self.run_.say(b"three")
        self.run_.exit(3)
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"one two three", True))
        expected = {"shellstream-state": "exited", "shellstream-exit-code": "3"}
        self.assertEqual(reply.trailers, expected)

    def test_headers(self) -> None:
        """The headers are those of any stream, and are there before any output."""
        reply = self.output()
        expected = {
            "content-type": "text/plain; charset=utf-8",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "vary": "Accept, Origin",
            "accept-ranges": "bytes",
            "etag": f'"{self.run_.run.id}-0"',
            "transfer-encoding": "chunked",
            "trailer": ANNOUNCED,
            "shellstream-run": self.run_.run.id,
        }
        self.assertEqual({name: reply.headers.get(name) for name in expected}, expected)
        for name in ("content-encoding", "content-length", "shellstream-state"):
            self.assertNotIn(name, reply.headers)

    def test_offset(self) -> None:
        """The output can be read from any byte on."""
        self.run_.say(b"abc")
        self.run_.say(b"def")
        for offset in range(7):
            self.assert_body(b"abcdef"[offset:], f"?offset={offset}", whole=False)

    def test_past_the_end(self) -> None:
        """An offset that is not reached yet waits for its byte."""
        self.run_.say(b"abc")
        self.assert_body(b"", "?offset=5", whole=False)
        self.run_.say(b"d")
        self.assertEqual(self.reply().body, b"")
        self.run_.say(b"efg")
        self.assertEqual(self.reply().body, b"fg")
        self.run_.exit()
        self.assertTrue(self.reply().whole)

    def test_never_reached(self) -> None:
        """If the offset is never reached, the stream ends without a byte."""
        self.output("?offset=5")
        self.run_.say(b"abc")
        self.run_.exit()
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"", True))

    def test_tail(self) -> None:
        """The answer has the last lines, then new output."""
        self.run_.say(b"1\n2\n")
        self.run_.say(b"3\n4")
        for lines, body in ((0, b""), (1, b"4"), (2, b"3\n4"), (9, b"1\n2\n3\n4")):
            self.assert_body(body, f"?tail={lines}", whole=False)
        self.run_.say(b"\n")
        self.assertEqual(self.reply().body, b"1\n2\n3\n4\n")

    def test_stream(self) -> None:
        """A stream can be read without the other; offsets count both."""
        for data, stream in (
            (b"out1\n", Stream.STDOUT),
            (b"err1\n", Stream.STDERR),
            (b"out2\n", Stream.STDOUT),
            (b"err2\n", Stream.STDERR),
        ):
            self.run_.say(data, stream)
        self.assert_body(b"out1\nout2\n", "?stream=stdout", whole=False)
        self.assert_body(b"err1\nerr2\n", "?stream=stderr", whole=False)
        self.assert_body(b"1\nerr2\n", "?stream=stderr&offset=8", whole=False)
        self.assert_body(b"out2\n", "?stream=stdout&tail=1", whole=False)
        # A part has no byte ranges of the whole.
        self.assertNotIn("accept-ranges", self.reply().headers)

    def test_no_follow(self) -> None:
        """A viewer that does not follow gets the output so far, uncounted."""
        self.run_.say(b"abc")
        self.assert_body(b"abc", "?follow=false")
        self.assertEqual(self.reply().trailers, {})
        self.assert_body(b"", "?follow=false&offset=3")
        self.assert_body(b"", "?follow=false&offset=9")
        self.assert_body(b"abc", "?follow=true", whole=False)

    def test_many(self) -> None:
        """All viewers get all output from their offsets."""
        viewers = []
        for offset in range(3):
            self.output(f"?offset={offset}")
            viewers.append(self.connection)
        self.run_.say(b"abcdef")
        viewers.pop(1).lose()
        self.run_.exit()
        bodies = [each.reply().body for each in viewers]
        self.assertEqual(bodies, [b"abcdef", b"cdef"])

    def test_queued(self) -> None:
        """The output of a run that is still to be started can be waited for."""
        say = evolve(SAY, limits=Limits(when_busy=WhenBusy.QUEUE))
        self.serve(Config(commands={"say": say}, default="say", max_running=1))
        first = self.run_
        self.post("/runs", {})
        queued = self.document(201)
        self.assertEqual(queued["state"], "queued")
        other = Connection(self.site)
        self.assertEqual(other.ask("GET", queued["output"]).status, 200)
        first.exit()
        self.spawn.started[-1].say(b"at last")
        self.assertEqual(other.reply().body, b"at last")
        self.assertEqual(other.reply().headers["shellstream-run"], queued["id"])


class EndedTests(OutputTestCase):
    """The output of an ended run."""

    def setUp(self) -> None:
        super().setUp()
        self.run_.say(b"abc\n")
        self.run_.say(b"def\n", Stream.STDERR)
        self.run_.exit(3)

    def test_whole(self) -> None:
        """The output has its length and, in place of trailers, headers with the end."""
        for query in ("", "?follow=false", "?stream=stderr", "?gap=skip"):
            reply = self.output(query)
            body = b"def\n" if "stderr" in query else b"abc\ndef\n"
            self.assertEqual((reply.body, reply.whole), (body, True))
            expected = {"shellstream-state": "exited", "shellstream-exit-code": "3"}
            for name, value in expected.items():
                self.assertEqual(reply.headers[name], value)
            self.assertNotIn("shellstream-exit-signal", reply.headers)
            self.assertNotIn("trailer", reply.headers)
            self.assertEqual(reply.trailers, {})
        self.assertEqual(self.output().headers["content-length"], "8")
        self.assertNotIn("transfer-encoding", self.reply().headers)

    def test_offset(self) -> None:
        """The output can be read from any byte on, and from its end, but not beyond."""
        for offset in range(9):
            self.assert_body(b"abc\ndef\n"[offset:], f"?offset={offset}")
        reply = self.output("?offset=9")
        self.assert_problem(416, "the output ends at 8")
        self.assertEqual(reply.headers["content-range"], "bytes */8")

    def test_parts(self) -> None:
        """The same parts can be requested as while the run was running."""
        self.assert_body(b"def\n", "?tail=1")
        self.assert_body(b"", "?tail=0")
        self.assert_body(b"abc\n", "?stream=stdout")
        self.assert_body(b"abc\n", "?stream=stdout&tail=1")
        self.assert_body(b"abc\ndef\n", "?follow=false")
        self.assert_body(b"abc\ndef\n", "?lossless=true")

    def test_http_1_0(self) -> None:
        """
        HTTP/1.0 gets the length, so that a broken connection is not taken for the end.
        """
        for query, body in (("", b"abc\ndef\n"), ("?offset=5", b"ef\n")):
            reply = self.output(query, version="HTTP/1.0")
            self.assertEqual(reply.headers["content-length"], str(len(body)))
            self.assertEqual((reply.body, reply.whole), (body, True))
            self.assertEqual(reply.headers["shellstream-exit-code"], "3")
            self.assertNotIn("trailer", reply.headers)
        reply = self.output("?stream=stderr", version="HTTP/1.0")
        self.assertEqual(reply.body, b"def\n")
        self.assertNotIn("content-length", reply.headers)

    def test_head(self) -> None:
        """HEAD answers with the headers alone, the length among them."""
        for query, length in (("", "8"), ("?offset=5", "3")):
            reply = self.output(query, method="HEAD")
            self.assertEqual((reply.status, reply.rest), (200, b""))
            self.assertEqual(reply.headers["content-length"], length)
            self.assertEqual(reply.headers["shellstream-state"], "exited")
        reply = self.output("?offset=9", method="HEAD")
        self.assertEqual((reply.status, reply.rest), (416, b""))

    def test_shut_down(self) -> None:
        """A run that the daemon ended is shown whole to later readers."""
        self.serve(self.config)
        self.run_.say(b"abc")
        self.output()
        watched = self.connection
        self.registry.supervisor.hurry()
        self.run_.exit(None, 15)
        self.assertFalse(watched.reply().whole)
        self.assertTrue(watched.wire.disconnecting)
        for version in ("HTTP/1.1", "HTTP/1.0"):
            reply = self.output(version=version)
            self.assertEqual((reply.body, reply.whole), (b"abc", True))
            self.assertEqual(reply.headers["shellstream-reason"], "shutdown")
            self.assertFalse(self.connection.wire.disconnected)

    def test_head_of_live(self) -> None:
        """HEAD on a live run promises no length, and does not watch."""
        self.serve(self.config)
        reply = self.output(method="HEAD")
        self.assertEqual((reply.status, reply.rest), (200, b""))
        for name in ("content-length", "shellstream-state"):
            self.assertNotIn(name, reply.headers)


class QueryTests(OutputTestCase):
    """The allowed query parameters."""

    def test_refused(self) -> None:
        """All bad parameters are named at once."""
        self.output("?offset=-1&tail=x&follow=yes&lossless=1&gap=fill&stream=both&x=1")
        self.assert_parameters(
            self.problem(),
            offset="must be an integer from 0",
            tail="must be an integer from 0 to 100000",
            follow="must be true or false",
            lossless="must be true or false",
            gap="must be skip, or left out",
            stream="must be one of stdout, stderr",
            x="is unknown here",
        )
        self.output("?offset=1&tail=1")
        self.assert_parameters(self.problem(), tail="cannot be combined with offset")
