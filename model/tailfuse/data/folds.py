"""Folds for cross-fitting: rows of one group stay together, and every class is spread."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def make_folds(labels: Numbers, groups: Numbers, n_folds: int, seed: int) -> list[tuple[Numbers, Numbers]]:
    """For each fold the other folds' rows, and its own; with few groups there are fewer folds."""
    if n_folds == 0:
        return []
    fold_of_row = assign_folds(labels, groups, n_folds, seed)
    used = np.unique(fold_of_row)
    if len(used) == 1:
        return []  # nothing would be left to train on
    return [(np.flatnonzero(fold_of_row != fold), np.flatnonzero(fold_of_row == fold)) for fold in used]


def assign_folds(labels: Numbers, groups: Numbers, n_folds: int, seed: int) -> Numbers:
    """The fold of each row, 0..n_folds - 1: (N,), (N,) -> (N,). A fold may stay empty.

    Class by class, the rarest first, each group goes where its class has fewest rows so far, and then
    where there are fewest rows at all; large groups go first, while there is most choice.
    """
    random = np.random.default_rng(seed)
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold_of_group = np.full(len(sizes), -1)
    rows_of_fold = np.zeros(n_folds, np.int64)
    for label in np.argsort(np.bincount(labels), kind="stable"):
        members, counts = np.unique(groups[labels == label], return_counts=True)
        taken = fold_of_group[members]
        have = np.bincount(taken[taken >= 0], counts[taken >= 0], minlength=n_folds)
        order = random.permutation(np.flatnonzero(taken < 0))
        for at in order[np.argsort(-counts[order], kind="stable")]:
            fold = np.lexsort((rows_of_fold, have))[0]
            fold_of_group[members[at]] = fold
            have[fold] += counts[at]
            rows_of_fold[fold] += sizes[members[at]]
    return fold_of_group[groups]
