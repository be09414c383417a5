"""
Tests for L{shellstream.client.commands.doctor}: the target that the command line names.
"""

import contextlib
import io

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from shellstream.client.cli.arguments import parse_arguments
from shellstream.client.cli.options import SECONDS
from shellstream.client.cli.settings import Settings
from shellstream.client.commands.doctor import examine, trust_for
from shellstream.client.doctor.findings import Kind, Report
from shellstream.client.doctor.probe_client import ProbeClient
from shellstream.client.errors import Usage
from shellstream.client.transport.trust import Trust
from tests.support.doctor_exchanges import GOOD, LINES, answer, late, live
from tests.support.fake_probe_clients import FakeProbeClient, StreamProbeClient


async def examined(client: ProbeClient, *words: str) -> Report:
    """Parse C{doctor}'s command line and examine its target."""
    return await examine(parse_arguments(["doctor", *words]), "http://h", client)


class ArgumentTests(SynchronousTestCase):
    """Mistakes are reported before anything is asked or started."""

    def test_defaults(self) -> None:
        """A stream is watched for longer than Envoy lets it live."""
        given = parse_arguments(["doctor"])
        self.assertEqual((given.url, given.via, given.idle), (None, [], None))
        self.assertGreater(given.seconds, 15)
        self.assertEqual(given.seconds, SECONDS)

    def test_usage(self) -> None:
        """Each mistake has its own message."""
        for argv, said in (
            (["--nonsense"], "see shellstream doctor --help"),
            (["a", "b"], "'b' is unknown"),
            (["ftp://h/"], "only http:// and https://"),
            (["http://"], "is not a URL"),
            (["http://h:99999"], "is not a URL"),
            (["http://[::1"], "is not a URL"),
            (["http://h/a b"], "is not a URL"),
            (["http://h", "--via", "ftp://h/"], "only http:// and https://"),
            (["http://me:pw@h/"], "do not put a password"),
            (["--seconds", "0.5"], "--seconds takes 1 to 3600"),
            (["--seconds", "nan"], "number of seconds"),
            (["--idle", "4000"], "--idle takes 1 to 3600"),
            (["http://h/stream", "--idle", "70"], "--idle needs one"),
            (["--"], "write the command after --"),
            (["http://h", "--", "true"], "all that a command"),
            (["--via", "http://h", "--", "true"], "all that a command"),
            (["--idle", "7", "--", "true"], "all that a command"),
        ):
            examining = Deferred.fromCoroutine(examined(FakeProbeClient(), *argv))
            failure = self.failureResultOf(examining, Usage)
            self.assertIn(said, str(failure.value), argv)

    def test_trust(self) -> None:
        """Certificates are for whichever address is https://, the proxy's too."""
        trust = Trust(cacert="/ca.pem")
        for server, via in (
            ("http://h/", ["http://p/", "https://p/"]),
            ("https://h/", ["http://p/"]),
        ):
            self.assertEqual(trust_for(Settings(server, trust=trust), via), trust)
        plain = Settings("http://h/", trust=trust)
        error = self.assertRaises(Usage, trust_for, plain, ["http://p/"])
        self.assertIn("--cacert would protect nothing", str(error))

    def test_help(self) -> None:
        """The help names the exit codes."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertRaises(SystemExit, parse_arguments, ["doctor", "--help"])
        self.assertIn("1 if something does", out.getvalue())


class ExamineTests(SynchronousTestCase):
    """The command line selects the target of the examination."""

    def report(self, client: ProbeClient, *words: str) -> Report:
        return self.successResultOf(Deferred.fromCoroutine(examined(client, *words)))

    def test_default(self) -> None:
        """Without a URL the default server is examined."""
        report = self.report(FakeProbeClient(h=live))
        self.assertTrue(report.clean)
        self.assertEqual(report.facts[0]["url"], "http://h/doctor")

    def test_server(self) -> None:
        """A server is examined at its own address and by way of others."""
        for url in ("h", "http://h/", "http://h/doctor", "http://h/#top"):
            client = FakeProbeClient(h=live, p=late)
            report = self.report(client, url, "--via", "p")
            self.assertEqual([each.kind for each in report.findings], [Kind.LATE])
            self.assertEqual(
                {url for url, _, _ in client.asked},
                {"http://h/doctor", "http://p/doctor"},
            )

    def test_stream(self) -> None:
        """A path is that of a stream; so is an address without a shellstream."""
        for url in ("http://h/stream", "http://h/?x=1", "http://h/"):
            client = StreamProbeClient(answer(*LINES, headers=GOOD), answer(status=404))
            report = self.report(client, url)
            self.assertTrue(report.clean)
            self.assertEqual(report.facts[0]["url"], url)

    def test_command(self) -> None:
        """All words after two dashes are the command."""
        words = ("--json", "--", "echo", "--json", "--", "x")
        report = self.report(FakeProbeClient(), *words)
        self.assertEqual(report.facts[0]["bytes"], 12)
