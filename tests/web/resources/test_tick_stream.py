"""Tests for L{shellstream.web.resources.tick_stream}.

C{/doctor} ticks, and says when.
"""

import json
import re
from itertools import pairwise

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from shellstream.output.interfaces import IRun
from shellstream.web import Now
from shellstream.web.resources.tick_stream import (
    MAX_AT_ONCE,
    MAX_COUNT,
    MAX_EACH,
    MAX_IDLE,
    Ticker,
    Ticks,
)
from tests.support.decoders import event_source, frames, ndjson
from tests.support.fakes import wall
from tests.support.http import Connection, Reply
from tests.support.web import RunsTestCase

TICK = re.compile(rb"tick (\d+) of (\d+), sent at (\d+\.\d{6}) s, (\S+Z)")


class DoctorTestCase(RunsTestCase):
    """One connection, and its ticker."""

    def begin_ticks(self, query: str = "", **headers: str) -> Reply:
        """Ask, and let the first tick be due."""
        self.ask("GET", f"/doctor{query}", headers=headers)
        self.clock.advance(0)
        return self.reply()

    def ticks(self) -> list[tuple[int, int, float]]:
        """Number, of how many, and when, of those that came."""
        found = TICK.findall(self.reply().body)
        return [(int(n), int(of), float(sent)) for n, of, sent, _ in found]


