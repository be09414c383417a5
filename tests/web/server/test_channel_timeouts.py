"""Tests for L{shellstream.web.server.channel}: how long a client may take."""

from collections.abc import Iterable

from attrs import evolve
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from shellstream.config.http_limits import HttpLimits
from shellstream.config.loader import Config
from tests.support.fakes import ECHO, HEAR, SAY
from tests.support.http import PEER, Connection, WebTestCase, Wire, parsed

#: Each another, so that none can be taken for another.
BOUNDS = HttpLimits(
    header_timeout=20.0,
    body_timeout=10.0,
    body_rate=100,
    idle_timeout=50.0,
    stall_timeout=300.0,
)
HEAD = b"POST /stream/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
GET = b"GET /commands HTTP/1.1\r\nHost: localhost\r\n\r\n"


class WaitTestCase(WebTestCase):
    """One connection, and a clock."""

    config = Config(
        commands={"echo": ECHO, "say": SAY, "hear": HEAR}, default="say", http=BOUNDS
    )

    def dribble(self, seconds: int, data: bytes = b"x") -> None:
        """Send something each second."""
        for _ in range(seconds):
            self.connection.send(data)
            self.clock.advance(1)

    def assert_open(self) -> None:
        """Check that the connection is open, without a response."""
        wire = self.connection.wire
        self.assertFalse(wire.disconnecting or wire.disconnected or wire.half_closed)

    def assert_too_slow(self) -> None:
        """Check for a refusal and a close, and that nothing ran."""
        self.assertEqual(self.reply().status, 408)
        self.assertEqual(self.reply().headers["connection"], "close")
        self.assertTrue(self.connection.wire.half_closed)
        self.assertEqual(self.spawn.started, [])

    def assert_closed(self) -> None:
        """Check for a close without a response; the rest of one may still leave."""
        wire = self.connection.wire
        self.assertTrue(wire.disconnecting)
        self.assertFalse(wire.disconnected)

    def assert_nothing_left(self) -> None:
        """Check that the closed connection leaves nothing waiting."""
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class HeadTests(WaitTestCase):
    """A head has to be there in time, from the beginning on."""

    def test_nothing(self) -> None:
        """A silent client is closed, without a response."""
        self.clock.advance(19)
        self.assert_open()
        self.clock.advance(1)
        self.assert_closed()
        self.assertEqual(self.connection.wire.value(), b"")
        self.assert_nothing_left()

    def test_dribbled(self) -> None:
        """A byte a second does not make it longer."""
        self.connection.send(b"GET /stream?")
        self.dribble(19)
        self.assert_open()
        self.dribble(1)
        self.assert_too_slow()
        self.assert_nothing_left()

    def test_late(self) -> None:
        """
        A late beginning does not extend the time of the connection's first request.
        """
        self.clock.advance(15)
        self.connection.send(HEAD)
        self.dribble(5, b"X: y\r\n")
        self.assert_too_slow()

    def test_empty_lines(self) -> None:
        """An empty line is no head."""
        self.connection.send(b"\r\n")
        self.clock.advance(20)
        self.assert_too_slow()

    def test_in_time(self) -> None:
        """A slow request that meets the minimum rate is answered."""
        for byte in GET[:19]:
            self.connection.send(bytes([byte]))
            self.clock.advance(1)
        self.connection.send(GET[19:])
        self.assertEqual(self.reply().status, 200)
        self.assert_open()

    def test_next(self) -> None:
        """Each head has the full time, from its first byte on."""
        self.connection.send(GET)
        for _ in range(3):
            self.connection.wire.clear()
            self.clock.advance(30)
            self.connection.send(GET[:9])
            self.clock.advance(19)
            self.connection.send(GET[9:])
            self.assertEqual(self.reply().status, 200)
        self.connection.wire.clear()
        self.connection.send(GET[:9])
        self.clock.advance(20)
        self.assert_too_slow()

    def test_sent_ahead(self) -> None:
        """The rest of one that came with the one before has the time of any head."""
        self.connection.send(GET + GET[:9])
        self.connection.wire.clear()
        self.clock.advance(0)
        self.clock.advance(BOUNDS.header_timeout)
        self.assert_too_slow()

    def test_handshake(self) -> None:
        """Over TLS the handshake counts, and a client that never ends it is reset."""
        alsoProvides(self.connection.wire, ISSLTransport)
        self.clock.advance(20)
        self.assert_closed()


