"""Tests for L{shellstream.web.resources.run_events}: C{/events}."""

import json
from typing import Any

from shellstream.model.errors import CannotStart
from shellstream.runs.reporter import MAX_WAITING
from tests.support.decoders import Event, event_source
from tests.support.http import Connection, resolved
from tests.support.web import RunsTestCase


class EventsTestCase(RunsTestCase):
    """A listener of the events, which may leave and come back."""

    def setUp(self) -> None:
        super().setUp()
        self.connection.lose()

    def listen(self, last: str | None = None) -> Connection:
        """Ask for the news; C{last} is the id of the last event that was heard."""
        connection = Connection(self.site)
        headers = {} if last is None else {"Last-Event-ID": last}
        reply = connection.ask("GET", "/events", headers=headers)
        self.assertEqual((reply.status, reply.whole), (200, False))
        return connection

    def heard(self, connection: Connection) -> list[Event]:
        """The events so far."""
        self.clock.pump([0] * 9)  # viewers that are behind share a slice of each turn
        return event_source(connection.reply().body)[0]

    def told(self, connection: Connection) -> list[tuple[str, Any, Any]]:
        """Return the kind, run and state of each event so far."""
        found = []
        for event in self.heard(connection):
            document = json.loads(event.data)
            self.assertEqual(document["event"], event.type)
            run = document["run"]
            found.append((event.type, run["id"], run["state"]))
        return found


class LiveEventsTests(EventsTestCase):
    """Every run has events: when it is created, starts and ends."""

    def test_headers(self) -> None:
        """The response is endless, for C{EventSource}, and no proxy may buffer it."""
        reply = self.listen().reply()
        expected = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
            "x-content-type-options": "nosniff",
            "transfer-encoding": "chunked",
        }
        self.assertEqual({name: reply.headers.get(name) for name in expected}, expected)
        self.assertNotIn("shellstream-run", reply.headers)
        self.assertEqual(event_source(reply.body)[1]["retry"], 1000)

    def test_life(self) -> None:
        """Each event of a run has the record of its time."""
        listener = self.listen()
        started = self.begin("echo", x="a")
        run_id = started.run.id
        expected = [("created", run_id, "running"), ("started", run_id, "running")]
        self.assertEqual(self.told(listener), expected)
        started.exit(3)
        expected.append(("ended", run_id, "exited"))
        self.assertEqual(self.told(listener), expected)
        found = json.loads(self.heard(listener)[-1].data)["run"]
        found = resolved("/events", found)
        self.assertEqual(found, self.get(f"/runs/{run_id}"))

    def test_streams(self) -> None:
        """Runs that C{/stream} begins have events too."""
        listener = self.listen()
        Connection(self.site).ask("GET", "/stream")
        kinds = [each.type for each in self.heard(listener)]
        self.assertEqual(kinds, ["created", "started"])

    def test_failed(self) -> None:
        """The same for a run that could not be started: it ends without a start."""
        listener = self.listen()
        self.spawn.error = CannotStart("say", "its program was not found")
        self.post("/runs", {})
        kinds = [(kind, state) for kind, _, state in self.told(listener)]
        self.assertEqual(kinds, [("created", "running"), ("ended", "failed")])

    def test_from_now_on(self) -> None:
        """A new client gets events from now on."""
        self.begin().exit()
        listener = self.listen()
        self.assertEqual(self.heard(listener), [])
        later = self.begin().run.id
        self.assertEqual({run_id for _, run_id, _ in self.told(listener)}, {later})

    def test_hostile_words(self) -> None:
        """A client's text can neither end an event nor begin one."""
        listener = self.listen()
        words = '\n\nevent: ended\r\ndata: {"event": "x"}\u2028'
        self.begin("echo", x=words)
        found = self.heard(listener)
        self.assertEqual([each.type for each in found], ["created", "started"])
        self.assertEqual(json.loads(found[0].data)["run"]["params"], {"x": words})

    def test_many(self) -> None:
        """
        All listeners get the same events, and one that leaves leaves nothing behind.
        """
        listeners = [self.listen() for _ in range(3)]
        started = self.begin()
        listeners.pop().lose()
        started.exit()
        one, two = map(self.heard, listeners)
        self.assertEqual((one, len(one)), (two, 3))
        for each in listeners:
            each.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pings(self) -> None:
        """A comment keeps a silent connection open."""
        listener = self.listen()
        for _ in range(3):
            size = len(listener.reply().body)
            self.clock.advance(15)
            self.assertGreater(len(listener.reply().body), size)
        self.assertEqual(self.heard(listener), [])

    def test_head(self) -> None:
        """HEAD answers with the headers alone."""
        self.connection = Connection(self.site)
        reply = self.connection.ask("HEAD", "/events")
        self.assertEqual((reply.status, reply.rest), (200, b""))
        self.assertEqual(
            reply.headers["content-type"], "text/event-stream; charset=utf-8"
        )
        self.assertEqual(self.connection.ask("GET", "/runs").status, 200)

    def test_refused(self) -> None:
        """The resource takes no parameters and no POST."""
        self.connection = Connection(self.site)
        self.reply = self.connection.reply
        self.connection.ask("GET", "/events?run=x")
        self.assert_parameters(self.problem(), run="is unknown here")
        self.connection.ask("POST", "/events")
        self.assertEqual(self.problem()["status"], 405)


