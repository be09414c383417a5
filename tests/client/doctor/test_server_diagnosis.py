"""Tests for L{shellstream.client.doctor.server_diagnosis}: from probes to findings."""

import math
from collections.abc import Sequence
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.exchange import Certificate, Ending, Exchange
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.hops import Hop, Length, Probe
from shellstream.client.doctor.server_diagnosis import diagnose
from shellstream.client.doctor.ticks import Baseline
from tests.support.doctor_exchanges import (
    LASTING,
    LONG,
    OFFSET,
    PLAIN,
    SHORT,
    SSE,
    ZIPPED,
    Way,
    answer,
    hop,
    late,
    live,
    ticking,
)

IDLE = [2000.0, 2070.0]

SILENT = Probe("plain", Length.IDLE)
FRAMED = Probe("frames", Length.IDLE)


def at_the_end(sent: Sequence[float]) -> list[float]:
    return [sent[-1] + 0.002 for _ in sent]


def batches(sent: Sequence[float]) -> list[float]:
    return [sent[min(n - n % 4 + 3, len(sent) - 1)] for n in range(len(sent))]


def delayed(seconds: float) -> Way:
    return lambda sent: [each + seconds for each in sent]


def changed(before: Hop, probe: Probe, exchange: Exchange) -> Hop:
    """The same, but for one stream."""
    return evolve(before, streams={**before.streams, probe: exchange})


def cut_after(
    sent: Sequence[float], after: float, ending: Ending = Ending.CUT
) -> Exchange:
    """An answer that ended this long after it was asked for."""
    until = [each for each in sent if each <= sent[0] + after]
    return ticking(
        until, live(until), of=len(sent), ended=sent[0] + after, ending=ending
    )


class DiagnosisTestCase(SynchronousTestCase):
    """The findings for some addresses."""

    def diagnose(self, *hops: Hop, idle: float | None = None) -> Report:
        return diagnose(hops, idle=idle, longest=20.0)

    def found(self, *hops: Hop, idle: float | None = None) -> dict[Kind, Finding]:
        findings = self.diagnose(*hops, idle=idle).findings
        kinds = {each.kind: each for each in findings}
        self.assertEqual(len(kinds), len(findings))
        return kinds

    def only(self, *hops: Hop, idle: float | None = None) -> Finding:
        """The one finding."""
        (finding,) = self.diagnose(*hops, idle=idle).findings
        return finding


class CleanTests(DiagnosisTestCase):
    """Live streams have no findings."""

    def test_clean(self) -> None:
        """Live streams are clean, and a note names the untested parts."""
        report = self.diagnose(hop(), hop(name="proxy"))
        self.assertTrue(report.clean)
        (note,) = report.notes
        self.assertIn("longer than 20 s were not tried", note)
        self.assertIn("--idle 70", note)

    def test_facts(self) -> None:
        """The facts are the protocol, the distance and the clock of each address."""
        base = Baseline(0.05, 1000.0, -3.5)
        report = self.diagnose(evolve(hop(headers={"server": "x/1"}), base=base))
        fact = report.facts[0]
        self.assertEqual(fact["url"], "http://server/doctor")
        self.assertEqual((fact["http"], fact["server"]), ("1.1", "x/1"))
        self.assertEqual(fact["round_trip_seconds"], 0.05)
        self.assertEqual(fact["delay_seconds"], 0.001)
        self.assertEqual(fact["ticks"], 16)

    def test_skew(self) -> None:
        """A wrong clock is a note, not a finding."""
        for skew, word in ((3600.0, "3600.0 s ahead"), (-5.0, "5.0 s behind")):
            base = Baseline(0.001, 1000.0, skew)
            report = self.diagnose(evolve(hop(), base=base))
            self.assertTrue(report.clean)
            self.assertIn(word, report.notes[0])

    @given(st.lists(st.floats(0, 0.09), min_size=41, max_size=41))
    def test_busy_machine(self, jitter) -> None:
        """Small delays are no finding, however they vary."""

        def way(sent: Sequence[float]) -> list[float]:
            return [a + b for a, b in zip(sent, jitter, strict=False)]

        self.assertEqual(self.diagnose(hop(way)).findings, ())

    def test_one_stream_late(self) -> None:
        """One late stream of several is an accident."""
        slow = changed(hop(name="proxy"), SSE, ticking(SHORT, late(SHORT)))
        self.assertTrue(self.diagnose(hop(), slow).clean)


