"""The metrics of one process, and their sums over all workers of a service.

Counts go into SharedCounters, float64 numbers that other processes can read. They become prometheus_client's
families only at a scrape, because that library's own counters and histograms take 4 us for each update.

With several workers, each of them answers a scrape for all: counters, histograms and gauges are sums over the
workers. The numbers of another worker are at most PUBLISH_S old. A killed worker's counts stay, except those
of its last PUBLISH_S. In `process_*`, CPU seconds, memory and open files are sums over the workers and their
supervisor (shared memory counts once for each); the start time is the supervisor's.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, generate_latest

from tailfuse_service.bundle import Bundle, EmbeddingCache
from tailfuse_service.logs import count_dropped
from tailfuse_service.metrics.comparison import Comparison
from tailfuse_service.metrics.counters import Block, SharedCounters
from tailfuse_service.metrics.drift import DRIFT
from tailfuse_service.metrics.exposition import Exposition
from tailfuse_service.metrics.families import SECONDS, make_key, read_labels
from tailfuse_service.metrics.gauges import make_gauges
from tailfuse_service.metrics.gpu import Gpu, is_gpu
from tailfuse_service.metrics.histogram import MAX_BUFFERED, Histogram, find_series
from tailfuse_service.metrics.model_metrics import ModelMetrics
from tailfuse_service.metrics.process import ProcessFigures

PUBLISH_S = 0.25
MAX_VERSIONS = 8  # whose counts are kept, including bundles that are no longer served


class Metrics:
    """The service's metrics: `tailfuse_*`, and the usual `process_*`.

    `counters` belong to this process, `others` to its supervisor and all other workers. Drift covers the last
    `drift_window_s` seconds.
    """

    def __init__(
        self,
        *,
        counters: SharedCounters | None = None,
        others: Sequence[SharedCounters] = (),
        drift_window_s: float = 900.0,
    ) -> None:
        self._counters = SharedCounters() if counters is None else counters
        self._others = others
        self._drift_window_s = drift_window_s
        self._process = ProcessFigures(self._counters, is_worker=bool(others))
        self._gpu: Gpu | None = None
        self.in_flight, self.queue_depth, self.ready = CallbackGauge(), CallbackGauge(), CallbackGauge()
        self.key_file_problems, self.memory_held, self.memory_limit = (CallbackGauge() for _ in range(3))
        self.text_cache = CallbackGauge()
        self._gauges = {
            "requests_in_flight": self.in_flight, "queue_depth": self.queue_depth, "ready": self.ready,
            "key_file_problems": self.key_file_problems, "memory_held_bytes": self.memory_held,
            "memory_limit_bytes": self.memory_limit, "text_cache_bytes": self.text_cache,
        }  # fmt: skip
        self.decode = Histogram(self._counters, "stage_seconds", stage="decode")
        self.queue = Histogram(self._counters, "stage_seconds", stage="queue")
        self.run = Histogram(self._counters, "stage_seconds", stage="run")
        self.encode = Histogram(self._counters, "stage_seconds", stage="encode")
        self._batch_size = Histogram(self._counters, "batch_size")
        self._histograms = [self.decode, self.queue, self.run, self.encode, self._batch_size]
        if not others:
            self._counters.block("workers")[0] = 1
            self._counters.block("worker_restarts")
        self._dropped_lines = self._counters.block("log_lines_dropped")
        self._n_dropped = count_dropped()  # those that are counted, or of an earlier service of this process
        self._texts: EmbeddingCache | None = None
        self._n_texts = {
            name: find_series(self._counters, f"text_cache_{name}") for name in ("hits", "misses")
        }
        self._requests: dict[tuple[str, int], tuple[Block, Block]] = {}
        self._reloads = {
            outcome: find_series(self._counters, "reloads", outcome=outcome) for outcome in ("ok", "failed")
        }
        self._served: list[ModelMetrics] = []
        self._counting: list[ModelMetrics] = []  # these, and those that still answer accepted samples
        known = [read_labels(key) for key in self._counters.known()]
        self._versions = dict.fromkeys(
            (labels["model"], labels["version"]) for labels in known if "model" in labels
        )
        self.registry = CollectorRegistry()
        self.registry.register(Exposition(self.totals))

    # --- requests ---

    def observe_request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request by its route's label. Only from the event loop's thread."""
        try:
            count, took = self._requests[route, status]
        except KeyError:
            count = find_series(self._counters, "requests", route=route, status=str(status))
            took = find_series(self._counters, "request_seconds", route=route)
            self._requests[route, status] = count, took
        count[0] += 1
        took[bisect_left(SECONDS, seconds)] += 1
        took[-1] += seconds

    def observe_queue(self, seconds: Sequence[float]) -> None:
        """Record how long each sample of a run waited in the queue."""
        self.queue.extend(seconds)
        if len(self.queue) >= MAX_BUFFERED:
            self._flush()

    def count_problem(self, slug: str) -> None:
        """Count a problem in an answer. Only from the event loop's thread."""
        find_series(self._counters, "rejected", reason=slug)[0] += 1

    def count_reload(self, *, ok: bool) -> None:
        """Count an attempt to open a bundle after the start. Only from the event loop's thread."""
        self._reloads["ok" if ok else "failed"][0] += 1

    def watch_texts(self, cache: EmbeddingCache) -> None:
        """Count the hits and misses of a cache from now on."""
        self._texts = cache
        self.text_cache.set_function(lambda: cache.held)

    # --- bundles ---

    def serve(self, bundle: Bundle) -> ModelMetrics:
        """Start the metrics of a bundle that is served from now on."""
        model_metrics = ModelMetrics(
            self._counters, bundle,
            run_seconds=self.run, batch_size=self._batch_size, window_s=self._drift_window_s,
        )  # fmt: skip
        self._served.append(model_metrics)
        self._counting.append(model_metrics)
        version = bundle.manifest.of
        self._versions[version] = self._versions.pop(version, None)  # moves to the end
        self._forget_versions()
        if self._gpu is None and is_gpu(bundle.runtime.device):
            self._gpu = Gpu(bundle.runtime.device)
        return model_metrics

    def retire(self, model_metrics: ModelMetrics) -> None:
        """End the gauges of a bundle that is no longer served; its counters stay."""
        self._served.remove(model_metrics)
        if model_metrics.window.key not in [each.window.key for each in self._served]:
            model_metrics.window.close()

    def comparison(self, shadow: Bundle) -> Comparison:
        """Return the counters of a shadow's agreement with the stable version."""
        return Comparison(self._counters, shadow)

    def close(self, model_metrics: ModelMetrics) -> None:
        """Flush the metrics of a bundle after its last answer."""
        model_metrics.flush()
        self._counting.remove(model_metrics)

    def _forget_versions(self) -> None:
        """Forget the counts of the versions that were served longest ago."""
        answering = {model_metrics.bundle.manifest.of for model_metrics in self._counting}
        old = [version for version in self._versions if version not in answering]
        for model, version in old[: max(len(self._versions) - MAX_VERSIONS, 0)]:
            del self._versions[model, version]
            for key in self._counters.known():
                labels = read_labels(key)
                if labels.get("model") == model and labels.get("version") == version:
                    self._counters.forget(key)

    # --- exposition ---

    def read_in_flight(self) -> list[float]:
        """Return the published requests in flight of this worker, and of each other one that is ready."""
        ready = [each for each in self._others if read_gauge(each, "ready")]
        return [read_gauge(each, "requests_in_flight") for each in (self._counters, *ready)]

    def publish(self) -> None:
        """Write buffered values and gauges to the counters, for the other workers."""
        self._flush()
        for served in tuple(self._served):
            served.window.publish(time.perf_counter())
        for name, gauge in self._gauges.items():
            self._counters.block(name)[0] = gauge.read()
        if self._texts is not None:
            # Blocks of a killed worker go on: only what has come since the last time is added.
            for block, n in zip(self._n_texts.values(), self._texts.take_counts(), strict=True):
                block[0] += n
        dropped = count_dropped()
        self._dropped_lines[0] += dropped - self._n_dropped
        self._n_dropped = dropped
        self._process.publish()

    def _flush(self) -> None:
        for histogram in self._histograms:
            histogram.flush()
        for model_metrics in tuple(self._counting):
            model_metrics.flush()

    def totals(self) -> dict[str, dict[tuple[str, ...], list[float]]]:
        """Return numbers by family and label values: sums over the workers, and this worker's own gauges."""
        self.publish()
        totals: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for counters in (self._counters, *self._others):
            for (family, *labels), numbers in counters.items():
                series = totals.setdefault(family, {})
                before = series.get(tuple(labels))
                series[tuple(labels)] = (
                    numbers if before is None else [a + b for a, b in zip(before, numbers, strict=True)]
                )
        totals["ready"][()] = [min(totals["ready"][()][0], 1.0)]  # one ready worker is enough
        for served in self._served:
            window = totals.get(DRIFT, {}).get(served.window.key[1:], [])
            for gauge in (*make_gauges(served.bundle, served.role), *served.window.gauges(window)):
                family, *values = make_key(gauge.family, {**served.labels, **gauge.labels})
                totals.setdefault(family, {})[tuple(values)] = [gauge.value]
        for gauge in self._gpu.memory() if self._gpu else ():
            totals[gauge.family] = {(): [gauge.value]}
        return totals

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def read_gauge(counters: SharedCounters, name: str) -> float:
    """Return a gauge as it was published; 0 if it was not."""
    numbers = counters.find((name,))
    return 0.0 if numbers is None else numbers[0]


class CallbackGauge:
    """A gauge whose value is read by a function when it is needed."""

    def __init__(self) -> None:
        self.read: Callable[[], float] = lambda: 0.0

    def set_function(self, read: Callable[[], float]) -> None:
        """Read the value by a call at each scrape."""
        self.read = read
