"""Memory of the device: the gauges read from the real library, memory given back, and a full device."""

import gc
import urllib.request
from collections.abc import Iterator

import torch
from serving_bench.servers import find_free_port, stop, wait_for_answer
from serving_bench.workloads import make_request, make_workloads
from tailfuse_service.bundle import open_bundle
from tailfuse_service.errors import BundleError

from gpu_check.parts import Record, Setting
from gpu_check.serving import start

GAUGES = ("tailfuse_gpu_memory_used_bytes", "tailfuse_gpu_memory_total_bytes")
LEFT_BYTES = 1024**2  # what a full device has left


def measure_memory(setting: Setting) -> Iterator[Record]:
    """Yield the gauges of a running service, the bytes of a bundle, and the error on a full device."""
    yield read_gauges(setting)
    if setting.device == "cpu":
        return
    yield measure_bundle(setting)
    yield fill_device(setting)


def read_gauges(setting: Setting) -> Record:
    """Read the gauges of a service on the device."""
    log = setting.work / "memory.log"
    port = find_free_port()
    first = make_request(
        "one", make_workloads(open_bundle(setting.bundle))["tabular"].requests[0], listed=False
    )
    with start(setting.bundle, setting.device, port, log) as process:
        try:
            wait_for_answer(process, port, "/predict", first, log)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        finally:
            stop(process)
    return {name: find_value(lines, name) for name in GAUGES}


def find_value(lines: list[str], name: str) -> float | None:
    """Return the value of the first sample of a metric; None if it is not there."""
    return next(
        (float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + " ", name + "{"))), None
    )


def measure_bundle(setting: Setting) -> Record:
    """Open and close a bundle; return what it took and what is left of that."""
    torch.zeros(1, device=setting.device)  # the context itself stays
    before = torch.cuda.memory_allocated(setting.device)
    bundle = open_bundle(setting.bundle, runtime="torchscript", device=setting.device)
    held = torch.cuda.memory_allocated(setting.device) - before
    del bundle
    gc.collect()
    torch.cuda.empty_cache()
    return {
        "bundle_bytes": held,
        "left_after_close_bytes": torch.cuda.memory_allocated(setting.device) - before,
    }


def fill_device(setting: Setting) -> Record:
    """Take all memory, then open a bundle: it must be refused with an error that says so."""
    held = []
    size = torch.cuda.mem_get_info(setting.device)[0]
    while size > LEFT_BYTES:
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device=setting.device))
        except torch.OutOfMemoryError:
            size //= 2
    try:
        open_bundle(setting.bundle, runtime="torchscript", device=setting.device)
    except BundleError as error:
        return {"full_device": error.detail, "held_blocks": len(held)}
    raise SystemExit("a bundle was opened on a full device")
