"""The trees of a forest as one node of ONNX, faster than what the network does in torch.

The nodes are filled in after the export: a forest has lists of tens of thousands of numbers, which the
exporter would carry through each of its passes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from tailfuse.network.forest import DEPTH, TREE_ENSEMBLE, TREES, ForestExpert, Tables

FIRST_LEAF = 2**DEPTH - 1  # nodes are numbered level by level: the children of node i are 2i + 1 and 2i + 2


def fill_tree_ensembles(graph: ir.Graph, forests: Iterable[ForestExpert]) -> None:
    """Give each forest's node its trees. Both come in the order of the modalities."""
    domain, op_type = TREE_ENSEMBLE.split("::")
    nodes = [node for node in graph if (node.domain, node.op_type) == (domain, op_type)]
    for node, forest in zip(nodes, forests, strict=True):
        for attribute in ir.convenience.convert_attributes(make_attributes(forest.get_tables())):
            node.attributes.add(attribute)


def make_attributes(trees: Tables) -> dict[str, Any]:
    """Make the attributes of a node that averages the leaves, without tree nodes that no row reaches."""
    followers = find_followers(trees.thresholds)
    tree, node = np.nonzero(find_reached(trees.thresholds, followers))
    inner = node < FIRST_LEAF
    at = tree[inner], node[inner]

    def spread(values: NDArray[Any]) -> list[Any]:
        """Give each node the value of the inner nodes, or 0"""
        spread_out = np.zeros(len(node), values.dtype)
        spread_out[inner] = values
        return list(spread_out.tolist())

    leaves = np.flatnonzero(~inner)
    shares = trees.leaves[tree[leaves], node[leaves] - FIRST_LEAF]
    leaf, label = np.nonzero(shares)
    return {
        "n_targets": shares.shape[1],
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": node.tolist(),
        "nodes_modes": np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        "nodes_featureids": spread(trees.columns[at]),
        "nodes_values": spread(trees.thresholds[at]),
        "nodes_truenodeids": spread(followers[at[0], 2 * at[1] + 1]),
        "nodes_falsenodeids": spread(followers[at[0], 2 * at[1] + 2]),
        "target_treeids": tree[leaves[leaf]].tolist(),
        "target_nodeids": node[leaves[leaf]].tolist(),
        "target_ids": label.tolist(),
        "target_weights": (shares[leaf, label] / TREES).tolist(),
    }


def find_followers(thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find where a row that comes to a node goes on: (T, FIRST_LEAF) -> (T, all nodes)

    That is the node itself, or the next one on the left that divides rows, or a leaf.
    """
    followers = np.tile(np.arange(2 * FIRST_LEAF + 1), (TREES, 1))
    for node in reversed(range(FIRST_LEAF)):
        idle = np.isinf(thresholds[:, node])
        followers[idle, node] = followers[idle, 2 * node + 1]
    return followers


def find_reached(thresholds: NDArray[np.float32], followers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Find the nodes that rows come to: (T, all nodes)"""
    every = np.arange(TREES)
    reached = np.zeros(followers.shape, np.bool_)
    reached[every, followers[:, 0]] = True
    for node in range(FIRST_LEAF):
        divided = np.flatnonzero(reached[:, node])
        for child in (2 * node + 1, 2 * node + 2):
            reached[divided, followers[divided, child]] = True
    return reached
