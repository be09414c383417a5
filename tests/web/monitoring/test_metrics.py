"""Tests for L{shellstream.web.monitoring.metrics}, and for what reads them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from shutil import which
from unittest.mock import patch

from prometheus_client.parser import text_string_to_metric_families
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from shellstream.model.histogram import Histogram
from shellstream.security.authorization import DEFAULT_ACTIONS, Action
from shellstream.web.monitoring.exposition import render
from shellstream.web.monitoring.table import HISTOGRAM, METRICS, PREFIX, Values
from tests.support.authentication import AuthenticationTestCase
from tests.support.http import Connection, WebTestCase
from tests.support.programs import ROOT

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "prometheus-alerts.yml"


def everything() -> dict[str, Values]:
    """A value for each metric."""
    found: dict[str, Values] = {}
    for name, metric in METRICS.items():
        key = tuple(f"a {label}" for label in metric.labels)
        found[name] = {key: Histogram() if metric.kind == HISTOGRAM else 1.0}
    return found


def shown(text: bytes) -> set[str]:
    """The names of all samples of a scrape."""
    families = text_string_to_metric_families(text.decode())
    return {sample.name for family in families for sample in family.samples}


class MetricsTests(WebTestCase):
    """C{/metrics} shows what was measured, to those who may know."""

    def test_values(self) -> None:
        """Each number stands where Prometheus finds it."""
        histogram = Histogram((0.1, 1.0))
        for seconds in (0.05, 0.5, 0.5, 7.0, -1.0):
            histogram.observe(seconds)
        self.monitor.measured = {
            "runs_ended_total": {("build", "success"): 3, ('a"b\n', "lost"): 1},
            "spawn_seconds": {(): histogram},
        }
        self.monitor.disk = {"disk_free_bytes": {(): 5}}
        reply = self.ask("GET", "/metrics")
        self.assertEqual(reply.status, 200)
        self.assertTrue(
            reply.headers["content-type"].startswith("text/plain; version=")
        )
        lines = reply.body.decode().splitlines()
        for line in (
            'shellstream_runs_ended_total{command="build",end="success"} 3.0',
            'shellstream_runs_ended_total{command="a\\"b\\n",end="lost"} 1.0',
            'shellstream_spawn_seconds_bucket{le="0.1"} 2.0',
            'shellstream_spawn_seconds_bucket{le="1.0"} 4.0',
            'shellstream_spawn_seconds_bucket{le="+Inf"} 5.0',
            "shellstream_spawn_seconds_count 5.0",
            "shellstream_spawn_seconds_sum 8.05",
            "shellstream_disk_free_bytes 5.0",
        ):
            self.assertIn(line, lines)

    def test_together(self) -> None:
        """Requests that come while one is answered share its answer."""
        self.monitor.waits = True
        clients = [Connection(self.site) for _ in range(3)]
        for each in clients:
            each.request("GET", "/metrics")
        ((call, answer),) = self.monitor.calls
        answer.callback(call())
        bodies = {each.reply().body for each in clients}
        self.assertEqual(len(bodies), 1)

    def test_fails(self) -> None:
        """What fails is answered to all, and asked anew by the next."""
        self.monitor.waits = True
        self.connection.request("GET", "/metrics")
        self.monitor.calls[0][1].errback(Failure(OSError("the disk is gone")))
        self.assertEqual(self.reply().status, 500)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.monitor.waits = False
        self.assertEqual(self.ask("GET", "/metrics").status, 200)

    def test_library(self) -> None:
        """Without the library the answer says how to install it."""
        without = {"prometheus_client": None}
        with patch.dict(sys.modules, without):
            del sys.modules["shellstream.web.monitoring.exposition"]
            reply = self.ask("GET", "/metrics")
        self.assertEqual(reply.status, 501)
        detail = json.loads(reply.body)["detail"]
        self.assertIn("pipx inject shellstream-http prometheus_client;", detail)
        self.assertIn(f"{sys.executable} -m pip install prometheus_client", detail)
        self.assertEqual(self.ask("GET", "/metrics").status, 200)


class AccessTests(AuthenticationTestCase):
    """Who may read the metrics."""

    def test_action(self) -> None:
        """A caller needs the action, which a grant does not have by default."""
        self.assertEqual(self.ask("GET", "/metrics").status, 401)
        usual = self.tokens.make("alice", actions=DEFAULT_ACTIONS)
        self.assertEqual(self.by(usual, path="/metrics").status, 403)
        prometheus = self.tokens.make("prom", actions=frozenset({Action.METRICS}))
        self.assertEqual(self.by(prometheus, path="/metrics").status, 200)


class ReaderTests(SynchronousTestCase):
    """The dashboard and the alerts read what there is."""

    def setUp(self) -> None:
        self.text = render(everything())

    def test_all(self) -> None:
        """A scrape has every metric of the table."""
        names = {re.sub("_(bucket|count|sum)$", "", each) for each in shown(self.text)}
        self.assertLessEqual({PREFIX + name for name in METRICS}, names)

    def test_lint(self) -> None:
        """Names, units and texts are as Prometheus wants them."""
        self.check("metrics", text=self.text)

    def test_rules(self) -> None:
        """Prometheus takes the alert rules."""
        self.check("rules", str(ALERTS))

    def test_names(self) -> None:
        """Each metric that the dashboard or an alert asks for is in a scrape."""
        there, asked = shown(self.text) | {"up"}, 0
        for expression in (*dashboard(), *alerts()):
            plain = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', "", expression)
            for name in re.findall(r"\b(?:shellstream|process)_\w+", plain):
                self.assertIn(name, there, expression)
                asked += 1
        self.assertGreater(asked, 30)

    def check(self, *argv: str, text: bytes = b"") -> None:
        done = subprocess.run(
            ["promtool", "check", *argv],
            input=text,
            capture_output=True,
            check=False,
        )
        said = (done.stdout + done.stderr).decode()
        self.assertEqual(done.returncode, 0, said)
        self.assertEqual(done.stderr, b"", said)

    if which("promtool") is None:
        test_lint.skip = test_rules.skip = "needs promtool"


def dashboard() -> Iterator[str]:
    """All expressions of the dashboard."""
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def alerts() -> Iterator[str]:
    """All expressions of the alert rules."""
    yield from re.findall(r"^ +expr: (.*)$", ALERTS.read_text("utf-8"), re.M)
