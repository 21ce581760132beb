"""An opened bundle: its manifest, its features and a runtime that has been warmed up."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tailfuse_service.bundle.batch import Batch, Output, Sample, collate
from tailfuse_service.bundle.embedding_cache import EmbeddingCache
from tailfuse_service.bundle.files import (
    GRAPHS,
    hash_manifest,
    read_card,
    read_manifest,
    read_report,
    unpacked,
)
from tailfuse_service.bundle.manifest import Manifest
from tailfuse_service.bundle.prior import GIVEN, ClassPrior, PriorError, apply_prior, make_prior
from tailfuse_service.bundle.runtime import Runtime, RuntimeName, find_cause
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime, import_onnxruntime
from tailfuse_service.bundle.runtime_torchscript import TorchScriptRuntime, import_torch
from tailfuse_service.errors import BundleError, MissingModality, UnknownModality
from tailfuse_service.modalities import Features, Modality
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that answering needs."""

    manifest: Manifest
    features: dict[str, Features]
    runtime: Runtime
    limits: Limits = DEFAULT_LIMITS
    runtime_name: RuntimeName = "onnx"
    load_seconds: float = 0.0
    loaded_at: float = 0.0  # Unix time
    prior: ClassPrior | None = None  # of the answers; None is that of the graph
    card: str | None = None  # the model card, Markdown
    report: bytes | None = None  # the report, HTML compressed by gzip, if it is kept

    def sample(self, inputs: dict[str, Any]) -> Sample:
        """Raw values by modality as arrays; null and empty values are absent.

        Raises UnknownModality, InvalidInput, or MissingModality when nothing is present.
        """
        arrays = {}
        for name, raw in inputs.items():
            each = self.features.get(name)
            if each is None:
                known = list(self.features)
                raise UnknownModality(
                    f"'{name}' is not a modality of this model; it has {', '.join(known)}",
                    modality=name, expected=known,
                )  # fmt: skip
            array = None if raw is None else each.apply(raw)
            if array is not None:
                arrays[name] = array
        if not arrays:
            known = list(self.features)
            raise MissingModality(
                f"no modality is present; give at least one of {', '.join(known)}", expected=known
            )
        return arrays

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Stack samples into one batch, as the graph takes it."""
        return collate(samples, self.features)

    def run(self, samples: Sequence[Sample]) -> Output:
        """Answer all samples in one pass."""
        return self.answer(self.collate(samples))

    @property
    def stated_prior(self) -> str | None:
        """The prior that answers state; None if it is the graph's own."""
        return None if self.prior is None else self.prior.stated_name

    def answer(self, batch: Batch) -> Output:
        """Answer a batch under the bundle's prior."""
        output = self.runtime.run(batch)
        return output if self.prior is None else apply_prior(output, self.prior.factors)


def check_runtime(name: str) -> None:
    """Raises BundleError if there is no runtime of this name."""
    if name not in GRAPHS:
        raise BundleError(f"runtime '{name!s:.40}' is none of {', '.join(GRAPHS)}")


