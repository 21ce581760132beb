"""Edges of the bins of the piecewise encoder: quantiles of the training rows."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn, count_slots

from tailfuse.files.table import Rows
from tailfuse.modalities.tabular.arrays import make_rows

BINS = 16
MIN_ROWS = 5000  # with fewer, the bins may cost likelihood on the calibration set (0.45 for 0.43 on rosmap)
MAX_NUMBERS = 128  # columns; a table of more is one of measurements that vary smoothly, and 16 times as wide


def is_piecewise(encoder: str, modality: TabularModality, n_rows: int) -> bool:
    """Return whether the columns of numbers get edges; `encoder` is the spec's."""
    n_numbers = sum(isinstance(column, NumberColumn) for column in modality.columns)
    return encoder == "piecewise" or (encoder == "auto" and n_rows > MIN_ROWS and n_numbers <= MAX_NUMBERS)


def fit_edges(
    name: str, modality: TabularModality, cells: Sequence[pl.Series], rows: Rows
) -> TabularModality:
    """Return the modality with edges for each column of numbers; `cells` are those of the training rows.

    Raises TableError.
    """
    array, position = make_rows(name, modality, cells, rows)
    columns, slot = [], 0
    for column, values in zip(modality.columns, cells, strict=True):
        if isinstance(column, NumberColumn):
            present = values.is_not_null().to_numpy() & (position >= 0)
            column = column.model_copy(update={"edges": compute_edges(array[position[present], slot])})
        columns.append(column)
        slot += count_slots(column)
    return modality.model_copy(update={"columns": tuple(columns)})


def compute_edges(numbers: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the edges of up to BINS bins with as many numbers each; none where one bin would do."""
    shares = np.linspace(0, 1, BINS + 1)
    quantiles = np.quantile(numbers, shares, method="inverted_cdf") if len(numbers) else ()
    edges = np.unique([float(f"{each:.6g}") for each in quantiles])  # six digits keep the manifest short
    return tuple(edges.tolist()) if len(edges) > 2 else ()
