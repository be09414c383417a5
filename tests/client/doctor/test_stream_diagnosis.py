"""Tests for L{shellstream.client.doctor.stream_diagnosis}: streams of any server."""

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Arrival, Burst, Certificate, Ending
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.stream_comparison import StreamProbe, differs
from shellstream.client.doctor.stream_diagnosis import diagnose
from tests.support.doctor_exchanges import (
    AT_ONCE,
    GOOD,
    LINES,
    answer,
    stream_probe,
)


class StreamTests(SynchronousTestCase):
    """Findings are certain only if nothing else would look the same."""

    def only(self, *addresses: StreamProbe) -> Finding:
        """The one finding."""
        (finding,) = diagnose(addresses).findings
        return finding

    def notes(self, report: Report) -> str:
        self.assertTrue(report.clean, report.findings)
        return " ".join(report.notes)

    def test_clean(self) -> None:
        """A live stream with the right headers is clean."""
        self.assertEqual(self.notes(diagnose([stream_probe(*LINES)])), "")
        report = diagnose([stream_probe(*LINES)])
        self.assertEqual((report.facts[0]["goes"], report.facts[0]["bytes"]), (3, 14))

    def test_bottle(self) -> None:
        """Bottle's server is recognized, and its effect on readers is described."""
        headers = {
            "server": "WSGIServer/0.2 CPython/3.11.7",
            "content-type": "text/html",
        }
        lines = [Arrival(each.time, each.data + b"\r\n") for each in LINES]
        report = diagnose(
            [stream_probe(*lines, headers=headers, version="1.0", ending=Ending.CLOSED)]
        )
        (finding,) = report.findings
        self.assertEqual((finding.kind, finding.layer), (Kind.NO_CHUNKS, Layer.SERVER))
        self.assertIn("on which Bottle runs", finding.what)
        self.assertIn("512", finding.what)
        self.assertTrue(finding.certain)
        self.assertIn('bottle.run(server="gunicorn")', finding.cure)
        notes = " ".join(report.notes)
        self.assertIn("cannot be told whether it came whole", notes)
        self.assertIn("loses what the command writes right before it exits", notes)
        self.assertIn("X-Accel-Buffering", notes)

    def test_its_loop(self) -> None:
        """Only lines that each end twice look like a loop that loses output."""
        for text, double in (
            (b"a\n\r\nb\n\r\n", True),
            (b"a\n\r\nb\n\r\n\r\n", True),
            (b"a\n\r\nb\n", False),
            (b"a\r\nb\r\n", False),
            (b"", False),
        ):
            pieces = [Arrival(0.1, text)] if text else []
            report = diagnose([stream_probe(*pieces)])
            self.assertEqual("ends each line twice" in " ".join(report.notes), double)

    def test_perhaps_held(self) -> None:
        """Lines that all come late and at once are suspicious, not certain."""
        finding = self.only(stream_probe(*AT_ONCE))
        self.assertEqual(finding.kind, Kind.AT_THE_END)
        self.assertFalse(finding.certain)
        self.assertIn("the two look the same", finding.what)
        self.assertIn("3 lines, came all at once, the first 2.2 s", finding.seen)

    def test_not_suspicious(self) -> None:
        """One line, or early lines, are not suspicious; a note says why."""
        for piece in (Arrival(5.0, b"one\n"), Arrival(0.2, b"one\ntwo\n")):
            self.assertIn(
                "wrote once, and ended", self.notes(diagnose([stream_probe(piece)]))
            )

    def test_blocks(self) -> None:
        """Output in blocks of a buffer's size is held back."""
        line = b"a line, 32 bytes with its end..\n"
        pieces = [Arrival(float(n), 128 * line) for n in range(3)]
        finding = self.only(stream_probe(*pieces, Arrival(3.0, b"rest")))
        self.assertEqual(finding.kind, Kind.BATCHES)
        self.assertIn("until it has 4096 bytes", finding.what)
        self.assertIn("shellstream doctor -- COMMAND", finding.cure)

    def test_blocks_with_head(self) -> None:
        """A proxy's block may hold the head and the framing, too."""
        line = b"a line\n"
        sizes = (7900, 8120, 8120)
        pieces = [Arrival(float(n), (line * 2000)[:s]) for n, s in enumerate(sizes)]
        reads = [Burst(float(n), 8192) for n in range(3)] + [Burst(3.0, 17)]
        finding = self.only(stream_probe(*pieces, reads=reads))
        self.assertIn("until it has 8192 bytes", finding.what)

    def test_blocks_on_purpose(self) -> None:
        """A program that writes blocks without lines, or one line each, means them."""
        for block in (b"x" * 4096, b"x" * 8191 + b"\n"):
            pieces = [Arrival(float(n), block) for n in range(3)]
            self.assertTrue(diagnose([stream_probe(*pieces)]).clean)

    def test_paced(self) -> None:
        """A length that is known beforehand is no fault of what comes bit by bit."""
        headers = {**GOOD, "content-length": "14"}
        del headers["transfer-encoding"]
        self.assertTrue(diagnose([stream_probe(*LINES, headers=headers)]).clean)
        findings = diagnose([stream_probe(*AT_ONCE, headers=headers)]).findings
        self.assertIn(Kind.NO_CHUNKS, {each.kind for each in findings})

    def test_page(self) -> None:
        """A page, or an answer without content, is no stream and has no faults."""
        headers = {"content-type": "text/plain", "content-length": "3"}
        page = stream_probe(Arrival(0.002, b"ok\n"), headers=headers)
        self.assertIn("a page of 3 bytes", self.notes(diagnose([page])))
        empty = stream_probe(status=204, headers={})
        self.assertIn("answered with nothing", self.notes(diagnose([empty])))

    def test_malformed(self) -> None:
        """A response that stops being HTTP is found."""
        broken = stream_probe(*LINES, ending=Ending.MALFORMED, problem="no chunk size")
        finding = self.only(broken)
        self.assertEqual(finding.kind, Kind.MALFORMED)
        self.assertIn("no chunk size, after 14 bytes", finding.seen)

    @given(st.lists(st.integers(1, 511), min_size=2, max_size=20))
    def test_no_blocks(self, sizes) -> None:
        """Small bursts are no blocks."""
        pieces = [Arrival(float(n), b"x" * size) for n, size in enumerate(sizes)]
        self.assertTrue(diagnose([stream_probe(*pieces)]).clean)

    def test_silent(self) -> None:
        """A silent stream is not a finding: the command may have nothing to write."""
        quiet = stream_probe(ending=Ending.OVERDUE, ended=20.0)
        self.assertIn("nothing came", self.notes(diagnose([quiet])))

    def test_goes_on(self) -> None:
        """A note says that a stream had not ended."""
        endless = stream_probe(*LINES, ending=Ending.OVERDUE, ended=20.0)
        self.assertIn("it had not ended", self.notes(diagnose([endless])))
        one = stream_probe(Arrival(15.0, b"a\nb\n"), ending=Ending.OVERDUE, ended=20.0)
        self.assertTrue(diagnose([one]).clean)

    def test_proxy(self) -> None:
        """A proxy that turns several bursts into one keeps output back."""
        nginx = {**GOOD, "server": "nginx/1.22.1"}
        held = stream_probe(*AT_ONCE, url="http://p/s", headers=nginx)
        finding = self.only(stream_probe(*LINES), held)
        self.assertEqual((finding.kind, finding.layer), (Kind.AT_THE_END, Layer.PROXY))
        self.assertTrue(finding.certain)
        self.assertIn("nginx at http://p/s keeps output back", finding.what)
        self.assertIn("proxy_buffering off;", finding.cure)

    def test_late(self) -> None:
        """A proxy that delays each piece is found, if it does so when asked again."""
        direct = stream_probe(*LINES)
        for delay, haproxy in ((0.206, True), (1.0, False)):
            later = [Arrival(time + delay, data) for time, data in LINES]
            via = stream_probe(*later, url="http://p/s")
            self.assertTrue(differs(direct, via))
            via = evolve(via, beside=(direct.bare, via.bare))
            finding = self.only(direct, via)
            self.assertEqual(finding.kind, Kind.LATE)
            self.assertEqual("HAProxy" in finding.what, haproxy)
            self.assertEqual("option http-no-delay" in finding.cure, haproxy)
            by_accident = evolve(via, beside=(direct.bare, direct.bare))
            self.assertTrue(diagnose([direct, by_accident]).clean)
        far = evolve(via.bare, connected=0.5)
        self.assertFalse(differs(direct, StreamProbe("http://p/s", far, far)))

    def test_whole_lines(self) -> None:
        """A proxy that passes on whole lines, where the server writes parts of them."""
        parts = [Arrival(0.3 * n, b"..\n" if n % 3 == 2 else b"..") for n in range(9)]
        lines = [Arrival(0.9 * n + 0.6, b"......\n") for n in range(3)]
        finding = self.only(
            stream_probe(*parts), stream_probe(*lines, url="http://p/s")
        )
        self.assertEqual(finding.kind, Kind.WHOLE_LINES)

    def test_shortened(self) -> None:
        """A proxy that ends a response early, as if it were complete."""
        direct, via = stream_probe(*LINES), stream_probe(*LINES[:2], url="http://p/s")
        self.assertTrue(differs(direct, via))
        self.assertTrue(diagnose([direct, via]).clean)  # two runs may differ
        finding = self.only(direct, evolve(via, beside=(direct.bare, via.bare)))
        self.assertEqual((finding.kind, finding.certain), (Kind.CUT, False))

    def test_nothing_passed(self) -> None:
        """A proxy that does not even answer while the server does."""
        kept = stream_probe(
            url="http://p/s",
            answered=None,
            status=0,
            headers={},
            ending=Ending.OVERDUE,
            ended=20.0,
        )
        finding = self.only(stream_probe(*LINES), kept)
        self.assertEqual(finding.kind, Kind.AT_THE_END)
        self.assertIn("not even the head", finding.what)

    def test_trailers(self) -> None:
        """A proxy that fails behind the last piece of a response with trailers."""
        direct = stream_probe(*LINES, headers={**GOOD, "trailer": "X"})
        none: dict[str, Any] = {"answered": None, "status": 0, "headers": {}}
        for via in (
            stream_probe(*LINES, url="http://p/s", ending=Ending.CUT),
            stream_probe(
                url="http://p/s", ending=Ending.MALFORMED, problem="no line", **none
            ),
        ):
            self.assertEqual(self.only(direct, via).kind, Kind.TRAILERS)

    def test_compressed(self) -> None:
        """Compression is found, with its effect if it shows."""
        headers = {**GOOD, "content-encoding": "gzip"}
        bare = answer(*LINES, headers=GOOD)
        finding = self.only(stream_probe(*AT_ONCE, headers=headers, bare=bare))
        self.assertEqual(finding.kind, Kind.COMPRESSED)
        self.assertIn("came all at once, else in 3 pieces", finding.seen)
        self.assertIn("Cache-Control: no-transform", finding.cure)
        finding = self.only(stream_probe(*LINES, headers=headers))
        self.assertIn("whether a client offers it or not", finding.seen)

    def test_sniffed(self) -> None:
        """Plain text, or a response without a type, is sniffed by browsers."""
        for media_type in ("text/plain; charset=utf-8", None):
            headers = {"transfer-encoding": "chunked"}
            if media_type is not None:
                headers["content-type"] = media_type
            self.assertEqual(
                self.only(stream_probe(*LINES, headers=headers)).kind, Kind.SNIFFED
            )
        headers = {"transfer-encoding": "chunked", "content-type": "text/event-stream"}
        self.assertTrue(diagnose([stream_probe(*LINES, headers=headers)]).clean)

    def test_cut(self) -> None:
        """A cut is found with its time, and with the silence before it."""
        finding = self.only(stream_probe(*LINES, ending=Ending.CUT, ended=2.2))
        self.assertEqual(finding.kind, Kind.CUT)
        self.assertIn("2.2 s after the request", finding.seen)
        self.assertIn("timeout: 0s", finding.cure)
        finding = self.only(stream_probe(*LINES, ending=Ending.CUT, ended=62.1))
        self.assertIn("after 60.0 s of silence", finding.seen)
        self.assertIn("proxy_read_timeout 1d;", finding.cure)

    def test_untrusted(self) -> None:
        """An untrusted certificate is found."""
        finding = self.only(
            stream_probe(*LINES, certificate=Certificate("CN=x", "expired"))
        )
        self.assertEqual(finding.kind, Kind.TLS_UNTRUSTED)

    def test_ours(self) -> None:
        """A note suggests the better checks for a shellstream server."""
        headers = {**GOOD, "server": "shellstream/0.1.0"}
        self.assertIn(
            "is a shellstream server",
            self.notes(diagnose([stream_probe(*LINES, headers=headers)])),
        )
