"""The onnx runtime, on a processor or with CUDA or TensorRT."""

import contextlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.batch import (
    CACHED,
    CONFLICT,
    DISAGREEMENT,
    EMBEDDINGS,
    OUTPUT_NAMES,
    Batch,
    Output,
)
from tailfuse_service.bundle.cached_inputs import CachedInputs
from tailfuse_service.bundle.embedding_cache import EmbeddingCache
from tailfuse_service.bundle.runtime import find_cause
from tailfuse_service.errors import BundleError

# What runs the nodes of a graph, most wanted first; each takes those that the ones before it cannot run.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
Provider = tuple[str, dict[str, str]]  # its name and options


class OnnxRuntime:
    """model.onnx on onnxruntime. `threads` are those of one run; 0 lets onnxruntime choose.

    A `cache` keeps the embeddings of texts, if the graph takes them.
    """

    def __init__(
        self, path: Path, *, threads: int = 1, device: str = "cpu", cache: EmbeddingCache | None = None
    ) -> None:
        onnxruntime = import_onnxruntime()
        providers = choose_providers(device, onnxruntime.get_available_providers())
        if device != "cpu":
            # CUDA may have come as pip packages, where no loader looks. What is missing it prints, and
            # onnxruntime's log has it too.
            with contextlib.redirect_stdout(io.StringIO()):
                onnxruntime.preload_dlls()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would take the core that decodes the next requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            # Without a fallback: a GPU that fails is an error, not a processor that is slow in its place.
            self._session = onnxruntime.InferenceSession(path, options, providers, enable_fallback=0)
        except Exception as error:  # onnxruntime's own kinds have no common base
            raise BundleError(f"{path.name} cannot be loaded: {find_cause(error)}") from error
        started = self._session.get_providers()
        if started[0] != providers[0][0]:  # it says so on stderr only
            raise BundleError(
                f"device '{device}': onnxruntime could not start {providers[0][0]}, only "
                f"{', '.join(started)}; are the GPU's driver and the libraries of this onnxruntime there?"
            )
        told = {each.name for each in self._session.get_outputs()}
        self.can_embed = told.issuperset(EMBEDDINGS)  # the graph of an older bundle cannot
        self._outputs = [*OUTPUT_NAMES, *(name for name in (DISAGREEMENT, CONFLICT) if name in told)]
        self.device = device
        optional = (each.name for each in self._session.get_overridable_initializers())
        cached = [name.removesuffix(CACHED) for name in optional if name.endswith(CACHED)]
        self._cached = CachedInputs(cached, cache) if cache is not None and cached else None

    def run(self, batch: Batch) -> Output:
        if self._cached is None:
            return Output(*self._session.run(self._outputs, batch.feed()))
        feed, missing = self._cached.split(batch.feed())
        values = self._session.run([*self._outputs, *self._cached.outputs], feed)
        self._cached.keep(missing, values[len(self._outputs) :])
        return Output(*values[: len(self._outputs)])

    def embed(self, batch: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed a batch: the modalities (B, M, W), 0 where absent, and all together (B, W)."""
        modalities, fused = self._session.run(EMBEDDINGS, batch.feed())
        return modalities, fused


def import_onnxruntime() -> Any:
    """Import onnxruntime without its telemetry.

    Since 1.32 it tells Microsoft about every process, unless told not to before it is loaded.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def choose_providers(device: str, available: Sequence[str]) -> list[Provider]:
    """The providers for a device: cpu, cuda, cuda:1, tensorrt or tensorrt:1. Raises BundleError."""
    match = re.fullmatch(r"(cpu)|(cuda|tensorrt)(?::(\d+))?", device)
    if match is None:
        raise BundleError(
            f"device '{device}' is none of the onnx runtime's: cpu, cuda, cuda:1, …, tensorrt, tensorrt:1, …"
        )
    names = PROVIDERS[match[1] or match[2]]
    if names[0] not in available:
        raise BundleError(
            f"device '{device}' needs {names[0]}; this onnxruntime has only {', '.join(available)}: "
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    return [(name, make_provider_options(name, match[3] or "0")) for name in names]


def make_provider_options(provider: str, device_id: str) -> dict[str, str]:
    """Return the options of a provider, by onnxruntime's names."""
    options = {
        "CUDAExecutionProvider": {
            "device_id": device_id,
            # Every batch has another shape: to try all algorithms for each would take longer than to run.
            "cudnn_conv_algo_search": "HEURISTIC",
            "arena_extend_strategy": "kSameAsRequested",  # not to the next power of two
            "use_tf32": "0",  # ten bits of a product; answers would be another device's to 1e-3 only
        },
        "TensorrtExecutionProvider": {
            "device_id": device_id,
            # To build an engine takes minutes: not at every start.
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache_folder() / "tensorrt"),
            "trt_timing_cache_enable": "1",
        },
    }
    return options.get(provider, {})


def cache_folder() -> Path:
    """Return the folder that TAILFUSE_CACHE names, or ~/.cache/tailfuse; training caches images there too."""
    return Path(os.environ.get("TAILFUSE_CACHE") or Path.home() / ".cache" / "tailfuse")
