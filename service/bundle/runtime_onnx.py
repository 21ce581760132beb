"""The onnx runtime."""

import os
from pathlib import Path

from service.bundle.batch import OUTPUT_NAMES, Batch, Output
from service.errors import BundleError


class OnnxRuntime:
    """model.onnx on onnxruntime. `threads` are those of one run; 0 lets onnxruntime choose."""

    def __init__(self, path: Path, *, threads: int = 1, device: str = "cpu") -> None:
        # Since 1.32 it tells Microsoft about every process, unless told not to before it is loaded.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would take the core that decodes the next requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        providers = ["CPUExecutionProvider"]
        if device != "cpu":
            if "CUDAExecutionProvider" not in available:
                raise BundleError(f"device '{device}': this onnxruntime has only {', '.join(available)}")
            providers.insert(0, "CUDAExecutionProvider")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # onnxruntime's own kinds have no common base
            raise BundleError(f"{path.name} cannot be loaded: {str(error).splitlines()[0]}") from error
        self.device = device

    def run(self, batch: Batch) -> Output:
        return Output(*self._session.run(OUTPUT_NAMES, batch.feed()))
