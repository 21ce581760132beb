"""Cost of inference without a server: `python -m serving_bench.raw BUNDLE` prints it as JSON."""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import simplejpeg
from PIL import Image
from tailfuse_service.bundle import Bundle, open_bundle

from serving_bench.workloads import BATCH_SIZE, IMAGE, SMALL, Workload, encode_inputs, make_workloads

T = TypeVar("T")

MEASURE_S = 0.5
JPEG = b"\xff\xd8"  # the first bytes of a file


class Raw(NamedTuple):
    """Microseconds for one sample of a workload."""

    run_us: float  # CPU of the runtime alone, BATCH_SIZE samples at once
    decode_us: float  # CPU of the JPEG library alone, at the scale that the service decodes at
    pillow_us: float  # CPU of Pillow, which decodes all pixels and then scales
    in_process_us: float  # wall time of one request as a function call: decode, collate, run at batch 1


def measure_raw(bundle: Bundle, workload: Workload) -> Raw:
    """Measure the cost of a workload without a server."""
    samples = islice(cycle(workload.samples), BATCH_SIZE)
    batch = bundle.collate([bundle.sample(encode_inputs(sample)) for sample in samples])
    images = [sample[IMAGE] for sample in workload.samples if sample.get(IMAGE, b"").startswith(JPEG)]
    share = len(images) / len(workload.samples)
    return Raw(
        run_us=cpu_us(bundle.runtime.run, [batch]) / BATCH_SIZE,
        decode_us=share * cpu_us(decode, images),
        pillow_us=share * cpu_us(decode_with_pillow, images),
        in_process_us=measure_in_process_us(bundle, workload),
    )


def decode(data: bytes) -> None:
    """Decode an image at the service's scale, with the library alone."""
    width, height = SMALL
    simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=1)


def decode_with_pillow(data: bytes) -> None:
    """Decode all pixels, then scale."""
    Image.open(io.BytesIO(data)).convert("RGB").resize(SMALL, Image.Resampling.BILINEAR)


def cpu_us(call: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Measure the mean CPU time of a call over its arguments, for MEASURE_S; 0 without arguments."""
    if not arguments:
        return 0.0
    rounds = 0
    until = time.perf_counter() + MEASURE_S
    begun = time.process_time()
    while time.perf_counter() < until or not rounds:
        for argument in arguments:
            call(argument)
        rounds += 1
    return (time.process_time() - begun) / (rounds * len(arguments)) * 1e6


def measure_in_process_us(bundle: Bundle, workload: Workload) -> float:
    """Measure the median time of the workload's requests, repeated for MEASURE_S."""
    # A form contains the image's bytes, JSON contains base64.
    decode_inputs = dict if workload.shape == "form" else encode_inputs
    requests = [[decode_inputs(sample) for sample in request] for request in workload.requests]
    times_us: list[float] = []
    until = time.perf_counter() + MEASURE_S
    while time.perf_counter() < until or len(times_us) < len(requests):
        inputs = requests[len(times_us) % len(requests)]
        begun = time.perf_counter()
        bundle.run([bundle.sample(each) for each in inputs])
        times_us.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(times_us)


if __name__ == "__main__":
    opened = open_bundle(Path(sys.argv[1]))
    names = sys.argv[2:]
    found = {
        name: measure_raw(opened, each) for name, each in make_workloads(opened).items() if name in names
    }
    print(json.dumps({name: raw._asdict() for name, raw in found.items()}))
