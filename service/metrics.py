"""Every Prometheus name of the service, and what is counted under it.

Counts go into Cells, a list of float64: half a microsecond a request, where the library's own counters and
histograms take four. They become the library's families when somebody asks for them.

With several workers, whoever is asked answers for all of them: counters, histograms and gauges are sums over
the workers (gauges of another are at most PUBLISH_S old). A killed worker's counts stay. Of `process_*`, CPU
seconds, memory and files are sums over the workers and their supervisor, memory that they share counted for
each; the start is the supervisor's.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.bundle import Bundle, Output
from service.cells import Cells

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
ROUTES = frozenset(
    ("/predict", "/predict/batch", "/model", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
)
OTHER = "other"  # the route of every other path: a scanner must not make a series for each
PUBLISH_S = 0.25
INFINITE = "+Inf"
SUM = "sum"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its kind, what it tells, its labels, and for a histogram the edges of its buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    tells: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()


FAMILIES = {
    "requests": Family("counter", "Requests answered; 499 is a caller who hung up.", ("route", "status")),
    "request_seconds": Family("histogram", "From a request to its answer.", ("route",), SECONDS),
    "requests_in_flight": Family("gauge", "Requests not answered yet."),
    "queue_depth": Family("gauge", "Samples that wait for their run."),
    "rejected": Family("counter", "Problems answered, also those of single items.", ("reason",)),
    "batch_size": Family("histogram", "Samples in one run of the model.", edges=ROWS),
    "run_seconds": Family("histogram", "One run of the model.", edges=SECONDS),
    "samples": Family("counter", "Samples answered."),
    "predictions": Family("counter", "Samples answered, by the label they got.", ("label",)),
    "modality_present": Family("counter", "Samples that had the modality.", ("modality",)),
    "fusion_weight": Family(
        "histogram", "Fusion weight of a modality, where present.", ("modality",), SHARES
    ),
    "confidence": Family("histogram", "Confidence of a modality, where present.", ("modality",), SHARES),
    "workers": Family("gauge", "Processes that answer."),
    "worker_restarts": Family("counter", "Workers that died and were replaced."),
    "reloads": Family("counter", "Bundles opened again, by each worker: ok or failed.", ("outcome",)),
}


class Metrics:
    """All names begin with `tailfuse_`; those of the process are the usual `process_*`.

    `cells` are this process's; `others` those of its supervisor and of all other workers.
    """

    def __init__(
        self, bundle: Bundle | None, *, cells: Cells | None = None, others: Sequence[Cells] = ()
    ) -> None:
        self._cells = Cells() if cells is None else cells
        self._values = self._cells.values
        self._others = others
        self.bundle = bundle  # the one that is served
        self._process = ProcessFigures(self._cells, is_worker=bool(others))
        self.in_flight = Level(self._cells.place("requests_in_flight", ""))
        self.queue_depth = Level(self._cells.place("queue_depth", ""))
        self._batch_size = Histogram(self._cells, "batch_size")
        self._run_seconds = Histogram(self._cells, "run_seconds")
        self._samples = self._cells.place("samples", "")
        if not others:
            self._values[self._cells.place("workers", "")] = 1
            self._cells.place("worker_restarts", "")
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int], tuple[int, Histogram]] = {}
        self._reloads = {outcome: self._cells.place("reloads", "", outcome) for outcome in ("ok", "failed")}
        self.registry = CollectorRegistry()
        self.registry.register(Families(self))

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """A request and its answer's status. Only from the event loop's thread."""
        try:
            count, took = self._seen[path, status]
        except KeyError:
            count, took = self._series(path, status)
        values = self._values
        values[count] += 1
        values[took.sum] += seconds
        values[took.buckets[bisect_left(SECONDS, seconds)]] += 1

    def _series(self, path: str, status: int) -> tuple[int, "Histogram"]:
        route = route_of(path)
        series = self._seen.get((route, status))
        if series is None:
            count = self._cells.place("requests", "", route, str(status))
            series = self._seen[route, status] = count, Histogram(self._cells, "request_seconds", route)
        return series

    def series_of(self, bundle: Bundle) -> "Series":
        """What is counted of its labels and modalities; names that another bundle had too are counted on."""
        labels, modalities = bundle.manifest.class_names, list(bundle.manifest.modalities)
        return Series(
            [self._cells.place("predictions", "", label) for label in labels],
            [self._cells.place("modality_present", "", name) for name in modalities],
            [Histogram(self._cells, "fusion_weight", name) for name in modalities],
            [Histogram(self._cells, "confidence", name) for name in modalities],
        )

    def observe_batch(
        self, series: "Series", output: Output, presence: NDArray[np.bool_], seconds: float
    ) -> None:
        """One run's answers; `presence` is (B, M)."""
        with self._lock:  # runs may have several threads
            values = self._values
            self._batch_size.observe(len(output))
            self._run_seconds.observe(seconds)
            values[self._samples] += len(output)
            for label in output.probabilities.argmax(1).tolist():
                values[series.labels[label]] += 1
            columns = zip(
                series.present, series.weights, series.confidences,
                presence.T, output.weights.T, output.confidences.T, strict=True,
            )  # fmt: skip
            for present, weights, confidences, is_present, weight, confidence in columns:
                values[present] += int(np.count_nonzero(is_present))
                weights.observe_all(weight[is_present].tolist())
                confidences.observe_all(confidence[is_present].tolist())

    def count_problem(self, slug: str) -> None:
        """A problem that was answered. Only from the event loop's thread."""
        self._values[self._cells.place("rejected", "", slug)] += 1

    def count_reload(self, *, ok: bool) -> None:
        """A bundle that was opened again, or could not be. Only from the event loop's thread."""
        self._values[self._reloads["ok" if ok else "failed"]] += 1

    def publish(self) -> None:
        """Write down what is not counted but looked up, for the other workers."""
        for level in (self.in_flight, self.queue_depth):
            self._values[level.place] = level.read()
        self._process.publish()

    def totals(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Sums over the workers: by family, then by bucket and labels."""
        self.publish()
        totals: dict[str, dict[tuple[str, ...], float]] = {}
        for cells in (self._cells, *self._others):
            for (family, *rest), value in cells.items():
                series = totals.setdefault(family, {})
                key = tuple(rest)
                series[key] = series.get(key, 0.0) + value
        return totals

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


def route_of(path: str) -> str:
    """The path, if it is one of ours."""
    return path if path in ROUTES else OTHER


class Histogram:
    """The cells of one histogram; the counts of its buckets are not cumulated."""

    __slots__ = ("_values", "buckets", "edges", "sum")

    def __init__(self, cells: Cells, family: str, *labels: str) -> None:
        self._values = cells.values
        self.edges = FAMILIES[family].edges
        self.buckets = [
            cells.place(family, edge, *labels) for edge in (*map(floatToGoString, self.edges), INFINITE)
        ]
        self.sum = cells.place(family, SUM, *labels)

    def observe(self, value: float) -> None:
        self._values[self.buckets[bisect_left(self.edges, value)]] += 1
        self._values[self.sum] += value

    def observe_all(self, values: Sequence[float]) -> None:
        cells, buckets, edges = self._values, self.buckets, self.edges
        for value in values:
            cells[buckets[bisect_left(edges, value)]] += 1
        cells[self.sum] += sum(values)


class Series(NamedTuple):
    """Places and histograms of one bundle's labels, and of its modalities."""

    labels: list[int]
    present: list[int]
    weights: list[Histogram]
    confidences: list[Histogram]


class Level:
    """A gauge that is looked up when somebody asks."""

    def __init__(self, place: int) -> None:
        self.place = place
        self.read: Callable[[], float] = lambda: 0.0

    def set_function(self, read: Callable[[], float]) -> None:
        self.read = read


class ProcessFigures:
    """What the system knows of this process, in its cells."""

    def __init__(self, cells: Cells, *, is_worker: bool = False) -> None:
        self._cells = cells
        self._collector = ProcessCollector(registry=None)
        self._is_worker = is_worker
        self._cpu = cells.place("process_cpu_seconds", "")
        self._cpu_before = cells.values[self._cpu]  # of those whose place this one took

    def publish(self) -> None:
        for family in self._collector.collect():
            value = family.samples[0].value
            if family.name == "process_cpu_seconds":
                value += self._cpu_before
            if family.name != "process_start_time_seconds" or not self._is_worker:
                self._cells.values[self._cells.place(family.name, "")] = value


def forget_levels(cells: Cells) -> None:
    """What is true of a living worker only, for one that died."""
    for key, _ in list(cells.items()):
        family = FAMILIES.get(key[0])
        kept = key[0] == "process_cpu_seconds" if family is None else family.kind != "gauge"
        if not kept:
            cells.values[cells.place(*key)] = 0.0


class Families(Collector):
    """Totals as Prometheus' own families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        totals, bundle = self._metrics.totals(), self._metrics.bundle
        for metric in ProcessCollector(registry=None).collect():
            if metric.name in totals:
                metric.samples = [metric.samples[0]._replace(value=totals[metric.name]["",])]
                yield metric
        for name, family in FAMILIES.items():
            yield metric_of(f"tailfuse_{name}", family, totals.get(name, {}))
        if bundle is not None:
            manifest = bundle.manifest
            info = {"name": manifest.name, "version": manifest.version, "device": bundle.runtime.device}
            told = GaugeMetricFamily(
                "tailfuse_model_info", "The bundle that is served; always 1.", labels=list(info)
            )
            told.add_metric(list(info.values()), 1)
            yield told


def metric_of(name: str, family: Family, series: dict[tuple[str, ...], float]) -> Metric:
    """One family, from its numbers by bucket and labels."""
    labels = list(family.labels)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.tells, labels=labels)
        edges = [*map(floatToGoString, family.edges), INFINITE]
        for key in [key for key in series if key[0] == SUM]:
            counts = accumulate(series.get((edge, *key[1:]), 0.0) for edge in edges)
            histogram.add_metric(key[1:], list(zip(edges, counts, strict=True)), sum_value=series[key])
        return histogram
    plain = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
        name, family.tells, labels=labels
    )
    for key, value in series.items():
        plain.add_metric(key[1:], value)
    return plain
