"""Tests for L{shellstream.web.resources.runs}: one run, and the operations on it."""

from signal import Signals
from typing import Any

from shellstream.model.events import Reason
from shellstream.web.console.frame import POLICY
from tests.support.http import Connection
from tests.support.pages import BROWSER
from tests.support.web import FORM, RunsTestCase

NO_RUN = "01938d3c-7f2e-7000-8000-000000000000"


class OneRunTests(RunsTestCase):
    """C{/runs/ID}: one run, as it stands, until it is forgotten."""

    def test_ended(self) -> None:
        """An ended run has its end, its processor time and its memory."""
        started = self.begin()
        started.say(b"12345")
        self.clock.advance(1.5)
        started.exit(3)
        found = self.get(f"/runs/{started.run.id}")
        expected = {
            "state": "exited",
            "code": 3,
            "signal": None,
            "reason": None,
            "ended": "2026-01-01T00:00:01.500000Z",
            "size": 5,
            "end": {
                "state": "exited",
                "code": 3,
                "signal": None,
                "reason": None,
                "offset": 5,
            },
        }
        self.assertEqual({name: found[name] for name in expected}, expected)
        self.assertEqual(self.reply().headers["shellstream-run"], started.run.id)

    def test_unknown(self) -> None:
        """An unknown run is 404 for every operation."""
        for run_id in (NO_RUN, "x", "%00", "%ff", "..", "a" * 1000):
            for method, rest in (
                ("GET", ""),
                ("DELETE", ""),
                ("GET", "/output"),
                ("POST", "/cancel"),
                ("POST", "/stdin"),
            ):
                with self.subTest(run_id=run_id, method=method, rest=rest):
                    self.ask(method, f"/runs/{run_id}{rest}")
                    self.assert_problem(404, "there is no run")
            self.post(f"/runs/{run_id}/signal", {"signal": "INT"})
            self.assert_problem(404, "there is no run")
            self.post(f"/runs/{run_id}/resize", {"rows": 1, "columns": 1})
            self.assert_problem(404, "there is no run")

    def test_nothing_there(self) -> None:
        """An unknown path below a run is 404."""
        run_id = self.begin().run.id
        for rest in ("x", "output/x", "cancel/x", "stdin/x"):
            self.ask("GET", f"/runs/{run_id}/{rest}")
            self.assert_problem(404, "nothing lives at this path")

    def test_slash(self) -> None:
        """A slash at the end of a path is ignored."""
        run_id = self.begin().run.id
        self.assertEqual(self.get(f"/runs/{run_id}/")["id"], run_id)

    def test_methods(self) -> None:
        """Methods that are not for it are refused, with those that are."""
        run_id = self.begin().run.id
        allowed = {
            "/runs": "GET, HEAD, POST",
            f"/runs/{run_id}": "GET, HEAD, DELETE",
            f"/runs/{run_id}/output": "GET, HEAD",
            f"/runs/{run_id}/cancel": "POST",
            f"/runs/{run_id}/resize": "POST",
            f"/runs/{run_id}/signal": "POST",
            f"/runs/{run_id}/stdin": "POST",
        }
        for path, methods in allowed.items():
            for method in {"GET", "HEAD", "POST", "PUT", "DELETE"}:
                if method not in methods:
                    reply = self.ask(method, path)
                    self.assertEqual(reply.status, 405, (method, path))
                    self.assertEqual(reply.headers["allow"], f"{methods}, OPTIONS")

    def test_delete(self) -> None:
        """An ended run can be forgotten, its output with it."""
        started = self.begin()
        started.exit()
        path = f"/runs/{started.run.id}"
        reply = self.ask("DELETE", path)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertNotIn("content-type", reply.headers)
        for method, rest in (("GET", ""), ("GET", "/output"), ("DELETE", "")):
            self.assertEqual(self.ask(method, path + rest).status, 404)
        self.assertEqual(self.get("/runs")["runs"], [])

    def test_delete_active(self) -> None:
        """A run that has not ended cannot be deleted."""
        started = self.begin()
        self.ask("DELETE", f"/runs/{started.run.id}")
        self.assert_problem(409, f"first POST /runs/{started.run.id}/cancel")
        started.say(b"still here")
        self.assertEqual(self.get(f"/runs/{started.run.id}")["size"], 10)


