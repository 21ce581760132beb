"""A graph that runs where a modality has no rows, on every onnxruntime since 1.21.

Before 1.32 a reduction leaves the shape of what has no rows as it was, (0, 5) and not (0, 1), and what
follows fails; the newest release for CUDA is 1.31.
"""

import numpy as np
import onnx_ir as ir


def say_shapes(graph: ir.Graph) -> None:
    """Put a Reshape after each reduction over trailing axes, which says what is left of them."""
    for node in list(graph):
        if node.op_type.startswith("Reduce") and len(node.inputs) == 2:
            sizes = sizes_after(node)
            if sizes is not None:
                reshape_after(graph, node, sizes)


def sizes_after(node: ir.Node) -> list[int] | None:
    """What a Reshape is told of a reduction's output, 0 for axes that stay; None unless trailing ones go."""
    value, axes = node.inputs
    known = ir.convenience.get_const_tensor(axes) if axes is not None else None
    if value is None or value.shape is None or known is None:
        return None
    rank = len(value.shape)
    reduced = sorted(int(axis) % rank for axis in known.numpy())
    kept = rank - len(reduced)
    if kept == 0 or reduced != list(range(kept, rank)):
        return None
    return [0] * kept + [1] * (len(reduced) * node.attributes.get_int("keepdims", 1))


def reshape_after(graph: ir.Graph, node: ir.Node, sizes: list[int]) -> None:
    """Whoever used the node's output uses it reshaped."""
    output = node.outputs[0]
    users = tuple(output.uses())  # before the Reshape is one of them
    name = f"{output.name}.sizes"
    told = ir.Value(name=name, const_value=ir.tensor(np.array(sizes, np.int64), name=name))
    graph.register_initializer(told)
    reshape = ir.node("Reshape", [output, told])
    shaped = reshape.outputs[0]
    shaped.name, shaped.shape, shaped.type = f"{output.name}.shaped", output.shape, output.type
    graph.insert_after(node, reshape)
    for user, index in users:
        user.replace_input_with(index, shaped)
