"""What the work itself costs, without a server: `python -m serving_bench.raw BUNDLE` prints it as JSON."""

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

from serving_bench.workloads import BATCH_SIZE, IMAGE, SMALL, Workload, json_inputs, workloads_of

T = TypeVar("T")

MEASURE_S = 0.5


class Raw(NamedTuple):
    """Microseconds for one sample of a workload."""

    run_us: float  # CPU of the runtime alone, BATCH_SIZE samples at once
    decode_us: float  # CPU of the JPEG library alone, at the scale that the service decodes at
    pillow_us: float  # CPU of Pillow, all pixels decoded and then scaled: the usual way
    in_process_us: float  # wall time of one request done by a call: decode, collate, run, at batch 1


def raw_of(bundle: Bundle, workload: Workload) -> Raw:
    """What a workload costs without a server."""
    samples = islice(cycle(workload.samples), BATCH_SIZE)
    batch = bundle.collate([bundle.sample(json_inputs(sample)) for sample in samples])
    pictures = [sample[IMAGE] for sample in workload.samples if IMAGE in sample]
    share = len(pictures) / len(workload.samples)
    return Raw(
        run_us=cpu_us(bundle.runtime.run, [batch]) / BATCH_SIZE,
        decode_us=share * cpu_us(decode, pictures),
        pillow_us=share * cpu_us(decode_with_pillow, pictures),
        in_process_us=in_process_us(bundle, workload),
    )


def decode(data: bytes) -> None:
    """As the service does, by the bare library."""
    width, height = SMALL
    simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, min_factor=1)


def decode_with_pillow(data: bytes) -> None:
    """All pixels, then scaled."""
    Image.open(io.BytesIO(data)).convert("RGB").resize(SMALL, Image.Resampling.BILINEAR)


def cpu_us(call: Callable[[T], object], arguments: Sequence[T]) -> float:
    """Mean CPU time of a call, made with each of the arguments in turn for MEASURE_S; 0 without any."""
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


def in_process_us(bundle: Bundle, workload: Workload) -> float:
    """The median over the workload's requests, asked in turn for MEASURE_S."""
    # A form brings the picture's bytes, JSON brings base64.
    read = dict if workload.shape == "form" else json_inputs
    requests = [[read(sample) for sample in request] for request in workload.requests]
    took_us: list[float] = []
    until = time.perf_counter() + MEASURE_S
    while time.perf_counter() < until or len(took_us) < len(requests):
        inputs = requests[len(took_us) % len(requests)]
        begun = time.perf_counter()
        bundle.run([bundle.sample(each) for each in inputs])
        took_us.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took_us)


if __name__ == "__main__":
    opened = open_bundle(Path(sys.argv[1]))
    names = sys.argv[2:]
    found = {name: raw_of(opened, each) for name, each in workloads_of(opened).items() if name in names}
    print(json.dumps({name: raw._asdict() for name, raw in found.items()}))
