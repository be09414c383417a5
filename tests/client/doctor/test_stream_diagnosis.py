"""Tests for L{shellstream.client.doctor.stream_diagnosis}: streams of any server."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Arrival, Certificate, Ending
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.stream_diagnosis import (
    StreamProbe,
    diagnose,
)
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
        pieces = [Arrival(float(n), b"x" * 4096) for n in range(3)]
        finding = self.only(stream_probe(*pieces, Arrival(3.0, b"rest")))
        self.assertEqual(finding.kind, Kind.BATCHES)
        self.assertIn("until it has 4096 bytes", finding.what)
        self.assertIn("shellstream doctor -- COMMAND", finding.cure)

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
        self.assertTrue(
            diagnose(
                [stream_probe(*LINES), stream_probe(*LINES[:2], url="http://p/s")]
            ).clean
        )

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
