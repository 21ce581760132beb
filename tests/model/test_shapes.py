"""Reductions whose shape is said, so that older onnxruntimes run them over no rows."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from tailfuse.export.shapes import insert_reshapes
from tailfuse_service.bundle import GRAPHS

from tests.support.known import known


def reductions(graph: ir.Graph) -> list[ir.Node]:
    return [node for node in graph if node.op_type.startswith("Reduce")]


def constant(value: ir.Value | None) -> Any:
    """Its numbers, or None if it is no constant."""
    tensor = ir.convenience.get_const_tensor(known(value))
    return None if tensor is None else tensor.numpy().tolist()


def make_graph(axes: list[int], keepdims: int, rows: str = "n") -> ir.Graph:
    """x, reduced, negated; beside it an input of other rows, as the presence of a real graph is."""
    sizes: list[str | int] = ["n", 2, 3]
    presence = ir.Value(name="presence", shape=ir.Shape(["b", 2]), type=ir.TensorType(ir.DataType.BOOL))
    x = ir.Value(name="x", shape=ir.Shape(sizes), type=ir.TensorType(ir.DataType.FLOAT))
    told = ir.Value(name="axes", const_value=ir.tensor(np.array(axes, np.int64), name="axes"))
    identity = ir.node("Identity", [x])  # in place of the steps that make other rows of x
    value = identity.outputs[0]
    value.name, value.shape, value.type = "value", ir.Shape([rows, 2, 3]), x.type
    reduced = ir.node("ReduceSum", [value, told], attributes={"keepdims": keepdims})
    reduced.outputs[0].name = "sum"
    negated = ir.node("Neg", reduced.outputs)
    negated.outputs[0].name = "y"
    return ir.Graph(
        [presence, x],
        negated.outputs,
        nodes=[identity, reduced, negated],
        initializers=[told],
        opset_imports={"": 18},
    )


@pytest.mark.parametrize(
    ("axes", "keepdims", "sizes"),
    [([-1], 1, [0, 0, 1]), ([2], 0, [0, 0]), ([1, 2], 1, [0, 1, 1]), ([-1, -2], 0, [0])],
)
def test_what_is_left_of_a_reduction_is_said(axes: list[int], keepdims: int, sizes: list[int]) -> None:
    graph = make_graph(axes, keepdims)
    insert_reshapes(graph)
    _, reduced, reshape, negated = graph
    assert reshape.op_type == "Reshape"
    assert reshape.inputs[0] is reduced.outputs[0]
    assert constant(reshape.inputs[1]) == sizes
    assert negated.inputs[0] is reshape.outputs[0]


@pytest.mark.parametrize("axes", [[0], [0, 1, 2], [1]])
def test_other_reductions_stay_as_they_are(axes: list[int]) -> None:
    graph = make_graph(axes, 1)
    insert_reshapes(graph)
    assert [node.op_type for node in graph] == ["Identity", "ReduceSum", "Neg"]


@pytest.mark.parametrize("rows", ["b", "n + m"])
def test_rows_of_all_modalities_are_never_none(rows: str) -> None:
    graph = make_graph([2], 1, rows)
    insert_reshapes(graph)
    assert [node.op_type for node in graph] == ["Identity", "ReduceSum", "Neg"]


def test_in_an_exported_graph_reductions_of_a_modality_s_rows_are_followed_by_their_shape(
    trained: Any,
) -> None:
    graph = ir.serde.deserialize_model(onnx.load(trained.bundle / GRAPHS["onnx"])).graph
    rows = {str(known(value.shape)[0]) for value in graph.inputs[1:]}
    over_the_last = [
        node
        for node in reductions(graph)
        if len(node.inputs) == 2
        and (shape := known(node.inputs[0]).shape) is not None
        and constant(node.inputs[1]) in ([-1], [len(shape) - 1])
        and len(shape) > 1
        and str(shape[0]) in rows
    ]
    assert over_the_last
    for node in over_the_last:
        assert [user.op_type for user, _ in node.outputs[0].uses()] == ["Reshape"], node.outputs[0].name
