"""The trained network as model.onnx and model.ts, checked against eager torch on every subset."""

import io
import logging
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir
import torch
from numpy.typing import NDArray
from tailfuse_service.bundle import (
    CACHED,
    EMBEDDINGS,
    FEATURES,
    GRAPHS,
    Batch,
    EmbeddingCache,
    Manifest,
    Output,
    RuntimeName,
    input_names,
    open_graph,
)
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime
from torch import Tensor, nn

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import ExportError
from tailfuse.evaluation.evaluate import subset_name, subsets
from tailfuse.export.shapes import insert_reshapes
from tailfuse.export.tree_ensembles import fill_tree_ensembles
from tailfuse.modalities.text.encoder import find_projection
from tailfuse.network.build import AnyNetwork
from tailfuse.network.network import Answer, Network
from tailfuse.network.tensors import make_output, make_tensors
from tailfuse.network.torch_state import torch_state

TOLERANCE = 1e-4
# A layer norm divides by a deviation down to sqrt(1e-5): rounding becomes up to 300 times larger.
EMBEDDING_TOLERANCE = 1e-3
CACHE_BYTES = 2**22  # enough for the rows of an example
LOG_PRIOR = "network.log_prior"  # `tailfuse adapt` sets it in both graphs; no modality has a dot in its name