def open_bundle(
    path: Path,
    *,
    runtime: RuntimeName = "onnx",
    threads: int = 1,
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    trusted_keys: Path | None = None,
    prior: str | Mapping[str, float] | None = None,
    trial: Callable[[Path, Manifest], None] | None = None,
    cache: EmbeddingCache | None = None,
    keep_report: bool = False,
) -> Bundle:
    """Check, load and warm up the bundle in a folder or .zip. Raises BundleError, and what `trial` raises.

    With `trusted_keys`, a file of public keys, it must be signed by one of them. `prior` names the prior of
    the answers, or gives the share of each class; None is the bundle's own. A `trial` gets the folder and its
    manifest, once these are checked and before a graph is opened. A `cache` keeps embeddings of texts;
    `keep_report` keeps the report in memory.
    """
    start = time.perf_counter()
    check_runtime(runtime)
    with unpacked(path) as folder:
        graph = folder / GRAPHS[runtime]
        stamp = read_stamp(graph)
        manifest = read_manifest(folder, trusted_keys)
        if graph.name not in manifest.files:
            raise BundleError(f"{path} has no {graph.name}; it cannot be served with runtime '{runtime}'")
        if trial is not None:
            trial(folder, manifest)
            if hash_manifest(read_manifest(folder)) != hash_manifest(manifest):
                raise BundleError(f"{path} was replaced during its trial")
        card = read_card(folder, manifest)
        report = read_report(folder, manifest) if keep_report else None
        opened = open_graph(graph, manifest, runtime=runtime, threads=threads, device=device, cache=cache)
        # The runtime reads the file once more: what was checked must be what it has read.
        if read_stamp(graph) != stamp:
            raise BundleError(f"{path} was replaced while it was opened")
    features = features_by_modality(manifest.modalities, limits)
    answer_prior = choose_prior(path, manifest, prior)
    bundle = Bundle(manifest, features, opened, limits, runtime, prior=answer_prior, card=card, report=report)
    warm_up(bundle)
    return replace(bundle, load_seconds=time.perf_counter() - start, loaded_at=time.time())


def choose_prior(
    path: Path, manifest: Manifest, chosen: str | Mapping[str, float] | None
) -> ClassPrior | None:
    """Return the prior of the answers, None if it is that of the graph. Raises BundleError."""
    if chosen is None:
        if manifest.prior is None:
            return None
        chosen = manifest.prior.shares if manifest.prior.name == GIVEN else manifest.prior.name
    try:
        return make_prior(manifest, chosen)
    except PriorError as error:
        raise BundleError(f"{path}: {error}") from None


def read_stamp(file: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is written to or another takes its place; None if it is not there."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def features_by_modality(
    modalities: Mapping[str, Modality], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Features]:
    """Make the features of every modality, in the manifest's order."""
    return {name: modality.features(name, limits) for name, modality in modalities.items()}


def input_schema(modalities: Mapping[str, Modality]) -> dict[str, Any]:
    """Return the JSON Schema of `inputs`: any non-empty subset of the modalities."""
    return {
        "type": "object",
        "properties": {name: modality.input_schema() for name, modality in modalities.items()},
        "additionalProperties": False,
        "minProperties": 1,
    }


def open_graph(
    graph: Path, manifest: Manifest, *, runtime: RuntimeName, threads: int = 1, device: str = "cpu",
    cache: EmbeddingCache | None = None,
) -> Runtime:  # fmt: skip
    """The runtime of one graph file. TorchScript has no use for a cache: none of its inputs is optional."""
    if runtime == "onnx":
        return OnnxRuntime(graph, threads=threads, device=device, cache=cache)
    return TorchScriptRuntime(graph, list(manifest.modalities), threads=threads, device=device)


def import_runtime(runtime: RuntimeName) -> None:
    """Import the library of a runtime, which opening a graph would do. Raises BundleError."""
    if runtime == "onnx":
        import_onnxruntime()
    else:
        import_torch()


def warm_up(bundle: Bundle) -> None:
    """Run every modality once, so that the first caller does not pay for it. Raises BundleError."""
    try:
        sample = {name: make_blank(bundle, name) for name in bundle.features}
    except (MemoryError, ValueError):
        raise BundleError("a modality's shape is too large") from None
    for samples in ([sample], [sample, sample], *([{name: sample[name]}] for name in sample)):
        try:
            output = bundle.run(samples)
        except Exception as error:
            raise BundleError(f"the graph does not run: {find_cause(error)}") from error
        if output.probabilities.shape != (len(samples), len(bundle.manifest.classes)):
            raise BundleError("the graph's classes are not the manifest's")


def make_blank(bundle: Bundle, name: str) -> Any:
    """Make a row of zeros of the right shape."""
    empty = bundle.features[name].stack([])
    return np.zeros(empty.shape[1:], empty.dtype)
