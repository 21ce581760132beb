"""The torchscript runtime; torch is imported only when it is chosen.

On a GPU each thread has a stream of its own, and copies from pinned memory: while one thread's batch is
computed, another's is copied. CUDA graphs are not used, because they want the same shapes in each run, and
here the numbers of present rows differ from batch to batch.
"""

import re
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tailfuse_service.bundle.batch import Batch, Output, input_names
from tailfuse_service.bundle.runtime import find_cause
from tailfuse_service.errors import BundleError, install_hint


class TorchScriptRuntime:
    """model.ts on torch. `threads` are torch's own, for the whole process; 0 lets torch choose."""

    def __init__(
        self, path: Path, modalities: Sequence[str], *, threads: int = 1, device: str = "cpu"
    ) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
            raise BundleError(f"device '{device}' is none of the torchscript runtime's: cpu, cuda, cuda:1, …")
        torch = import_torch()
        check_device(torch, device)
        if threads:
            torch.set_num_threads(threads)
        try:
            self._module = torch.jit.load(path, map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{path.name} cannot be loaded: {find_cause(error)}") from error
        move_constants(self._module, device)
        self._torch = torch
        self._names = input_names(modalities)
        self.device = device
        self._of_thread = threading.local()
        if device != "cpu":
            torch.cuda.synchronize(device)  # other streams do not wait for the copies of the parameters

    def run(self, batch: Batch) -> Output:
        feed = batch.feed()
        with self._torch.inference_mode(), self._use_stream():
            tensors = [self._copy(feed[name]) for name in self._names]
            return Output(*(tensor.cpu().numpy() for tensor in self._module(*tensors)))

    def _use_stream(self) -> AbstractContextManager[Any]:
        """On a GPU, the stream of this thread."""
        if self.device == "cpu":
            return nullcontext()
        cuda = self._torch.cuda
        if not hasattr(self._of_thread, "stream"):
            self._of_thread.stream = cuda.Stream(self.device)
        stream: AbstractContextManager[Any] = cuda.stream(self._of_thread.stream)
        return stream

    def _copy(self, values: NDArray[Any]) -> Any:
        """Return a tensor of the device, whose copy may still be under way on the thread's stream."""
        tensor = self._torch.from_numpy(values)
        return tensor if self.device == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)


def import_torch() -> Any:
    """Import torch. Raises BundleError if it is not installed."""
    try:
        import torch
    except ImportError:
        raise BundleError(f"the torchscript runtime needs torch: {install_hint('train')}") from None
    return torch


def check_device(torch: Any, device: str) -> None:
    """Raises BundleError where torch does not have it."""
    _, _, index = device.partition(":")
    count = torch.cuda.device_count()
    if device != "cpu" and int(index or 0) >= count:
        build = f"torch {torch.__version__}"
        found = f"{count} of them" if count else "none"
        raise BundleError(
            f"device '{device}': {build} finds {found}; is it a build for CUDA, and a driver there?"
        )


def move_constants(module: Any, device: str) -> None:
    """A traced graph makes its constants on the device that it was traced on, whatever it is loaded to."""
    for node in module.graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() == "DeviceObjType":
            node.s_("value", device)
