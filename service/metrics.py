"""Every Prometheus name of the service. A registry per app, so that two apps fit into one process."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from service.bundle import Bundle, Output

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
ROUTES = frozenset(
    ("/predict", "/predict/batch", "/model", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")
)
OTHER = "other"  # the route of every other path: a scanner must not make a series for each


class Metrics:
    """All names begin with `tailfuse_`; those of the process are the usual `process_*`."""

    def __init__(self, bundle: Bundle | None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = self._counter(
            "requests", "Requests answered; 499 is a caller who hung up.", "route", "status"
        )
        self._seconds = Histogram(
            "tailfuse_request_seconds", "From a request to its answer.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.in_flight = self._gauge("requests_in_flight", "Requests not answered yet.")
        self.queue_depth = self._gauge("queue_depth", "Samples that wait for their run.")
        self._rejected = self._counter("rejected", "Problems answered, also those of single items.", "reason")
        self._batch_size = Histogram(
            "tailfuse_batch_size", "Samples in one run of the model.", buckets=ROWS, registry=self.registry
        )
        self._run_seconds = Histogram(
            "tailfuse_run_seconds", "One run of the model.", buckets=SECONDS, registry=self.registry
        )
        self._samples = self._counter("samples", "Samples answered.")
        self._predictions = self._counter("predictions", "Samples answered, by the label they got.", "label")
        self._present = self._counter("modality_present", "Samples that had the modality.", "modality")
        self._seen: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        if bundle is not None:
            self._follow(bundle)

    def _follow(self, bundle: Bundle) -> None:
        """Begin the series of a bundle's classes and modalities at zero."""
        manifest = bundle.manifest
        modalities = list(manifest.modalities)
        info = {"name": manifest.name, "version": manifest.version, "device": bundle.runtime.device}
        self._gauge("model_info", "The bundle that is served; always 1.", *info).labels(**info).set(1)
        self._label_counters = [self._predictions.labels(label) for label in manifest.class_names]
        self._present_counters = [self._present.labels(name) for name in modalities]
        self._weights = Shares(
            "tailfuse_fusion_weight", "Fusion weight of a modality, where present.", modalities
        )
        self._confidences = Shares(
            "tailfuse_confidence", "Confidence of a modality, where present.", modalities
        )
        self.registry.register(self._weights)
        self.registry.register(self._confidences)

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        route = route_of(path)
        series = self._seen.get((route, status))
        if series is None:
            series = self._requests.labels(route, status), self._seconds.labels(route)
            self._seen[route, status] = series
        series[0].inc()
        series[1].observe(seconds)

    def observe_batch(self, output: Output, presence: NDArray[np.bool_], seconds: float) -> None:
        """One run's answers; `presence` is (B, M). Whole arrays at a time: this is paid by every request."""
        self._batch_size.observe(len(output))
        self._run_seconds.observe(seconds)
        self._samples.inc(len(output))
        labels = np.bincount(output.probabilities.argmax(1))
        for label in np.flatnonzero(labels):
            self._label_counters[label].inc(int(labels[label]))
        for counter, count in zip(self._present_counters, presence.sum(0).tolist(), strict=True):
            counter.inc(count)
        self._weights.observe(output.weights, presence)
        self._confidences.observe(output.confidences, presence)

    def count_problem(self, slug: str) -> None:
        self._rejected.labels(slug).inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"tailfuse_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"tailfuse_{name}", documentation, labels, registry=self.registry)


def route_of(path: str) -> str:
    """The path, if it is one of ours."""
    return path if path in ROUTES else OTHER


class Shares(Collector):
    """A histogram of values 0..1 per modality that takes a whole batch at once.

    The library's own takes 2 us a value; this one 10 us a batch.
    """

    def __init__(self, name: str, documentation: str, modalities: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._modalities = modalities
        self._lock = threading.Lock()
        self._counts = np.zeros((len(modalities), len(SHARES) + 1), np.int64)
        self._sums = np.zeros(len(modalities))

    def observe(self, values: NDArray[np.float32], presence: NDArray[np.bool_]) -> None:
        """Both (B, M); absent ones do not count."""
        modality = np.nonzero(presence)[1]
        present = values[presence]
        bucket = np.searchsorted(SHARES, present)
        with self._lock:
            np.add.at(self._counts, (modality, bucket), 1)
            np.add.at(self._sums, modality, present)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=["modality"])
        with self._lock:
            cumulated, sums = self._counts.cumsum(1).tolist(), self._sums.tolist()
        edges = [*map(str, SHARES), "+Inf"]
        for name, counts, total in zip(self._modalities, cumulated, sums, strict=True):
            family.add_metric([name], list(zip(edges, counts, strict=True)), sum_value=total)
        yield family
