"""Tests for L{shellstream.daemon.measurements}: the numbers of a whole daemon."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from shellstream.daemon.service import Daemon
from shellstream.model.events import Stream
from shellstream.model.histogram import Histogram
from shellstream.model.limits import OnFull
from shellstream.output.counts import SAMPLE
from shellstream.output.log import READ_SIZE
from shellstream.web.access_control import AccessControl
from shellstream.web.monitoring.metrics import Metrics, Monitor
from shellstream.web.monitoring.table import METRICS
from tests.support.daemons import DaemonTestCase
from tests.support.http import Connection
from tests.support.registries import Reader, limited


class MeasurementTests(DaemonTestCase):
    """What happens is counted."""

    def begin(self, where: str | None = ":memory:", **more: Any) -> Daemon:
        daemon = self.daemon(where, **more)
        self.addCleanup(self.stop, daemon)
        control = cast(AccessControl, daemon.site.resource)
        metrics = control.tree.children[b"metrics"]
        assert isinstance(metrics, Metrics)
        self.monitor: Monitor = metrics._monitor  # the one that it has
        return daemon

    def value(self, name: str, *labels: str) -> float | Histogram:
        return self.monitor.measure()[name][labels]

    def test_all(self) -> None:
        """A daemon with a state folder measures all that the table has."""
        self.begin(str(Path(self.mktemp()).absolute()))
        found: Mapping[str, Any] = {
            **self.monitor.measure(),
            **self.monitor.measure_disk(),
        }
        self.assertEqual(found.keys(), METRICS.keys())
        for name, values in found.items():
            for key in values:
                self.assertEqual(len(key), len(METRICS[name].labels), name)
        self.assertGreater(found["store_bytes"][()], 0)
        self.assertGreater(found["disk_size_bytes"][()], found["disk_free_bytes"][()])

    def test_ends(self) -> None:
        """Runs count by command and end; each command is there from the start."""
        daemon = self.begin()
        ended = ("runs_ended_total", "say")
        self.assertEqual(self.value(*ended, "success"), 0)
        for code in (0, 0, 3):
            self.submit(daemon)
            self.assertEqual(self.value("runs_active", "running"), 1)
            self.spawn.started[-1].exit(code)
        self.assertEqual(self.value(*ended, "success"), 2)
        self.assertEqual(self.value(*ended, "failure"), 1)
        self.assertEqual(self.value("runs_active", "running"), 0)
        self.assertEqual(self.value("store_runs"), 3)
        spawned = self.value("spawn_seconds")
        assert isinstance(spawned, Histogram)
        self.assertEqual(sum(spawned.counts), 3)

    def test_output(self) -> None:
        """Output counts while a run goes on, and once when it has ended."""
        daemon = self.begin()
        self.submit(daemon)
        started = self.spawn.started[-1]
        started.run.attach(Reader())
        for _ in range(SAMPLE):
            started.run.output(Stream.STDOUT, b"12345")
        self.assertEqual(self.value("output_bytes_total"), 5 * SAMPLE)
        self.assertEqual(self.value("output_chunks_total"), SAMPLE)
        latency = self.value("chunk_latency_seconds")
        assert isinstance(latency, Histogram)
        self.assertEqual(sum(latency.counts), 1)
        started.exit()
        self.assertEqual(self.value("output_bytes_total"), 5 * SAMPLE)

    def test_backpressure(self) -> None:
        """The time that a command waits counts while it waits, and afterwards."""
        config = limited(on_full=OnFull.PAUSE, retain=READ_SIZE + 1000)
        daemon = self.begin(config=config)
        self.submit(daemon)
        started = self.spawn.started[-1]
        started.run.output(Stream.STDOUT, b"x" * 5000)
        self.assertTrue(started.child.paused)
        self.reactor.advance(7)
        self.assertEqual(self.value("backpressure_seconds_total"), 7)
        started.run.attach(Reader(offset=5000))
        self.reactor.advance(7)
        self.assertEqual(self.value("backpressure_seconds_total"), 7)
        started.exit()

    def test_refusals(self) -> None:
        """Refused requests count by their status."""
        daemon = self.begin()
        client = Connection(daemon.site)
        client.ask("POST", "/stream/nothing", b"")
        client.ask("GET", "/livez")
        self.assertEqual(self.value("refusals_total", "404"), 1)
        self.assertEqual(self.value("responses_total", "404"), 1)
        self.assertEqual(self.value("responses_total", "200"), 1)
        sent = self.value("sent_bytes_total")
        assert isinstance(sent, int)
        self.assertGreater(sent, len('{"status": "ok"}'))
        client.channel.connectionLost(Failure(ConnectionDone()))
