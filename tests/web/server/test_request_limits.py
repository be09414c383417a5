"""Tests for L{shellstream.web.server.request}: the limits of a request."""

import json

from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from shellstream.config.http_limits import DEFAULT_HTTP_LIMITS
from shellstream.model.limits import Limits
from shellstream.web.server.channel import FREE_HEAD, LINGER, READ_SIZE
from tests.support.http import Connection, Reply, WebTestCase, parsed

MAX_BODY = DEFAULT_HTTP_LIMITS.body_size
JSON = {"Content-Type": "application/json"}
#: The largest body that is taken, and one byte more.
LARGEST = b'{"x": "a"}'.ljust(MAX_BODY)
TOO_LARGE = LARGEST + b" "

#: When a connection on which nothing is asked is closed, in seconds.
IDLE = 60.0

LAST_CHUNK = b"0\r\n\r\n"


def chunked(body: bytes, size: int = 1 << 20) -> bytes:
    """A body in chunks of this size."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def head(*lines: str) -> bytes:
    """The head of a request that would run C{echo}."""
    first = (
        "POST /stream/echo HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
    )
    return "".join(f"{line}\r\n" for line in (*first, *lines)).encode() + b"\r\n"


class BoundTestCase(WebTestCase):
    """A request that is too large is refused before all of it has come."""

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.send(piece)

    def assert_refused(self, status: int) -> Reply:
        """
        Check for one whole refusal, that nothing ran, and that the client may read it.
        """
        reply = self.reply()
        self.assertEqual((reply.status, reply.whole, reply.rest), (status, True, b""))
        problem = json.loads(reply.body)
        self.assertEqual(problem["status"], status)
        told = "(larger|more) than" if status > 400 else "no well-formed"
        self.assertRegex(problem["detail"], told)
        expected = {
            "content-type": "application/problem+json",
            "connection": "close",
        }
        self.assertEqual({name: reply.headers[name] for name in expected}, expected)
        self.assertTrue(reply.headers["server"].startswith("shellstream/"))
        self.assertIn("date", reply.headers)
        self.assertEqual(self.spawn.started, [])
        self.assertTrue(self.connection.wire.half_closed)
        self.assertFalse(self.connection.wire.disconnecting)
        return reply


class BodyTests(BoundTestCase):
    """A body is bounded, however it is framed."""

    def test_largest(self) -> None:
        """The largest body that is allowed, of 64 KiB, is taken."""
        self.assertEqual(len(LARGEST), 64 * 1024)
        self.send(head(f"Content-Length: {MAX_BODY}") + LARGEST)
        self.assertEqual(self.reply().status, 200)
        self.assertEqual(self.started.invocation.argv, ("echo", "a"))

    def test_largest_in_chunks(self) -> None:
        """A request of the largest size may come in chunks, and in pieces of them."""
        body = chunked(LARGEST, 1000) + LAST_CHUNK
        self.send(
            head("Transfer-Encoding: chunked"),
            *(body[n : n + 777] for n in range(0, len(body), 777)),
        )
        self.assertEqual(self.reply().status, 200)
        self.assertEqual(self.started.invocation.argv, ("echo", "a"))

    def test_announced(self) -> None:
        """A body with too large a length is refused before it comes."""
        self.send(head(f"Content-Length: {MAX_BODY + 1}"))
        self.assert_refused(413)
        self.send(TOO_LARGE)
        self.assert_refused(413)

    def test_announced_huge(self) -> None:
        """The same for a length that no machine could hold."""
        self.send(head("Content-Length: 99999999999999999999"))
        self.assert_refused(413)

    def test_all_in_one_read(self) -> None:
        """
        A request that is too large is not run, even if it came in one read with
        another.
        """
        one_more = head("Content-Length: 10") + b'{"x": "a"}'
        self.send(head(f"Content-Length: {MAX_BODY + 1}") + TOO_LARGE + one_more)
        self.assert_refused(413)

    def test_chunked(self) -> None:
        """A chunked body is refused at its first byte over the limit."""
        self.send(head("Transfer-Encoding: chunked"), chunked(LARGEST, 5000))
        self.assertEqual(self.connection.wire.value(), b"")
        self.send(chunked(b" "))
        self.assert_refused(413)
        self.send(LAST_CHUNK)
        self.assert_refused(413)

    def test_chunked_in_one_read(self) -> None:
        """
        A request that is too large is not run, even if it came in one read with
        another.
        """
        one_more = head("Content-Length: 10") + b'{"x": "a"}'
        for size in (100, 1 << 20):
            self.serve(self.config)
            body = chunked(TOO_LARGE, size) + LAST_CHUNK
            self.send(head("Transfer-Encoding: chunked") + body + one_more)
            self.assert_refused(413)

    def test_nonsense_after(self) -> None:
        """Bytes after the refusal are not parsed."""
        body = chunked(TOO_LARGE) + b"no chunk at all\r\n\r\n"
        self.send(head("Transfer-Encoding: chunked") + body)
        self.assert_refused(413)

    def test_no_continue(self) -> None:
        """A body that is too large is refused instead of 100 Continue."""
        too_much = f"Content-Length: {MAX_BODY + 1}"
        self.send(head(too_much, "Expect: 100-continue"))
        self.assert_refused(413)

    def test_continue(self) -> None:
        """A client that waits for 100 Continue gets it, if the body is allowed."""
        self.send(head(f"Content-Length: {MAX_BODY}", "Expect: 100-continue"))
        self.assertEqual(self.connection.wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.connection.wire.clear()
        self.send(LARGEST)
        self.assertEqual(self.reply().status, 200)

    def test_gone_while_sending(self) -> None:
        """A client that leaves in the middle of its body has started nothing."""
        self.send(head("Content-Length: 10") + b'{"x":')
        self.connection.lose()
        self.assertEqual((self.connection.wire.value(), self.spawn.started), (b"", []))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SharedTests(BoundTestCase):
    """What all requests together may hold in memory is bounded."""

    def connect(self, data: bytes) -> Connection:
        """A connection on which this was sent."""
        made = Connection(self.site)
        made.send(data)
        return made

    def test_bodies(self) -> None:
        """Bodies that have not all come count, until the client leaves."""
        some = [
            self.connect(head(f"Content-Length: {MAX_BODY}") + LARGEST[:-1])
            for _ in range(100)
        ]
        self.assertEqual(self.site.body_quota.used, 100 * (MAX_BODY - 1))
        self.site.body_quota.limit = self.site.body_quota.used + 100
        connection = self.connect(head(f"Content-Length: {MAX_BODY}") + LARGEST[:-1])
        reply = connection.reply()
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "5"))
        for each in (*some, connection):
            each.lose()
        self.assertEqual(self.site.body_quota.used, 0)

    def test_answered(self) -> None:
        """A body counts no more when its request is answered, or streams."""
        body = b'{"x": "a"}'
        self.send(head(f"Content-Length: {len(body)}") + body)
        self.assertEqual(self.reply().status, 200)
        self.assertFalse(self.reply().whole)
        self.assertEqual(self.site.body_quota.used, 0)

    def test_input(self) -> None:
        """Input that no run reads leaves a quarter for the bodies of others."""
        quota = self.site.body_quota
        quota.each = quota.limit
        piece = b"x" * (1 << 20)
        sent = b"POST /runs/x/stdin HTTP/1.1\r\nHost: localhost\r\n"
        sent += b"Content-Length: 1048576\r\n"
        some = [self.connect(sent + b"\r\n" + piece[1:]) for _ in range(49)]
        self.assertEqual(some[-1].reply().status, 503)
        self.assertLessEqual(quota.used, quota.limit * 3 // 4)
        reply = self.ask("POST", "/stream/echo", b'{"x": "a"}', JSON)
        self.assertEqual(reply.status, 200)
        for each in some:
            each.lose()
        self.assertEqual(quota.used, 0)

    def test_heads(self) -> None:
        """Heads that are not complete count, beyond what comes in one packet."""
        quota = self.site.head_quota
        begin = b"GET /stream/say HTTP/1.1\r\nHost: localhost\r\nA: %b\r\nB: %b"
        large = begin % (b"x" * 7000, b"x" * 7000)
        some = [self.connect(large) for _ in range(10)]
        self.assertEqual(quota.used, 10 * (len(large) - FREE_HEAD))
        quota.limit = quota.used + 5000
        connection = self.connect(large)
        reply = connection.reply()
        self.assertEqual((reply.status, reply.headers["retry-after"]), (503, "5"))
        self.assertEqual(self.connect(begin % (b"", b"")).wire.value(), b"")
        some[0].send(b"\r\n\r\n")
        self.assertEqual(some[0].reply().status, 200)
        for each in (*some, connection):
            each.lose()
        self.assertEqual(quota.used, 0)


class AheadTests(BoundTestCase):
    """Requests sent behind one that is still being answered are bounded."""

    def test_some(self) -> None:
        """A request sent ahead is answered when its turn comes."""
        self.send(b"GET /stream/say HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        self.assertEqual(len(self.spawn.started), 1)
        self.spawn.started[0].exit()
        self.clock.advance(0)
        self.assertEqual(len(self.spawn.started), 2)
        self.assertFalse(self.connection.wire.disconnected)

    def test_turns(self) -> None:
        """Of many requests in one packet each has a turn of the reactor."""
        get = b"GET /commands HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.send(get * 200)
        self.assertEqual(self.connection.wire.value().count(b" 200 OK"), 1)
        self.clock.advance(0)
        self.assertEqual(self.connection.wire.value().count(b" 200 OK"), 200)

    def test_many(self) -> None:
        """A client that sends requests faster than they are answered has to wait."""
        get = b"GET /commands HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.send(get * 1000)
        self.assertEqual(self.connection.wire.producerState, "paused")
        self.clock.advance(0)
        self.assertEqual(self.connection.wire.producerState, "producing")
        self.assertEqual(self.connection.wire.value().count(b" 200 OK"), 1000)

    def test_gone(self) -> None:
        """A client that leaves before its next request leaves nothing behind."""
        self.send(b"GET /stream/say HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
        self.spawn.started[0].exit()
        self.connection.lose()
        self.clock.advance(Limits().linger)
        self.assertEqual(len(self.spawn.started), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_read_size(self) -> None:
        """Little is read at once: a chunk of a body may be one byte."""
        self.assertEqual(self.connection.wire.bufferSize, READ_SIZE)

    def test_too_much(self) -> None:
        """A client that sends more is cut off, as if it had left."""
        first = b"GET /stream/say HTTP/1.1\r\nHost: localhost\r\n\r\n"
        posted = (
            b"POST /stream/say HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        )
        for pieces in ([first + b"x" * 16385], [first, b"x" * 9000, b"x" * 9000]):
            for request in (first, posted):
                self.serve(self.config)
                self.send(*(piece.replace(first, request) for piece in pieces))
                self.assertTrue(self.connection.wire.disconnected)
                self.connection.lose()
                self.clock.advance(Limits().linger)
                self.assertIn("SIGTERM", self.started.child.signals)


class MalformedTests(BoundTestCase):
    """A malformed request is refused with an HTTP response."""

    def test_no_request(self) -> None:
        """A malformed request line, a malformed header, two lengths."""
        for data in (
            b"hello\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / FTP/1\r\n\r\n",
            b"GET /stream HTTP/1.1\r\nno header\r\n\r\n",
            b"POST /stream HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /stream HTTP/1.1\r\nContent-Length: 1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"POST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ):
            self.serve(self.config)
            self.send(data)
            self.assert_refused(400)


class HeaderTests(BoundTestCase):
    """A request's line and headers are bounded."""

    def test_line(self) -> None:
        """A request line may be long, but not that long."""
        self.assertEqual(self.ask("GET", f"/{'x' * 16000}").status, 404)
        self.serve(self.config)
        self.send(b"GET /stream?" + b"x" * 16385 + b" HTTP/1.1\r\n\r\n")
        self.assert_refused(431)

    def test_endless_line(self) -> None:
        """A line that does not end is refused without waiting for its end."""
        for _ in range(40):
            self.send(b"x" * 1000)
        self.assert_refused(431)

    def test_one_header(self) -> None:
        """One header has the same limit as all together."""
        self.send(b"GET /stream HTTP/1.1\r\nX: " + b"x" * 16385 + b"\r\n\r\n")
        self.assert_refused(431)

    def test_many_headers(self) -> None:
        """Many small headers have the same limit, in one read or in many."""
        lines = [b"X-%03d: %b\r\n" % (n, b"x" * 100) for n in range(200)]
        first = b"GET /stream HTTP/1.1\r\nHost: localhost\r\n"
        self.send(first + b"".join(lines) + b"\r\n")
        self.assert_refused(431)
        self.serve(self.config)
        self.send(first, *lines, b"\r\n")
        self.assert_refused(431)

    def test_how_many(self) -> None:
        """A request may have a hundred headers, however small they are."""
        first = b"GET /commands HTTP/1.1\r\nHost: localhost\r\n"
        for count, status in ((99, 200), (100, 431)):
            self.serve(self.config)
            self.send(first + b"A:\r\n" * count + b"\r\n")
            self.assertEqual(self.reply().status, status)

    def test_exactly(self) -> None:
        """The bound is 16 KiB, without the empty line."""
        lines = [
            b"GET /commands HTTP/1.1",
            b"Host: localhost",
            b"X: ",
            b"Y: " + b"y" * 9000,
        ]
        room = 16384 - len(b"\r\n".join(lines))
        for size, status in ((room, 200), (room + 1, 431)):
            self.serve(self.config)
            self.send(b"\r\n".join([*lines[:2], lines[2] + b"x" * size, lines[3]]))
            self.send(b"\r\n\r\n")
            self.assertEqual(self.reply().status, status)

    def test_each_request(self) -> None:
        """The bound is for each request, not for all of a connection."""
        for _ in range(5):
            reply = self.ask("GET", "/commands", headers={"X": "x" * 10_000})
            self.assertEqual(reply.status, 200)

    def test_after_body(self) -> None:
        """The count starts again after a request with a body."""
        for _ in range(5):
            large = {"X": "x" * 10_000, **JSON}
            reply = self.ask("POST", "/stream/echo", b"{}", large)
            self.assertEqual(reply.status, 400)


