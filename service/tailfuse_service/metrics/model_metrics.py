"""Metrics of one bundle's answers.

Letters: N samples, M modalities, C classes, L labels with their own series.
"""

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle import Batch, Bundle, Output
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.metrics.counters import Block, SharedCounters
from tailfuse_service.metrics.drift import DriftWindow
from tailfuse_service.metrics.families import BITS, SHARES, read_labels
from tailfuse_service.metrics.histogram import (
    MAX_BUFFERED,
    Histogram,
    add_to_histogram,
    find_histogram,
    find_series,
)

MAX_CLASSES, MAX_SUBSETS = 200, 64  # with their own series
OTHER = "other"

Booleans = NDArray[np.bool_]


class ModelMetrics:
    """The metrics of a bundle. Bundles with the same name and version share them.

    A run's output is buffered and counted later, together with hundreds of others.
    """

    def __init__(
        self,
        counters: SharedCounters,
        bundle: Bundle,
        *,
        run_seconds: Histogram,
        batch_size: Histogram,
        window_s: float,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.labels = {"model": manifest.name, "version": manifest.version}
        self.role = "stable"
        self._run_seconds, self._batch_size = run_seconds, batch_size
        self._counters = counters
        self._names = tuple(manifest.modalities)
        shown = choose_labels(manifest.classes)
        labels = list(dict.fromkeys(shown))
        self._label_of = np.array([labels.index(label) for label in shown])  # (C,)
        self._predictions = [self._find("predictions", label=label) for label in labels]
        self._probability = [self._find("probability", label=label) for label in labels]
        self._present = {name: self._find("modality_present", modality=name) for name in self._names}
        self._failures = {name: self._find("decode_failures", modality=name) for name in self._names}
        self._weights = [
            find_histogram(counters, "fusion_weight", **self.labels, modality=name) for name in self._names
        ]
        self._confidences = [
            find_histogram(counters, "confidence", **self.labels, modality=name) for name in self._names
        ]
        self._entropy = find_histogram(counters, "entropy", **self.labels)
        self._subsets: dict[bytes, Block] = {}
        # Including those of a dead worker that this one replaces.
        known = [read_labels(key) for key in counters.known() if key[0] == "samples"]
        self._named = {each["subset"] for each in known if self.labels.items() <= each.items()} - {OTHER}
        self._buffered: list[tuple[Output, Booleans]] = []
        self.window = DriftWindow(counters, bundle, window_s)
        self._n_buffered = 0  # in them

    def observe_batch(self, batch: Batch, output: Output, seconds: float) -> None:
        """Record one run that has just ended: its answers and its duration."""
        self.observe_run(len(output), seconds)
        self.observe_answers(batch, output)

    def observe_run(self, size: int, seconds: float) -> None:
        """Record the size and duration of a run, but not its answers."""
        self._run_seconds.add(seconds)
        self._batch_size.add(size)

    def observe_answers(self, batch: Batch, output: Output) -> None:
        """Record answers without their run: no request waits for a run of a shadow."""
        self._buffered.append((output, batch.presence))
        self._n_buffered += len(output)
        if self._n_buffered >= MAX_BUFFERED:
            self.flush()
        self.window.offer(batch, output, time.perf_counter())

    def count_failure(self, modality: object) -> None:
        """Count a value that could not be decoded; unknown modalities are not counted."""
        with self._counters.lock:  # readers are threads
            if modality in self._failures:
                self._failures[modality][0] += 1

    def flush(self) -> None:
        """Count the buffered outputs."""
        with self._counters.lock:
            taken = self._buffered[:]
            del self._buffered[: len(taken)]
            self._n_buffered = 0
            if taken:
                self._add([output for output, _ in taken], np.concatenate([each for _, each in taken]))

    def _add(self, outputs: Sequence[Output], presence: Booleans) -> None:
        """Add outputs to the counters; `presence` has shape (N, M)."""
        probabilities = np.concatenate([output.probabilities for output in outputs])
        self._count_classes(probabilities)
        add_to_histogram(self._entropy, SHARES, compute_entropy(probabilities))
        if outputs[0].disagreement is not None:
            numbers = find_histogram(self._counters, "expert_disagreement", **self.labels)
            add_to_histogram(numbers, BITS, np.concatenate([output.disagreement for output in outputs]))
        if outputs[0].conflict is not None:
            numbers = find_histogram(self._counters, "conflict", **self.labels)
            conflicts = np.concatenate([output.conflict for output in outputs])
            add_to_histogram(numbers, SHARES, conflicts[presence.sum(axis=1) > 1])
        self._count_presence(presence)
        weights = np.concatenate([output.weights for output in outputs])
        confidences = np.concatenate([output.confidences for output in outputs])
        add_columns(self._weights, weights, presence)
        add_columns(self._confidences, confidences, presence)

    def _count_classes(self, probabilities: NDArray[np.float32]) -> None:
        n_labels = len(self._predictions)
        predicted = np.bincount(self._label_of[probabilities.argmax(1)], minlength=n_labels)
        summed = np.bincount(self._label_of, probabilities.sum(0, dtype=np.float64), n_labels)
        for at in np.flatnonzero(predicted).tolist():
            self._predictions[at][0] += predicted[at]
        for block, share in zip(self._probability, summed.tolist(), strict=True):
            block[0] += share

    def _count_presence(self, presence: Booleans) -> None:
        for name, count in zip(self._names, presence.sum(0).tolist(), strict=True):
            self._present[name][0] += count
        packed = np.packbits(presence, axis=1)
        for bits, count in Counter(packed.view(f"V{packed.shape[1]}").ravel().tolist()).items():
            self._subset(bits)[0] += count

    def _subset(self, bits: bytes) -> Block:
        """Return the counter of samples with this subset of modalities, one bit for each."""
        block = self._subsets.get(bits)
        if block is None:
            flags = np.unpackbits(np.frombuffer(bits, np.uint8), count=len(self._names))
            name = "+".join(name for name, flag in zip(self._names, flags, strict=True) if flag)
            if name not in self._named and len(self._named) >= MAX_SUBSETS:
                return self._find("samples", subset=OTHER)
            self._named.add(name)
            block = self._subsets[bits] = self._find("samples", subset=name)
        return block

    def _find(self, family: str, **labels: str) -> Block:
        return find_series(self._counters, family, **self.labels, **labels)


def choose_labels(classes: Sequence[ClassInfo]) -> list[str]:
    """Return the label, (C,), that each class is counted under; of many, the rarest have their own."""
    rarest = sorted(classes, key=lambda info: info.train_count)[:MAX_CLASSES]
    own = {info.name for info in rarest}
    return [info.name if info.name in own else f"{OTHER} ({info.shot})" for info in classes]


def compute_entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the normalised entropy, (N, C) -> (N,); 1 is the uniform distribution."""
    each = np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny)
    whole = np.log(max(probabilities.shape[1], 2))
    share: NDArray[np.float64] = -(each * np.log(each)).sum(1) / whole
    return share.clip(0.0, 1.0)


def add_columns(
    histograms: Sequence[NDArray[np.float64]], values: NDArray[np.float32], present: Booleans
) -> None:
    """Add each column of (N, M) values, where present, to its histogram over SHARES."""
    n_buckets = len(SHARES) + 1
    exact = np.where(present, values, 0.0)
    buckets = np.searchsorted(SHARES, exact) + n_buckets * np.arange(len(histograms))
    counts = np.bincount(buckets[present], minlength=n_buckets * len(histograms)).reshape(-1, n_buckets)
    for numbers, count, total in zip(histograms, counts, exact.sum(0, dtype=np.float64), strict=True):
        numbers[:-1] += count
        numbers[-1] += total
