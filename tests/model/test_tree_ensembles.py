"""The trees of a forest in one node of ONNX: the answers of the network's own, and no node too many."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from tailfuse.export.tree_ensembles import fill_tree_ensembles
from tailfuse.network.forest import COLUMNS_SHARE, DEPTH, TREE_ENSEMBLE, TREES, ForestExpert, make_tables

N_COLUMNS, N_CLASSES = 5, 4


def make_rows(classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose second column has ties, and labels of these classes."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, N_COLUMNS)).astype(np.float32)
    rows[:, 1] = rows[:, 1].round()
    code = (rows[:, 0] > 0) ^ (rows[:, 1] > 0)
    return rows, np.array(classes)[(code + (rows[:, 2] > 1)) % len(classes)]


def make_forest(classes: list[int]) -> ForestExpert:
    """Fit a forest; one of no classes is as it was made."""
    expert = ForestExpert(N_CLASSES)
    if classes:
        expert.fit(*make_rows(classes))
    return expert


def make_graph(n_nodes: int) -> ir.Graph:
    """A graph that averages the leaves of forests, as the exporter leaves it."""
    domain, op_type = TREE_ENSEMBLE.split("::")
    shapes: dict[str, list[str | int]] = {"x": ["n", N_COLUMNS], "y": ["n", N_CLASSES]}
    x = ir.Value(name="x", shape=ir.Shape(shapes["x"]), type=ir.TensorType(ir.DataType.FLOAT))
    nodes = [ir.node(op_type, [x], domain=domain, version=3) for _ in range(n_nodes)]
    for at, node in enumerate(nodes):
        y = node.outputs[0]
        y.name, y.shape, y.type = f"y{at}", ir.Shape(shapes["y"]), ir.TensorType(ir.DataType.FLOAT)
    outputs = [node.outputs[0] for node in nodes]
    return ir.Graph([x], outputs, nodes=nodes, opset_imports={"": 18, domain: 3})


def open_graph(graph: ir.Graph) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString())


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 2], [3], []])
def test_the_node_averages_the_leaves_that_the_network_does(classes: list[int]) -> None:
    forest, graph = make_forest(classes), make_graph(1)
    fill_tree_ensembles(graph, [forest])
    session = open_graph(graph)
    known = make_rows([0])[0]
    ties = np.concatenate([known, 1e6 * known, np.zeros_like(known)])
    at_a_threshold = np.repeat(forest.upper_thresholds[:60, :1].numpy(), N_COLUMNS, axis=1)
    for rows in (known[:0], known[:1], known[:2], ties, at_a_threshold):
        expected = forest.average_leaves(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(session.run(None, {"x": rows})[0], expected, atol=1e-6)


def test_each_node_has_the_trees_of_its_own_forest() -> None:
    forests, graph = [make_forest([0, 1, 2, 3]), make_forest([3])], make_graph(2)
    fill_tree_ensembles(graph, forests)
    rows = make_rows([0])[0][:20]
    for forest, actual in zip(forests, open_graph(graph).run(None, {"x": rows}), strict=True):
        np.testing.assert_allclose(actual, forest.average_leaves(torch.from_numpy(rows)), atol=1e-6)
    with pytest.raises(ValueError, match="zip"):
        fill_tree_ensembles(make_graph(1), forests)


def test_it_has_the_nodes_that_the_fitted_trees_have() -> None:
    rows, labels = make_rows([0, 1, 2, 3])
    forest, graph = make_forest([0, 1, 2, 3]), make_graph(1)
    fill_tree_ensembles(graph, [forest])
    trees = ExtraTreesClassifier(TREES, max_depth=DEPTH, max_features=COLUMNS_SHARE, random_state=0)
    trees.fit(rows, labels)
    (node,) = graph
    modes = node.attributes["nodes_modes"].as_strings()
    assert len(modes) == sum(each.tree_.node_count for each in trees.estimators_)
    assert modes.count("LEAF") == sum(each.tree_.n_leaves for each in trees.estimators_)
    for expected, actual in zip(make_tables(trees, N_CLASSES), forest.get_tables(), strict=True):
        np.testing.assert_array_equal(actual, expected)
