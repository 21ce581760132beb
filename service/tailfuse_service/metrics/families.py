"""The families of the service's metrics: kind, description, labels and buckets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STAGE_SECONDS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, *SECONDS)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
BITS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0)
BUNDLE_LABELS = ("model", "version")  # the first labels of every family of one bundle


@dataclass(frozen=True, slots=True)
class Family:
    """A metric: its kind, description and labels, and for a histogram the edges of its buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    tells: str
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Return the number of values of one series: a histogram has its buckets and the sum."""
        return len(self.edges) + 2 if self.kind == "histogram" else 1


class GaugeValue(NamedTuple):
    """The value of one gauge series. For a bundle's family, `labels` leave out model and version."""

    family: str
    value: float
    labels: Mapping[str, str] = {}


def by_modality(kind: Literal["counter", "gauge"], tells: str, *labels: str) -> Family:
    """Return a family with one series for each modality of a bundle."""
    return Family(kind, tells, (*BUNDLE_LABELS, "modality", *labels))


def shares(tells: str, *labels: str) -> Family:
    """Return a histogram of a bundle's values between 0 and 1."""
    return Family("histogram", tells, (*BUNDLE_LABELS, *labels), SHARES)


FAMILIES = {
    "requests": Family(
        "counter", "Answered requests; status 499 means that the client disconnected.", ("route", "status")
    ),
    "request_seconds": Family("histogram", "Time from a request to its answer.", ("route",), SECONDS),
    "requests_in_flight": Family("gauge", "Requests that are not answered yet."),
    "queue_depth": Family("gauge", "Samples that wait for a run of the model."),
    "rejected": Family("counter", "Problems in answers, including those of single items.", ("reason",)),
    "stage_seconds": Family(
        "histogram",
        "Time by stage: decode and queue of a sample, run of a batch, encode of an answer.",
        ("stage",),
        STAGE_SECONDS,
    ),
    "batch_size": Family("histogram", "Samples in one run of the model.", edges=ROWS),
    "samples": Family("counter", "Answered samples by subset of modalities.", (*BUNDLE_LABELS, "subset")),
    "predictions": Family("counter", "Answered samples by predicted label.", (*BUNDLE_LABELS, "label")),
    "probability": Family(
        "counter", "Sum of a class's predicted probability over all samples.", (*BUNDLE_LABELS, "label")
    ),
    "class_training_share": Family(
        "gauge", "Share of a class in the training rows.", (*BUNDLE_LABELS, "label", "shot")
    ),
    "entropy": shares("Entropy of the probabilities, divided by that of the uniform distribution."),
    "expert_disagreement": Family(
        "histogram",
        "Jensen-Shannon divergence of the modality posteriors, in bits.",
        BUNDLE_LABELS,
        BITS,
    ),
    "conflict": shares(
        "Probability that a modality belongs to another sample than the others, of samples with two or more."
    ),
    "modality_present": by_modality("counter", "Samples in which the modality was present."),
    "fusion_weight": shares("Fusion weight of a modality, where present.", "modality"),
    "confidence": shares("Confidence of a modality, where present.", "modality"),
    "decode_failures": by_modality("counter", "Values of a modality that could not be decoded."),
    "reference_presence": by_modality(
        "gauge", "Share of the evaluated rows in which the modality was present."
    ),
    "reference_weight": by_modality("gauge", "Mean fusion weight on the evaluated rows, where present."),
    "reference_confidence": by_modality("gauge", "Mean confidence on the evaluated rows, where present."),
    "input_drift": by_modality(
        "gauge", "PSI of an input between the drift window and the evaluated rows.", "input"
    ),
    "weight_drift": by_modality(
        "gauge", "PSI of the fusion weight between the drift window and the evaluated rows."
    ),
    "drift_rows": by_modality("gauge", "Rows in the drift window."),
    "model_info": Family(
        "gauge",
        "A loaded bundle and its role (stable, canary, shadow or none); always 1.",
        (*BUNDLE_LABELS, "runtime", "device", "precision", "role"),
    ),
    "model_load_seconds": Family("gauge", "Time to open the bundle.", BUNDLE_LABELS),
    "model_loaded_timestamp_seconds": Family(
        "gauge", "Unix time at which the bundle was opened.", BUNDLE_LABELS
    ),
    "shadow_samples": Family(
        "counter",
        "Shadow samples by outcome: agree or disagree with the stable version's label, failed, dropped.",
        (*BUNDLE_LABELS, "subset", "outcome"),
    ),
    "shadow_disagreements": Family(
        "counter",
        "Samples for which the shadow predicted another label, by both labels.",
        (*BUNDLE_LABELS, "label", "shadow_label"),
    ),
    "gpu_memory_used_bytes": Family("gauge", "Memory in use on the model's GPU, by all processes."),
    "gpu_memory_total_bytes": Family("gauge", "Memory of the model's GPU."),
    "memory_held_bytes": Family("gauge", "Memory reserved for requests, and for decoding images and series."),
    "memory_limit_bytes": Family("gauge", "Limit of that memory; above it, requests wait or get 429."),
    "text_cache_hits": Family("counter", "Texts whose embedding was in the cache."),
    "text_cache_misses": Family("counter", "Texts that a BERT had to encode."),
    "text_cache_bytes": Family("gauge", "Memory of the cached embeddings of texts."),
    "key_file_problems": Family("gauge", "Invalid lines in the files of keys; 1 for a file without a key."),
    "log_lines_dropped": Family("counter", "Log lines that were not written because there were too many."),
    "ready": Family("gauge", "1 if the service accepts requests, else 0."),
    "workers": Family("gauge", "Running worker processes."),
    "worker_restarts": Family("counter", "Workers that died and were restarted."),
    "reloads": Family(
        "counter", "Bundles opened after the start, counted in each worker: ok or failed.", ("outcome",)
    ),
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
