"""Tests for L{shellstream.web}: C{Range} over HTTP, on runs that ended or go on."""

from shellstream.model.events import Stream
from shellstream.web.resources.query import MAX_OFFSET
from tests.support.http import Connection, Reply
from tests.support.web import ANNOUNCED, SMALL, OutputTestCase


class RangeTestCase(OutputTestCase):
    """Requests with C{Range} for the output of a run."""

    def part(
        self, wanted: str, query: str = "", method: str = "GET", **headers: str
    ) -> Reply:
        """The answer as far as it is there soon."""
        path = f"/runs/{self.run_.run.id}/output{query}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        every = {"Range": f"bytes={wanted}", **named}
        self.connection.request(method, path, headers=every)
        self.clock.advance(0)
        return self.reply()


class EndedTests(RangeTestCase):
    """C{Range} on an ended run is as on a file."""

    BODY = b"hello, world"

    def setUp(self) -> None:
        super().setUp()
        self.run_.say(self.BODY[:5])
        self.run_.say(self.BODY[5:], Stream.STDERR)
        self.run_.exit(3)

    def test_part(self) -> None:
        """206 with the bytes, where they lie, how many, and the run."""
        reply = self.part("2-8")
        self.assertEqual((reply.status, reply.whole), (206, True))
        self.assertEqual(reply.body, self.BODY[2:9])
        expected = {
            "content-range": "bytes 2-8/12",
            "content-length": "7",
            "content-type": "text/plain; charset=utf-8",
            "etag": f'"{self.run_.run.id}-12"',
            "accept-ranges": "bytes",
            "shellstream-run": self.run_.run.id,
            "x-content-type-options": "nosniff",
        }
        self.assertEqual({name: reply.headers.get(name) for name in expected}, expected)
        self.assertNotIn("transfer-encoding", reply.headers)
        self.assertNotIn("trailer", reply.headers)

    def test_resumed(self) -> None:
        """A client that resumes after a cut at any byte gets the whole output."""
        for cut in range(len(self.BODY)):
            reply = self.part(f"{cut}-")
            self.assertEqual(self.BODY[:cut] + reply.body, self.BODY)
        # As curl -C - asks that has it all already.
        reply = self.part(f"{len(self.BODY)}-")
        self.assert_problem(416, "nothing follows")
        self.assertEqual(reply.headers["content-range"], "bytes */12")

    def test_suffix(self) -> None:
        """The last bytes."""
        self.assertEqual(self.part("-5").body, b"world")
        self.assertEqual(self.part("-99").body, self.BODY)

    def test_whole(self) -> None:
        """A malformed range, or several ranges, are answered with the whole output."""
        for wanted in ("", "5-4", "0-1,3-4", "x"):
            reply = self.part(wanted)
            self.assertEqual((reply.status, reply.body), (200, self.BODY))
            self.assertNotIn("content-range", reply.headers)

    def test_if_range(self) -> None:
        """
        With C{If-Range} the answer is a part of the same run's output, or the whole.
        """
        tag = self.part("0-0").headers["etag"]
        self.assertEqual(self.part("5-", If_Range=tag).status, 206)
        for other in (
            '"other"',
            f"W/{tag}",
            tag.strip('"'),
            "Thu, 01 Jan 2026 00:00:00 GMT",
        ):
            reply = self.part("5-", If_Range=other)
            self.assertEqual((reply.status, reply.body), (200, self.BODY))

    def test_only_get(self) -> None:
        """Ranges are defined for GET alone (RFC 9110, 14.2)."""
        reply = self.part("5-", method="HEAD")
        self.assertEqual((reply.status, reply.rest), (200, b""))
        self.assertEqual(reply.headers["content-length"], "12")

    def test_only_the_whole(self) -> None:
        """C{Range} is ignored for a selected part of the output, or another format."""
        for query, body in (
            ("?offset=5", self.BODY[5:]),
            ("?tail=1", self.BODY),
            ("?stream=stderr", self.BODY[5:]),
        ):
            reply = self.part("2-", query)
            self.assertEqual((reply.status, reply.body), (200, body))
            self.assertNotIn("accept-ranges", reply.headers)
        reply = self.part("2-", "?format=ndjson")
        self.assertEqual(reply.status, 200)
        self.assertNotIn("etag", reply.headers)

    def test_other_run(self) -> None:
        """Another run has another entity tag."""
        tag = self.part("0-").headers["etag"]
        self.run_ = self.begin()
        self.run_.exit()
        self.assertNotEqual(self.output().headers["etag"], tag)


