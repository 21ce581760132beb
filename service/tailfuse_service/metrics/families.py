"""Every name of the service's metrics: its kind, what it tells, its labels and its buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STAGE_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *SECONDS)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
BITS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0)
OF_A_BUNDLE = ("model", "version")  # the first labels of all that belongs to one bundle


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its kind, what it tells, its labels, and for a histogram the edges of its buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    tells: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Numbers that one series takes; a histogram's are its buckets, not cumulated, and the sum."""
        return len(self.edges) + 2 if self.kind == "histogram" else 1


class GaugeValue(NamedTuple):
    """One series of a gauge. Of a bundle's, `labels` are those that follow model and version."""

    family: str
    value: float
    labels: Mapping[str, str] = {}


def by_modality(kind: Literal["counter", "gauge"], tells: str, *labels: str) -> Family:
    """Of a bundle's modality."""
    return Family(kind, tells, (*OF_A_BUNDLE, "modality", *labels))


def shares(tells: str, *labels: str) -> Family:
    """A histogram of what is between 0 and 1, of a bundle."""
    return Family("histogram", tells, (*OF_A_BUNDLE, *labels), SHARES)


FAMILIES = {
    "requests": Family("counter", "Requests answered; 499 is a caller who hung up.", ("route", "status")),
    "request_seconds": Family("histogram", "From a request to its answer.", ("route",), SECONDS),
    "requests_in_flight": Family("gauge", "Requests not answered yet."),
    "queue_depth": Family("gauge", "Samples that wait for their run."),
    "rejected": Family("counter", "Problems answered, also those of single items.", ("reason",)),
    "stage_seconds": Family(
        "histogram",
        "Where time goes: a sample's decode and queue, a run, a request's encode.",
        ("stage",),
        STAGE_SECONDS,
    ),
    "batch_size": Family("histogram", "Samples in one run of the model.", edges=ROWS),
    "samples": Family("counter", "Samples answered, by the modalities they had.", (*OF_A_BUNDLE, "subset")),
    "predictions": Family("counter", "Samples answered, by the label they got.", (*OF_A_BUNDLE, "label")),
    "probability": Family(
        "counter", "Sum of a class's probabilities over all samples.", (*OF_A_BUNDLE, "label")
    ),
    "class_training_share": Family(
        "gauge", "Share of a class in the training rows.", (*OF_A_BUNDLE, "label", "shot")
    ),
    "entropy": shares("Entropy of the probabilities, over that of all classes alike."),
    "expert_disagreement": Family(
        "histogram",
        "Jensen-Shannon divergence of the modalities' own answers, bits.",
        OF_A_BUNDLE,
        BITS,
    ),
    "modality_present": by_modality("counter", "Samples that had the modality."),
    "fusion_weight": shares("Fusion weight of a modality, where present.", "modality"),
    "confidence": shares("Confidence of a modality, where present.", "modality"),
    "decode_failures": by_modality("counter", "Values of a modality that could not be read."),
    "reference_presence": by_modality("gauge", "Share of the evaluated rows that had the modality."),
    "reference_weight": by_modality("gauge", "Mean fusion weight on the evaluated rows, where present."),
    "reference_confidence": by_modality("gauge", "Mean confidence on the evaluated rows, where present."),
    "input_drift": by_modality("gauge", "PSI of an input in the window against the evaluated rows.", "input"),
    "weight_drift": by_modality(
        "gauge", "PSI of the fusion weight in the window against the evaluated rows."
    ),
    "drift_rows": by_modality("gauge", "Rows in the window that drift looks at."),
    "model_info": Family(
        "gauge",
        "A bundle that is loaded, and its role: stable, canary, shadow or none; always 1.",
        (*OF_A_BUNDLE, "runtime", "device", "precision", "role"),
    ),
    "model_load_seconds": Family("gauge", "How long opening the bundle took.", OF_A_BUNDLE),
    "model_loaded_timestamp_seconds": Family("gauge", "When the bundle was opened, Unix time.", OF_A_BUNDLE),
    "shadow_samples": Family(
        "counter",
        "What a shadow was asked: agree or disagree with the stable version's label, failed, dropped.",
        (*OF_A_BUNDLE, "subset", "outcome"),
    ),
    "shadow_disagreements": Family(
        "counter",
        "Samples that got another label from the shadow: the stable version's label, and the shadow's.",
        (*OF_A_BUNDLE, "label", "shadow_label"),
    ),
    "gpu_memory_used_bytes": Family("gauge", "Memory in use on the model's GPU, by all of its processes."),
    "gpu_memory_total_bytes": Family("gauge", "Memory of the model's GPU."),
    "ready": Family("gauge", "1 if new requests are taken, 0 if not."),
    "workers": Family("gauge", "Processes that answer."),
    "worker_restarts": Family("counter", "Workers that died and were replaced."),
    "reloads": Family("counter", "Bundles opened again, by each worker: ok or failed.", ("outcome",)),
}


def make_key(family: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the key of one series: the family's name, then its labels' values in the family's order.

    Raises ValueError if these are not the labels of the family.
    """
    names = FAMILIES[family].labels
    if labels.keys() != set(names):
        raise ValueError(f"tailfuse_{family} has the labels {names}, not {tuple(labels)}")
    return (family, *(labels[name] for name in names))


def read_labels(key: tuple[str, ...]) -> dict[str, str]:
    """Return the labels of a series by name; of a key that is no family's, none."""
    family = FAMILIES.get(key[0])
    return {} if family is None else dict(zip(family.labels, key[1:], strict=True))
