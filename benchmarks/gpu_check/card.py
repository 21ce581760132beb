"""What the card can do at most: the limits that the other figures are read against."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from gpu_check.parts import Record, Setting

REPEATS = 20
SIDE = 8192  # of the matrices
COPIED_BYTES = 256 * 1024**2


def measure_card(setting: Setting) -> Iterator[Record]:
    """Yield the card's name, and its matrix products and copies per second."""
    cuda = setting.device != "cpu"
    yield {
        "card": torch.cuda.get_device_name(setting.device) if cuda else "cpu",
        "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    side = SIDE if cuda else 512
    left = torch.randn(side, side, device=setting.device, dtype=torch.bfloat16)
    seconds = time_calls(lambda: left @ left, setting.device)
    yield {"matmul_bf16_tflops": round(2 * side**3 / seconds / 1e12, 1)}
    for pinned in (False, True) if cuda else ():
        rows = torch.empty(COPIED_BYTES, dtype=torch.uint8, pin_memory=pinned)
        seconds = time_calls(partial(rows.to, setting.device, non_blocking=True), setting.device)
        yield {"copy_to_device_gb_per_s": round(COPIED_BYTES / seconds / 1e9, 1), "pinned": pinned}


def time_calls(call: Callable[[], object], device: str, repeats: int = REPEATS) -> float:
    """Return the seconds of one call, the mean of several that follow each other."""
    for _ in range(3):
        call()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (time.perf_counter() - start) / repeats


def time_in_threads(call: Callable[[], object], n_threads: int, repeats: int = REPEATS) -> float:
    """Return the seconds of one call, where several threads make calls that end with their results."""

    def repeat(n: int) -> None:
        for _ in range(n):
            call()

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(repeat, [3] * n_threads))
        start = time.perf_counter()
        list(pool.map(repeat, [repeats] * n_threads))
        return (time.perf_counter() - start) / (repeats * n_threads)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)
