"""Tests for L{shellstream.web}: the formats of output, over HTTP."""

from typing import Any

from attrs import evolve

from shellstream.config.loader import Config
from shellstream.config.parameters import String
from shellstream.model.events import Stream
from tests.support.decoders import DECODERS, Told
from tests.support.fakes import ECHO, SAY
from tests.support.http import Connection, Reply
from tests.support.web import SMALL, OutputTestCase, RunsTestCase

TYPES = {
    "plain": "text/plain; charset=utf-8",
    "sse": "text/event-stream; charset=utf-8",
    "ndjson": "application/x-ndjson",
    "frames": "application/vnd.shellstream.frames",
}


def told(name: str, reply: Reply) -> list[Any]:
    """Return the events that a reader of this format has got so far."""
    return DECODERS[name](reply.body)


def ended(found: list[Any]) -> list[dict[str, Any]]:
    """Return the end records."""
    return [each for each in found if isinstance(each, dict) and each["type"] == "end"]


class NegotiationTests(RunsTestCase):
    """The format of a response, and the refusal of unknown ones."""

    def test_named(self) -> None:
        """C{?format=} and C{Accept} name one, on every path with output."""
        path = f"/runs/{self.begin().run.id}/output"
        for name, content_type in TYPES.items():
            media_type = content_type.partition(";")[0]
            for where in (path, "/stream/say"):
                for method in ("GET", "HEAD"):
                    for query, accept in (
                        (f"?format={name}", "*/*"),
                        (f"?format={name}", "text/html"),
                        ("", media_type),
                        ("", f"{media_type}, */*;q=0.1"),
                    ):
                        reply = Connection(self.site).ask(
                            method, where + query, headers={"Accept": accept}
                        )
                        self.assertEqual(reply.status, 200)
                        self.assertEqual(reply.headers["content-type"], content_type)
                        self.assertEqual(reply.headers["vary"], "Accept, Origin")

    def test_default(self) -> None:
        """The default is plain for clients that accept anything, such as browsers."""
        for accept in ("*/*", "text/*", "text/html,application/xml;q=0.9,*/*;q=0.8"):
            reply = Connection(self.site).ask(
                "GET", "/stream", headers={"Accept": accept}
            )
            self.assertEqual(reply.headers["content-type"], TYPES["plain"])

    def test_other_types(self) -> None:
        """A client that accepts JSON gets ndjson; without a known type it is plain."""
        for accept, name in (
            ("application/json", "ndjson"),
            ("text/html", "plain"),
            ("text/plain;q=0", "plain"),
        ):
            for method in ("GET", "POST"):
                reply = Connection(self.site).ask(
                    method, "/stream", headers={"Accept": accept}
                )
                self.assertEqual(reply.status, 200)
                self.assertEqual(reply.headers["content-type"], TYPES[name])

    def test_unknown(self) -> None:
        """An unknown name of a format is answered with 406, and nothing is started."""
        for path in ("/stream?format=xml", "/stream?format="):
            for method in ("GET", "POST"):
                self.ask(method, path)
                found = self.assert_problem(406, "?format=NAME")
                names = [each["name"] for each in found["formats"]]
                self.assertEqual(names, list(TYPES))
        self.assertEqual(self.ask("HEAD", "/stream?format=xml").status, 406)
        self.assertEqual(self.spawn.started, [])
        self.ask("GET", f"/runs/{self.begin().run.id}/output?format=ndjsn")
        self.assert_problem(406, "did you mean 'ndjson'?")

    def test_own_parameter(self) -> None:
        """A command's own parameter of that name is the command's, and no format."""
        command = evolve(
            ECHO, params={"format": String(name="format")}, argv=("echo", "{format}")
        )
        self.serve(Config(commands={"echo": command, "say": SAY}, default="say"))
        for path, body in (
            ("/stream/echo?format=sse", b""),
            ("/stream/echo", b"format=sse"),
        ):
            reply = Connection(self.site).ask(
                "POST",
                path,
                body,
                {
                    "Accept": "application/x-ndjson",
                    "Content-Type": "application/x-www-form-urlencoded",
                },
            )
            self.assertEqual(reply.headers["content-type"], TYPES["ndjson"])
            self.assertEqual(self.spawn.started[-1].invocation.argv, ("echo", "sse"))
        run_id = self.spawn.started[-1].run.id
        reply = self.ask("GET", f"/runs/{run_id}/output?format=sse")
        self.assertEqual(reply.headers["content-type"], TYPES["sse"])


