"""Convert the counters to Prometheus' own metric families."""

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tailfuse_service.metrics.families import FAMILIES, Family

INFINITE = "+Inf"
Totals = Mapping[str, Mapping[tuple[str, ...], list[float]]]  # by family, then by the values of its labels


class Exposition(Collector):
    """A Prometheus collector that calls `read_totals` at each scrape."""

    def __init__(self, read_totals: Callable[[], Totals]) -> None:
        self._read_totals = read_totals

    def collect(self) -> Iterator[Metric]:
        totals = self._read_totals()
        for metric in ProcessCollector(registry=None).collect():
            if metric.name in totals:
                metric.samples = [metric.samples[0]._replace(value=totals[metric.name][()][0])]
                yield metric
        for name, family in FAMILIES.items():
            yield make_metric(f"tailfuse_{name}", family, totals.get(name, {}))


def make_metric(name: str, family: Family, series: Mapping[tuple[str, ...], list[float]]) -> Metric:
    """Return a family as Prometheus' metric, from its numbers by label values."""
    labels = list(family.labels)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.tells, labels=labels)
        edges = [*map(floatToGoString, family.edges), INFINITE]
        for key, (*buckets, total) in series.items():
            counts = zip(edges, accumulate(buckets), strict=True)
            histogram.add_metric(key, list(counts), sum_value=total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    plain = kind(name, family.tells, labels=labels)
    for key, (value,) in series.items():
        plain.add_metric(key, value)
    return plain
