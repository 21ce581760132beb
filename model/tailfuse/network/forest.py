"""The forest of columns: extremely randomised trees (Geurts et al. 2006), for equally frequent classes.

They are fitted to training rows without class weights, and their probabilities are divided by the class
shares. On columns alone they see what one hidden layer does not: steps, and columns that matter together.

Letters: n rows, D columns, C classes, T trees.

All trees are complete, so that a row goes through all of them at once: through the upper four levels, with
the answers of 15 nodes, and then through one of the 16 blocks of four levels below these. In model.onnx they
are one node, which is faster (tailfuse.export.tree_ensembles).
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor, nn

TREES = 100
LEVELS = 4  # of a block
NODES, ENDS = 2**LEVELS - 1, 2**LEVELS  # of a block
DEPTH = 2 * LEVELS
COLUMNS_SHARE = 0.5  # of the columns that each node chooses from: few levels want good splits
TREE_ENSEMBLE = "ai.onnx.ml::TreeEnsembleRegressor"
FLOOR = 0.01  # of the probability is spread over all classes: a leaf may hold one row


class Tables(NamedTuple):
    """Complete trees. A node that no training row reached sends every row to the left."""

    columns: NDArray[np.int64]  # (T, 2^DEPTH - 1), of each node, level by level
    thresholds: NDArray[np.float32]  # of the same shape; a greater number goes to the right
    leaves: NDArray[np.float32]  # (T, 2^DEPTH, C), the shares of the classes


class ForestExpert(nn.Module):
    """The forest of one modality of columns."""

    upper_columns: Tensor
    upper_thresholds: Tensor
    lower_columns: Tensor
    lower_thresholds: Tensor
    leaves: Tensor
    bias: Tensor
    paths: Tensor
    lefts: Tensor
    ends: Tensor
    first_blocks: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("upper_columns", torch.zeros(TREES * NODES, dtype=torch.int64))
        self.register_buffer("upper_thresholds", torch.full((TREES, NODES), torch.inf))
        self.register_buffer("lower_columns", torch.zeros(TREES * ENDS, NODES, dtype=torch.int64))
        self.register_buffer("lower_thresholds", torch.full((TREES * ENDS, NODES), torch.inf))
        self.register_buffer("leaves", torch.full((TREES * ENDS**2, n_classes), 1 / n_classes))
        self.register_buffer("bias", torch.zeros(n_classes))  # less the log of the class shares
        paths, lefts = make_paths()
        self.register_buffer("paths", paths, persistent=False)
        self.register_buffer("lefts", lefts, persistent=False)
        self.register_buffer("ends", torch.arange(ENDS, dtype=torch.float32)[:, None], persistent=False)
        self.register_buffer("first_blocks", ENDS * torch.arange(TREES), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, D), standardised -> log-probabilities (n, C)"""
        exports = torch.onnx.is_in_onnx_export()
        return self.score(self.average_symbolically(rows) if exports else self.average_leaves(rows))

    def score(self, shares: Tensor) -> Tensor:
        """Turn class shares, (n, C), into log-probabilities for equally frequent classes."""
        log_p = torch.log((1 - FLOOR) * shares + FLOOR / self.leaves.shape[1]) + self.bias
        return torch.log_softmax(log_p, dim=-1)

    def average_leaves(self, rows: Tensor) -> Tensor:
        """Average the shares of the classes in the leaves that rows come to: (n, D) -> (n, C)"""
        upper = rows[:, self.upper_columns].unflatten(1, (TREES, NODES))
        block = self.first_blocks + self.find_ends(upper > self.upper_thresholds)  # (n, T)
        lower = rows.gather(1, self.lower_columns[block].flatten(1)).unflatten(1, (TREES, NODES))
        leaf = ENDS * block + self.find_ends(lower > self.lower_thresholds[block])
        # A product, not a mean: some runtimes cannot reduce an array without rows.
        return (self.leaves[leaf].transpose(1, 2) @ rows.new_full((TREES, 1), 1 / TREES)).squeeze(2)

    def average_symbolically(self, rows: Tensor) -> Tensor:
        """Stand for `average_leaves` as one node of ONNX, whose trees are filled in after the export."""
        return torch.onnx.ops.symbolic(
            TREE_ENSEMBLE, (rows,), dtype=rows.dtype, shape=(rows.shape[0], self.leaves.shape[1]), version=3
        )

    def get_tables(self) -> Tables:
        """Return the trees as the buffers have them."""
        columns, thresholds = (
            np.concatenate(
                [upper.numpy(force=True).reshape(TREES, NODES), join_levels(lower.numpy(force=True))], axis=1
            )
            for upper, lower in (
                (self.upper_columns, self.lower_columns),
                (self.upper_thresholds, self.lower_thresholds),
            )
        )
        return Tables(columns, thresholds, self.leaves.numpy(force=True).reshape(TREES, 2**DEPTH, -1))

    def find_ends(self, right: Tensor) -> Tensor:
        """Find the end that each row comes to, by the nodes of a block: (n, T, NODES) bool -> (n, T)"""
        met = right.float() @ self.paths + self.lefts  # of the nodes on the way to each end
        at: Tensor = (met == LEVELS).float() @ self.ends
        return at.squeeze(2).long()

    @torch.no_grad()
    def fit(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
        """Fit to training rows (n, D). A class without rows has the least probability."""
        forest = ExtraTreesClassifier(TREES, max_depth=DEPTH, max_features=COLUMNS_SHARE, random_state=0)
        forest.fit(rows, labels)
        columns, thresholds, leaves = make_tables(forest, self.leaves.shape[1])
        upper, lower = split_levels(columns), split_levels(thresholds)
        self.upper_columns.copy_(torch.from_numpy(upper[0].ravel()))
        self.lower_columns.copy_(torch.from_numpy(upper[1]))
        self.upper_thresholds.copy_(torch.from_numpy(lower[0]))
        self.lower_thresholds.copy_(torch.from_numpy(lower[1]))
        self.leaves.copy_(torch.from_numpy(leaves.reshape(self.leaves.shape)))
        counts = np.bincount(labels, minlength=len(self.bias))
        self.bias.copy_(torch.from_numpy(-np.log(np.maximum(counts, 1) / len(labels))))


def make_paths() -> tuple[Tensor, Tensor]:
    """Make what counts the nodes that a row meets on the way to each end: (NODES, ENDS), (ENDS,)

    A node on the way counts 1 if the row goes as the way does.
    """
    paths, lefts = torch.zeros(NODES, ENDS), torch.zeros(ENDS)
    for end in range(ENDS):
        for level in range(LEVELS):
            node = 2**level - 1 + (end >> (LEVELS - level))
            goes_right = end >> (LEVELS - 1 - level) & 1
            paths[node, end] = 1 if goes_right else -1
            lefts[end] += 1 - goes_right
    return paths, lefts


def make_tables(forest: ExtraTreesClassifier, n_classes: int) -> Tables:
    """Complete the trees of a fitted forest."""
    columns = np.zeros((TREES, 2**DEPTH - 1), np.int64)
    thresholds = np.full((TREES, 2**DEPTH - 1), np.inf, np.float32)
    leaves = np.zeros((TREES, 2**DEPTH, n_classes), np.float32)
    for t, estimator in enumerate(forest.estimators_):
        tree = estimator.tree_
        nodes, at = np.zeros(1, np.int64), np.zeros(1, np.int64)  # of one level, and their places in it
        for level in range(DEPTH + 1):
            ends = tree.children_left[nodes] < 0
            shares = tree.value[nodes[ends], 0]
            leaves[t, (at[ends] << (DEPTH - level))[:, None], forest.classes_] = shares
            nodes, at = nodes[~ends], at[~ends]
            columns[t, 2**level - 1 + at] = tree.feature[nodes]
            thresholds[t, 2**level - 1 + at] = round_down(tree.threshold[nodes])
            nodes = np.concatenate([tree.children_left[nodes], tree.children_right[nodes]])
            at = np.concatenate([2 * at, 2 * at + 1])
    return Tables(columns, thresholds, leaves)


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round to float32 such that the same float32 numbers are greater."""
    rounded = thresholds.astype(np.float32)
    above = rounded > thresholds
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def split_levels(nodes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split (T, nodes level by level) into upper blocks (T, NODES) and lower ones (T ENDS, NODES)"""
    lower = [
        nodes[:, 2 ** (LEVELS + level) - 1 : 2 ** (LEVELS + level + 1) - 1].reshape(TREES, ENDS, 2**level)
        for level in range(LEVELS)
    ]
    return nodes[:, :NODES], np.concatenate(lower, axis=2).reshape(TREES * ENDS, NODES)


def join_levels(lower: NDArray[Any]) -> NDArray[Any]:
    """Join the lower blocks (T ENDS, NODES) into nodes level by level; undoes `split_levels`."""
    levels = np.split(lower.reshape(TREES, ENDS, NODES), [2**level - 1 for level in range(1, LEVELS)], axis=2)
    return np.concatenate([level.reshape(TREES, -1) for level in levels], axis=1)