class RecordTests(OutputTestCase):
    """The records besides the output, in the formats that have them."""

    def test_end(self) -> None:
        """The end comes last, once, with how the run ended and how long it is."""
        for name in DECODERS:
            self.serve(self.config)
            live = self.output(f"?format={name}")
            self.assertNotIn("trailer", live.headers)
            self.run_.say(b"out")
            self.run_.say(b"err\n", Stream.STDERR)
            self.assertEqual(ended(told(name, self.reply())), [])
            live_connection = self.connection
            self.run_.exit(3)
            for reply in (live_connection.reply(), self.output(f"?format={name}")):
                self.assertTrue(reply.whole)
                found = told(name, reply)
                expected = {
                    "type": "end",
                    "state": "exited",
                    "code": 3,
                    "signal": None,
                    "reason": None,
                    "offset": 7,
                }
                self.assertEqual((found[-1], ended(found)), (expected, [expected]))
                pieces = [
                    (each.offset, each.stream, each.data)
                    for each in found
                    if isinstance(each, Told)
                ]
                self.assertEqual(
                    pieces, [(0, "stdout", b"out"), (3, "stderr", b"err\n")]
                )

    def test_failed(self) -> None:
        """The same for a killed run, also when read from its end on."""
        self.run_.say(b"abc")
        self.post(f"/runs/{self.run_.run.id}/cancel")
        self.run_.exit(None, 15)
        for name in DECODERS:
            (end,) = ended(told(name, self.output(f"?format={name}&offset=3")))
            self.assertEqual((end["state"], end["signal"]), ("signaled", "TERM"))
            self.assertEqual((end["reason"], end["offset"]), ("cancelled", 3))

    def test_no_end(self) -> None:
        """A viewer that does not follow gets no end record before the end."""
        self.run_.say(b"abc")
        for name in DECODERS:
            reply = self.output(f"?format={name}&follow=false")
            self.assertTrue(reply.whole)
            self.assertEqual(ended(told(name, reply)), [])

    def test_shutdown(self) -> None:
        """A daemon that ends a run to stop says so: the record tells it apart."""
        for name in DECODERS:
            self.serve(self.config)
            self.output(f"?format={name}")
            self.registry.supervisor.hurry()
            self.run_.exit(None, 15)
            self.assertTrue(self.reply().whole)
            (end,) = ended(told(name, self.reply()))
            self.assertEqual((end["state"], end["reason"]), ("signaled", "shutdown"))

    def test_gap(self) -> None:
        """Dropped bytes are reported with their number."""
        for name in DECODERS:
            self.serve(SMALL)
            self.output(f"?format={name}")
            self.connection.wire.producer.pauseProducing()
            for number in range(9):
                self.run_.say(b"%d" % number * 100)
            self.connection.wire.producer.resumeProducing()
            gap = {"type": "gap", "offset": 0, "end": 600, "bytes": 600}
            for reply in (self.reply(), self.output(f"?format={name}")):
                found = [
                    each
                    for each in told(name, reply)
                    if isinstance(each, Told) or each["type"] == "gap"
                ]
                self.assertEqual(found[0], gap)
                self.assertEqual(found[1].offset, 600)
                said = b"".join(each.data for each in found[1:])
                self.assertEqual(said, b"6" * 100 + b"7" * 100 + b"8" * 100)

    def test_pings(self) -> None:
        """A stream that is silent for 15 seconds shows that it lives, but plain not."""
        for name in TYPES:
            self.serve(self.config)
            size = len(self.output(f"?format={name}").body)
            self.clock.advance(14.9)
            self.assertEqual(len(self.reply().body), size)
            self.clock.advance(0.1)
            self.assertEqual(len(self.reply().body) > size, name != "plain")
            for _ in range(3):
                size = len(self.reply().body)
                self.clock.advance(15)
                self.assertEqual(len(self.reply().body) > size, name != "plain")
            self.assertFalse(self.connection.wire.disconnecting)
            self.connection.lose()

    def test_no_pings(self) -> None:
        """An active run sends no pings, and an ended one leaves no timer."""
        for name in TYPES:
            self.serve(self.config)
            self.connection.lose()
            self.output(f"?format={name}")
            self.clock.advance(10)
            self.run_.say(b"x")
            size = len(self.reply().body)
            self.clock.advance(10)
            self.assertEqual(len(self.reply().body), size)
            self.run_.exit()
            self.connection.lose()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ping_of_slow_viewer(self) -> None:
        """A viewer that reads nothing gets no pings."""
        self.output("?format=ndjson")
        self.connection.wire.producer.pauseProducing()
        self.clock.advance(60)
        self.assertEqual(self.reply().body, b"")
        self.connection.wire.producer.resumeProducing()
        self.clock.advance(15)
        expected = {"type": "ping", "offset": 0}
        self.assertEqual(told("ndjson", self.reply()), [expected])
