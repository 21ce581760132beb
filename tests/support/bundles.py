"""Tiny bundles with a graph of their own, and a runtime that does as it is told."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tailfuse_service.bundle import (
    MANIFEST,
    OUTPUT_NAMES,
    Batch,
    Manifest,
    Output,
    input_names,
    input_schema,
    sha256,
)
from tailfuse_service.bundle.manifest import ClassInfo, Shot, SubsetMetrics
from tailfuse_service.modalities import ImageModality, Modality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn

CLASSES = ("nv", "mel", "bkl")
SHOTS: tuple[Shot, ...] = ("many", "medium", "few")


MODALITIES: dict[str, Modality] = {
    "image": ImageModality(column="image", height=8, width=6, channels=3),
    "clinical": TabularModality(
        columns=(
            NumberColumn(name="age", mean=50.0, scale=10.0, indicator=True),
            NumberColumn(name="pulse", mean=70.0, scale=5.0),
            BooleanColumn(name="smoker"),
            CategoryColumn(name="site", categories=("back", "face")),
        ),
        width=6,
    ),
    "notes": TextModality(columns=("title", "review"), buckets=64, ngrams=2, max_tokens=16),
}


def tiny_graph(seed: int = 0) -> bytes:
    """A graph whose answer depends on every one of its inputs, with the signature of a real one."""
    random = np.random.default_rng(seed)
    n_classes, n_modalities = len(CLASSES), len(MODALITIES)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Any, dtype: type = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(kind: str, *inputs: str, out: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def embed(name: str, modality: Modality) -> str:
        """(n, classes) of one modality's rows."""
        if isinstance(modality, TextModality):
            table = random.normal(size=(modality.buckets + 1, n_classes))
            table[0] = 0  # padding says nothing
            words = node("Gather", constant(f"{name}.table", table), name, out=f"{name}.words")
            return node(
                "ReduceSum", words, constant(f"{name}.axis", [1], np.int64), out=f"{name}.sum", keepdims=0
            )
        flat = node("Cast", name, out=f"{name}.float", to=TensorProto.FLOAT)
        width = 6
        if isinstance(modality, ImageModality):
            width = modality.channels * modality.height * modality.width
            flat = node("Div", flat, constant(f"{name}.255", 255.0), out=f"{name}.scaled")
            flat = node("Reshape", flat, constant(f"{name}.shape", [-1, width], np.int64), out=f"{name}.flat")
        weight = constant(f"{name}.weight", random.normal(size=(width, n_classes)) / np.sqrt(width))
        return node("MatMul", flat, weight, out=f"{name}.linear")

    def scatter(name: str, rows: str, values: str, width: int) -> str:
        """(B, 1, width) with the values in their samples' places."""
        shape = node("Concat", "B", constant(f"{name}.width", [width], np.int64), out=f"{name}.to", axis=0)
        zeros = node("ConstantOfShape", shape, out=f"{name}.zeros")
        full = node("ScatterND", zeros, rows, values, out=f"{name}.full")
        return node("Unsqueeze", full, one, out=name)

    one = constant("one", [1], np.int64)
    presence_shape = node("Shape", "presence", out="presence.shape")
    node("Slice", presence_shape, constant("from", [0], np.int64), constant("to", [1], np.int64), out="B")
    logits, confidences = [], []
    for name, modality in MODALITIES.items():
        own = node("Tanh", embed(name, modality), out=f"{name}.logits")
        trust = constant(f"{name}.trust", random.normal(size=(n_classes, 1)))
        sure = node("Sigmoid", node("MatMul", own, trust, out=f"{name}.trusted"), out=f"{name}.sure")
        rows = node("Unsqueeze", f"{name}.rows", one, out=f"{name}.index")
        logits.append(scatter(f"{name}.logits.all", rows, own, n_classes))
        confidences.append(scatter(f"{name}.sure.all", rows, sure, 1))
    all_logits = node("Concat", *logits, out="logits", axis=1)  # (B, M, C)
    stacked = node("Concat", *confidences, out="confidences3", axis=1)  # (B, M, 1)
    flat_shape = constant("flat", [-1, n_modalities], np.int64)
    sure = node("Reshape", stacked, flat_shape, out="confidences")
    sharp = node("Mul", sure, constant("sharpness", 3.0), out="sharp")
    masked = node("Where", "presence", sharp, constant("never", -np.inf), out="masked")
    weights = node("Softmax", masked, out="weights", axis=1)
    each = node("Unsqueeze", weights, constant("two", [2], np.int64), out="weights3")
    fused = node("ReduceSum", node("Mul", all_logits, each, out="weighted"), one, out="fused", keepdims=0)
    node("Softmax", node("Mul", fused, constant("gain", 4.0), out="gained"), out="probabilities", axis=1)

    def value(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = {
        "presence": value("presence", TensorProto.BOOL, "B", n_modalities),
        "image": value("image", TensorProto.UINT8, "image.n", 3, 8, 6),
        "clinical": value("clinical", TensorProto.FLOAT, "clinical.n", 6),
        "notes": value("notes", TensorProto.INT64, "notes.n", "L"),
        **{f"{name}.rows": value(f"{name}.rows", TensorProto.INT64, f"{name}.n") for name in MODALITIES},
    }
    widths = {"probabilities": n_classes, "weights": n_modalities, "confidences": n_modalities}
    graph = helper.make_graph(
        nodes, "tiny",
        [inputs[name] for name in input_names(list(MODALITIES))],
        [value(name, TensorProto.FLOAT, "B", widths[name]) for name in OUTPUT_NAMES],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_manifest(files: dict[str, str]) -> Manifest:
    metrics = SubsetMetrics(
        rows=9,
        balanced_accuracy=0.9,
        macro_f1=0.9,
        accuracy=0.9,
        many=0.9,
        medium=0.9,
        few=None,
        nll=0.3,
        ece=0.02,
    )
    return Manifest(
        name="skin-lesions", version="3", label="diagnosis",
        classes=tuple(
            ClassInfo(name=name, train_count=count, shot=shot)
            for name, count, shot in zip(CLASSES, (90, 40, 3), SHOTS, strict=True)
        ),
        modalities=MODALITIES, input_schema=input_schema(MODALITIES),
        metrics={"image+clinical+notes": metrics},
        calibration={}, reference={}, parity={}, spec={}, built_with={}, files=files,
    )  # fmt: skip


def write_tiny_bundle(folder: Path, graph: bytes | None = None, **changes: Any) -> Path:
    """A bundle with a picture, a row of each type of column, and a text; torch is not needed.

    `graph` takes the place of the tiny one, `changes` of what the manifest says.
    """
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_graph() if graph is None else graph)
    manifest = tiny_manifest({"model.onnx": sha256(folder / "model.onnx")})
    (folder / MANIFEST).write_text(manifest.model_copy(update=changes).model_dump_json())
    return folder


def add_file(folder: Path, name: str, content: bytes) -> Path:
    """Add a file to a bundle, in its manifest too."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = sha256(folder / name)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


class FakeRuntime:
    """Answers `get_output(batch)`, or raises what that raises; `hold()` keeps it from answering."""

    device = "cpu"

    def __init__(self) -> None:
        self.get_output: Callable[[Batch], Output] = self.evenly
        self.sizes: list[int] = []  # of the batches that it has begun
        self.begun = threading.Event()
        self._go = threading.Event()
        self._go.set()

    def run(self, batch: Batch) -> Output:
        self.sizes.append(len(batch.presence))
        self.begun.set()
        assert self._go.wait(30), "nobody let the runtime go on"
        return self.get_output(batch)

    def hold(self) -> None:
        self.begun.clear()
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    @staticmethod
    def evenly(batch: Batch) -> Output:
        """All classes and all present modalities alike."""
        size = len(batch.presence)
        weights = batch.presence / batch.presence.sum(1, keepdims=True)
        return Output(
            np.full((size, len(CLASSES)), 1 / len(CLASSES), np.float32),
            weights.astype(np.float32),
            batch.presence.astype(np.float32),
        )
