"""Tests for L{shellstream.client.doctor.server_checks}: what is asked of whom."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.errors import NotExamined, NothingSeen
from shellstream.client.doctor.exchange import Ending, Exchange
from shellstream.client.doctor.findings import Kind
from shellstream.client.doctor.server_checks import (
    MAX_LONG,
    examine,
    examine_foreign,
    is_ours,
)
from shellstream.client.errors import ClientError, NotHTTP
from shellstream.web.resources.tick_stream import MAX_COUNT, MAX_IDLE, MAX_INTERVAL
from tests.support.server_checks import FakeAsker, ForeignAsker, live
from tests.support.stream_diagnoses import AT_ONCE, GOOD, LIVE
from tests.support.ticking import answer, ticking

T = TypeVar("T")

URL, VIA = "http://h/doctor", "http://p/doctor"


class ExamineTestCase(SynchronousTestCase):
    """Examinations that take no time."""

    def result(self, examining: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(examining)

    def refused(self, kind: type[ClientError], first: Exchange) -> str:
        """Why an examination fails whose first answer is this."""
        asker = FakeAsker()
        asker.first = first
        examining = examine(asker, [URL], 20, None)
        return str(self.assertRaises(kind, asyncio.run, examining))


class ServerTests(ExamineTestCase):
    """A server of ours is asked for ticks."""

    def test_asked(self) -> None:
        """Three formats, with compression offered and not, and one that lasts."""
        asker = FakeAsker(h=live)
        report = self.result(examine(asker, [URL], 20, None))
        self.assertTrue(report.clean)
        quick = [fields for _, fields, _ in asker.asked if "format" not in fields]
        self.assertEqual({fields["count"] for fields in quick}, {"1"})
        forms = [(f.get("format"), gzip) for _, f, gzip in asker.asked if "format" in f]
        expected = [(f, g) for g in (False, True) for f in ("plain", "sse", "frames")]
        self.assertEqual(forms, [*expected, ("plain", False)])
        last = asker.asked[-1][1]
        self.assertEqual((int(last["count"]) - 1) * float(last["interval"]), 20)

    def test_idle(self) -> None:
        """A silent one is outlived by one that is not, or it would prove nothing."""
        asker = FakeAsker(h=live)
        report = self.result(examine(asker, [URL], 20, 70))
        self.assertTrue(report.clean)
        silent = [fields for _, fields, _ in asker.asked if "idle" in fields]
        self.assertEqual([f["format"] for f in silent], ["plain", "frames"])
        self.assertEqual({f["idle"] for f in silent}, {"70"})
        (lasting,) = [f for _, f, _ in asker.asked if int(f["count"]) > 100]
        self.assertGreater((int(lasting["count"]) - 1) * float(lasting["interval"]), 70)

    def test_within_bounds(self) -> None:
        """A server takes all that can be asked of it."""
        for long, idle in ((1, None), (MAX_LONG, None), (3600, None), (1, 3600)):
            asker = FakeAsker(h=live)
            self.result(examine(asker, [URL], long, idle))
            for _, fields, _ in asker.asked:
                self.assertLessEqual(int(fields["count"]), MAX_COUNT)
                self.assertLessEqual(float(fields["interval"]), MAX_INTERVAL)
                self.assertLessEqual(float(fields.get("idle", 0)), MAX_IDLE)

    def test_via(self) -> None:
        """Each address is asked the same, and what differs is found."""
        asker = FakeAsker(h=live, p=lambda sent: [sent[-1] for _ in sent])
        report = self.result(examine(asker, [URL, VIA], 20, None))
        self.assertEqual([each.kind for each in report.findings], [Kind.AT_THE_END])
        self.assertEqual(report.findings[0].where, VIA)
        asked: dict[str, list[Any]] = {URL: [], VIA: []}
        for url, *rest in asker.asked:
            asked[url].append(rest)
        self.assertEqual(asked[URL], asked[VIA])

    def test_refused(self) -> None:
        """What answers otherwise is told, with what to do."""
        for status, headers, said in (
            (404, {}, "is 404: no shellstream, or one that is older"),
            (401, {}, "it wants a token"),
            (302, {"location": "https://h/\x9b2J"}, r"examine https://h/\x9b2J"),
            (421, {}, "does not know this host name"),
            (503, {"retry-after": "7"}, "try again in 7 seconds"),
            (500, {}, "the answer is 500"),
            (200, {}, "is no shellstream"),
        ):
            found = answer(status=status, headers=headers)
            self.assertIn(said, self.refused(NotExamined, found))

    def test_no_answer(self) -> None:
        """So is none."""
        none: dict[str, Any] = {"answered": None, "status": 0}
        found = answer(ending=Ending.CUT, **none)
        self.assertIn("before an answer came", self.refused(NotHTTP, found))
        found = answer(ending=Ending.OVERDUE, ended=10.0, **none)
        self.assertIn("in 10 seconds", self.refused(NothingSeen, found))

    def test_ours(self) -> None:
        """A server of ours is known by its ticks, or by how it refuses."""
        problem = {"content-type": "application/problem+json"}
        for first, ours in (
            (ticking([2000.0], [2000.0]), True),
            (answer(status=401, headers=problem), True),
            (answer(status=404, headers=problem), False),
            (answer(status=401), False),
            (answer(*LIVE), False),
        ):
            asker = FakeAsker()
            asker.first = first
            self.assertEqual(self.result(is_ours(asker, URL)), ours)


class ForeignTests(ExamineTestCase):
    """Any other stream is asked for once, if that is enough."""

    def test_once(self) -> None:
        """What is not compressed is not asked for again: it may be a command."""
        asker = ForeignAsker(answer(*LIVE, headers=GOOD))
        self.assertTrue(self.result(examine_foreign(asker, [URL], 20)).clean)
        self.assertEqual(asker.asked, [True])

    def test_compressed(self) -> None:
        """What is compressed is compared with how it comes if it is not."""
        zipped = answer(*AT_ONCE, headers={**GOOD, "content-encoding": "gzip"})
        asker = ForeignAsker(zipped, answer(*LIVE, headers=GOOD))
        report = self.result(examine_foreign(asker, [URL], 20))
        self.assertEqual([each.kind for each in report.findings], [Kind.COMPRESSED])
        self.assertEqual(asker.asked, [True, False])

    def test_nothing(self) -> None:
        """Of a stream that says nothing nothing is said, unless its head tells."""
        quiet: dict[str, Any] = {"ending": Ending.OVERDUE, "ended": 20.0}
        asker = ForeignAsker(answer(headers=GOOD, **quiet))
        examining = examine_foreign(asker, [URL], 20)
        error = self.assertRaises(NothingSeen, asyncio.run, examining)
        self.assertIn("nothing came in 20 seconds", str(error))
        asker = ForeignAsker(answer(headers={}, version="1.0", **quiet))
        report = self.result(examine_foreign(asker, [URL], 20))
        self.assertIn(Kind.NO_CHUNKS, {each.kind for each in report.findings})

    def test_refused(self) -> None:
        """An error is no stream."""
        for status, said in (
            (405, "not for GET"),
            (301, "examine where it points to"),
            (500, "the answer is 500"),
        ):
            asker = ForeignAsker(answer(status=status, headers={}))
            examining = examine_foreign(asker, [URL], 20)
            error = self.assertRaises(NotExamined, asyncio.run, examining)
            self.assertIn(said, str(error))
