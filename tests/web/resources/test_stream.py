"""Tests for L{shellstream.web}: how a run's output reaches an HTTP client."""

import sys
from signal import SIGRTMIN

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.model.events import Reason, Stream
from shellstream.model.limits import Limits
from shellstream.model.run_record import signal_name
from shellstream.output.log import READ_SIZE
from shellstream.web.resources.run_output import TRAILERS
from tests.support.fakes import SAY
from tests.support.http import Connection, WebTestCase
from tests.support.web import ANNOUNCED

LIMITS = Limits()


class LiveTests(WebTestCase):
    """A run's output reaches the client as it is written."""

    def test_headers_first(self) -> None:
        """All headers are sent before the command has written anything."""
        reply = self.ask("GET", "/stream")
        self.assertEqual((reply.status, reply.body, reply.whole), (200, b"", False))
        expected = {
            "content-type": "text/plain; charset=utf-8",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "transfer-encoding": "chunked",
            "trailer": ANNOUNCED,
            "shellstream-run": self.started.run.id,
        }
        self.assertEqual({name: reply.headers.get(name) for name in expected}, expected)
        self.assertTrue(reply.headers["server"].startswith("shellstream/"))
        self.assertIn("date", reply.headers)
        for name in ("content-encoding", "content-length", "connection"):
            self.assertNotIn(name, reply.headers)

    def test_announced(self) -> None:
        """Every trailer that may come is announced."""
        self.assertEqual(", ".join(TRAILERS), ANNOUNCED)

    def test_memory(self) -> None:
        """
        The attributes of a viewer's request and channel are in dictionaries that share
        their keys, whatever other requests came before.
        """
        for method, path, body in (
            *(("GET", "/", None), ("GET", "/none", None), ("POST", "/runs", b"{}")),
            *(("POST", "/stream", b"x"), ("OPTIONS", "/stream", None)),
        ):
            Connection(self.site).ask(method, path, body)
        self.ask("GET", "/stream")
        channel = self.connection.channel
        for each in (channel, channel.requests[0]):
            self.assertLess(sys.getsizeof(vars(each)), 500)

    def test_chunks(self) -> None:
        """Each write of the command is a chunk of its own, in order."""
        self.ask("GET", "/stream")
        for data, stream in ((b"1\n", Stream.STDOUT), (b"no end", Stream.STDERR)):
            self.connection.wire.clear()
            self.started.say(data, stream)
            self.assertEqual(
                self.connection.wire.value(), b"%x\r\n%b\r\n" % (len(data), data)
            )

    def test_bytes(self) -> None:
        """Output is passed on unchanged, with any bytes."""
        data = bytes(range(256)) + b"\r\n0\r\n\r\n"
        self.ask("GET", "/stream")
        self.started.say(data)
        self.assertEqual(self.reply().body, data)

    def test_slow_client(self) -> None:
        """A client that reads nothing makes the command wait; no byte is lost."""
        self.ask("GET", "/stream")
        self.connection.wire.producer.pauseProducing()
        wrote = 0
        while not self.started.child.paused:
            self.started.say(b"x" * READ_SIZE)
            wrote += READ_SIZE
            self.assertLess(wrote, 10 * READ_SIZE)
        self.assertEqual(self.reply().body, b"")
        self.connection.wire.producer.resumeProducing()
        self.assertEqual(self.reply().body, b"x" * wrote)
        self.assertFalse(self.started.child.paused)

    def test_stalled_client(self) -> None:
        """A client that reads nothing for too long is cut off, as if it had left."""
        self.ask("GET", "/stream")
        self.connection.wire.producer.pauseProducing()
        self.started.say(b"x")
        self.clock.advance(LIMITS.stall_timeout)
        self.assertTrue(self.connection.wire.disconnected)
        self.assertFalse(self.reply().whole)
        self.connection.lose()
        self.assert_ends_after_linger()

    def test_client_gone(self) -> None:
        """When the client leaves, the run is ended unless a viewer comes in time."""
        self.ask("GET", "/stream")
        self.started.say(b"x")
        self.connection.lose()
        self.assert_ends_after_linger()
        self.assertEqual(self.reply().body, b"x")

    def test_client_comes_back(self) -> None:
        """A client that comes back in time with its offset misses nothing."""
        self.ask("GET", "/stream")
        self.started.say(b"one ")
        self.connection.lose()
        self.clock.advance(LIMITS.linger - 0.1)
        self.started.say(b"two ")
        again = Connection(self.site)
        again.ask("GET", f"/runs/{self.started.run.id}/output?offset=4")
        self.clock.advance(LIMITS.linger)
        self.assertEqual(self.started.child.signals, [])
        self.started.say(b"three")
        self.started.exit()
        reply = again.reply()
        self.assertEqual((reply.body, reply.whole), (b"two three", True))

    def assert_ends_after_linger(self) -> None:
        """
        Check that the run goes on for ten seconds; then it is ended, and nothing is
        left.
        """
        run, child = self.started.run, self.started.child
        self.clock.advance(9.9)
        self.assertEqual(child.signals, [])
        self.clock.advance(0.1)
        self.assertEqual(child.signals, ["SIGTERM", "SIGCONT"])
        self.started.say(b"y")
        self.started.exit(None, 15)
        self.assertIs(run.record.reason, Reason.DISCONNECTED)
        self.assertEqual(self.registry.active, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slow_client_gone(self) -> None:
        """A client may leave while it is slow; nothing of it is left."""
        self.ask("GET", "/stream")
        self.connection.wire.producer.pauseProducing()
        while not self.started.child.paused:
            self.started.say(b"x" * READ_SIZE)
        self.connection.lose()
        self.assertFalse(self.started.child.paused)
        self.started.exit(None, 15)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class EndTests(WebTestCase):
    """The end of a stream tells how the run ended, where the format can."""

    config = Config(
        commands={"say": evolve(SAY, limits=Limits(timeout=60.0))}, default="say"
    )

    def test_exit(self) -> None:
        """The end of a command that exits has its code."""
        self.ask("GET", "/stream")
        self.started.say(b"bye")
        self.started.exit(3)
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole, reply.rest), (b"bye", True, b""))
        self.assertEqual(
            reply.trailers,
            {"shellstream-state": "exited", "shellstream-exit-code": "3"},
        )

    def test_silent(self) -> None:
        """A command without output has an end too."""
        self.ask("GET", "/stream")
        self.started.exit()
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"", True))
        self.assertEqual(reply.trailers["shellstream-exit-code"], "0")

    def test_signal(self) -> None:
        """The end of a command that was killed has the signal's name."""
        self.ask("GET", "/stream")
        self.started.exit(None, 11)
        self.assertEqual(
            self.reply().trailers,
            {"shellstream-state": "signaled", "shellstream-exit-signal": "SEGV"},
        )

    def test_signal_names(self) -> None:
        """A signal without a name is shown by its number."""
        found = [signal_name(number) for number in (9, 15, SIGRTMIN, SIGRTMIN + 1)]
        self.assertEqual(found, ["KILL", "TERM", "RTMIN", str(SIGRTMIN + 1)])

    def test_timeout(self) -> None:
        """The end of a run that the daemon ended has the reason."""
        self.ask("GET", "/stream")
        self.clock.advance(60)
        self.started.exit(None, 15)
        self.assertEqual(
            self.reply().trailers,
            {
                "shellstream-state": "signaled",
                "shellstream-exit-signal": "TERM",
                "shellstream-reason": "timeout",
            },
        )

    def test_shutdown(self) -> None:
        """A daemon that ends a run to stop leaves the answer without its last chunk."""
        self.ask("GET", "/stream")
        self.started.say(b"x")
        self.registry.supervisor.stop()
        self.clock.advance(self.config.drain)
        self.assertFalse(self.connection.wire.disconnecting)
        self.started.exit(None, 15)
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole, reply.rest), (b"x", False, b""))
        # Closed, not reset: bytes on their way may arrive.
        self.assertTrue(self.connection.wire.disconnecting)
        self.assertFalse(self.connection.wire.disconnected)

    def test_shutdown_unframed(self) -> None:
        """If only the close ends the answer, the connection is reset instead."""
        self.ask("GET", "/stream", version="HTTP/1.0")
        self.started.say(b"x")
        self.registry.supervisor.stop()
        self.clock.advance(self.config.drain)
        self.started.exit(None, 15)
        self.assertTrue(self.connection.wire.disconnected)

    def test_drained(self) -> None:
        """A run that ends by itself during the drain is delivered whole."""
        self.ask("GET", "/stream")
        self.registry.supervisor.stop()
        self.started.say(b"last words")
        self.started.exit(0)
        reply = self.reply()
        self.assertEqual((reply.body, reply.whole), (b"last words", True))
        self.assertEqual(reply.trailers["shellstream-exit-code"], "0")

    def test_keep_alive(self) -> None:
        """After a stream the connection serves the next request."""
        for body in (b"one", b"two"):
            self.ask("GET", "/stream")
            self.spawn.started[-1].say(body)
            self.spawn.started[-1].exit()
            reply = self.reply()
            self.assertEqual((reply.body, reply.whole), (body, True))
            self.assertFalse(self.connection.wire.disconnecting)
        self.assertEqual(self.ask("GET", "/commands").status, 200)

    def test_pipelined(self) -> None:
        """A request that is sent before the answer to the last one waits its turn."""
        self.ask("GET", "/stream")
        self.connection.send(b"GET /commands HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.started.say(b"x")
        self.assertEqual(self.reply().rest, b"")
        self.started.exit()
        self.clock.advance(0)
        reply = self.reply()
        self.assertTrue(reply.whole)
        self.assertTrue(reply.rest.startswith(b"HTTP/1.1 200 OK\r\n"))

    def test_close(self) -> None:
        """A client that asks for the connection's close gets it after the end."""
        reply = self.ask("GET", "/stream", headers={"Connection": "close"})
        self.assertEqual(reply.headers["connection"], "close")
        self.assertEqual(reply.headers["transfer-encoding"], "chunked")
        self.assertFalse(self.connection.wire.disconnecting)
        self.started.exit()
        self.assertTrue(self.reply().whole)
        self.assertTrue(self.connection.wire.disconnecting)

    def test_http_1_0(self) -> None:
        """HTTP/1.0 gets the bytes bare, no trailers, and the close as the end."""
        reply = self.ask("GET", "/stream", version="HTTP/1.0")
        self.assertEqual(reply.status, 200)
        for name in ("transfer-encoding", "trailer", "content-length"):
            self.assertNotIn(name, reply.headers)
        self.assertEqual(reply.headers["shellstream-run"], self.started.run.id)
        self.started.say(b"a\n")
        self.started.say(b"b\n")
        self.assertFalse(self.connection.wire.disconnecting)
        self.started.exit()
        self.assertEqual(self.reply().body, b"a\nb\n")
        self.assertTrue(self.connection.wire.disconnecting)
        self.assertFalse(self.connection.wire.disconnected)