class ControlTests(RunsTestCase):
    """C{/runs/ID/cancel} and C{/runs/ID/signal}."""

    def test_cancel(self) -> None:
        """TERM, and KILL after the grace time; the answer does not wait for it."""
        started = self.begin()
        path = f"/runs/{started.run.id}"
        self.post(f"{path}/cancel")
        self.assertEqual(self.document(202)["state"], "running")
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT"])
        self.assertEqual(self.post(f"{path}/cancel").status, 202)
        self.clock.advance(5)
        self.assertEqual(started.child.signals, ["SIGTERM", "SIGCONT", "SIGKILL"])
        started.exit(None, 9)
        found = self.get(path)
        self.assertEqual((found["state"], found["signal"]), ("signaled", "KILL"))
        self.assertEqual(found["reason"], Reason.CANCELLED.value)

    def test_signal(self) -> None:
        """Any signal can be sent, by its name or number, and is."""
        started = self.begin()
        first, last = int(Signals.SIGRTMIN), int(Signals.SIGRTMAX)
        expected = {
            "INT": "SIGINT",
            "SIGINT": "SIGINT",
            "USR1": "SIGUSR1",
            "2": "SIGINT",
            "RTMIN": "SIGRTMIN",
            "RTMIN+1": str(first + 1),
            "SIGRTMIN+1": str(first + 1),
            "RTMAX-2": str(last - 2),
            f"{first + 3}": str(first + 3),
            f"{last}": "SIGRTMAX",
        }
        for name in expected:
            self.post(f"/runs/{started.run.id}/signal", {"signal": name})
            self.assertEqual(self.document(202)["id"], started.run.id)
        self.assertEqual(started.child.signals, list(expected.values()))

    def test_no_signal(self) -> None:
        """An unknown signal is refused, and nothing is sent."""
        started = self.begin()
        for name in (2, 35.0, True, None, ["INT"]):
            self.post(f"/runs/{started.run.id}/signal", {"signal": name})
            self.assert_parameters(self.problem(), signal="must name one")
        for odd in (
            *("", "int", "SIGSIGINT", "NOPE", "\ud800", " INT", "INT\n"),
            # 32 and 33 are the C library's.
            *("0", "-1", "02", "SIG2", "32", "33", "65", "\u0661"),
            *("RTMIN+0", "RTMIN+30", "RTMIN-1", "RTMAX+1", "RTMAX-30", "RTMIN+01"),
        ):
            self.post(f"/runs/{started.run.id}/signal", {"signal": odd})
            known = f"there is no signal {odd!r}; send one of HUP, INT, QUIT, "
            self.assert_parameters(self.problem(), signal=known)
        for document in ({}, {"name": "INT"}):
            self.post(f"/runs/{started.run.id}/signal", document)
            self.assert_problem(400, "signal: must name one")
        self.post(f"/runs/{started.run.id}/signal", {"signal": "INT", "to": 1})
        self.assert_parameters(self.problem(), to="is unknown here; send signal")
        found = self.refused_signal(started.run.id)
        self.assertEqual(found["status"], 415)
        self.assertEqual(started.child.signals, [])

    def refused_signal(self, run_id: str) -> dict[str, Any]:
        """The problem of a form."""
        path = f"/runs/{run_id}/signal"
        self.ask("POST", path, b"signal=INT", {"Content-Type": FORM})
        return self.problem()

    def test_ended(self) -> None:
        """An ended run cannot be steered any more."""
        started = self.begin()
        started.exit()
        self.post(f"/runs/{started.run.id}/cancel")
        self.assert_problem(409, "the run is not running, it is exited")
        self.post(f"/runs/{started.run.id}/signal", {"signal": "INT"})
        self.assert_problem(409, "the run is not running, it is exited")
        self.assertEqual(started.child.signals, [])


class OriginTests(RunsTestCase):
    """Pages of other sites change nothing."""

    def test_other_sites(self) -> None:
        """Every method that changes something is refused to them."""
        started = self.begin()
        path = f"/runs/{started.run.id}"
        before = self.get("/runs")
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "http://evil.test"},
            {"Origin": "null"},
        ):
            for method, where, body in (
                ("POST", "/runs", b"{}"),
                ("POST", "/stream", b""),
                ("POST", f"{path}/cancel", b""),
                ("POST", f"{path}/signal", b'{"signal": "INT"}'),
                ("DELETE", path, b""),
            ):
                self.ask(method, where, body, headers)
                self.assert_problem(403, "a page of another site")
        self.assertEqual(started.child.signals, [])
        self.assertEqual(self.get("/runs"), before)

    def test_own_page(self) -> None:
        """The page at C{/} may do it all."""
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": "http://x"}
        self.ask("POST", "/runs", b"{}", headers)
        path = self.connection.target()
        self.ask("POST", f"{path}/cancel", b"", headers)
        self.assertEqual(self.reply().status, 202)
        self.started.exit(None, 15)
        self.assertEqual(self.ask("DELETE", path, headers=headers).status, 204)

    def test_reading(self) -> None:
        """A link may lead here; a script or an image of another site gets nothing."""
        run_id = self.begin().run.id
        link = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        image = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        frame = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        for path in ("/", "/runs", f"/runs/{run_id}", f"/runs/{run_id}/output"):
            for how, status in ((link, 200), (image, 403), (frame, 403)):
                headers = {"Sec-Fetch-Site": "cross-site", **how}
                reply = Connection(self.site).ask("GET", path, headers=headers)
                self.assertEqual(reply.status, status, (path, how))
                self.assertNotIn("access-control-allow-origin", reply.headers)


class BrowserTests(RunsTestCase):
    """A browser gets a page where programs get JSON."""

    def test_page(self) -> None:
        """The page of a run shows its state, which no cache may keep for programs."""
        run = self.begin()
        run.exit(3)
        path = f"/runs/{run.run.id}"
        reply = self.ask("GET", path, headers={"Accept": BROWSER})
        self.assertEqual(reply.status, 200)
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(reply.headers["vary"], "Accept, Origin")
        self.assertEqual(reply.headers["content-security-policy"], POLICY)
        self.assertIn(b"Failed with exit code 3", reply.body)
        self.assertEqual(self.get(path)["code"], 3)
        self.assertEqual(self.reply().headers["vary"], "Accept, Origin")

    def test_forgotten(self) -> None:
        """Who follows the link to a run that is forgotten reads so."""
        path = "/runs/01a231c9-2ea2-7956-9850-d04f336f9319"
        reply = self.ask("GET", path, headers={"Accept": BROWSER})
        self.assertEqual(reply.status, 404)
        self.assertEqual(reply.headers["content-type"], "text/html; charset=utf-8")
        self.assertIn(b"There is no run", reply.body)
