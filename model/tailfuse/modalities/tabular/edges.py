"""Edges of the bins of the piecewise encoder: quantiles of the training rows."""

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn, count_slots

BINS = 16


def fit_edges(modality: TabularModality, rows: NDArray[np.float32]) -> TabularModality:
    """Return the modality with edges for each column of numbers; `rows` (n, width) are the training rows."""
    columns, slot = [], 0
    for column in modality.columns:
        if isinstance(column, NumberColumn):
            numbers = rows[:, slot]
            if column.indicator:
                numbers = numbers[rows[:, slot + 1] == 0]
            column = column.model_copy(update={"edges": compute_edges(numbers)})
        columns.append(column)
        slot += count_slots(column)
    return modality.model_copy(update={"columns": tuple(columns)})


def compute_edges(numbers: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the edges of up to BINS bins with as many numbers each; none where one bin would do."""
    shares = np.linspace(0, 1, BINS + 1)
    quantiles = np.quantile(numbers, shares, method="inverted_cdf") if len(numbers) else ()
    edges = np.unique([float(f"{each:.6g}") for each in quantiles])  # six digits keep the manifest short
    return tuple(edges.tolist()) if len(edges) > 2 else ()


def list_edges(modality: TabularModality) -> dict[int, tuple[float, ...]]:
    """List the edges of the columns that have some, by the column's slot."""
    edges, slot = {}, 0
    for column in modality.columns:
        if isinstance(column, NumberColumn) and column.edges:
            edges[slot] = column.edges
        slot += count_slots(column)
    return edges
