"""How weight, confidence and accuracy change as noise takes the place of one modality's values."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.modalities import Modality

from tailfuse.data.classes import order_by_class
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.line_chart import LineChart, line_chart
from tailfuse.evaluation.metrics import confusion, mean, recall_by_class
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.modalities import KINDS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of noise
MAX_ROWS = 200  # for each modality; each is answered once for every strength


class NoisePoint(NamedTuple):
    """Means over the rows at one strength of the noise."""

    strength: float
    weight: float
    confidence: float
    accuracy: float  # balanced, of the fused answers


def measure_noise_curves(
    run: Callable[[Batch], Output], part: SplitArrays, modalities: Mapping[str, Modality]
) -> dict[str, list[NoisePoint]]:
    """Measure each modality that some row of a part has, on rows that have others too if there are any."""
    curves = {}
    presence = part.presence()
    for column, name in enumerate(part.modalities):
        present = np.flatnonzero(presence[:, column])
        fused = present[presence[present].sum(axis=1) > 1]  # a modality alone has all the weight
        rows = part.take(fused if len(fused) else present)
        rows = rows.take(np.sort(order_by_class(rows.labels)[:MAX_ROWS]))
        if len(rows):
            curves[name] = [measure_point(run, rows, name, modalities[name], each) for each in STRENGTHS]
    return curves


def measure_point(
    run: Callable[[Batch], Output], rows: SplitArrays, name: str, modality: Modality, strength: float
) -> NoisePoint:
    """Measure rows that all have a modality at one strength; the noise is the same at every strength."""
    values = rows.inputs[name][rows.position[name]]
    noisy = KINDS[modality.kind].add_noise(modality, values, strength, np.random.default_rng(0))
    position = rows.position | {name: np.arange(len(rows))}
    output = predict_part(run, SplitArrays(rows.inputs | {name: noisy}, position, rows.labels))
    column = rows.modalities.index(name)
    recall = recall_by_class(confusion(output.probabilities, rows.labels))
    return NoisePoint(
        strength,
        float(output.weights[:, column].mean()),
        float(output.confidences[:, column].mean()),
        mean(recall) or 0.0,
    )


def chart_noise(curves: Mapping[str, Sequence[NoisePoint]]) -> list[LineChart]:
    """Return a chart for each modality: its weight, its confidence, and the accuracy of the answers."""
    return [
        line_chart(
            name,
            {key: [(each.strength, getattr(each, key)) for each in points] for key in NoisePoint._fields[1:]},
            y_bounds=(0.0, 1.0),
        )
        for name, points in curves.items()
    ]