class LiveTests(RangeTestCase):
    """C{Range} on a run that goes on is as RFC 8673 says."""

    def setUp(self) -> None:
        super().setUp()
        self.run_.say(b"hello")

    def test_open(self) -> None:
        """
        A range from the first byte on, or of the last bytes, ends at the newest byte;
        the whole length is unknown.
        """
        reply = self.part("0-")
        self.assertEqual((reply.status, reply.body, reply.whole), (206, b"hello", True))
        self.assertEqual(reply.headers["content-range"], "bytes 0-4/*")
        self.assertEqual(reply.headers["content-length"], "5")
        self.assertEqual(self.part("-2").body, b"lo")
        self.part("-0")
        self.assert_problem(416)

    def test_resumed(self) -> None:
        """A client that has some of the output gets all that is still to come."""
        reply = self.part("1-")
        self.assertEqual((reply.status, reply.body, reply.whole), (206, b"ello", False))
        tag = reply.headers["etag"]
        self.run_.say(b", ")
        other = Connection(self.site)
        path = f"/runs/{self.run_.run.id}/output"
        headers = {"Range": "bytes=5-", "If-Range": tag}
        self.assertEqual(other.ask("GET", path, headers=headers).status, 206)
        self.run_.say(b"world")
        self.run_.exit()
        for connection, body in (
            (self.connection, b"ello, world"),
            (other, b", world"),
        ):
            reply = connection.reply()
            self.assertEqual((reply.body, reply.whole), (body, True))

    def test_goes_on(self) -> None:
        """A range with a far end goes on with the run, and ends with it."""
        reply = self.part(f"1-{MAX_OFFSET}")
        self.assertEqual((reply.status, reply.body, reply.whole), (206, b"ello", False))
        self.assertEqual(reply.headers["content-range"], f"bytes 1-{MAX_OFFSET}/*")
        self.assertEqual(reply.headers["trailer"], ANNOUNCED)
        self.run_.say(b", world")
        self.run_.exit(3)
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"ello, world", True))
        self.assertEqual(reply.trailers["shellstream-exit-code"], "3")

    def test_until(self) -> None:
        """A range that ends in future output ends there, whatever the run does then."""
        reply = self.part("3-6")
        self.assertEqual((reply.body, reply.whole), (b"lo", False))
        self.run_.say(b", world")
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"lo, ", True))
        self.assertEqual(reply.trailers, {})
        self.connection.lose()

    def test_nothing_yet(self) -> None:
        """A range that begins at the end of the output waits for more."""
        reply = self.part("5-")
        self.assertEqual((reply.status, reply.body, reply.whole), (206, b"", False))
        self.run_.say(b"!")
        self.assertEqual(self.reply().body, b"!")

    def test_no_follow(self) -> None:
        """Without following, a range beyond the output is refused."""
        self.assertEqual(self.part("1-", "?follow=false").body, b"ello")
        self.assertEqual(self.part("5-", "?follow=false").status, 416)
        reply = self.part(f"1-{MAX_OFFSET}", "?follow=false")
        self.assertEqual((reply.body, reply.whole), (b"ello", True))

    def test_gone(self) -> None:
        """A range that is not kept any more is 410."""
        self.serve(SMALL)
        for _ in range(9):
            self.run_.say(b"x" * 100)
        self.part("0-")
        self.assert_problem(410, "ask for offset=600")
        reply = self.part("600-")
        self.assertEqual(reply.headers["content-range"], f"bytes 600-{MAX_OFFSET}/*")
