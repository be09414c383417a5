"""Tests for L{shellstream.web.resources.run_output}.

Viewers that are slow, or leave.
"""

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.model.events import OnDisconnect
from shellstream.model.limits import Limits
from tests.support.fakes import SAY, Started
from tests.support.web import SMALL, OutputTestCase


class SlowTests(OutputTestCase):
    """A slow viewer delays no other, unless it may and asks to."""

    config = SMALL

    def flood(self, started: Started, chunks: int = 9) -> None:
        """The command says more than is kept."""
        for number in range(chunks):
            started.say(b"%d" % number * 100)

    def test_overrun(self) -> None:
        """A plain stream that would miss bytes is cut: it has no way to say so."""
        self.output()
        self.connection.wire.producer.pauseProducing()
        self.flood(self.run_)
        self.assertFalse(self.run_.child.paused)
        self.connection.wire.producer.resumeProducing()
        self.assertTrue(self.connection.wire.disconnected)
        self.assertEqual((self.reply().body, self.reply().whole), (b"", False))

    def test_skips(self) -> None:
        """With C{gap=skip} the stream goes on from the oldest byte that is kept."""
        self.output("?gap=skip")
        self.connection.wire.producer.pauseProducing()
        self.flood(self.run_)
        self.connection.wire.producer.resumeProducing()
        self.assertEqual(self.reply().body, b"6" * 100 + b"7" * 100 + b"8" * 100)
        self.assertFalse(self.reply().whole)

    def test_lossless(self) -> None:
        """A lossless viewer makes the command wait instead, and misses nothing."""
        self.output("?lossless=true")
        self.connection.wire.producer.pauseProducing()
        wrote = b""
        while not self.run_.child.paused:
            self.run_.say(b"x" * 100)
            wrote += b"x" * 100
            self.assertLess(len(wrote), 1000)
        self.connection.wire.producer.resumeProducing()
        self.assertFalse(self.run_.child.paused)
        self.assertEqual(self.reply().body, wrote)

    def test_lossless_gone(self) -> None:
        """When the lossless viewer leaves, the command goes on."""
        self.output("?lossless=true")
        self.connection.wire.producer.pauseProducing()
        while not self.run_.child.paused:
            self.run_.say(b"x" * 100)
        self.connection.lose()
        self.assertFalse(self.run_.child.paused)
        self.flood(self.run_)

    def test_dropped(self) -> None:
        """Bytes that are not kept are 410, never others in their place."""
        self.flood(self.run_)
        for offset in (0, 599):
            self.output(f"?offset={offset}")
            found = self.assert_problem(410, "it starts at 600 now: ask for offset=600")
            self.assertEqual((found["offset"], found["start"]), (offset, 600))
        self.output("?offset=600")
        self.assertEqual(len(self.reply().body), 300)
        self.output("?offset=0&gap=skip")
        self.assertEqual(len(self.reply().body), 300)
        self.output("?tail=9")
        self.assertEqual(len(self.reply().body), 300)

    def test_dropped_of_ended(self) -> None:
        """
        The same for an ended run; with C{gap=skip} there is no length, since later gaps
        are unknown.
        """
        self.flood(self.run_)
        self.run_.exit()
        self.output()
        self.assert_problem(410, "add gap=skip")
        for version in ("HTTP/1.0", "HTTP/1.1"):
            reply = self.output("?gap=skip", version=version)
            self.assertNotIn("content-length", reply.headers)
            self.assertEqual(len(reply.body), 300)
        reply = self.output("?offset=600", version="HTTP/1.0")
        self.assertEqual(int(reply.headers["content-length"]), 300)
        reply = self.output("?offset=600", method="HEAD")
        self.assertEqual(int(reply.headers["content-length"]), 300)


class WatchedTests(OutputTestCase):
    """The rules for a viewer that counts, if the last viewer's leaving ends the run."""

    config = Config(
        commands={"say": evolve(SAY, limits=Limits(on_disconnect=OnDisconnect.CANCEL))},
        default="say",
    )

    def test_viewer(self) -> None:
        """A client that follows is a viewer."""
        self.output()
        self.connection.lose()
        self.clock.advance(10)
        self.assertIn("SIGTERM", self.run_.child.signals)

    def test_none(self) -> None:
        """A request that only looks, or is refused, is not a viewer."""
        for method, query in (
            ("HEAD", ""),
            ("GET", "?follow=false"),
            ("GET", "?offset=x"),
            ("GET", "?format=x"),
        ):
            self.output(query, method)
            self.connection.lose()
        self.clock.advance(100)
        self.assertEqual(self.run_.child.signals, [])