class HeldBackTests(DiagnosisTestCase):
    """Findings name the proxy that holds output back, and how it does."""

    def test_at_the_end(self) -> None:
        """A proxy that keeps all output until the end, with its setting."""
        headers = {
            "server": "nginx/1.22.1",
            "transfer-encoding": "chunked",
            "x-content-type-options": "nosniff",
        }
        finding = self.only(hop(), hop(at_the_end, "proxy", headers=headers))
        self.assertEqual(finding.kind, Kind.AT_THE_END)
        self.assertEqual(finding.layer, Layer.PROXY)
        self.assertEqual(finding.where, "http://proxy/doctor")
        self.assertIn("nginx at http://proxy/doctor keeps output", finding.what)
        seen = "8 ticks were sent over 2.1 s; they came all at once"
        self.assertIn(seen, finding.seen)
        self.assertIn("proxy_buffering off;", finding.cure)

    def test_late(self) -> None:
        """A proxy that delays each piece; without a name, it may be HAProxy."""
        finding = self.only(hop(), hop(late, "proxy"))
        self.assertEqual(finding.kind, Kind.LATE)
        self.assertIn("HAProxy does this", finding.what)
        self.assertIn("option http-no-delay", finding.cure)
        self.assertIn("0 ms to 205 ms later than the network", finding.seen)
        self.assertTrue(finding.certain)

    def test_constant(self) -> None:
        """A delay that is the same for all responses does not hide in the clocks."""
        for delay in (0.3, 1.0, 3.0):
            # The server sent its tick at 2000; we take it for the middle of the trip.
            base = Baseline(delay, OFFSET + delay / 2, 0.0, connected=0.0005)
            proxy = evolve(hop(delayed(delay), "proxy"), base=base)
            for hops in ((hop(), proxy), (proxy,)):
                finding = self.only(*hops)
                self.assertEqual(finding.kind, Kind.LATE)
                self.assertEqual(finding.certain, len(hops) == 2)
                self.assertNotIn("HAProxy", finding.what)
                self.assertNotIn("option http-no-delay", finding.cure)

    def test_distance(self) -> None:
        """A far server is no finding, unless connecting to it takes no time."""
        base = Baseline(0.4, OFFSET, 0.0, connected=0.4)
        far = evolve(hop(delayed(0.2), "far"), base=base)
        self.assertTrue(self.diagnose(far).clean)
        self.assertTrue(self.diagnose(hop(), far).clean)
        finding = self.only(hop(), evolve(far, base=evolve(base, connected=0.001)))
        self.assertEqual((finding.kind, finding.certain), (Kind.LATE, False))
        self.assertIn("or is far away", finding.what)
        self.assertIn("takes 400 ms, and connecting only 1 ms", finding.seen)

    def test_intervals(self) -> None:
        """Output that is passed on at intervals is late by very different times."""

        def way(sent: Sequence[float]) -> list[float]:
            return [math.ceil(each / 0.5) * 0.5 + 0.001 for each in sent]

        finding = self.only(hop(), hop(way, "proxy"))
        self.assertIn("at intervals", finding.what)

    def test_whole_lines(self) -> None:
        """A proxy that passes on whole lines shows where there are no line ends."""
        unlined = Probe("plain", lines=False)
        held = ticking(SHORT, at_the_end(SHORT))
        finding = self.only(hop(), changed(hop(name="proxy"), unlined, held))
        self.assertEqual(finding.kind, Kind.WHOLE_LINES)
        self.assertIn("without line ends 8 ticks were sent over 2.1 s", finding.seen)

    def test_named_before(self) -> None:
        """What comes between two addresses is not who names itself at both."""
        headers = {**hop().typical.headers, "server": "nginx/1.22.1"}
        inner = hop(name="nginx", headers=headers)
        for way in (late, at_the_end):
            finding = self.only(hop(), inner, hop(way, "outer", headers=headers))
            self.assertIn("a proxy on the way to http://outer/", finding.what)
        # nginx is not known to delay each piece, so somebody before it does.
        finding = self.only(hop(), hop(late, "outer", headers=headers))
        self.assertIn("a proxy on the way to http://outer/", finding.what)
        self.assertIn("option http-no-delay", finding.cure)

    def test_batches(self) -> None:
        """A proxy that passes on several pieces at once."""
        finding = self.only(hop(), hop(batches, "proxy"))
        self.assertEqual(finding.kind, Kind.BATCHES)
        self.assertIn("came in 2 pieces", finding.seen)

    def test_some(self) -> None:
        """The finding names the formats if not all are held back."""
        held = ticking(SHORT, at_the_end(SHORT))
        finding = self.only(hop(), changed(hop(name="proxy"), SSE, held))
        self.assertIn("(sse)", finding.what)
        finding = self.only(hop(), changed(hop(name="proxy"), ZIPPED, held))
        self.assertIn("(plain with gzip offered)", finding.what)

    def test_nothing(self) -> None:
        """A proxy that passes on nothing at all holds back the output too."""
        nothing = answer(
            requested=2000.0,
            answered=None,
            ended=2012.0,
            ending=Ending.OVERDUE,
            headers={},
            status=0,
            version="",
        )
        proxy = hop(name="proxy")
        proxy = evolve(proxy, streams=dict.fromkeys(proxy.streams, nothing))
        finding = self.only(hop(), proxy)
        self.assertEqual(finding.kind, Kind.AT_THE_END)
        self.assertIn("passed on nothing", finding.what)
        self.assertIn("no tick came", finding.seen)

    def test_whose(self) -> None:
        """A finding stands where it shows first, not further out."""
        report = self.diagnose(
            hop(), hop(late, "inner"), hop(late, "middle"), hop(at_the_end, "outer")
        )
        found = [(each.kind, each.where) for each in report.findings]
        self.assertEqual(
            found,
            [
                (Kind.LATE, "http://inner/doctor"),
                (Kind.AT_THE_END, "http://outer/doctor"),
            ],
        )

    def test_slow_here(self) -> None:
        """Ticks that are as late without the proxy are not its fault."""

        self.assertTrue(self.diagnose(hop(delayed(0.08)), hop(delayed(0.12))).clean)

    @given(st.permutations([live, late, at_the_end, batches]))
    def test_each_once(self, ways) -> None:
        """In any order of proxies, each kind is found once, and a live one never."""
        hops = [hop(way, way.__name__) for way in ways]
        report = self.diagnose(*hops)
        kinds = [each.kind for each in report.findings]
        self.assertEqual(len(set(kinds)), len(kinds))
        self.assertNotIn("http://live/doctor", {each.where for each in report.findings})
        self.assertIn(Kind.AT_THE_END, kinds)
        self.assertIn(Kind.BATCHES, kinds)


