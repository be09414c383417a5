"""Tests for L{shellstream.web}: how C{EventSource} comes back to an output."""

import json
from typing import Any

from tests.support.decoders import Told, event_source, sse
from tests.support.http import Connection
from tests.support.web import SMALL, RunsTestCase

SSE = {"Accept": "text/event-stream"}


class EventSourceTests(RunsTestCase):
    """C{EventSource} comes back by itself, to where it was."""

    def events(self, connection: Connection) -> tuple[list[Any], str]:
        """Return the events so far, and the id for a reconnect."""
        body = connection.reply().body
        return sse(body), event_source(body)[1]["id"]

    def come_back(
        self,
        path: str,
        last: str,
        method: str = "GET",
        accept: str = "text/event-stream",
    ) -> Connection:
        """Ask as it does after a cut."""
        connection = Connection(self.site)
        body = b"" if method == "POST" else None
        headers = {"Accept": accept, "Last-Event-ID": last}
        connection.ask(method, path, body, headers)
        return connection

    def test_ids_of_a_run(self) -> None:
        """If the address names the run, an id is the offset after its event."""
        started = self.begin()
        path = f"/runs/{started.run.id}/output"
        self.ask("GET", path, headers=SSE)
        self.assertEqual(self.events(self.connection)[1], "0")
        started.say(b"abc")
        self.assertEqual(self.events(self.connection)[1], "3")
        again = self.come_back(path, "2")
        self.assertEqual([each.data for each in self.events(again)[0]], [b"c"])
        again = self.come_back(f"{path}?offset=1", "2")
        self.assertEqual([each.data for each in self.events(again)[0]], [b"c"])
        again = self.come_back(path, f"2@{started.run.id}")
        self.assertEqual([each.data for each in self.events(again)[0]], [b"c"])

    def test_ids_of_a_stream(self) -> None:
        """C{GET /stream} starts runs, so there the ids name the run as well."""
        for path in ("/stream", "/stream/say"):
            self.serve(self.config)
            self.ask("GET", path, headers=SSE)
            run_id = self.started.run.id
            self.assertEqual(self.events(self.connection)[1], f"0@{run_id}")
            self.started.say(b"abc")
            self.assertEqual(self.events(self.connection)[1], f"3@{run_id}")

    def test_comes_back(self) -> None:
        """A reconnect resumes the same run, live or ended, and begins no second one."""
        self.ask("GET", "/stream", headers=SSE)
        self.started.say(b"one ")
        last = self.events(self.connection)[1]
        self.connection.lose()
        self.started.say(b"two ")
        again = self.come_back("/stream", last)
        self.assertEqual(again.reply().headers["shellstream-run"], self.started.run.id)
        self.clock.advance(60)
        self.started.say(b"three")
        self.started.exit()
        found, end = self.events(again)
        data = [each.data for each in found if isinstance(each, Told)]
        self.assertEqual(data, [b"two ", b"three"])
        self.assertEqual((found[-1]["type"], again.reply().whole), ("end", True))
        self.assertEqual(end, f"13@{self.started.run.id}")
        found, _ = self.events(self.come_back("/stream/say", end))
        self.assertEqual([each["type"] for each in found], ["end"])
        self.assertEqual(len(self.spawn.started), 1)

    def test_lossless(self) -> None:
        """A viewer that reconnects is still lossless."""
        self.serve(SMALL)
        self.ask("GET", "/stream", headers=SSE)
        last = self.events(self.connection)[1]
        self.connection.lose()
        again = self.come_back("/stream", last)
        again.wire.producer.pauseProducing()
        for _ in range(9):
            if not self.started.child.paused:
                self.started.say(b"x" * 100)
        self.assertTrue(self.started.child.paused)

    def test_no_id_of_ours(self) -> None:
        """An id that cannot be resumed is refused, and starts nothing."""
        run_id = self.begin().run.id
        self.spawn.started.clear()
        other = self.begin().run.id
        for path, last, status in (
            ("/stream", "3", 400),
            ("/stream", "x", 400),
            ("/stream", f"{'9' * 19}@{run_id}", 400),
            ("/stream", "3@01938d3c-7f2e-7000-8000-000000000000", 404),
            (f"/runs/{run_id}/output", "x", 400),
            (f"/runs/{run_id}/output", f"3@{other}", 400),
        ):
            reply = self.come_back(path, last).reply()
            self.assertEqual((reply.status, reply.whole), (status, True), last)
            if status == 400:
                self.assertIn("Last-Event-ID", json.loads(reply.body)["detail"])
        for path in ("/stream/echo?x=1", "/stream/echo?x=1&format=ndjson"):
            reply = self.come_back(path, f"0@{other}", "POST").reply()
            detail = json.loads(reply.body)["detail"]
            self.assertIn("names a run of another command than echo", detail)
        self.assertEqual(len(self.spawn.started), 1)

    def test_other_formats(self) -> None:
        """In any format, and by POST, the id resumes the run or is refused."""
        self.post("/stream", Accept="text/event-stream")
        run_id = self.started.run.id
        self.started.say(b"xyz")
        last = self.events(self.connection)[1]
        self.assertEqual(last, f"3@{run_id}")
        self.started.say(b"def")
        for method in ("GET", "POST"):
            for name in ("sse", "ndjson", "frames", "plain"):
                for path in (f"/stream?format={name}", f"/stream/say?format={name}"):
                    again = self.come_back(path, last, method, "*/*")
                    reply = again.reply()
                    self.assertEqual(reply.headers["shellstream-run"], run_id)
                    self.assertNotIn(b"xyz", reply.body)
                    self.assertIn(b"def", reply.body)
                    for wrong in ("6", "x"):
                        again = self.come_back(path, wrong, method, "*/*")
                        self.assertEqual(again.reply().status, 400)
        path = f"/runs/{run_id}/output?format=ndjson"
        self.assertNotIn(b"abc", self.come_back(path, "3").reply().body)
        self.assertEqual(len(self.spawn.started), 1)

    def test_no_event_yet(self) -> None:
        """An empty id is none: a client that had no event begins a run."""
        for path in ("/stream", "/stream?lastEventId="):
            reply = self.come_back(path, "").reply()
            self.assertEqual((reply.status, reply.whole), (200, False))
        self.assertEqual(len(self.spawn.started), 2)
        reply = self.come_back("/events", "").reply()
        self.assertNotIn(b"event: gap", reply.body)

    def test_polyfill(self) -> None:
        """A polyfill sends the id in the query, where a header needs a preflight."""
        self.ask("GET", "/stream", headers=SSE)
        run_id = self.started.run.id
        self.started.say(b"abc")
        for path in ("/stream?x=", f"/runs/{run_id}/output?"):
            path = f"{path.replace('x=', '')}&lastEventId=1%40{run_id}"
            again = Connection(self.site)
            again.ask("GET", path, headers=SSE)
            self.assertEqual([each.data for each in self.events(again)[0]], [b"bc"])
        self.assertEqual(Connection(self.site).ask("GET", f"{path}1x").status, 400)
        for path in ("/events", "/doctor"):
            path = f"{path}?lastEventId=x"
            self.assertEqual(Connection(self.site).ask("GET", path).status, 200)
        self.assertEqual(len(self.spawn.started), 1)

    def test_beyond_the_end(self) -> None:
        """An id behind the end of an ended run is refused, also at C{/stream}."""
        started = self.begin()
        started.exit()
        for path in ("/stream", f"/runs/{started.run.id}/output"):
            reply = self.come_back(path, f"1@{started.run.id}").reply()
            self.assertEqual(reply.status, 416)
