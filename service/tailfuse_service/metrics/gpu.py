"""Memory of the model's GPU."""

import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

from tailfuse_service.logs import LOG
from tailfuse_service.metrics.families import GaugeValue


class Gpu:
    """Reads the memory of one GPU with NVIDIA's library (the package nvidia-ml-py)."""

    def __init__(self, device: str) -> None:
        """`device` is cuda, cuda:1, tensorrt or tensorrt:1."""
        self._nvml: Any = None
        self._handle: Any = None
        try:
            pynvml: Any = importlib.import_module("pynvml")
        except ImportError:
            LOG.info("no GPU memory in the metrics: nvidia-ml-py is not installed")
            return
        try:
            pynvml.nvmlInit()
            self._handle = find_handle(pynvml, int(device.partition(":")[2] or 0))
            self._nvml = pynvml
        except pynvml.NVMLError as error:
            LOG.warning("no GPU memory in the metrics", extra={"reason": str(error)})

    def memory(self) -> Iterator[GaugeValue]:
        """Yield the memory gauges; none if the library is not available."""
        if self._nvml is None:
            return
        try:
            memory = self._nvml.nvmlDeviceGetMemoryInfo(self._handle)
        except self._nvml.NVMLError as error:
            LOG.warning("no GPU memory in the metrics any more", extra={"reason": str(error)})
            self._nvml = None
            return
        yield GaugeValue("gpu_memory_used_bytes", memory.used)
        yield GaugeValue("gpu_memory_total_bytes", memory.total)


def find_handle(nvml: Any, number: int) -> Any:
    """Return NVML's handle of CUDA's GPU `number`, which counts only CUDA_VISIBLE_DEVICES."""
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    name = visible[number] if number < len(visible) else str(number)
    return (
        nvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdecimal()
        else nvml.nvmlDeviceGetHandleByUUID(name)
    )


def is_gpu(device: str) -> bool:
    """Return whether a device is a card, rather than the CPU."""
    return re.match(r"cuda|tensorrt", device) is not None