class FramingTests(DiagnosisTestCase):
    """HTTP/1.0, missing chunks, lengths that are known beforehand."""

    def test_http_1_0(self) -> None:
        """The finding describes the effect of a response without chunks."""
        finding = self.only(
            hop(),
            hop(
                name="proxy",
                version="1.0",
                headers={"x-content-type-options": "nosniff"},
                ending=Ending.CLOSED,
            ),
        )
        self.assertEqual(finding.kind, Kind.NO_CHUNKS)
        self.assertIn("iter_lines() wants 512", finding.what)
        self.assertIn("HTTP/1.0, ended by closing", finding.seen)
        self.assertIn("proxy_http_version 1.1;", finding.cure)

    def test_length(self) -> None:
        """A length that is known beforehand means that all output was kept."""
        headers = {"content-length": "560", "x-content-type-options": "nosniff"}
        found = self.found(hop(), hop(at_the_end, "proxy", headers=headers))
        self.assertEqual(set(found), {Kind.NO_CHUNKS, Kind.AT_THE_END})
        self.assertIn("had all of the output", found[Kind.NO_CHUNKS].what)

    def test_behind(self) -> None:
        """A proxy that speaks HTTP/1.0 to the server hides that the server died."""
        headers = {
            **hop().typical.headers,
            "server": "nginx/1.22.1",
            "shellstream-request-version": "HTTP/1.0",
        }
        finding = self.only(hop(), hop(name="proxy", headers=headers))
        self.assertEqual(finding.kind, Kind.NO_CHUNKS_BEHIND)
        self.assertEqual(finding.cure[1:], ("proxy_http_version 1.1;",))


