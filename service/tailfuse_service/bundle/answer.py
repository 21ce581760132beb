"""What the graph answers, as the JSON of POST /predict."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.batch import Output
from tailfuse_service.bundle.manifest import Manifest

DIGITS = 6  # more is noise: runtimes agree to 1e-5
ABSENT = {"present": False, "weight": 0.0, "confidence": None}


class Prediction(NamedTuple):
    """One sample's answer in plain Python numbers."""

    labels: list[str]  # most probable first
    probabilities: list[float]  # of these labels
    presence: list[bool]  # (M,)
    weights: list[float]  # (M,)
    confidences: list[float]  # (M,)
    conflict: float | None = None  # None for fewer than two modalities, and of older bundles


def make_predictions(
    output: Output, presence: NDArray[np.bool_], class_names: Sequence[str]
) -> list[Prediction]:
    """The predictions of a batch, (B,). Whole arrays at a time: this is paid by every request."""
    order = np.argsort(-output.probabilities, axis=1, kind="stable")  # (B, C)
    probabilities = np.take_along_axis(output.probabilities, order, axis=1)
    columns = (
        np.array(class_names, object)[order].tolist(),
        rounded(probabilities),
        presence.tolist(),
        rounded(output.weights),
        rounded(output.confidences),
        list_conflicts(output, presence),
    )
    return list(map(Prediction._make, zip(*columns, strict=True)))


def list_conflicts(output: Output, presence: NDArray[np.bool_]) -> list[float | None]:
    """List the conflict of each sample, (B,); None where fewer than two modalities can be in conflict."""
    if output.conflict is None:
        return [None] * len(presence)
    rounded_values = output.conflict.astype(np.float64).round(DIGITS).tolist()
    counts = presence.sum(axis=1).tolist()
    return [each if count > 1 else None for each, count in zip(rounded_values, counts, strict=True)]


def rounded(values: NDArray[np.float32]) -> list[list[float]]:
    """As lists of plain floats with DIGITS decimals."""
    return values.astype(np.float64).round(DIGITS).tolist()  # type: ignore[no-any-return]


def format_answer(
    prediction: Prediction, manifest: Manifest, *, request_id: str, top_k: int | None = None,
    prior: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The body of an answer; `top_k` keeps that many of the most probable classes.

    `prior` names the prior that it holds for, if that is not the graph's own.
    """
    labels, probabilities, presence, weights, confidences, conflict = prediction
    answer = {
        "request_id": request_id,
        "model": {"name": manifest.name, "version": manifest.version},
        "label": labels[0],
        "probability": probabilities[0],
        "probabilities": dict(zip(labels[:top_k], probabilities[:top_k], strict=True)),
        "modalities": {
            name: {"present": True, "weight": weight, "confidence": confidence} if present else ABSENT
            for name, present, weight, confidence in zip(
                manifest.modalities, presence, weights, confidences, strict=True
            )
        },
    }
    if conflict is not None:
        answer["conflict"] = conflict
    if prior is not None:
        answer["prior"] = prior
    return answer
