"""Tests for L{shellstream.client.doctor.report}: reports for people and programs."""

import json

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.doctor.command_diagnosis import PIPE
from shellstream.client.doctor.command_diagnosis import diagnose as diagnose_command
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.report import as_json, as_text
from shellstream.client.doctor.server_diagnosis import diagnose
from shellstream.client.doctor.stream_diagnosis import diagnose as diagnose_stream
from tests.support.doctor_commands import LIVE, trial
from tests.support.doctor_exchanges import hop, late, stream_probe


class ReportTests(SynchronousTestCase):
    """A report is the same for people and for programs."""

    def test_json(self) -> None:
        """JSON holds the whole report of any target."""
        reports = (
            diagnose([hop(), hop(late, "proxy")], idle=None, longest=20),
            diagnose_stream([stream_probe()]),
            diagnose_command(["x"], trial(PIPE, *LIVE), trial(PIPE, *LIVE)),
        )
        for report in reports:
            found = json.loads(as_json(report))
            self.assertEqual(found["clean"], report.clean)
            self.assertEqual(len(found["examined"]), len(report.facts))
            self.assertEqual(found["notes"], list(report.notes))
            kinds = [each["kind"] for each in found["findings"]]
            self.assertEqual(kinds, [each.kind.value for each in report.findings])
        found = json.loads(as_json(reports[0]))["findings"][0]
        self.assertEqual((found["kind"], found["layer"]), ("late", "proxy"))
        self.assertIn("option http-no-delay", found["cure"])

    def test_text(self) -> None:
        """People get short lines: the target, the findings, and the cures."""
        text = as_text(diagnose([hop(), hop(late, "proxy")], idle=None, longest=20))
        self.assertIn("http://proxy/doctor: HTTP/1.1, chunked; round trip", text)
        self.assertIn("Found (proxy): a proxy on the way to http://proxy/doctor", text)
        self.assertIn("\n      option http-no-delay\n", text)
        self.assertNotIn("Clean", text)
        text = as_text(diagnose([hop()], idle=None, longest=20))
        self.assertIn("\nClean: nothing was found", text)
        self.assertIn("\nNote: streams longer than 20 s", text)
        for line in text.splitlines():
            self.assertLessEqual(len(line), 88)
        text = as_text(diagnose_stream([stream_probe()]))
        self.assertIn("chunked", text)
        text = as_text(diagnose_command(["x"], trial(PIPE, *LIVE), trial(PIPE, *LIVE)))
        self.assertIn(
            "on a pipe: in 3 pieces, within 3.0 s; 15 bytes, the first after", text
        )

    def test_hostile(self) -> None:
        """Text from a server cannot steer the terminal, or look like ours."""
        finding = Finding(
            kind=Kind.LATE,
            layer=Layer.PROXY,
            where="x",
            what="\x1b[2J\u202efrom",
            seen="a\nClean: nothing",
            cure=("b\rc",),
        )
        facts = {"url": "http://h", "http": "1.1", "framing": "x", "server": "\x1b]0;"}
        text = as_text(Report((facts,), (finding,)))
        self.assertTrue(all(each.isprintable() or each == "\n" for each in text))
        self.assertNotIn("\nClean", text)
