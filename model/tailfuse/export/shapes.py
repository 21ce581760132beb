"""Make a graph run on modalities without rows, on every onnxruntime since 1.21.

Before 1.32 a reduction of an array without rows keeps its shape, (0, 5) and not (0, 1), and the next node
fails; the newest release for CUDA is 1.31. Only one modality may be without rows: a sample has at least one,
so that all modalities together have some.
"""

import numpy as np
import onnx_ir as ir


def insert_reshapes(graph: ir.Graph) -> None:
    """Insert a Reshape after each reduction of a modality's rows over trailing axes, with its result's shape.

    The first input is the presence of all samples; the others have the rows of a modality each.
    """
    counts = {str(value.shape[0]) for value in graph.inputs[1:] if value.shape}
    for node in list(graph):
        if node.op_type.startswith("Reduce") and len(node.inputs) == 2 and count_rows(node) in counts:
            sizes = find_kept_sizes(node)
            if sizes is not None:
                reshape_after(graph, node, sizes)


def count_rows(node: ir.Node) -> str | None:
    """Return the name of the first size of what a node reduces; None if it is not known."""
    value = node.inputs[0]
    return str(value.shape[0]) if value is not None and value.shape else None


def find_kept_sizes(node: ir.Node) -> list[int] | None:
    """Find the Reshape sizes of a reduction's output, 0 for kept axes; None unless the trailing axes go."""
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
    """Reshape a node's output for all nodes that use it."""
    output = node.outputs[0]
    users = tuple(output.uses())  # before the Reshape is one of them
    name = f"{output.name}.sizes"
    sizes_value = ir.Value(name=name, const_value=ir.tensor(np.array(sizes, np.int64), name=name))
    graph.register_initializer(sizes_value)
    reshape = ir.node("Reshape", [output, sizes_value])
    shaped = reshape.outputs[0]
    shaped.name, shaped.shape, shaped.type = f"{output.name}.shaped", output.shape, output.type
    graph.insert_after(node, reshape)
    for user, index in users:
        user.replace_input_with(index, shaped)
