"""The service on the device, over HTTP, at several numbers of connections."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from serving_bench.load import apply_load, write_requests
from serving_bench.servers import find_free_port, stop, wait_for_answer
from serving_bench.workloads import make_request, make_workloads
from tailfuse_service.bundle import open_bundle

from gpu_check.parts import Record, Setting

CONNECTIONS = (16, 64, 256)
WORKLOADS = ("tabular", "image+tabular", "batch")
SECONDS = 4
MAX_BATCH, MAX_QUEUE = 128, 16384


def measure_serving(setting: Setting) -> Iterator[Record]:
    """Yield answers per second, and latencies, of the device and of the processor."""
    workloads = make_workloads(open_bundle(setting.bundle))
    for device in dict.fromkeys((setting.device, "cpu")):
        log = setting.work / f"serving-{device.replace(':', '')}.log"
        port = find_free_port()
        first = make_request("one", workloads["image+tabular"].requests[0], listed=False)
        with start(setting.bundle, device, port, log) as process:
            try:
                wait_for_answer(process, port, "/predict", first, log)
                for name in WORKLOADS:
                    workload = workloads[name]
                    target = "/predict/batch" if workload.shape == "batch" else "/predict"
                    requests = setting.work / "requests.bin"
                    built = [make_request(workload.shape, each, listed=False) for each in workload.requests]
                    write_requests(requests, built, port=port, target=target)
                    for connections in CONNECTIONS:
                        core = max(os.sched_getaffinity(0))  # of the load generator
                        figures = apply_load(
                            process.pid, port, requests, connections=connections, seconds=SECONDS, core=core
                        )
                        yield {"device": device, "workload": name, "connections": connections} | {
                            key: round(value, 2) for key, value in figures._asdict().items()
                        }
            finally:
                stop(process)


def start(bundle: Path, device: str, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the service with the torchscript runtime."""
    command = [
        sys.executable, "-m", "tailfuse_service", str(bundle), "--port", str(port),
        "--runtime", "torchscript", "--device", device,
        "--max-batch-size", str(MAX_BATCH), "--max-queue", str(MAX_QUEUE),
    ]  # fmt: skip
    with log.open("wb") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
