"""A runtime runs a bundle's graph on a batch. Which library does it is the caller's choice."""

from typing import Literal, Protocol

from tailfuse_service.bundle.batch import Batch, Output

RuntimeName = Literal["onnx", "torchscript"]


TORCHSCRIPT_TRACE = "The following operation failed in the TorchScript interpreter"


class Runtime(Protocol):
    """Thread-safe: `run` may be called from several threads."""

    device: str

    def run(self, batch: Batch) -> Output:
        """Run the whole batch in one pass."""


def find_cause(error: Exception) -> str:
    """Return the line of a runtime's error that says why: the last of TorchScript's trace, else the first.

    An error without a message is named by its kind.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if lines[0].startswith(TORCHSCRIPT_TRACE) else lines[0]
