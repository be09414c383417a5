"""Tests for L{shellstream.client.doctor.stream_diagnosis}: streams of any server."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Certificate, Ending, Piece
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.stream_diagnosis import (
    StreamProbe,
    diagnose,
    said_nothing,
)
from tests.support.stream_diagnoses import AT_ONCE, GOOD, LIVE, seen
from tests.support.ticking import answer


class ForeignTests(SynchronousTestCase):
    """What can be told, and what cannot."""

    def only(self, *addresses: StreamProbe) -> Finding:
        """The one finding."""
        (finding,) = diagnose(addresses).findings
        return finding

    def notes(self, report: Report) -> str:
        self.assertTrue(report.clean, report.findings)
        return " ".join(report.notes)

    def test_clean(self) -> None:
        """A stream that comes piece by piece, with all the right headers, is clean."""
        self.assertEqual(self.notes(diagnose([seen(*LIVE)])), "")
        report = diagnose([seen(*LIVE)])
        self.assertEqual((report.facts[0]["goes"], report.facts[0]["bytes"]), (3, 14))

    def test_bottle(self) -> None:
        """The server of where it began is named, with what it does to its readers."""
        headers = {
            "server": "WSGIServer/0.2 CPython/3.11.7",
            "content-type": "text/html",
        }
        lines = [Piece(each.time, each.data + b"\r\n") for each in LIVE]
        report = diagnose(
            [seen(*lines, headers=headers, version="1.0", ending=Ending.CLOSED)]
        )
        (finding,) = report.findings
        self.assertEqual((finding.kind, finding.layer), (Kind.NO_CHUNKS, Layer.SERVER))
        self.assertIn("on which Bottle runs", finding.what)
        self.assertIn("512", finding.what)
        self.assertTrue(finding.certain)
        self.assertIn('bottle.run(server="gunicorn")', finding.cure)
        told = " ".join(report.notes)
        self.assertIn("came whole cannot be told", told)
        self.assertIn("loses what the command writes right before it exits", told)
        self.assertIn("X-Accel-Buffering", told)

    def test_its_loop(self) -> None:
        """Only lines that each end twice look like that server's loop."""
        for text, told in (
            (b"a\n\r\nb\n\r\n", True),
            (b"a\n\r\nb\n\r\n\r\n", True),
            (b"a\n\r\nb\n", False),
            (b"a\r\nb\r\n", False),
            (b"", False),
        ):
            pieces = [Piece(0.1, text)] if text else []
            report = diagnose([seen(*pieces)])
            self.assertEqual("ends each line twice" in " ".join(report.notes), told)

    def test_perhaps_held(self) -> None:
        """Lines that all come late and at once are suspicious, and no more."""
        finding = self.only(seen(*AT_ONCE))
        self.assertEqual(finding.kind, Kind.AT_THE_END)
        self.assertFalse(finding.certain)
        self.assertIn("the two look the same", finding.what)
        self.assertIn("3 lines, came in one go, the first 2.2 s", finding.seen)

    def test_not_suspicious(self) -> None:
        """One line, or lines that came at once when asked for, are not; it is said."""
        for piece in (Piece(5.0, b"one\n"), Piece(0.2, b"one\ntwo\n")):
            self.assertIn("wrote once, and ended", self.notes(diagnose([seen(piece)])))

    def test_blocks(self) -> None:
        """Output that comes in blocks of a buffer's size is kept by somebody."""
        pieces = [Piece(float(n), b"x" * 4096) for n in range(3)]
        finding = self.only(seen(*pieces, Piece(3.0, b"rest")))
        self.assertEqual(finding.kind, Kind.BATCHES)
        self.assertIn("until it has 4096 bytes", finding.what)
        self.assertIn("shellstream doctor -- COMMAND", finding.cure)

    @given(st.lists(st.integers(1, 511), min_size=2, max_size=20))
    def test_no_blocks(self, sizes) -> None:
        """Small pieces are no blocks."""
        pieces = [Piece(float(n), b"x" * size) for n, size in enumerate(sizes)]
        self.assertTrue(diagnose([seen(*pieces)]).clean)

    def test_silent(self) -> None:
        """One that says nothing may have nothing to say."""
        quiet = seen(ending=Ending.OVERDUE, ended=20.0)
        self.assertIn("nothing came", self.notes(diagnose([quiet])))
        self.assertTrue(said_nothing([quiet]))
        self.assertFalse(said_nothing([quiet, seen(*LIVE)]))

    def test_goes_on(self) -> None:
        """One that had not ended when we left is told as such."""
        endless = seen(*LIVE, ending=Ending.OVERDUE, ended=20.0)
        self.assertIn("it had not ended", self.notes(diagnose([endless])))
        one = seen(Piece(15.0, b"a\nb\n"), ending=Ending.OVERDUE, ended=20.0)
        self.assertTrue(diagnose([one]).clean)

    def test_proxy(self) -> None:
        """What comes in pieces at one address and at once at the next is kept there."""
        nginx = {**GOOD, "server": "nginx/1.22.1"}
        held = seen(*AT_ONCE, url="http://p/s", headers=nginx)
        finding = self.only(seen(*LIVE), held)
        self.assertEqual((finding.kind, finding.layer), (Kind.AT_THE_END, Layer.PROXY))
        self.assertTrue(finding.certain)
        self.assertIn("nginx at http://p/s keeps output", finding.what)
        self.assertIn("proxy_buffering off;", finding.cure)
        self.assertTrue(
            diagnose([seen(*LIVE), seen(*LIVE[:2], url="http://p/s")]).clean
        )

    def test_compressed(self) -> None:
        """Compression is told, and what it does if it does something."""
        headers = {**GOOD, "content-encoding": "gzip"}
        bare = answer(*LIVE, headers=GOOD)
        finding = self.only(seen(*AT_ONCE, headers=headers, bare=bare))
        self.assertEqual(finding.kind, Kind.COMPRESSED)
        self.assertIn("came in 1 goes, else in 3", finding.seen)
        self.assertIn("Cache-Control: no-transform", finding.cure)
        finding = self.only(seen(*LIVE, headers=headers))
        self.assertIn("whether offered or not", finding.seen)

    def test_sniffed(self) -> None:
        """Plain text, or what has no type at all, is guessed at by browsers."""
        for media_type in ("text/plain; charset=utf-8", None):
            headers = {"transfer-encoding": "chunked"}
            if media_type is not None:
                headers["content-type"] = media_type
            self.assertEqual(self.only(seen(*LIVE, headers=headers)).kind, Kind.SNIFFED)
        headers = {"transfer-encoding": "chunked", "content-type": "text/event-stream"}
        self.assertTrue(diagnose([seen(*LIVE, headers=headers)]).clean)

    def test_cut(self) -> None:
        """An answer that breaks off is told with when; in silence it is told that."""
        finding = self.only(seen(*LIVE, ending=Ending.CUT, ended=2.2))
        self.assertEqual(finding.kind, Kind.CUT)
        self.assertIn("2.2 s after the request", finding.seen)
        self.assertIn("timeout: 0s", finding.cure)
        finding = self.only(seen(*LIVE, ending=Ending.CUT, ended=62.1))
        self.assertIn("after 60.0 s of silence", finding.seen)
        self.assertIn("proxy_read_timeout 1d;", finding.cure)

    def test_untrusted(self) -> None:
        """A certificate that is not trusted is told."""
        finding = self.only(seen(*LIVE, certificate=Certificate("CN=x", "expired")))
        self.assertEqual(finding.kind, Kind.TLS_UNTRUSTED)

    def test_ours(self) -> None:
        """Of one of ours more can be told by another address."""
        headers = {**GOOD, "server": "shellstream/0.1.0"}
        self.assertIn(
            "is a shellstream", self.notes(diagnose([seen(*LIVE, headers=headers)]))
        )
