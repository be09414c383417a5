"""Tests for L{shellstream.client.doctor.url_checks}: the requests of the checks."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Arrival, Ending, Exchange
from shellstream.client.doctor.findings import Kind, NotExamined, NothingSeen
from shellstream.client.doctor.url_checks import (
    MAX_LONG,
    PATIENCE,
    QUICK,
    check_server,
    check_stream,
    is_ours,
)
from shellstream.client.errors import ClientError, NotHTTP
from shellstream.web.resources.tick_stream import MAX_COUNT, MAX_IDLE, MAX_INTERVAL
from tests.support.doctor_exchanges import (
    AT_ONCE,
    GOOD,
    LINES,
    answer,
    live,
    ticking,
)
from tests.support.fake_probe_clients import (
    BusyProbeClient,
    FakeProbeClient,
    StreamProbeClient,
)

T = TypeVar("T")

URL, VIA = "http://h/doctor", "http://p/doctor"


class ChecksTestCase(SynchronousTestCase):
    """Examinations that take no time."""

    def result(self, examining: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(examining))

    def error(
        self, kind: type[ClientError], examining: Coroutine[Any, Any, object]
    ) -> str:
        """Why an examination fails."""
        failure = self.failureResultOf(Deferred.fromCoroutine(examining), kind)
        return str(failure.value)

    def refused(self, kind: type[ClientError], first: Exchange) -> str:
        """Why an examination fails whose first answer is this."""
        examining = check_server(FakeProbeClient(first), [URL], 20, None)
        return self.error(kind, examining)


class ServerTests(ChecksTestCase):
    """A shellstream server is asked for ticks."""

    def test_asked(self) -> None:
        """Three formats, with gzip offered and without, and one that lasts."""
        client = FakeProbeClient(h=live)
        report = self.result(check_server(client, [URL], 20, None))
        self.assertTrue(report.clean)
        quick = [fields for _, fields, _ in client.asked if fields["count"] == "1"]
        # Trailers, which some proxies fail at, would spoil the comparison of clocks.
        self.assertEqual([fields["format"] for fields in quick], QUICK * ["sse"])
        forms = [
            (f["format"], gzip, f.get("lines"))
            for _, f, gzip in client.asked
            if f["count"] != "1"
        ]
        expected = [
            (form, gzip, None)
            for gzip in (False, True)
            for form in ("plain", "sse", "frames")
        ]
        others = [("plain", False, "false"), ("plain", False, None)]
        self.assertEqual(forms, [*expected, *others])
        last = client.asked[-1][1]
        self.assertEqual((int(last["count"]) - 1) * float(last["interval"]), 20)

    def test_idle(self) -> None:
        """A busy stream must outlive the silent ones, or they would prove nothing."""
        client = FakeProbeClient(h=live)
        report = self.result(check_server(client, [URL], 20, 70))
        self.assertTrue(report.clean)
        silent = [fields for _, fields, _ in client.asked if "idle" in fields]
        self.assertEqual([f["format"] for f in silent], ["plain", "frames"])
        self.assertEqual({f["idle"] for f in silent}, {"70"})
        (lasting,) = [f for _, f, _ in client.asked if int(f["count"]) > 100]
        self.assertGreater((int(lasting["count"]) - 1) * float(lasting["interval"]), 70)

    def test_within_bounds(self) -> None:
        """A server accepts every request of the checks."""
        for long, idle in ((1, None), (MAX_LONG, None), (3600, None), (1, 3600)):
            client = FakeProbeClient(h=live)
            self.result(check_server(client, [URL], long, idle))
            for _, fields, _ in client.asked:
                self.assertLessEqual(int(fields["count"]), MAX_COUNT)
                self.assertLessEqual(float(fields["interval"]), MAX_INTERVAL)
                self.assertLessEqual(float(fields.get("idle", 0)), MAX_IDLE)

    def test_via(self) -> None:
        """Each address gets the same requests; differences are found."""
        client = FakeProbeClient(h=live, p=lambda sent: [sent[-1] for _ in sent])
        report = self.result(check_server(client, [URL, VIA], 20, None))
        self.assertEqual([each.kind for each in report.findings], [Kind.AT_THE_END])
        self.assertEqual(report.findings[0].where, VIA)
        asked: dict[str, list[Any]] = {URL: [], VIA: []}
        for url, *rest in client.asked:
            asked[url].append(rest)
        self.assertEqual(asked[URL], asked[VIA])

    def test_older(self) -> None:
        """A server that has no ticks without line ends is examined without them."""

        class Older(FakeProbeClient):
            async def ask(
                self, url: str, timeout: float, *, query: str = "", gzip: bool = False
            ) -> Exchange:
                if "lines=" in query:
                    return answer(status=400)
                return await super().ask(url, timeout, query=query, gzip=gzip)

        report = self.result(check_server(Older(h=live), [URL], 20, None))
        self.assertTrue(report.clean)

    def test_turn(self) -> None:
        """While a server has as many examinations as it allows, they wait."""
        headers = {"content-type": "application/problem+json", "retry-after": "10"}
        busy = answer(status=503, headers=headers)
        client = BusyProbeClient(busy, times=5, h=live)
        self.assertTrue(self.result(check_server(client, [URL], 20, None)).clean)
        self.assertEqual(client.paused, 5 * [10.0])
        client = BusyProbeClient(busy, times=1000, h=live)
        examining = check_server(client, [URL], 20, None)
        self.assertIn(
            "as many as the server allows", self.error(NotExamined, examining)
        )
        self.assertEqual(sum(client.paused), 20 + PATIENCE)

    def test_refused(self) -> None:
        """Another answer is an error with advice."""
        for status, headers, said in (
            (404, {}, "is 404: no shellstream, or one that is older"),
            (401, {}, "$SHELLSTREAM_TOKEN or --token-file"),
            (403, {}, "may not ask for it"),
            (302, {"location": "https://h/\x9b2J"}, r"examine https://h/\x9b2J"),
            (421, {}, "does not know this host name"),
            (503, {"retry-after": "7"}, "is not ready; try again later"),
            (500, {}, "the answer is 500"),
            (200, {}, "is no shellstream"),
        ):
            found = answer(status=status, headers=headers)
            self.assertIn(said, self.refused(NotExamined, found))

    def test_no_answer(self) -> None:
        """No answer is an error, too."""
        none: dict[str, Any] = {"answered": None, "status": 0}
        found = answer(ending=Ending.CUT, **none)
        self.assertIn("before an answer came", self.refused(NotHTTP, found))
        found = answer(ending=Ending.OVERDUE, ended=10.0, **none)
        self.assertIn("in 10 seconds", self.refused(NothingSeen, found))
        found = answer(ending=Ending.MALFORMED, problem="SSH-2.0", **none)
        self.assertIn("no HTTP response: SSH-2.0", self.refused(NotHTTP, found))

    def test_ours(self) -> None:
        """A shellstream server is recognized by its ticks, or its problem documents."""
        problem = {"content-type": "application/problem+json"}
        for first, ours in (
            (ticking([2000.0], [2000.0]), True),
            (answer(status=401, headers=problem), True),
            (answer(status=404, headers=problem), False),
            (answer(status=401), False),
            (answer(*LINES), False),
        ):
            client = FakeProbeClient(first)
            self.assertEqual(self.result(is_ours(client, URL)), ours)


class StreamTests(ChecksTestCase):
    """Any other stream is asked for once, or twice if it is compressed."""

    def test_once(self) -> None:
        """A stream is not asked for again without need: it may be a command."""
        client = StreamProbeClient(answer(*LINES, headers=GOOD))
        self.assertTrue(self.result(check_stream(client, [URL], 20)).clean)
        self.assertEqual(client.asked, [True])

    def test_compressed(self) -> None:
        """A compressed stream is compared with the same without compression."""
        zipped = answer(*AT_ONCE, headers={**GOOD, "content-encoding": "gzip"})
        client = StreamProbeClient(zipped, answer(*LINES, headers=GOOD))
        report = self.result(check_stream(client, [URL], 20))
        self.assertEqual([each.kind for each in report.findings], [Kind.COMPRESSED])
        self.assertEqual(client.asked, [True, False])

    def test_asked_again(self) -> None:
        """Where a proxy's output differs, both are asked again, at the same time."""
        late = answer(*(Arrival(t + 1, data) for t, data in LINES), headers=GOOD)
        client = StreamProbeClient(answer(*LINES, headers=GOOD), None)
        client.ways = {"http://p/s": late}
        examining = check_stream(client, ["http://h/s", "http://p/s"], 20)
        self.assertEqual(
            [each.kind for each in self.result(examining).findings], [Kind.LATE]
        )
        self.assertEqual(client.asked, [True, True, False, False])

    def test_nothing(self) -> None:
        """A silent stream cannot be examined, unless its headers show something."""
        quiet: dict[str, Any] = {"ending": Ending.OVERDUE, "ended": 20.0}
        client = StreamProbeClient(answer(headers=GOOD, **quiet))
        examining = check_stream(client, [URL], 20)
        error = self.error(NothingSeen, examining)
        self.assertIn("nothing came in 20 seconds", error)
        client = StreamProbeClient(answer(headers={}, version="1.0", **quiet))
        report = self.result(check_stream(client, [URL], 20))
        self.assertIn(Kind.NO_CHUNKS, {each.kind for each in report.findings})

    def test_refused(self) -> None:
        """An error status cannot be examined."""
        for status, said in (
            (405, "does not answer GET"),
            (301, "examine where it points to"),
            (401, "$SHELLSTREAM_TOKEN or --token-file"),
            (404, "nothing at this address"),
            (500, "the answer is 500"),
        ):
            client = StreamProbeClient(answer(status=status, headers={}))
            examining = check_stream(client, [URL], 20)
            self.assertIn(said, self.error(NotExamined, examining))
