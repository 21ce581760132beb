"""Bundles whose graphs do harm when they are opened or run."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tailfuse_service.bundle import MANIFEST, sha256

from tests.support.bundles import tiny_graph, tiny_manifest


def extend_tiny_graph(loop: onnx.NodeProto, start: Any, *constants: onnx.TensorProto) -> bytes:
    """Return the tiny graph with a loop on which its answer depends; the loop begins with `start`."""
    model = onnx.load_from_string(tiny_graph())
    graph = model.graph
    for node in graph.node:
        node.output[:] = [f"{name}.before" if name == "probabilities" else name for name in node.output]
    graph.initializer.extend(
        [numpy_helper.from_array(np.asarray(start, np.float32), "start"), *constants,
         numpy_helper.from_array(np.asarray(True), "yes"),
         numpy_helper.from_array(np.asarray(0, np.float32), "nil")]
    )  # fmt: skip
    graph.node.extend(
        [
            loop,
            helper.make_node("ReduceMax", ["looped"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "nil"], ["nothing"]),
            helper.make_node("Add", ["probabilities.before", "nothing"], ["probabilities"]),
        ]
    )
    return bytes(model.SerializeToString())


def make_loop(kind: str, trips: str, *shape: str) -> onnx.NodeProto:
    """Return a node that repeats a node of two inputs on its own result."""
    value = helper.make_tensor_value_info
    attributes: dict[str, Any] = {"axis": 0} if kind == "Concat" else {}
    body = helper.make_graph(
        [
            helper.make_node(kind, ["now", "now"], ["next"], **attributes),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []),
            value("now", TensorProto.FLOAT, shape),
        ],
        [value("go_on", TensorProto.BOOL, []), value("next", TensorProto.FLOAT, shape)],
    )  # fmt: skip
    return helper.make_node("Loop", [trips, "yes", "start"], ["looped"], body=body)


def endless_graph() -> bytes:
    """Return a graph with a loop that never ends."""
    return extend_tiny_graph(make_loop("Mul", ""), 1.0)


def greedy_graph() -> bytes:
    """Return a graph that doubles what it holds until there is no memory left."""
    trips = numpy_helper.from_array(np.asarray(40, np.int64), "trips")
    return extend_tiny_graph(make_loop("Concat", "trips", "n"), np.ones(2**18), trips)


def write_torchscript_bundle(folder: Path, module: Any) -> Path:
    """Write a bundle with this module as its TorchScript graph."""
    import torch

    folder.mkdir()
    torch.jit.script(module).save(folder / "model.ts")
    manifest = tiny_manifest({"model.ts": sha256(folder / "model.ts")})
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder
