"""A graph of reduced precision: the encoders' layers in float16 or int8, all other layers in float32.

The experts' log-odds, the PLDA head (which computes in double precision), confidences and fusion
keep float32: they are small, and determine the probabilities.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tailfuse_service.bundle import Manifest

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import UserError
from tailfuse.export.block_int8 import quantize_blocks
from tailfuse.modalities import KINDS

Reduced = Literal["float16", "int8"]
LAYERS = ("Conv", "Gemm", "MatMul")
# Operators between two layers that stay in float16.
BETWEEN = (
    "Add", "AveragePool", "Clip", "Flatten", "GlobalAveragePool", "HardSigmoid", "HardSwish", "MaxPool",
    "Mul", "Relu", "Reshape", "Sigmoid",
)  # fmt: skip
CALIBRATED_ROWS, BATCH = 256, 64


def find_encoder_weights(manifest: Manifest, precision: Reduced) -> tuple[str, ...]:
    """Find the prefixes of the weights that get this precision. Raises UserError."""
    kinds = [name for name, kind in KINDS.items() if precision in kind.precisions]
    at = {m: KINDS[each.kind] for m, each in enumerate(manifest.modalities.values()) if each.kind in kinds}
    if not at:
        raise UserError(
            f"{manifest.name} has no modality of kind {' or '.join(kinds)}: {precision} would change nothing"
        )
    return tuple(f"network.encoders.{m}.{part}" for m, kind in at.items() for part in kind.reduced_parts)


def find_block_weights(manifest: Manifest) -> tuple[str, ...]:
    """Find the prefixes of the weights that are int8 by blocks."""
    kinds = [KINDS[each.kind] for each in manifest.modalities.values()]
    return tuple(f"network.encoders.{m}.{part}" for m, kind in enumerate(kinds) for part in kind.block_parts)


def convert_to_int8(
    path: Path, target: Path, weights: tuple[str, ...], blocks: tuple[str, ...], rows: SplitArrays
) -> None:
    """Write the graph with 8-bit weights and activations, whose ranges are those of `rows`.

    Those of the weights `blocks` have a scale for each block instead.

    Not onnxruntime's dynamic quantisation: there a batch has one scale, and one client's unusual image
    would change the predictions for all others in its batch.
    """
    from onnxruntime import quantization

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
        feeds = make_batches(rows)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self.feeds, None)

    graph = quantize_blocks(onnx.load(path), blocks)
    logging.disable(logging.WARNING)  # it advises to fold constants first, which the exporter has done
    try:
        quantization.quantize_static(
            graph,
            target,
            Calibration(),
            op_types_to_quantize=list(
                LAYERS
            ),  # the ranges of all other operators are ignored: some are infinite
            nodes_to_quantize=[node.name for node in find_layers(graph.graph, weights)],
            per_channel=True,
            reduce_range=True,  # older processors add two products in 16 bits
        )
    finally:
        logging.disable(logging.NOTSET)


def make_batches(part: SplitArrays) -> Iterator[dict[str, NDArray[Any]]]:
    """Make batches of evenly spaced rows, each with every modality that any row has."""
    position = {
        name: np.linspace(0, len(rows) - 1, CALIBRATED_ROWS).astype(np.int64) if len(rows) else at[:0]
        for (name, rows), at in zip(part.inputs.items(), part.position.values(), strict=True)
    }
    spread = SplitArrays(part.inputs, position, np.zeros(CALIBRATED_ROWS, np.int64))
    return (each.batch().feed() for each in spread.batches(BATCH))


def find_layers(
    graph: GraphProto, weights: tuple[str, ...], kinds: tuple[str, ...] = LAYERS
) -> list[NodeProto]:
    """Find the nodes of these operators that use one of these weights."""
    return [
        node
        for node in graph.node
        if node.op_type in kinds and any(name.startswith(weights) for name in node.input)
    ]


def convert_to_float16(path: Path, target: Path, weights: tuple[str, ...]) -> None:
    """Write the graph with these weights, and what is computed with them, in float16.

    Not onnxruntime's converter: it rounds values between two nodes to float16 even if the nodes are excluded.
    """
    model: ModelProto = onnx.load(path)
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    # The singular vectors of texts are float16 in every graph.
    tables = {name for name, each in constants.items() if each.data_type == TensorProto.FLOAT}
    chosen = {
        node.name
        for node in find_layers(graph, weights, (*LAYERS, "Gather"))
        if node.op_type != "Gather" or node.input[0] in tables
    }
    halves: set[str] = set()  # what is there in float16, under the name of `name_half`
    for node in graph.node:
        given = [name for name in node.input if name and name not in constants]
        if node.op_type in BETWEEN and given and halves.issuperset(given):
            chosen.add(node.name)
        if node.name in chosen:
            halves.update(node.output)

    nodes: list[NodeProto] = []
    wanted = {name for node in graph.node if node.name not in chosen for name in node.input}
    wanted.update(value.name for value in graph.output)
    for node in graph.node:
        nodes.append(node)
        if node.name not in chosen:
            continue
        for i, name in enumerate(node.input):
            if not name or (node.op_type == "Gather" and i > 0):
                continue  # places in a table
            constant = constants.get(name)
            if constant is not None and constant.data_type != TensorProto.FLOAT:
                continue  # a shape
            if name not in halves:
                halves.add(name)
                if constant is None:
                    nodes.insert(-1, make_cast(name, name_half(name), TensorProto.FLOAT16))
                else:
                    rounded = numpy_helper.to_array(constant).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(rounded, name_half(name)))
            node.input[i] = name_half(name)
        for i, name in enumerate(node.output):
            node.output[i] = name_half(name)
            if name in wanted:
                nodes.append(make_cast(name_half(name), name, TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def name_half(name: str) -> str:
    """Name a value's float16 version."""
    return f"{name}.half"


def make_cast(name: str, target: str, to: int) -> NodeProto:
    """Make a node that converts a value to another type."""
    return helper.make_node("Cast", [name], [target], name=f"cast.{target}", to=to)
