"""A long tail imposed on rows that have none, so that methods can be compared at a known imbalance."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from tailfuse.data.split import Split
from tailfuse.files.table import Rows


def impose_imbalance(split: Split, labels: pl.Series, imbalance_ratio: float, seed: int) -> Split:
    """The split with a long tail of classes in train, and the same one in val; test is not touched.

    The seed shuffles the order of the classes and chooses the rows. With one seed, the rows kept at a large
    imbalance ratio are among those kept at a smaller one.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(np.sort(labels[split.train].unique().to_numpy())).tolist()
    return Split(
        train=subsample_rows(labels, split.train, order, imbalance_ratio, least=2, random=random),
        val=subsample_rows(labels, split.val, order, imbalance_ratio, least=1, random=random),
        test=split.test,
    )


def subsample_rows(
    labels: pl.Series, rows: Rows, order: Sequence[str], imbalance_ratio: float, *, least: int,
    random: np.random.Generator,
) -> Rows:  # fmt: skip
    """Of class k of K in `order` keep max(least, round(N0 * imbalance_ratio ** (-k / (K - 1)))) rows.

    N0 is the smallest class's rows; a class that has no row counts for nothing. Ascending.
    """
    by_class = [rows[(labels[rows] == name).to_numpy()] for name in order]
    smallest = min(len(each) for each in by_class if len(each))
    kept = [
        random.permutation(each)[: max(least, round(smallest * imbalance_ratio ** (-k / (len(order) - 1))))]
        for k, each in enumerate(by_class)
    ]
    return np.sort(np.concatenate(kept))
