"""Drift: distance of recent inputs and fusion weights from a bundle's references.

Letters: n rows of one modality, K inputs of it and its fusion weight, E edges of the one that has most.
"""

import math
import time
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle import Batch, Bundle, Output
from tailfuse_service.bundle.manifest import Histogram, Reference
from tailfuse_service.bundle.summary import bins_for
from tailfuse_service.metrics.counters import SharedCounters
from tailfuse_service.metrics.families import GaugeValue
from tailfuse_service.modalities import Modality

DRIFT = "drift"  # first part of the counters' keys
SLICES = 15  # of the sliding window
MIN_ROWS = 200  # below this, no drift is reported
MAX_BATCH_ROWS = 64  # sampled from one batch
# After a summary that took t seconds there is none for REST * t: all of little traffic is looked at, and of
# much as much as one hundredth of the time allows.
REST_FACTOR = 100

Counts = NDArray[np.float64]


class DriftWindow:
    """Histograms of a bundle's inputs and fusion weights over the last `seconds`."""

    def __init__(self, counters: SharedCounters, bundle: Bundle, seconds: float) -> None:
        manifest = bundle.manifest
        self._counters = counters
        self._monitors = [
            DriftMonitor(name, at, modality, manifest.reference[name])
            for at, (name, modality) in enumerate(manifest.modalities.items())
            if name in manifest.reference
        ]
        # The windows of all workers are added up, so their bins must be the same.
        self.key = (DRIFT, *manifest.of, f"{zlib.crc32(repr(manifest.reference).encode()):08x}")
        self._size = sum(each.size for each in self._monitors)
        self._slice_s = seconds / SLICES
        self._slices: dict[int, Counts] = {}  # by number, oldest first
        self._next = 0.0

    def offer(self, batch: Batch, output: Output, now: float) -> None:
        """Add a run at `now` (of time.perf_counter), if the time budget allows."""
        if now < self._next:
            return
        start = time.perf_counter()
        counts = [each.counts(batch, output) for each in self._monitors]
        if counts:
            with self._counters.lock:
                self._slice(now)[:] += np.concatenate(counts)
        self._next = now + REST_FACTOR * (time.perf_counter() - start)

    def publish(self, now: float) -> None:
        """Write the sums of the window to the counters."""
        if not self._monitors:
            return
        with self._counters.lock:
            self._slice(now)
            sums = np.asarray(self._counters.block(*self.key, size=self._size))
            sums[:] = np.sum(list(self._slices.values()), axis=0)

    def close(self) -> None:
        """Free the counters."""
        self._counters.forget(self.key)

    def gauges(self, sums: Sequence[float]) -> Iterator[GaugeValue]:
        """Yield the drift gauges from the sums over all workers' windows."""
        start = 0
        for each in self._monitors:
            yield from each.gauges(np.array(sums[start : start + each.size]))
            start += each.size

    def _slice(self, now: float) -> Counts:
        """Return the current slice; drop slices that are too old."""
        number = math.floor(now / self._slice_s)
        for old in [each for each in self._slices if each <= number - SLICES]:
            del self._slices[old]
        return self._slices.setdefault(number, np.zeros(self._size))


class DriftMonitor:
    """The bins of one modality: first its row count, then the bins of each input and of its fusion weight."""

    def __init__(self, name: str, at: int, modality: Modality, reference: Reference) -> None:
        self.name, self._at = name, at
        names, self._compute = modality.summary()
        inputs = {each.name: each for each in reference.inputs}
        self._inputs = [name for name in names if name in inputs]
        self._taken = [names.index(name) for name in self._inputs]
        weight_edges, weight_counts = merge_bins(reference.weight)
        edges = [*(np.array(inputs[name].edges) for name in self._inputs), weight_edges]
        self._reference = [np.array(inputs[name].counts) for name in self._inputs] + [weight_counts]
        self._edges = np.full((len(edges), max(map(len, edges))), np.inf)  # (K, E)
        for row, each in zip(self._edges, edges, strict=True):
            row[: len(each)] = each
        n_bins = np.array([len(each) + 2 for each in edges])
        self._missing = n_bins - 1
        self._starts = 1 + np.cumsum(n_bins) - n_bins
        self.size = 1 + int(n_bins.sum())

    def counts(self, batch: Batch, output: Output) -> Counts:
        """Return the counts, shape (size,), of a batch's rows, or of every n-th row of a large batch."""
        rows, samples = batch.inputs[self.name], batch.rows[self.name]
        step = math.ceil(len(samples) / MAX_BATCH_ROWS) or 1
        samples = samples[::step]
        if not len(samples):
            return np.zeros(self.size)
        values = output.weights[samples, self._at, None]
        if self._taken:
            values = np.concatenate([self._compute(rows[::step])[:, self._taken], values], axis=1)
        bins = (values[:, :, None] > self._edges).sum(2)
        bins = np.where(np.isnan(values), self._missing, bins) + self._starts
        counts = np.bincount(bins.ravel(), minlength=self.size).astype(np.float64)
        counts[0] = len(samples)
        return counts

    def gauges(self, sums: Counts) -> Iterator[GaugeValue]:
        """Yield how many rows were seen and, once they are enough, how far they are from the reference."""
        yield GaugeValue("drift_rows", float(sums[0]), {"modality": self.name})
        if sums[0] < MIN_ROWS or not self._reference[-1].any():
            return
        each = [
            compute_psi(sums[start : start + len(reference)], reference)
            for start, reference in zip(self._starts.tolist(), self._reference, strict=True)
        ]
        for name, drift in zip(self._inputs, each[:-1], strict=True):
            yield GaugeValue("input_drift", drift, {"modality": self.name, "input": name})
        yield GaugeValue("weight_drift", each[-1], {"modality": self.name})


def merge_bins(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return inner edges and counts, with neighbouring bins merged; the last count, of missing values, is 0.

    In numpy's histograms a value at an edge belongs to the bin above it, here to the one below.
    """
    step = math.ceil(len(histogram.counts) / bins_for(sum(histogram.counts)))
    counts = np.add.reduceat(np.array(histogram.counts), range(0, len(histogram.counts), step))
    return np.nextafter(histogram.edges[step:-1:step], -np.inf), np.append(counts, 0)


def compute_psi(counts: Counts, reference: NDArray[np.int64]) -> float:
    """Return the population stability index of two histograms, smoothed by half a row in each bin."""
    here, there = counts + 0.5, reference + 0.5
    here, there = here / here.sum(), there / there.sum()
    return float(((here - there) * np.log(here / there)).sum())
