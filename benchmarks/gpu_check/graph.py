"""The exported graphs in this process: the same answers as on the processor, and how many per second."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, combinations

import numpy as np
import torch
from serving_bench.workloads import IMAGE, TABULAR, encode_inputs, make_workloads
from tailfuse_service.bundle import Bundle, Sample, open_bundle
from tailfuse_service.inference.engine import RUNS_ON_A_DEVICE

from gpu_check.card import time_calls, time_in_threads
from gpu_check.parts import Record, Setting

SIZES = (1, 8, 32, 128, 512)
TOLERANCE = 1e-4  # of probabilities and weights, as at export between the runtimes


def measure_parity(setting: Setting) -> Iterator[Record]:
    """Yield the largest difference from the processor on every subset of the modalities, alone and mixed."""
    # The bundle is trained here if it is not there yet.
    on_cpu = open_bundle(setting.bundle, runtime="torchscript")
    on_device = open_bundle(setting.bundle, runtime="torchscript", device=setting.device)
    samples = make_samples(on_cpu, 64)
    subsets = {"+".join(names): [keep(each, names) for each in samples] for names in list_subsets(samples[0])}
    every = list(subsets.values())
    subsets["mixed"] = [every[at % len(every)][at] for at in range(len(samples))]
    for name, rows in subsets.items():
        expected, found = on_cpu.run(rows), on_device.run(rows)
        difference = max(
            float(np.abs(getattr(expected, field) - getattr(found, field)).max())
            for field in ("probabilities", "weights", "confidences")
        )
        yield {"subset": name, "difference": difference, "equal": difference <= TOLERANCE}
        if difference > TOLERANCE:
            raise SystemExit(f"{name} differs by {difference:.2g} from the processor")


def measure_graph(setting: Setting) -> Iterator[Record]:
    """Yield items per second by batch: one run at a time, as many as the service has, and without copies."""
    for device in dict.fromkeys((setting.device, "cpu")):
        bundle = open_bundle(setting.bundle, runtime="torchscript", device=device, threads=0)
        samples = make_samples(bundle, max(SIZES))
        module = torch.jit.load(setting.bundle / "model.ts", map_location=device).eval()
        for size in SIZES:
            batch = bundle.collate(samples[:size])
            tensors = resident(bundle, samples[:size], device)
            with torch.inference_mode():
                limit_s = time_calls(partial(module, *tensors), device)
            run = partial(bundle.runtime.run, batch)
            figures = {"items_per_s": time_calls(run, device), "without_copies_per_s": limit_s}
            if device == setting.device:
                figures["in_two_threads_per_s"] = time_in_threads(run, RUNS_ON_A_DEVICE)
            yield {"runtime": "torchscript", "device": device, "batch": size} | {
                name: round(size / seconds) for name, seconds in figures.items()
            }


def measure_onnx(setting: Setting) -> Iterator[Record]:
    """Yield the same of onnxruntime, if it is a build for CUDA."""
    import onnxruntime

    if setting.device != "cpu" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        yield {"runtime": "onnx", "skipped": "this onnxruntime has no CUDAExecutionProvider"}
        return
    bundle = open_bundle(setting.bundle, runtime="onnx", device=setting.device)
    samples = make_samples(bundle, max(SIZES))
    for size in SIZES:
        batch = bundle.collate(samples[:size])
        seconds = time_calls(partial(bundle.runtime.run, batch), setting.device)
        yield {
            "runtime": "onnx",
            "device": setting.device,
            "batch": size,
            "items_per_s": round(size / seconds),
        }


def make_samples(bundle: Bundle, n: int) -> list[Sample]:
    """Make n decoded samples with both modalities."""
    raw = make_workloads(bundle)["image+tabular"].samples
    samples = [bundle.sample(encode_inputs(each)) for each in raw]
    return [samples[at % len(samples)] for at in range(n)]


def resident(bundle: Bundle, samples: Sequence[Sample], device: str) -> list[torch.Tensor]:
    """Return the graph's inputs as tensors of the device."""
    feed = bundle.collate(samples).feed()
    names = ["presence", *chain.from_iterable((name, f"{name}.rows") for name in bundle.features)]
    return [torch.from_numpy(feed[name]).to(device) for name in names]


def list_subsets(sample: Sample) -> list[tuple[str, ...]]:
    """Return every non-empty subset of the modalities."""
    names = [name for name in (IMAGE, TABULAR) if name in sample]
    return [each for size in range(1, len(names) + 1) for each in combinations(names, size)]


def keep(sample: Sample, names: Sequence[str]) -> Sample:
    """Return a sample with these modalities alone."""
    return {name: sample[name] for name in names}