class TickTests(DoctorTestCase):
    """The ticks and their times."""

    def test_at_once(self) -> None:
        """The headers leave at once, then each tick when it is due."""
        reply = self.ask("GET", "/doctor?count=3&interval=2.5")
        self.assertEqual((reply.status, reply.body), (200, b""))
        for expected in ([1], [1, 2], [1, 2, 3]):
            self.clock.advance(0 if expected == [1] else 2.5)
            self.assertEqual([number for number, _, _ in self.ticks()], expected)
        self.assertEqual(self.ticks(), [(1, 3, 0.0), (2, 3, 2.5), (3, 3, 5.0)])
        reply = self.reply()
        self.assertTrue(reply.whole)
        self.assertEqual(reply.trailers["shellstream-exit-code"], "0")
        self.assertEqual(reply.headers["trailer"].split(", ")[0], "Shellstream-State")
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_headers(self) -> None:
        """A tick stream is sent live, like output, and is not a run."""
        reply = self.begin_ticks()
        expected = {
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "x-content-type-options": "nosniff",
            "transfer-encoding": "chunked",
            "vary": "Accept, Origin",
            "shellstream-request-version": "HTTP/1.1",
        }
        self.assertEqual({name: reply.headers.get(name) for name in expected}, expected)
        self.assertNotIn("shellstream-run", reply.headers)
        self.assertEqual(self.spawn.started, [])

    def test_clocks(self) -> None:
        """A tick has a monotonic time, and the time of day."""
        self.clock.advance(12.25)
        body = self.begin_ticks("?count=1").body
        self.assertEqual(
            body, b"tick 1 of 1, sent at 12.250000 s, 2026-01-01T00:00:12.250000Z\n"
        )

    def test_lines(self) -> None:
        """Without line ends, a proxy that waits for them can be found."""
        body = self.begin_ticks("?count=2&interval=0&lines=false").body
        self.assertNotIn(b"\n", body)
        self.assertEqual([number for number, _, _ in self.ticks()], [1, 2])

    def test_formats(self) -> None:
        """A tick reads the same in every format, like output."""
        bodies = {}
        for name in ("plain", "sse", "ndjson", "frames"):
            bodies[name] = self.begin_ticks(f"?format={name}&count=2&interval=0").body
            self.assertEqual([each[:2] for each in self.ticks()], [(1, 2), (2, 2)])
        self.assertEqual(len(set(map(bytes, bodies.values()))), 4)
        told = b"".join(each.data for each in ndjson(bodies["ndjson"])[:-1])
        self.assertEqual(told, bodies["plain"])
        events, _ = event_source(bodies["sse"])
        self.assertEqual([each.type for each in events], ["output", "output", "end"])
        self.assertEqual(json.loads(events[-1].data)["code"], 0)
        *pieces, end = frames(bodies["frames"])[1:]
        self.assertEqual(b"".join(each.data for each in pieces), bodies["plain"])
        self.assertEqual(end["offset"], len(bodies["plain"]))

    def test_accept(self) -> None:
        """The format is negotiated as everywhere."""
        reply = self.begin_ticks(Accept="text/event-stream")
        self.assertTrue(reply.headers["content-type"].startswith("text/event-stream"))
        self.connection = Connection(self.site)
        self.reply = self.connection.reply
        self.connection.ask("GET", "/doctor?format=xml")
        self.assert_problem(406, "xml")

    def test_idle(self) -> None:
        """Before the last tick the stream is silent for the requested time."""
        self.begin_ticks("?count=3&interval=1&idle=70")
        self.clock.advance(1)
        self.clock.advance(69.5)
        self.assertEqual([number for number, _, _ in self.ticks()], [1, 2])
        self.clock.advance(1.5)
        self.assertEqual(self.ticks()[-1], (3, 3, 72.0))
        self.assertTrue(self.reply().whole)

    def test_late(self) -> None:
        """A tick that was late, as on a busy machine, does not delay the others."""
        self.begin_ticks("?count=3&interval=1")
        self.clock.advance(1.75)
        self.clock.advance(0.25)
        self.assertEqual([sent for _, _, sent in self.ticks()], [0.0, 1.75, 2.0])

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0 gets the same without chunks, up to the close."""
        reply = self.ask("GET", "/doctor?count=1", version="HTTP/1.0")
        self.clock.advance(0)
        reply = self.reply()
        self.assertEqual((reply.rest, len(self.ticks())), (b"", 1))
        self.assertNotIn("transfer-encoding", reply.headers)
        self.assertEqual(reply.headers["shellstream-request-version"], "HTTP/1.0")
        self.assertTrue(self.connection.wire.disconnecting)

    def test_head(self) -> None:
        """HEAD answers with the headers alone, and nothing ticks."""
        reply = self.ask("HEAD", "/doctor")
        self.assertEqual((reply.status, reply.rest), (200, b""))
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BoundTests(DoctorTestCase):
    """A tick stream uses little, for a limited time."""

    def test_refused(self) -> None:
        """A value that is too large, or is not a number, is refused by name."""
        for query, name in (
            (f"count={MAX_COUNT + 1}", "count"),
            ("count=0", "count"),
            ("interval=10.1", "interval"),
            ("interval=-1", "interval"),
            ("interval=1e3", "interval"),
            ("interval=1e999", "interval"),
            ("interval=0." + 25 * "1", "interval"),
            ("interval=nan", "interval"),
            (f"idle={MAX_IDLE + 1:.0f}", "idle"),
            ("idle=", "idle"),
            ("seconds=1", "seconds"),
        ):
            self.ask("GET", f"/doctor?{query}")
            found = self.assert_problem(400)
            self.assertEqual([each["name"] for each in found["parameters"]], [name])
        self.ask("POST", "/doctor")
        self.assert_problem(405)

    def test_floats(self) -> None:
        """A number is taken as programs write their floats."""
        for text in ("6.874031847801262", "9.000000000000001e-05", "1e0", "5E-7"):
            reply = Connection(self.site).ask("GET", f"/doctor?interval={text}")
            self.assertEqual(reply.status, 200, text)

    def test_at_once(self) -> None:
        """A stream over the limit gets a time to retry; one that leaves makes room."""
        others = [self.from_address(number) for number in range(MAX_AT_ONCE)]
        for each in others:
            self.assertEqual(each.ask("GET", "/doctor").status, 200)
        reply = self.ask("GET", "/doctor")
        self.assert_problem(503, "as many others as can be")
        self.assertEqual(reply.headers["retry-after"], "10")
        others.pop().lose()
        self.assertEqual(self.begin_ticks().status, 200)

    def test_one_address(self) -> None:
        """One address cannot use up all tick streams."""
        for _ in range(MAX_EACH):
            self.assertEqual(self.from_address(1).ask("GET", "/doctor").status, 200)
        self.assertEqual(self.from_address(1).ask("GET", "/doctor").status, 503)
        self.assertEqual(self.from_address(2).ask("GET", "/doctor").status, 200)

    def from_address(self, number: int) -> Connection:
        """A client of its own address."""
        return Connection(self.site, IPv4Address("TCP", f"192.0.2.{number}", 1))

    def test_ended(self) -> None:
        """The same for a stream that has ended."""
        for each in (Connection(self.site) for _ in range(MAX_EACH)):
            each.ask("GET", "/doctor?count=1")
        self.clock.advance(0)
        self.assertEqual(self.begin_ticks().status, 200)

    def test_left(self) -> None:
        """A client that leaves stops its ticks."""
        self.begin_ticks()
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_takes_nothing(self) -> None:
        """A client that reads nothing for a minute is cut off."""
        self.begin_ticks("?count=600&interval=10")
        self.connection.wire.producer.pauseProducing()
        self.clock.advance(61)
        self.assertTrue(self.connection.wire.disconnected)
        self.connection.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_most(self) -> None:
        """The most ticks that can be asked for fit into the log."""
        self.ask("GET", f"/doctor?count={MAX_COUNT}&interval=0")
        self.connection.wire.producer.pauseProducing()
        self.clock.advance(0)
        self.assertEqual(self.ticks(), [])
        self.connection.wire.producer.resumeProducing()
        numbers = [number for number, _, _ in self.ticks()]
        self.assertTrue(self.reply().whole)
        self.assertEqual({b - a for a, b in pairwise(numbers)}, {1})
        self.assertEqual(len(numbers), MAX_COUNT)


class TickerTests(SynchronousTestCase):
    """L{Ticker} and L{Ticks} themselves."""

    def test_verified(self) -> None:
        """A ticker provides the interface of a run for viewers."""
        clock = Clock()
        now = Now(wall(clock), clock.seconds)
        verifyObject(IRun, Ticker(Ticks(), clock, now, set(), ""))

    def test_due(self) -> None:
        """Only the last tick waits for the silence."""
        ticks = Ticks(3, 2.0, 7.0)
        self.assertEqual([ticks.due(n) for n in (1, 2, 3)], [0.0, 2.0, 11.0])