class LingerTests(BoundTestCase):
    """A client that is refused gets the time to read why."""

    def refuse(self) -> None:
        """Send a request that is refused."""
        self.send(head(f"Content-Length: {MAX_BODY + 1}"))
        self.assert_refused(413)

    def test_linger(self) -> None:
        """Further bytes are dropped for a while; then the connection is reset."""
        self.refuse()
        self.clock.advance(LINGER - 0.5)
        self.send(TOO_LARGE)
        self.assertFalse(self.connection.wire.disconnected)
        self.clock.advance(0.5)
        self.assertTrue(self.connection.wire.disconnected)

    def test_goes(self) -> None:
        """A client that goes leaves no timer behind."""
        self.refuse()
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_goes_late(self) -> None:
        """A client that leaves after the reset leaves no timer."""
        self.refuse()
        self.clock.advance(LINGER)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tls(self) -> None:
        """TLS has a close of its own, which loses no sent bytes."""
        alsoProvides(self.connection.wire, ISSLTransport)
        self.send(head(f"Content-Length: {MAX_BODY + 1}"))
        self.assertEqual(parsed(self.connection.wire.value()).status, 413)
        self.assertTrue(self.connection.wire.disconnecting)
        self.assertFalse(self.connection.wire.half_closed)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others(self) -> None:
        """Other connections are not affected."""
        self.refuse()
        self.assertEqual(Connection(self.site).ask("GET", "/commands").status, 200)

    def test_idle(self) -> None:
        """A connection without requests is closed after a while."""
        self.clock.advance(IDLE)
        self.assertTrue(self.connection.wire.disconnecting)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_streaming_is_not_idle(self) -> None:
        """A quiet stream is never cut for being quiet."""
        self.ask("GET", "/stream")
        self.clock.advance(1000 * IDLE)
        self.assertFalse(self.connection.wire.disconnecting)
        self.started.say(b"still here")
        self.assertEqual(self.reply().body, b"still here")
