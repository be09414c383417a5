"""
The text of C{/metrics}, by C{prometheus_client}: import this on first use.

The numbers are counted elsewhere, as plain integers, so that counting costs nothing
but an addition. Here they become the library's objects, when somebody asks.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from shellstream.model.histogram import Histogram

from .table import COUNTER, METRICS, PREFIX, Values

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode("ascii")


class _Collector(Collector):
    """Shows what was measured."""

    def __init__(self, measured: Mapping[str, Values]) -> None:
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        for name, metric in METRICS.items():
            full = PREFIX + name
            labels = metric.labels
            values = self._measured.get(name, {})
            if any(isinstance(each, Histogram) for each in values.values()):
                family = HistogramMetricFamily(full, metric.about, labels=labels)
                for key, value in values.items():
                    assert isinstance(value, Histogram)
                    family.add_metric(key, _buckets(value), value.total)
                yield family
                continue
            kind = CounterMetricFamily if metric.kind == COUNTER else GaugeMetricFamily
            plain = kind(full, metric.about, labels=labels)
            for key, value in values.items():
                assert not isinstance(value, Histogram)
                plain.add_metric(key, value)
            yield plain


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = (*map(repr, histogram.bounds), "+Inf")
    return list(zip(bounds, accumulate(histogram.counts), strict=True))


def render(measured: Mapping[str, Values]) -> bytes:
    """The text, with the numbers of the process itself."""
    registry = CollectorRegistry()
    registry.register(_Collector(measured))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
