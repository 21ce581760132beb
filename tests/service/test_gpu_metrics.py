"""The memory of the GPU that a model runs on, as NVIDIA's library tells it."""

import logging
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from tailfuse_service.bundle import Bundle
from tailfuse_service.metrics import Metrics

from tests.support.bundles import FakeRuntime


class NVMLError(Exception):
    pass


class FakeNvml:
    """Stands in for NVIDIA's library."""

    def __init__(self) -> None:
        self.asked: list[int | str] = []
        self.broken = False

    def start(self) -> None:
        if self.broken:
            raise NVMLError("Driver Not Loaded")

    def handle(self, name: int | str) -> int | str:
        self.asked.append(name)
        return name

    def memory(self, _: object) -> SimpleNamespace:
        if self.broken:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(used=3e9, total=16e9)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    module = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=fake.start,
        nvmlDeviceGetHandleByIndex=fake.handle,
        nvmlDeviceGetHandleByUUID=fake.handle,
        nvmlDeviceGetMemoryInfo=fake.memory,
    )
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def measure_memory(bundle: Bundle, runtime: FakeRuntime, device: str) -> tuple[Metrics, list[float | None]]:
    runtime.device = device
    metrics = Metrics()
    metrics.serve(replace(bundle, runtime=runtime))
    names = ("tailfuse_gpu_memory_used_bytes", "tailfuse_gpu_memory_total_bytes")
    return metrics, [metrics.registry.get_sample_value(name) for name in names]


@pytest.mark.parametrize(
    ("device", "visible", "asked"),
    [
        ("cuda", None, 0),
        ("tensorrt:2", None, 2),
        ("cuda:1", "3,5", 5),
        ("cuda:0", "GPU-8932f937, GPU-46309f98", "GPU-8932f937"),
    ],
)
def test_the_models_gpu_is_asked_for_its_memory(
    bundle: Bundle, runtime: FakeRuntime, nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch,
    device: str, visible: str | None, asked: int | str,
) -> None:  # fmt: skip
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert measure_memory(bundle, runtime, device)[1] == [3e9, 16e9]
    assert nvml.asked == [asked]


def test_without_a_gpu_nobody_is_asked(bundle: Bundle, runtime: FakeRuntime, nvml: FakeNvml) -> None:
    assert measure_memory(bundle, runtime, "cpu")[1] == [None, None]
    assert nvml.asked == []


def test_a_gpu_that_cannot_be_asked_is_one_line_in_the_log(
    bundle: Bundle, runtime: FakeRuntime, nvml: FakeNvml, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        metrics, there = measure_memory(bundle, runtime, "cuda")
        assert there == [3e9, 16e9]
        nvml.broken = True
        for _ in range(3):
            metrics.text()
        assert [record.message for record in caplog.records] == ["no GPU memory in the metrics any more"]
        caplog.clear()
        metrics, there = measure_memory(bundle, runtime, "cuda")
        assert there == [None, None]
        metrics.text()
        assert [record.message for record in caplog.records] == ["no GPU memory in the metrics"]


def test_without_nvidias_library_one_line_says_so(
    bundle: Bundle, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with caplog.at_level(logging.INFO):
        assert measure_memory(bundle, runtime, "cuda")[1] == [None, None]
    (line,) = (record.message for record in caplog.records)
    assert "nvidia-ml-py" in line