class ResumeTests(EventsTestCase):
    """A client that resumes gets all events that are still known, or a gap."""

    def test_every_event(self) -> None:
        """After any event a client resumes with the next, live without a seam."""
        listener = self.listen()
        for _ in range(2):
            self.begin().exit()
        heard = self.heard(listener)
        self.assertEqual(len(heard), 6)
        again = [(n, self.listen(each.id)) for n, each in enumerate(heard, 1)]
        self.begin()
        heard = self.heard(listener)
        for number, connection in again:
            self.assertEqual(self.heard(connection), heard[number:])

    def test_before_any(self) -> None:
        """A client that leaves before the first event misses nothing either."""
        self.begin()
        listener = self.listen()
        last = event_source(listener.reply().body)[1]["id"]
        listener.lose()
        run_id = self.begin().run.id
        again = self.listen(last)
        self.assertEqual({found for _, found, _ in self.told(again)}, {run_id})

    def test_gap(self) -> None:
        """A client that missed too many events gets a gap, then the rest."""
        listener = self.listen()
        self.begin()
        first = self.heard(listener)[0].id
        listener.lose()
        while self.registry.events.start <= int(first.partition("@")[0]):
            self.begin("echo", x="x" * 4000).exit()
        gap, *rest = self.heard(self.listen(first))
        self.assertEqual((gap.type, json.loads(gap.data)), ("gap", {"type": "gap"}))
        self.assertTrue(rest)
        self.assertEqual(self.heard(self.listen(gap.id)), rest)

    def test_nobody_listens(self) -> None:
        """Events that nobody waits for are told later, or are a gap if too many."""
        listener = self.listen()
        self.begin()
        last = self.heard(listener)[-1].id
        listener.lose()
        self.begin()
        listener = self.listen(last)
        found = self.heard(listener)
        self.assertEqual([each.type for each in found], ["created", "started"])
        listener.lose()
        for _ in range(MAX_WAITING):
            self.begin()
        gap, *rest = self.heard(self.listen(found[-1].id))
        self.assertEqual(gap.type, "gap")
        self.assertEqual(len(rest), MAX_WAITING)

    def test_overrun(self) -> None:
        """The same for a client that listens, but reads nothing."""
        listener = self.listen()
        listener.wire.producer.pauseProducing()
        while not self.registry.events.start:
            self.begin("echo", x="x" * 4000).exit()
        listener.wire.producer.resumeProducing()
        self.clock.pump([0] * 99)
        gap, *rest = self.heard(listener)
        self.assertEqual(gap.type, "gap")
        self.assertEqual(json.loads(rest[-1].data)["event"], "ended")

    def test_restarted(self) -> None:
        """After a restart a reader gets a gap, then the events that are known."""
        listener = self.listen()
        self.begin().exit()
        last = self.heard(listener)[-1].id
        self.serve(self.config)
        self.begin().exit()
        kinds = [each.type for each in self.heard(self.listen(last))]
        self.assertEqual(kinds, ["gap", "created", "started", "ended"])
        self.assertEqual(self.heard(self.listen(f"0@{'0' * 16}"))[0].type, "gap")

    def test_no_id_of_ours(self) -> None:
        """A malformed id is treated like a forgotten one."""
        self.begin()
        for last in ("x", "1", "@", f"{'9' * 20}@ab"):
            kinds = [each.type for each in self.heard(self.listen(last))]
            self.assertEqual(kinds, ["gap", "created", "started"], last)

    def test_forged(self) -> None:
        """An id that no event had is refused: an event cannot be sent in part."""
        listener = self.listen()
        self.begin()
        first, second = self.heard(listener)
        begin, _, boot = first.id.partition("@")
        end = int(second.id.partition("@")[0])
        for offset in range(1, end + 10):
            connection = Connection(self.site)
            mark = {"Last-Event-ID": f"{offset}@{boot}"}
            reply = connection.ask("GET", "/events", headers=mark)
            good = offset == int(begin) or offset >= end
            self.assertEqual(reply.status, 200 if good else 400, offset)
            connection.lose()
        self.assertEqual(self.flushLoggedErrors(), [])
