"""Tests for L{shellstream.web.resources.runs}: the list of runs."""

from collections.abc import Coroutine
from typing import Any
from urllib.parse import quote

from shellstream.model.events import State
from shellstream.model.run_record import RunQuery, RunRecord
from shellstream.runs.registry import Registry
from shellstream.web.resources.run_list import BATCH, MAX_PAGE_SIZE
from tests.support.web import RunsTestCase


class ListTests(RunsTestCase):
    """C{GET /runs} lists runs, newest first, in pages."""

    def setUp(self) -> None:
        super().setUp()
        self.all = [self.begin(*name) for name in [("say",)] * 5]
        self.ids = [each.run.id for each in reversed(self.all)]

    def listed(self, query: str = "") -> list[str]:
        """The ids on a page."""
        found = self.get(f"/runs{query}")
        return [each["id"] for each in found["runs"]]

    def test_newest_first(self) -> None:
        """The list has all runs, the newest first, each as at its own address."""
        self.assertEqual(self.listed(), self.ids)
        self.assertEqual(sorted(self.ids, reverse=True), self.ids)
        self.assertNotIn("link", self.reply().headers)
        found = self.get("/runs/")
        self.assertIsNone(found["next"])
        for each in found["runs"]:
            self.assertEqual(self.get(each["output"].removesuffix("/output")), each)

    def test_none(self) -> None:
        """No runs are an empty list."""
        self.serve(self.config)
        self.assertEqual(self.get("/runs"), {"runs": [], "next": None})

    def test_pages(self) -> None:
        """Each page links to the next, up to the last."""
        path, pages = "/runs?limit=2", []
        while path:
            found = self.get(path)
            pages.append([each["id"] for each in found["runs"]])
            path = found["next"]
            if path is not None:
                link = self.reply().headers["link"]
                where, _, rel = link.removeprefix("<").partition(">; ")
                self.assertEqual((f"/{where}", rel), (path, 'rel="next"'))
        self.assertNotIn("link", self.reply().headers)
        self.assertEqual(pages, [self.ids[:2], self.ids[2:4], self.ids[4:]])

    def test_exact_page(self) -> None:
        """A page that holds the last run has no next page."""
        self.assertEqual(self.listed("?limit=5"), self.ids)
        self.assertNotIn("link", self.reply().headers)

    def test_steady_pages(self) -> None:
        """A new run moves no run from one page to the next."""
        first = self.get("/runs?limit=3")
        self.begin()
        following = self.get(first["next"])
        self.assertEqual([each["id"] for each in following["runs"]], self.ids[3:])

    def test_filters(self) -> None:
        """Runs can be asked for by state and by command, page by page."""
        echo = self.begin("echo", x="1").run.id
        self.all[0].exit()
        self.all[1].exit()
        self.assertEqual(self.listed("?command=echo"), [echo])
        self.assertEqual(self.listed("?command=none"), [])
        self.assertEqual(self.listed("?state=exited"), self.ids[3:])
        self.assertEqual(self.listed("?state=exited&command=echo"), [])
        found = self.get("/runs?state=exited&command=say&limit=1")
        self.assertIn("state=exited&command=say&limit=1&after=", found["next"])
        self.assertEqual(self.listed(found["next"].removeprefix("/runs")), self.ids[4:])

    def test_outcomes(self) -> None:
        """Ended runs can be asked for by their outcome and code, page by page."""
        for run, code in zip(self.all, (0, 3, 3, 1), strict=False):
            run.exit(code)
        failed = self.ids[1:4]
        self.assertEqual(self.listed("?outcome=success"), self.ids[4:])
        self.assertEqual(self.listed("?outcome=failure"), failed)
        self.assertEqual(self.listed("?code=3"), failed[1:])
        self.assertEqual(self.listed("?code=0&outcome=failure"), [])
        found = self.get("/runs?outcome=failure&code=3&limit=1")
        self.assertIn("outcome=failure&code=3&limit=1&after=", found["next"])
        self.assertEqual(self.listed(found["next"].removeprefix("/runs")), failed[2:])
        self.ask("GET", "/runs?outcome=failed&code=256")
        self.assert_parameters(
            self.problem(),
            outcome="must be one of success, failure",
            code="must be an integer from 0 to 255",
        )

    def test_states(self) -> None:
        """The list can be filtered by every state."""
        for state in State:
            expected = self.ids if state is State.RUNNING else []
            self.assertEqual(self.listed(f"?state={state.value}"), expected)

    def test_current(self) -> None:
        """A run that goes on is listed as it stands now."""
        self.all[-1].say(b"12345")
        self.assertEqual(self.get("/runs")["runs"][0]["size"], 5)

    def test_refused(self) -> None:
        """All bad parameters are named at once."""
        self.ask("GET", "/runs?state=done&limit=0&after=x&sort=up&command=a&command=b")
        self.assert_parameters(
            self.problem(),
            state="must be one of queued, running",
            limit="must be an integer from 1 to 1000",
            after="must be the id of a run",
            sort="is unknown here",
            command="is given more than once",
        )
        for limit in ("-1", "1001", "1.0", "", "٣", "9" * 30):
            self.ask("GET", f"/runs?limit={quote(limit)}")
            self.assertEqual(self.reply().status, 400)

    def test_large(self) -> None:
        """A page ends early where its runs are large, and names the next one."""
        text = "x" * 4000
        runs = [self.begin("echo", x=text).run.id for _ in range(400)]
        pages, path = [], "/runs?command=echo&limit=1000"
        while path:
            found = self.get(path)
            self.assertLess(len(self.reply().body), MAX_PAGE_SIZE * 1.1)
            pages.append([each["id"] for each in found["runs"]])
            path = found["next"]
        self.assertEqual([run for page in pages for run in page], runs[::-1])
        self.assertEqual(len(pages), 2)

    def test_batches(self) -> None:
        """Few runs are looked up at once, however many are asked for."""
        limits: list[int] = []
        page = self.registry.page

        def counted(query: RunQuery) -> Coroutine[Any, Any, list[RunRecord]]:
            limits.append(query.limit)
            return page(query)

        self.patch(Registry, "page", lambda _, query: counted(query))
        self.assertEqual(self.listed("?limit=1000"), self.ids)
        self.assertEqual(limits, [BATCH + 1])
        self.all += [self.begin() for _ in range(3 * BATCH)]
        del limits[:]
        for limit in (1, BATCH, BATCH + 1, 2 * BATCH, 1000):
            ids = [each.run.id for each in self.all][::-1][:limit]
            self.assertEqual(self.listed(f"?limit={limit}"), ids)
        self.assertEqual(max(limits), BATCH + 1)

    def test_head(self) -> None:
        """HEAD answers with the headers alone, the link among them."""
        self.ask("GET", "/runs?limit=2")
        expected = self.reply().headers
        reply = self.ask("HEAD", "/runs?limit=2")
        self.assertEqual((reply.status, reply.rest), (200, b""))
        for name in ("link", "content-length", "content-type"):
            self.assertEqual(reply.headers[name], expected[name])
