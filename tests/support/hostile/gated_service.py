"""`python -m tailfuse_service`, on a runtime that waits and fails as a test wants it.

Its first argument is a folder. Each run adds a line to `runs` there: how many samples it has. It waits while
`hold-N` exists, N being that number, and raises if a sample's age is GUILTY.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
from tailfuse_service.__main__ import command
from tailfuse_service.bundle.batch import Batch, Output
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime

GUILTY = 13.0
MEAN, SCALE = 50.0, 10.0  # of the tiny bundle's column `age`, its first


def gated(
    folder: Path, answer: Callable[[OnnxRuntime, Batch], Output]
) -> Callable[[OnnxRuntime, Batch], Output]:
    """`answer`, but that it waits and fails."""

    def run(runtime: OnnxRuntime, batch: Batch) -> Output:
        size = len(batch.presence)
        with (folder / "runs").open("a") as file:
            file.write(f"{size}\n")
        while (folder / f"hold-{size}").exists():
            time.sleep(0.002)
        if np.isclose(batch.inputs["clinical"][:, 0], (GUILTY - MEAN) / SCALE).any():
            raise RuntimeError("this sample cannot be borne, says /secret/model.onnx")
        return answer(runtime, batch)

    return run


if __name__ == "__main__":
    mock.patch.object(OnnxRuntime, "run", gated(Path(sys.argv.pop(1)), OnnxRuntime.run)).start()
    command(prog_name="python -m tailfuse_service")
