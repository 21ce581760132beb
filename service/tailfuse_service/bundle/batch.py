"""Samples become one ragged batch, and a batch's output one prediction each. Absence is data.

Letters: B samples, n_m present rows of modality m, M modalities, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.modalities import Features

Sample = Mapping[str, NDArray[Any]]  # by modality, present ones only; never empty


@dataclass(frozen=True, slots=True)
class Batch:
    """`inputs[m]` (n_m, ...) are the present rows of m, `rows[m]` (n_m,) the samples they belong to."""

    inputs: dict[str, NDArray[Any]]
    rows: dict[str, NDArray[np.int64]]
    presence: NDArray[np.bool_]  # (B, M)

    def feed(self) -> dict[str, NDArray[Any]]:
        """The graph's inputs by name: `presence`, and for each modality `m` and `m.rows`."""
        named: dict[str, NDArray[Any]] = {"presence": self.presence}
        for name, rows in self.inputs.items():
            named[name] = rows
            named[f"{name}.rows"] = self.rows[name]
        return named


@dataclass(frozen=True, slots=True)
class Output:
    """Outputs of the graph. Rows of `weights` sum to 1; absent modalities have 0 in both."""

    probabilities: NDArray[np.float32]  # (B, C)
    weights: NDArray[np.float32]  # (B, M)
    confidences: NDArray[np.float32]  # (B, M)
    disagreement: NDArray[np.float32] | None = None  # (B,), in bits, of the modalities' own answers
    conflict: NDArray[np.float32] | None = None  # (B,), probability that a modality is another sample's

    def __len__(self) -> int:
        return len(self.probabilities)

    def take(self, samples: Sequence[int]) -> "Output":
        """The answers to some of the samples."""
        each = (self.probabilities, self.weights, self.confidences, self.disagreement, self.conflict)
        return Output(*(None if values is None else values[samples] for values in each))  # type: ignore[arg-type]


OUTPUT_NAMES = ("probabilities", "weights", "confidences")  # of every graph
DISAGREEMENT = "disagreement"  # of those whose modalities have answers of their own
CONFLICT = "conflict"  # of the same, but for older bundles
# Of the same, but for older bundles: (B, M, W), 0 where absent, and (B, W). No modality's name has a dot.
EMBEDDINGS = ("embedding.modalities", "embedding.fused")
CACHED, FEATURES = ".cached", ".features"  # the ends of optional inputs and outputs: `CachedInputs`


def input_names(modalities: Sequence[str]) -> list[str]:
    """The graph's inputs in the order of its signature."""
    return ["presence", *(part for name in modalities for part in (name, f"{name}.rows"))]


def collate(samples: Sequence[Sample], features: Mapping[str, Features]) -> Batch:
    """Stack the present rows of each modality; an absent one costs nothing."""
    presence = np.zeros((len(samples), len(features)), np.bool_)
    inputs, rows = {}, {}
    for column, (name, each) in enumerate(features.items()):
        present = [i for i, sample in enumerate(samples) if name in sample]
        inputs[name] = each.stack([samples[i][name] for i in present])
        rows[name] = np.array(present, np.int64)
        presence[rows[name], column] = True
    return Batch(inputs, rows, presence)
