"""Tests for L{shellstream.client.doctor}: its command line, and what it prints."""

import contextlib
import io
import json
import sys
from argparse import Namespace
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.cli.options import SECONDS
from shellstream.client.doctor import doctor
from shellstream.client.doctor.command_diagnosis import PIPE
from shellstream.client.doctor.command_diagnosis import diagnose as diagnose_command
from shellstream.client.doctor.findings import Finding, Kind, Layer, Report
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.doctor.report import as_json, as_text
from shellstream.client.doctor.server_diagnosis import diagnose
from shellstream.client.doctor.stream_diagnosis import diagnose as diagnose_stream
from shellstream.client.doctor.suspects import CURES, cures, proxy_named
from shellstream.client.errors import CannotWrite, Usage
from tests.support.doctor_commands import LIVE, trial
from tests.support.doctor_exchanges import (
    GOOD,
    LINES,
    answer,
    hop,
    late,
    live,
    stream_probe,
)
from tests.support.fake_probe_clients import FakeProbeClient, StreamProbeClient

SERVER = "http://127.0.0.1:1"


def parsed(words: Sequence[str]) -> Namespace:
    return parse_arguments(["doctor", *words])


def main(words: Sequence[str], server: str) -> int:
    return doctor(parsed(words), server, FakeProbeClient())


class ArgumentTests(SynchronousTestCase):
    """Mistakes are reported before anything is asked or started."""

    def test_defaults(self) -> None:
        """A stream is watched for longer than Envoy lets it live."""
        given = parsed([])
        self.assertEqual((given.url, given.via, given.idle), (None, [], None))
        self.assertGreater(given.seconds, 15)
        self.assertEqual(given.seconds, SECONDS)

    def test_usage(self) -> None:
        """Each mistake has a message of its own."""
        for argv, said in (
            (["--nonsense"], "see shellstream doctor --help"),
            (["a", "b"], "'b' is unknown"),
            (["ftp://h/"], "only http:// and https://"),
            (["http://"], "is no URL"),
            (["http://h:99999"], "is no URL"),
            (["http://[::1"], "is no URL"),
            (["http://h/\u00fc"], "is no URL"),
            (["http://h", "--via", "ftp://h/"], "only http:// and https://"),
            (["http://me:pw@h/"], "no place for a password"),
            (["--seconds", "0.5"], "--seconds takes 1 to 3600"),
            (["--seconds", "nan"], "number of seconds"),
            (["--idle", "4000"], "--idle takes 1 to 3600"),
            (["http://h/stream", "--idle", "70"], "--idle needs one"),
            (["--"], "write the command after --"),
            (["http://h", "--", "true"], "all that a command"),
            (["--via", "http://h", "--", "true"], "all that a command"),
            (["--idle", "7", "--", "true"], "all that a command"),
        ):
            error = self.assertRaises(Usage, main, argv, SERVER)
            self.assertIn(said, str(error), argv)

    def test_help(self) -> None:
        """The help names the exit codes."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertRaises(SystemExit, main, ["--help"], SERVER)
        self.assertIn("1 if something does", out.getvalue())


class MainTests(SynchronousTestCase):
    """What is printed, and the exit code that says so."""

    def run_main(self, client: ProbeClient, *argv: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            code = doctor(parsed(argv), "http://h", client)
        return code, out.getvalue()

    def test_default(self) -> None:
        """Without a URL the default server is examined; clean is 0."""
        client = FakeProbeClient(h=live)
        code, said = self.run_main(client)
        self.assertEqual(code, 0)
        self.assertTrue(said.startswith("http://h/doctor: HTTP/1.1, chunked"))
        self.assertIn("\nClean", said)

    def test_found(self) -> None:
        """A finding makes the exit code 1."""
        for url in ("h", "http://h/", "http://h/doctor", "http://h/#top"):
            client = FakeProbeClient(h=live, p=late)
            code, said = self.run_main(client, url, "--via", "p", "--json")
            self.assertEqual(code, 1)
            self.assertEqual(json.loads(said)["findings"][0]["kind"], "late")
            self.assertEqual(
                {url for url, _, _ in client.asked},
                {"http://h/doctor", "http://p/doctor"},
            )

    def test_foreign(self) -> None:
        """A path is that of a stream; so is an address without a shellstream."""
        for url in ("http://h/stream", "http://h/?x=1", "http://h/"):
            client = StreamProbeClient(answer(*LINES, headers=GOOD), answer(status=404))
            code, said = self.run_main(client, url)
            self.assertEqual(code, 0)
            self.assertIn(f"{url}: HTTP/1.1, chunked", said)

    def test_command(self) -> None:
        """Two dashes are followed by a command, whatever it looks like."""
        code, said = self.run_main(
            FakeProbeClient(), "--json", "--", "echo", "--json", "--", "x"
        )
        self.assertEqual(code, 0)
        self.assertEqual(json.loads(said)["examined"][0]["bytes"], 12)

    def test_cannot_print(self) -> None:
        """A report that cannot be printed is an error."""
        self.patch(sys, "stdout", None)
        self.assertRaises(CannotWrite, main, ["--", "echo", "x"], SERVER)
        with open("/dev/full", "w") as full:
            self.patch(sys, "stdout", full)
            error = self.assertRaises(CannotWrite, main, ["--", "echo", "x"], SERVER)
            self.patch(sys, "stdout", sys.__stdout__)
            with contextlib.suppress(OSError):
                full.close()
        self.assertIn("No space left", str(error))

    if not sys.platform.startswith("linux"):
        test_cannot_print.skip = "only Linux has /dev/full"  # type: ignore[attr-defined]


class ReportTests(SynchronousTestCase):
    """A report is the same for people and for programs."""

    def test_json(self) -> None:
        """JSON holds the whole report, whatever was examined."""
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
        self.assertEqual(len(found["evidence"]["delays_seconds"]), 8)

    def test_text(self) -> None:
        """People get short lines: what was examined, what was found, what to do."""
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
            "on a pipe: in 3 bursts, within 3.0 s; 15 bytes, the first after", text
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


class CureTests(SynchronousTestCase):
    """What to change depends on the proxy."""

    def test_named(self) -> None:
        """A proxy is known by the name in its headers."""
        for headers, name in (
            ({"server": "nginx/1.22.1"}, "nginx"),
            ({"server": "shellstream/0.1.0", "via": "1.1 Caddy"}, "Caddy"),
            ({"server": "envoy"}, "Envoy"),
            ({"server": "shellstream/0.1.0"}, None),
            ({}, None),
        ):
            self.assertEqual(proxy_named(answer(headers=headers)), name)

    def test_cures(self) -> None:
        """A known proxy has its own settings; an unknown one is offered all."""
        for kind, known in CURES.items():
            everything = cures(kind, None)
            self.assertEqual(cures(kind, "Unheard-of"), everything)
            for name, lines in known.items():
                self.assertEqual(cures(kind, name), lines)
                self.assertLessEqual(set(lines), set(everything))
                self.assertTrue(lines[0].startswith(f"# {name}"))
