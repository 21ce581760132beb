"""What is true of a bundle as long as it is served: its name, where it runs, its classes, its references."""

from collections.abc import Iterator

import numpy as np

from tailfuse_service.bundle import Bundle
from tailfuse_service.bundle.manifest import Histogram, Manifest
from tailfuse_service.metrics.series import shown_labels

Gauge = tuple[str, tuple[str, ...], float]  # family, values of the labels but for model and version, number


def gauges_of(bundle: Bundle, role: str) -> Iterator[Gauge]:
    """All that does not change while it is served, but for its role."""
    manifest = bundle.manifest
    yield "model_info", (bundle.runtime_name, bundle.runtime.device, manifest.precision, role), 1
    yield "model_load_seconds", (), bundle.load_seconds
    yield "model_loaded_timestamp_seconds", (), bundle.loaded_at
    yield from training_shares(manifest)
    yield from references(manifest)


def training_shares(manifest: Manifest) -> Iterator[Gauge]:
    rows = sum(info.train_count for info in manifest.classes)
    shares: dict[tuple[str, ...], float] = {}
    for label, info in zip(shown_labels(manifest.classes), manifest.classes, strict=True):
        key: tuple[str, ...] = label, info.shot
        shares[key] = shares.get(key, 0.0) + info.train_count / max(rows, 1)
    for key, share in shares.items():
        yield "class_training_share", key, share


def references(manifest: Manifest) -> Iterator[Gauge]:
    """A mean is not there where no row had the modality."""
    for modality, reference in manifest.reference.items():
        yield "reference_presence", (modality,), reference.presence
        for family, mean, histogram in (
            ("reference_weight", reference.weight_mean, reference.weight),
            ("reference_confidence", reference.confidence_mean, reference.confidence),
        ):
            if sum(histogram.counts):
                yield family, (modality,), middle(histogram) if mean is None else mean


def middle(histogram: Histogram) -> float:
    """The mean as far as its bins tell: of bundles that were written before the mean was."""
    edges = np.array(histogram.edges)
    return float(np.average((edges[1:] + edges[:-1]) / 2, weights=histogram.counts))
