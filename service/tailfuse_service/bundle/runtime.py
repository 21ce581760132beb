"""A runtime runs a bundle's graph on a batch. Which library does it is the caller's choice."""

from typing import Literal, Protocol

from tailfuse_service.bundle.batch import Batch, Output

RuntimeName = Literal["onnx", "torchscript"]


class Runtime(Protocol):
    """Thread-safe: `run` may be called from several threads."""

    device: str

    def run(self, batch: Batch) -> Output:
        """One pass of the whole batch."""
