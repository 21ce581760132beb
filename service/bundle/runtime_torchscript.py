"""The torchscript runtime; torch is imported only when it is chosen."""

from collections.abc import Sequence
from pathlib import Path

from service.bundle.batch import Batch, Output, input_names
from service.errors import BundleError


class TorchScriptRuntime:
    """model.ts on torch. `threads` are torch's own, for the whole process; 0 lets torch choose."""

    def __init__(
        self, path: Path, modalities: Sequence[str], *, threads: int = 1, device: str = "cpu"
    ) -> None:
        try:
            import torch
        except ImportError:
            raise BundleError("the torchscript runtime needs torch: pip install 'tailfuse[train]'") from None
        if threads:
            torch.set_num_threads(threads)
        try:
            self._module = torch.jit.load(path, map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{path.name} cannot be loaded: {str(error).splitlines()[0]}") from error
        self._torch = torch
        self._names = input_names(modalities)
        self.device = device

    def run(self, batch: Batch) -> Output:
        torch = self._torch
        feed = batch.feed()
        with torch.inference_mode():
            tensors = [torch.from_numpy(feed[name]).to(self.device) for name in self._names]
            return Output(*(tensor.cpu().numpy() for tensor in self._module(*tensors)))