class CutTests(DiagnosisTestCase):
    """Streams that end before their end."""

    def test_after_a_time(self) -> None:
        """A stream that was cut after a limit, with that limit."""
        proxy = changed(hop(name="proxy"), LASTING, cut_after(LONG, 15.02))
        finding = self.only(hop(), proxy)
        self.assertEqual(finding.kind, Kind.CUT)
        self.assertIn("after 15.0 s in all", finding.what)
        self.assertIn("timeout: 0s", finding.cure)
        self.assertNotIn("look like the end", finding.what)
        self.assertNotIn("not tried", " ".join(self.diagnose(hop(), proxy).notes))

    def test_hidden(self) -> None:
        """A cut that looks like the end is found by the missing ticks."""
        for ending in (Ending.WHOLE, Ending.CLOSED):
            stream = cut_after(LONG, 15.02, ending)
            finding = self.only(hop(), changed(hop(name="proxy"), LASTING, stream))
            self.assertIn("look like the end", finding.what)

    def test_any_time(self) -> None:
        """Cuts at various times: a bad network, not a limit."""
        proxy = changed(hop(name="proxy"), LASTING, cut_after(LONG, 9.0))
        proxy = changed(proxy, SSE, cut_after(SHORT, 1.0))
        finding = self.only(hop(), proxy)
        self.assertIn("not always after the same time", finding.what)
        self.assertIn("2 of 4 streams ended after 1.0 s to 9.0 s", finding.seen)

    def test_at_once(self) -> None:
        """A stream that was cut before anything came was not held back."""
        ways: tuple[dict[str, Any], ...] = (
            {"ending": Ending.CUT, "answered": None, "status": 0, "headers": {}},
            {"ending": Ending.CUT},
            {"status": 504, "headers": {"content-length": "9"}},
        )
        for way in ways:
            cut = answer(requested=2000.0, **{"ended": 2000.1, **way})
            finding = self.only(hop(), changed(hop(name="proxy"), PLAIN, cut))
            self.assertEqual(finding.kind, Kind.CUT)
            self.assertNotIn("look like the end", finding.what)

    def test_after_bytes(self) -> None:
        """Streams that were cut after the same number of bytes, not of seconds."""
        proxy = hop(name="proxy")
        for probe, after in ((PLAIN, 1.3), (ZIPPED, 1.3), (SSE, 0.4), (LASTING, 2.2)):
            times = LONG if probe is LASTING else SHORT
            stream = evolve(cut_after(times, after), size=300)
            proxy = changed(proxy, probe, stream)
        finding = self.only(hop(), proxy)
        self.assertIn("cuts streams after a number of bytes", finding.what)
        self.assertIn("after 300 bytes", finding.seen)

    def test_error_pages(self) -> None:
        """A proxy's error in place of the stream is reported with its status."""
        gone = answer(requested=2000.0, ended=2000.1, status=503, headers={})
        proxy = hop(name="proxy")
        proxy = evolve(proxy, streams=dict.fromkeys(proxy.streams, gone))
        (finding,) = (
            each
            for each in self.diagnose(hop(), proxy).findings
            if each.kind is Kind.CUT
        )
        self.assertIn("answers with 503 in place of the stream", finding.what)

    def test_trailers(self) -> None:
        """A proxy that fails where plain output has its trailers, and only there."""
        whole = ticking(SHORT, live(SHORT))
        ways = (
            evolve(whole, ending=Ending.CUT),
            evolve(whole, ending=Ending.MALFORMED, problem="no line end"),
            answer(requested=2000.0, ended=2000.1, status=503),
            answer(requested=2000.0, ending=Ending.MALFORMED, problem="no line end"),
        )
        for way in ways:
            proxy = hop(name="proxy")
            for probe in (PLAIN, ZIPPED, LASTING):
                proxy = changed(proxy, probe, way)
            (finding,) = self.diagnose(hop(), proxy).findings
            self.assertEqual((finding.kind, finding.certain), (Kind.TRAILERS, True))
            self.assertIn("but no other format", finding.seen)
        proxy = hop(name="proxy")
        proxy = evolve(proxy, streams=dict.fromkeys(proxy.streams, ways[0]))
        finding = self.only(hop(), proxy)
        self.assertEqual((finding.kind, finding.certain), (Kind.TRAILERS, False))

    def test_malformed(self) -> None:
        """A response that stops being HTTP between two ticks."""
        broken = cut_after(SHORT, 1.0, Ending.MALFORMED)
        broken = evolve(broken, problem="Invalid chunk size")
        finding = self.only(hop(), changed(hop(name="proxy"), SSE, broken))
        self.assertEqual(finding.kind, Kind.MALFORMED)
        self.assertEqual(finding.seen, "Invalid chunk size")

    def test_idle(self) -> None:
        """A stream that was cut in silence while others went on."""
        silent = cut_after(IDLE, 60.0)
        proxy = changed(hop(name="proxy"), SILENT, silent)
        proxy = changed(proxy, FRAMED, ticking(IDLE, live(IDLE)))
        finding = self.only(hop(), proxy, idle=70.0)
        self.assertEqual(finding.kind, Kind.CUT_WHEN_IDLE)
        self.assertIn("60.0 s of silence", finding.seen)
        self.assertIn("proxy_read_timeout 1d;", finding.cure)
        self.assertIn("every 15 s", finding.cure[-1])
        proxy = changed(proxy, FRAMED, silent)
        finding = self.only(hop(), proxy, idle=70.0)
        self.assertNotIn("every 15 s", finding.cure[-1])

    def test_survives(self) -> None:
        """A note says which silence a stream survived."""
        proxy = changed(hop(), SILENT, ticking(IDLE, live(IDLE)))
        report = self.diagnose(proxy, idle=70.0)
        self.assertEqual(
            report.notes, ("a stream survived 70 s of silence (--idle for more)",)
        )


