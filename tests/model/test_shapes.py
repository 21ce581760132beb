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


def make_graph(axes: list[int], keepdims: int, rank: int = 3) -> ir.Graph:
    """x, reduced, negated."""
    sizes: list[str | int] = ["n", 2, 3]
    x = ir.Value(name="x", shape=ir.Shape(sizes[:rank]), type=ir.TensorType(ir.DataType.FLOAT))
    told = ir.Value(name="axes", const_value=ir.tensor(np.array(axes, np.int64), name="axes"))
    reduced = ir.node("ReduceSum", [x, told], attributes={"keepdims": keepdims})
    reduced.outputs[0].name = "sum"
    negated = ir.node("Neg", reduced.outputs)
    negated.outputs[0].name = "y"
    return ir.Graph(
        [x], negated.outputs, nodes=[reduced, negated], initializers=[told], opset_imports={"": 18}
    )


@pytest.mark.parametrize(
    ("axes", "keepdims", "sizes"),
    [([-1], 1, [0, 0, 1]), ([2], 0, [0, 0]), ([1, 2], 1, [0, 1, 1]), ([-1, -2], 0, [0])],
)
def test_what_is_left_of_a_reduction_is_said(axes: list[int], keepdims: int, sizes: list[int]) -> None:
    graph = make_graph(axes, keepdims)
    insert_reshapes(graph)
    reduced, reshape, negated = graph
    assert reshape.op_type == "Reshape"
    assert reshape.inputs[0] is reduced.outputs[0]
    assert constant(reshape.inputs[1]) == sizes
    assert negated.inputs[0] is reshape.outputs[0]


@pytest.mark.parametrize("axes", [[0], [0, 1, 2], [1]])
def test_other_reductions_stay_as_they_are(axes: list[int]) -> None:
    graph = make_graph(axes, 1)
    insert_reshapes(graph)
    assert [node.op_type for node in graph] == ["ReduceSum", "Neg"]


def test_in_an_exported_graph_every_reduction_over_the_last_axis_is_followed_by_its_shape(
    trained: Any,
) -> None:
    graph = ir.serde.deserialize_model(onnx.load(trained.bundle / GRAPHS["onnx"])).graph
    over_the_last = [
        node
        for node in reductions(graph)
        if len(node.inputs) == 2
        and (shape := known(node.inputs[0]).shape) is not None
        and constant(node.inputs[1]) in ([-1], [len(shape) - 1])
        and len(shape) > 1
    ]
    assert over_the_last
    for node in over_the_last:
        assert [user.op_type for user, _ in node.outputs[0].uses()] == ["Reshape"], node.outputs[0].name