class BodyTests(WaitTestCase):
    """A body has to grow."""

    def test_nothing(self) -> None:
        """A body without a byte gets some time."""
        self.connection.send(HEAD + b"\r\n")
        self.clock.advance(9)
        self.assert_open()
        self.clock.advance(1)
        self.assert_too_slow()
        self.assert_nothing_left()

    def test_dribbled(self) -> None:
        """A byte a second is not enough."""
        self.connection.send(HEAD + b"\r\n")
        self.dribble(10)
        self.assert_too_slow()

    def test_chunks_of_nothing(self) -> None:
        """Tiny chunks do not extend the time."""
        head = HEAD.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked")
        self.connection.send(head + b"\r\n")
        self.dribble(10, b"1;" + b"x" * 500 + b"\r\nx\r\n")
        self.assert_too_slow()

    def test_endless_trailers(self) -> None:
        """Trailers do not extend the time."""
        head = HEAD.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked")
        self.connection.send(head + b"\r\n0\r\n")
        self.dribble(10, b"X: y\r\n")
        self.assert_too_slow()

    def test_steady(self) -> None:
        """A body that keeps its pace is taken, however long it takes."""
        self.connection.send(HEAD + b"Content-Type: application/json\r\n\r\n")
        body = b'{"x": "a"}'.ljust(5000)
        for start in range(0, 5000, 100):
            self.assert_open()
            self.connection.send(body[start : start + 100])
            self.clock.advance(1)
        self.assertEqual(self.started.invocation.argv, ("echo", "a"))

    def test_fast_then_slow(self) -> None:
        """Early bytes count towards the rate later, but not for ever."""
        self.connection.send(HEAD + b"\r\n" + b" " * 4000)
        self.clock.pump([1.0] * 49)
        self.assert_open()
        self.clock.advance(1)
        self.assert_too_slow()

    def test_waiting_for_the_command(self) -> None:
        """A piece of input that is there waits as long as its command does not read."""
        body = b'{"command": "hear", "stdin": true}'
        self.ask("POST", "/runs", body, {"Content-Type": "application/json"})
        self.started.child.room = 0
        connection = Connection(self.site)
        head = f"POST /runs/{self.started.run.id}/stdin HTTP/1.1\r\nHost: localhost\r\n"
        connection.send(f"{head}Content-Length: 3\r\n\r\nabc".encode())
        self.clock.advance(100_000)
        self.assertEqual(connection.wire.value(), b"")
        self.assertFalse(connection.wire.disconnecting)
        self.started.child.take(3)
        self.assertEqual(parsed(connection.wire.value()).status, 204)


class FullWire(Wire):
    """A connection whose client takes nothing: each write pauses what writes."""

    def write(self, data: bytes) -> None:
        super().write(data)
        assert self.producer is not None
        self.producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))


class NotTakenTests(WaitTestCase):
    """A client that does not take its answers gets no more of them."""

    def setUp(self) -> None:
        super().setUp()
        self.wire = self.connection.wire = FullWire()
        self.connection.channel.connectionLost()
        self.connection.channel = self.site.buildProtocol(PEER)
        self.connection.channel.makeConnection(self.wire)

    def answers(self) -> int:
        return bytes(self.wire.value()).count(b"HTTP/1.1 200 OK")

    def take(self) -> None:
        """Let the client take what is there."""
        self.connection.channel.resumeProducing()
        self.clock.advance(0)

    def test_sent_ahead(self) -> None:
        """Requests that were sent ahead wait until the answer before is taken."""
        self.connection.send(3 * GET)
        self.clock.advance(0)
        for count in (1, 2):
            self.clock.advance(BOUNDS.stall_timeout - 1)
            self.assertEqual(self.answers(), count)
            self.assert_open()
            self.take()
        self.assertEqual(self.answers(), 3)
        self.clock.advance(BOUNDS.idle_timeout)
        self.assert_closed()
        self.assert_nothing_left()

    def test_not_read(self) -> None:
        """Behind an answer that is not taken nothing is read."""
        self.connection.send(GET)
        self.assertEqual(self.wire.producerState, "paused")
        self.take()
        self.assertEqual(self.wire.producerState, "producing")

    def test_reset(self) -> None:
        """In the end the connection is reset, with all that was sent ahead."""
        self.connection.send(3 * GET)
        self.clock.advance(0)
        self.clock.advance(BOUNDS.stall_timeout)
        self.assertTrue(self.wire.disconnected)
        self.assertEqual(self.answers(), 1)
        self.assert_nothing_left()


class AnsweringTests(WaitTestCase):
    """A request that is being answered has no timer."""

    def test_stream(self) -> None:
        """A silent stream is never cut."""
        self.connection.send(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.clock.advance(100_000)
        self.assert_open()

    def test_idle(self) -> None:
        """An idle connection is closed after the timeout."""
        self.connection.send(GET)
        self.clock.advance(49)
        self.assert_open()
        self.clock.advance(1)
        self.assert_closed()
        self.assert_nothing_left()

    def test_rest_not_taken(self) -> None:
        """
        A client that does not read the rest of an answer is reset after a longer wait.
        """
        for request, wait in (
            (GET, BOUNDS.idle_timeout),
            (GET.replace(b"1.1", b"1.0"), 0.0),
        ):
            self.serve(self.config)
            self.connection.send(request)
            self.clock.advance(wait)
            self.assert_closed()
            self.clock.advance(BOUNDS.stall_timeout - 1)
            self.assertFalse(self.connection.wire.disconnected)
            self.clock.advance(1)
            self.assertTrue(self.connection.wire.disconnected)
            self.assert_nothing_left()

    def test_default(self) -> None:
        """Every default is a bound."""
        self.serve(evolve(self.config, http=HttpLimits()))
        self.clock.advance(30)
        self.assert_closed()


class ExpectTests(WaitTestCase):
    """C{Expect} is obeyed, or refused."""

    def test_unknown(self) -> None:
        """An unknown expectation is refused."""
        self.connection.send(HEAD + b"Expect: the-unexpected\r\n\r\n")
        self.assertEqual(self.reply().status, 417)
        self.assertTrue(self.connection.wire.half_closed)

    def test_never_sent(self) -> None:
        """A client that got 100 Continue, but sends no body, is too slow."""
        self.connection.send(HEAD + b"Expect: 100-Continue\r\n\r\n")
        told = b"HTTP/1.1 100 Continue\r\n\r\n"
        self.assertEqual(self.connection.wire.value(), told)
        self.connection.wire.clear()
        self.clock.advance(10)
        self.assert_too_slow()
