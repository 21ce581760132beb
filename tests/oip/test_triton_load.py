"""The bench's load by NVIDIA's clients is answered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import Service

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("workload", ["tabular", "image+tabular"])
def test_every_client_is_answered(
    service: Service, grpc_address: str, tiny_bundle: Path, protocol: str, workload: str
) -> None:
    address = grpc_address if protocol == "grpc" else service.url.removeprefix("http://")
    path = os.pathsep.join([str(ROOT / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])])
    module = [sys.executable, "-m", "serving_bench.triton_clients"]
    done = subprocess.run(
        [*module, protocol, address, str(tiny_bundle), workload, "4", "0.2"], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": path}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 4