class HeaderTests(DiagnosisTestCase):
    """Compression, sniffing browsers, certificates."""

    def test_compressed(self) -> None:
        """A proxy that compresses is found, even if nothing is late."""
        headers = {
            **hop().typical.headers,
            "content-encoding": "gzip",
            "via": "1.1 Caddy",
        }
        zipped = ticking(SHORT, live(SHORT), headers=headers)
        finding = self.only(hop(), changed(hop(name="proxy"), ZIPPED, zipped))
        self.assertEqual(finding.kind, Kind.COMPRESSED)
        self.assertIn("gzip (plain, offered)", finding.seen)
        (cure,) = finding.cure
        self.assertIn("Caddy, for this path. Remove this line: encode gzip", cure)
        finding = self.only(hop(), changed(hop(name="proxy"), PLAIN, zipped))
        self.assertIn("though that was not offered", finding.seen)

    def test_compressed_and_held(self) -> None:
        """What only a compressor holds back is one finding, with the figures."""
        headers = {**hop().typical.headers, "content-encoding": "gzip"}
        zipped = ticking(SHORT, at_the_end(SHORT), headers=headers)
        finding = self.only(hop(), changed(hop(name="proxy"), ZIPPED, zipped))
        self.assertEqual(finding.kind, Kind.COMPRESSED)
        self.assertIn("(plain, offered); 8 ticks were sent over 2.1 s", finding.seen)

    def test_sniffed(self) -> None:
        """A proxy that removes X-Content-Type-Options is found."""
        headers = {"transfer-encoding": "chunked", "content-type": "text/plain"}
        finding = self.only(hop(), hop(name="proxy", headers=headers))
        self.assertEqual(finding.kind, Kind.SNIFFED)
        self.assertIn("X-Content-Type-Options: nosniff", finding.cure)

    def test_tls(self) -> None:
        """A proxy with another or an untrusted issuer may intercept."""
        server = hop(certificate=Certificate("CN=Real"))
        proxy = hop(name="proxy", certificate=Certificate("CN=Corp", "self-signed"))
        found = self.found(server, proxy)
        self.assertEqual(set(found), {Kind.TLS_REPLACED, Kind.TLS_UNTRUSTED})
        self.assertIn("'CN=Corp', before: 'CN=Real'", found[Kind.TLS_REPLACED].seen)
        self.assertIn("self-signed", found[Kind.TLS_UNTRUSTED].seen)
        self.assertEqual({each.certain for each in found.values()}, {False})
        same = hop(name="proxy", certificate=Certificate("CN=Real"))
        self.assertTrue(self.diagnose(server, same).clean)
        self.assertTrue(self.diagnose(hop(), same).clean)
