"""The large frozen layers of a graph in int8: those of a BERT.

One range for all activations of a layer, as other encoders have it in int8, costs a BERT its accuracy: a few
of its activations are many times larger than all others. So each block of weights has a scale, and so has
each block of a token's activations when they are multiplied. A text's answer then depends on no other text.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

BLOCK = 128  # numbers with one scale; blocks of 32 are as exact, and an eighth slower
INT8_PRODUCTS = 4  # the operator's `accuracy_level` at which it multiplies int8 by int8
LARGEST = 127


def quantize_blocks(model: ModelProto, weights: tuple[str, ...]) -> ModelProto:
    """Return the model with the weights whose names begin so in int8: those of products, and tables."""
    if not any(each.name.startswith(weights) for each in model.graph.initializer):
        return model
    unfold_weights(model.graph, weights)
    products = {
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and any(name.startswith(weights) for name in node.input)
    }
    others = [node.name for node in model.graph.node if node.name not in products]
    quantizer = import_quantizer()(
        model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_PRODUCTS,
        nodes_to_exclude=others,
    )  # fmt: skip
    quantizer.process()
    quantized: ModelProto = quantizer.model.model
    quantize_tables(quantized.graph, weights)
    return quantized


def import_quantizer() -> Any:
    """Import onnxruntime's quantizer of blocks, whose module sends all log lines of the process to stderr."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)  # it leaves a process alone that has a handler
    try:
        from onnxruntime.quantization import matmul_nbits_quantizer
    finally:
        root.removeHandler(handler)
    logging.getLogger(matmul_nbits_quantizer.__name__).setLevel(logging.WARNING)
    return matmul_nbits_quantizer.MatMulNBitsQuantizer


def unfold_weights(graph: GraphProto, weights: tuple[str, ...]) -> None:
    """Compute the float32 weights that the graph makes of float16 ones, for the products that take them."""
    constants = {each.name: each for each in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        if node.op_type != "MatMul":
            continue
        steps = list(find_steps(node.input[1], makers))
        source = steps[-1].input[0] if steps else ""
        if source.startswith(weights) and source in constants:
            values = numpy_helper.to_array(constants[source]).astype(np.float32)
            for step in reversed(steps):
                if step.op_type == "Transpose":
                    values = values.transpose(helper.get_node_attr_value(step, "perm"))
            node.input[1] = f"{source}.float32"
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), node.input[1]))
    remove_unused(graph)


def find_steps(name: str, makers: dict[str, NodeProto]) -> Iterator[NodeProto]:
    """Yield the nodes that make this value by a transposition or another type, the last one first."""
    while name in makers and makers[name].op_type in ("Cast", "Transpose"):
        yield makers[name]
        name = makers[name].input[0]


def quantize_tables(graph: GraphProto, weights: tuple[str, ...]) -> None:
    """Keep tables, from which rows are taken, as int8 with a scale for each row."""
    constants = {each.name: each for each in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        table = node.input[0] if node.op_type == "Gather" else ""
        if not table.startswith(weights) or table not in constants:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(constants[table]).astype(np.float32)
        scale = np.maximum(np.abs(values).max(axis=1, keepdims=True), np.finfo(np.float16).tiny) / LARGEST
        graph.initializer.extend(
            (
                numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{table}.int8"),
                numpy_helper.from_array(scale, f"{table}.scale"),
            )
        )
        nodes += take_rows(node, table, constants[table].data_type)
    del graph.node[:]
    graph.node.extend(nodes)
    remove_unused(graph)


def take_rows(node: NodeProto, table: str, kind: int) -> Sequence[NodeProto]:
    """Make the nodes that take rows of an int8 table and its scales, in place of a Gather node."""
    output, at = node.output[0], node.input[1]
    return (
        helper.make_node("Gather", [f"{table}.int8", at], [f"{output}.int8"], name=f"{node.name}.int8"),
        helper.make_node("Gather", [f"{table}.scale", at], [f"{output}.scale"], name=f"{node.name}.scale"),
        helper.make_node(
            "Cast", [f"{output}.int8"], [f"{output}.whole"], name=f"{node.name}.whole", to=TensorProto.FLOAT
        ),
        helper.make_node(
            "Mul", [f"{output}.whole", f"{output}.scale"], [f"{output}.float32"], name=f"{node.name}.float32"
        ),
        helper.make_node("Cast", [f"{output}.float32"], [output], name=f"{node.name}.cast", to=kind),
    )


def remove_unused(graph: GraphProto) -> None:
    """Remove nodes whose results nobody takes, and constants."""
    nodes: list[NodeProto] = []
    used = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if used.intersection(node.output):
            nodes.append(node)
            used.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