class Graph(nn.Module):
    """The network with a flat signature: presence, then each modality's rows and their samples.

    Of the modalities in `cached` it also takes features, last, whose samples follow those of the rows; and it
    returns the features of the rows. A graph that `embeds` returns the embeddings after these.
    """

    def __init__(self, network: AnyNetwork, cached: Sequence[str] = (), *, embeds: bool = False) -> None:
        super().__init__()
        self.network = network
        self.cached = cached
        self.embeds = embeds and isinstance(network, Network)  # a baseline has no joint branch

    def forward(self, presence: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        names = self.network.modalities
        n = 2 * len(names)
        inputs = dict(zip(names, flat[0:n:2], strict=True))
        rows = dict(zip(names, flat[1:n:2], strict=True))
        features = []
        for name, known in zip(self.cached, flat[n:], strict=True):
            encoder = self.network.encoders[names.index(name)]
            made: Tensor = encoder.extract_features(inputs[name])  # type: ignore[operator]
            features.append(made)
            inputs[name] = torch.cat([made, known])
        embeddings: tuple[Tensor, ...] = ()
        answer: Answer
        if self.embeds:
            answer, embeddings = self.network.answer_and_embed(inputs, rows, presence)  # type: ignore[operator]
        else:
            answer = self.network(inputs, rows, presence)
        return (*(each for each in answer if each is not None), *features, *embeddings)

    @property
    def output_names(self) -> list[str]:
        """Names of what it returns, in this order."""
        features = (name + FEATURES for name in self.cached)
        return [*self.network.output_names, *features, *(EMBEDDINGS if self.embeds else ())]


def export_graphs(network: AnyNetwork, example: SplitArrays, folder: Path) -> None:
    """Write both graphs, dynamic in the batch and in each modality's rows. `example` has every modality."""
    graph = Graph(network.cpu()).eval()
    # Different numbers of rows, all above 1: equal sizes, or 1, could be exported as fixed ones.
    flat = flatten_batch(mix_subsets(example), network.modalities)
    with torch_state(deterministic=False):  # a traced convolution would record it
        with_cache = Graph(network, find_cached(network), embeds=True).eval()
        export_onnx(with_cache, split_known(with_cache, flat), folder / GRAPHS["onnx"])
        export_torchscript(graph, flat, folder / GRAPHS["torchscript"])


def find_cached(network: AnyNetwork) -> list[str]:
    """Find the modalities whose features are worth keeping: those of a frozen BERT.

    Those of n-grams cost less than to look them up, and the experts need the n-grams themselves.
    """
    encoders = zip(network.modalities, map(find_projection, network.encoders), strict=True)
    return [name for name, each in encoders if each is not None and each.tfidf is None]


@torch.no_grad()
def split_known(graph: Graph, flat: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Replace the last two rows of each modality that may be cached by their features."""
    network, split = graph.network, list(flat)
    for name in graph.cached:
        m = network.modalities.index(name)
        rows = flat[1 + 2 * m]
        split[1 + 2 * m] = rows[:-2]
        split.append(network.encoders[m].extract_features(rows[-2:]))  # type: ignore[operator]
    return tuple(split)


def flatten_batch(part: SplitArrays, names: Sequence[str]) -> tuple[Tensor, ...]:
    """Flatten a ragged batch into the order of the graph's signature."""
    feed = part.batch().feed()
    return tuple(torch.from_numpy(feed[name]) for name in input_names(names))


def export_onnx(graph: Graph, flat: tuple[Tensor, ...], path: Path) -> None:
    """Export model.onnx, one file."""
    batch = torch.export.Dim.DYNAMIC
    shapes: list[dict[int, object]] = [{0: batch}]
    for encoder in graph.network.encoders:
        ragged = getattr(encoder, "ragged", False)  # padded to the longest row of a batch
        shapes.append({0: batch, 1: batch} if ragged else {0: batch})
        shapes.append({0: batch})
    shapes += [{0: batch} for _ in graph.cached]
    # The exporter reports its progress as warnings and log lines; `check_parity` checks the result.
    for noisy in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph,
            flat,
            dynamo=True,
            dynamic_shapes=(shapes[0], tuple(shapes[1:])),
            input_names=[*input_names(graph.network.modalities), *(name + CACHED for name in graph.cached)],
            output_names=graph.output_names,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    inner = program.model.graph
    taken = {value.name for value in (*inner.inputs, *inner.outputs)}
    # Every node comes with the lines of source it was made from, and their paths on this machine.
    inner.metadata_props.clear()
    for node in inner:
        node.metadata_props.clear()
        for value in node.outputs:
            if value.name in taken and not value.is_graph_output():
                value.name = f"inner.{value.name}"  # a modality may be called `linear`, or `add`
    insert_reshapes(inner)
    if isinstance(graph.network, Network):
        fill_tree_ensembles(inner, graph.network.forests)
    n_cached = len(graph.cached)
    for value, known in zip(
        inner.inputs[len(inner.inputs) - n_cached :], flat[len(flat) - n_cached :], strict=True
    ):
        # An input with an initializer is optional: a caller that knows no features gives none.
        value.const_value = onnx_ir.tensor(np.zeros((0, known.shape[1]), np.float32), name=value.name)
        inner.register_initializer(value)
    program.save(path, external_data=False)


def export_torchscript(graph: Graph, flat: tuple[Tensor, ...], path: Path) -> None:
    """Export model.ts. Traced, not scripted: any encoder can be traced, and no branch depends on the data."""
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch.jit says that it is deprecated
        traced = torch.jit.trace(graph, flat, check_trace=False, strict=False)
        save_torchscript(torch.jit.freeze(traced.eval(), preserved_attrs=[LOG_PRIOR]), path)


def save_torchscript(module: torch.jit.ScriptModule, path: Path) -> None:
    """Save a graph without lines of source, their paths on this machine, and a checksum over these."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith((".debug_pkl", "serialization_id")):
                kept.writestr(zipfile.ZipInfo(entry.filename), whole.read(entry))


@torch.no_grad()
def run_eagerly(network: AnyNetwork, batch: Batch) -> Output:
    """Run the network in torch, without an exported graph."""
    return make_output(network(*make_tensors(batch)))


def check_parity(
    network: AnyNetwork, folder: Path, manifest: Manifest, example: SplitArrays
) -> dict[str, float]:
    """Return the largest difference of each runtime from torch, over every subset at several batch sizes.

    Raises ExportError above TOLERANCE, or if embeddings differ. Mixed batches, where every row has another
    subset, count too.
    """
    worst: dict[str, float] = {}
    parts = {subset_name(subset): example.only(subset) for subset in subsets(example.modalities)}
    parts["mixed"] = mix_subsets(example)
    runtimes: list[tuple[RuntimeName, EmbeddingCache | None]] = [("onnx", None), ("torchscript", None)]
    if find_cached(network):
        runtimes.append(("onnx", EmbeddingCache(CACHE_BYTES)))
    for runtime, cache in runtimes:
        opened = open_graph(folder / GRAPHS[runtime], manifest, runtime=runtime, cache=cache)
        worst.setdefault(runtime, 0.0)
        for name, part in parts.items():
            for size in (1, 2, len(part)):
                batch = part.first(size).batch()
                where = f"{name}, {size} rows"
                expected, actual = run_eagerly(network, batch), opened.run(batch)
                for field in network.output_names:
                    pair = getattr(expected, field), getattr(actual, field)
                    difference = compare_arrays(*pair, GRAPHS[runtime], f"{field} on {where}", TOLERANCE)
                    worst[runtime] = max(worst[runtime], difference)
                if isinstance(network, Network) and isinstance(opened, OnnxRuntime):
                    check_embeddings(network, opened, batch, where)
    return worst


@torch.no_grad()
def check_embeddings(network: Network, opened: OnnxRuntime, batch: Batch, where: str) -> None:
    """Raises ExportError if the embeddings of model.onnx are not those of the network."""
    expected = network.answer_and_embed(*make_tensors(batch))[1]
    for name, one, other in zip(EMBEDDINGS, expected, opened.embed(batch), strict=True):
        compare_arrays(one.numpy(), other, GRAPHS["onnx"], f"{name} on {where}", EMBEDDING_TOLERANCE)


def compare_arrays(
    expected: NDArray[np.float32], actual: NDArray[np.float32], graph: str, what: str, allowed: float
) -> float:
    """Return the largest difference. Raises ExportError if it is more than is allowed, or NaN."""
    difference = float(np.abs(expected - actual).max()) if expected.shape == actual.shape else np.inf
    if not difference <= allowed:
        raise ExportError(
            f"{graph} is {difference:.2g} from the network in {what}; {allowed:g} is allowed. "
            "No bundle was written."
        )
    return difference


def make_example(part: SplitArrays, n: int = 64) -> SplitArrays:
    """Make n samples with every modality, combined from the rows that have each."""
    position = {name: np.resize(np.arange(len(rows)), n) for name, rows in part.inputs.items()}
    return SplitArrays(part.inputs, position, np.zeros(n, np.int64))


def mix_subsets(part: SplitArrays) -> SplitArrays:
    """Give each row another subset of its modalities."""
    every = subsets(part.modalities)
    position = {
        name: np.array(
            [at if name in every[i % len(every)] else -1 for i, at in enumerate(part.position[name])]
        )
        for name in part.modalities
    }
    return SplitArrays(part.inputs, position, part.labels)
