"""The reference of input drift: histograms of a few numbers of each evaluated row.

The same summary of a modality makes a bundle's reference and summarises the rows that are served. The rows
are the evaluated ones, as for weights and confidences: drift means that the bundle's metrics no longer
describe the traffic. Training rows may have other shares of the classes on purpose.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.manifest import InputReference
from tailfuse_service.modalities import Modality
from tailfuse_service.modalities.modality import SummaryValues

MAX_BINS = 10
# The PSI of n rows without drift is about bins * (1 / n + 1 / rows of the reference). With so few bins that
# this is NOISE at ROWS rows, an alert at 0.25 is not raised by chance.
NOISE, ROWS = 0.075, 200
SINGLE_WIDTH = 1e-3  # width of the bin of a single value, as a share of it


def input_references(modality: Modality, rows: Iterable[NDArray[Any]]) -> tuple[InputReference, ...]:
    """Make the histogram of each input; `rows` come in batches."""
    names, compute = modality.summary()
    values = np.concatenate([np.zeros((0, len(names)), np.float32), *map(compute, rows)])
    return tuple(
        InputReference(name=name, edges=(edges := choose_edges(each)), counts=tuple(count_bins(each, edges)))
        for name, each in zip(names, values.T, strict=True)
    )


def choose_edges(values: SummaryValues) -> tuple[float, ...]:
    """Choose edges with about equally many values, (n,), between them; few different values get a bin each.

    These bins lie between two more, for values that never occurred. With many different values, those that
    never occurred fall into the outer bins, which hold a tenth of the values each.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    different = np.unique(known)
    n_bins = bins_for(len(known))
    if len(different) > n_bins:
        return tuple(np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins)).tolist())
    if not len(different):
        return ()
    gaps = np.diff(different) if len(different) > 1 else SINGLE_WIDTH * np.maximum(np.abs(different), 1)
    lowest, highest = different[0] - gaps[0] / 2, different[-1] + gaps[-1] / 2
    return float(lowest), *(different[:-1] + np.diff(different) / 2).tolist(), float(highest)


def bins_for(n_rows: int) -> int:
    """Return how many bins a reference of `n_rows` rows can have."""
    return min(max(round(NOISE / (1 / ROWS + 1 / max(n_rows, 1))), 2), MAX_BINS)


def count_bins(values: SummaryValues, edges: tuple[float, ...]) -> list[int]:
    """Count the values, (n,), in each bin; one at an edge is below it, missing ones come last."""
    missing = np.isnan(values)
    bins = np.where(missing, len(edges) + 1, np.searchsorted(edges, values))
    return np.bincount(bins, minlength=len(edges) + 2).tolist()  # type: ignore[no-any-return]
