"""Gauges of a served bundle that come from its manifest."""

from collections.abc import Iterator

import numpy as np

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.manifest import Histogram, Manifest
from tailfuse_service.metrics.families import GaugeValue
from tailfuse_service.metrics.model_metrics import choose_labels


def make_gauges(bundle: Bundle, role: str) -> Iterator[GaugeValue]:
    """Yield the gauges of a bundle. Only its role changes while it is served."""
    manifest = bundle.manifest
    yield GaugeValue("model_info", 1, {
        "runtime": bundle.runtime_name, "device": bundle.runtime.device,
        "precision": manifest.precision, "role": role,
    })  # fmt: skip
    yield GaugeValue("model_load_seconds", bundle.load_seconds)
    yield GaugeValue("model_loaded_timestamp_seconds", bundle.loaded_at)
    yield from make_share_gauges(manifest)
    yield from make_reference_gauges(manifest)


def make_share_gauges(manifest: Manifest) -> Iterator[GaugeValue]:
    """Yield each class's share of the training rows; classes beyond the limit on labels share one."""
    rows = sum(info.train_count for info in manifest.classes)
    shares: dict[tuple[str, str], float] = {}
    for label, info in zip(choose_labels(manifest.classes), manifest.classes, strict=True):
        share = info.train_count / max(rows, 1)
        shares[label, info.shot] = shares.get((label, info.shot), 0.0) + share
    for (label, shot), share in shares.items():
        yield GaugeValue("class_training_share", share, {"label": label, "shot": shot})


def make_reference_gauges(manifest: Manifest) -> Iterator[GaugeValue]:
    """Yield the reference gauges. A modality that no row had has no means."""
    for modality, reference in manifest.reference.items():
        labels = {"modality": modality}
        yield GaugeValue("reference_presence", reference.presence, labels)
        for family, mean, histogram in (
            ("reference_weight", reference.weight_mean, reference.weight),
            ("reference_confidence", reference.confidence_mean, reference.confidence),
        ):
            if sum(histogram.counts):
                yield GaugeValue(family, estimate_mean(histogram) if mean is None else mean, labels)


def estimate_mean(histogram: Histogram) -> float:
    """Estimate the mean from the bins; older bundles do not contain the mean."""
    edges = np.array(histogram.edges)
    return float(np.average((edges[1:] + edges[:-1]) / 2, weights=histogram.counts))
