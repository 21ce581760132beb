"""Devices of the torchscript runtime: refused in one sentence where torch does not have them."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tailfuse_service.bundle import GRAPHS, BundleError, Manifest, open_bundle, open_graph, read_manifest
from tailfuse_service.bundle import runtime_torchscript as module
from tailfuse_service.bundle.runtime_torchscript import check_device, move_constants


@pytest.fixture
def graph(trained: Any) -> tuple[Path, Manifest]:
    return trained.bundle / GRAPHS["torchscript"], read_manifest(trained.bundle)


def refusal(graph: tuple[Path, Manifest], device: str) -> str:
    path, manifest = graph
    with pytest.raises(BundleError) as raised:
        open_graph(path, manifest, runtime="torchscript", device=device)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("device", ["gpu", "mps", "tensorrt", "cuda:", "cuda:x", "cpu:0"])
def test_an_unknown_device_is_refused_by_the_names_of_the_known_ones(graph: Any, device: str) -> None:
    expected = f"device '{device}' is none of the torchscript runtime's: cpu, cuda, cuda:1, …"
    assert refusal(graph, device) == expected


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_torch_does_not_find_is_refused(
    graph: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert refusal(graph, device).startswith(f"device '{device}': torch {torch.__version__} finds none")


def test_as_many_gpus_as_there_are_may_be_chosen_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for device in ("cpu", "cuda", "cuda:0", "cuda:1"):
        check_device(torch, device)
    with pytest.raises(BundleError, match=r"^device 'cuda:2': torch .* finds 2"):
        check_device(torch, "cuda:2")


def test_what_the_graph_makes_itself_is_made_on_the_device_that_it_runs_on(graph: Any) -> None:
    module = torch.jit.load(graph[0]).eval()
    before = module.code
    move_constants(module, "cuda:1")
    assert 'torch.device("cpu")' in before
    assert 'torch.device("cpu")' not in module.code
    assert 'torch.device("cuda:1")' in module.code


class FakeGpu:
    """torch on the processor, which notes what a GPU would be asked for."""

    def __init__(self) -> None:
        self.cuda = self
        self.jit = self
        self.waits = 0
        self.streams: list[object] = []
        self.copies: list[
            tuple[object, bool, bool]
        ] = []  # the stream, whether pinned, whether it returns at once
        self.current: object = None

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def device_count(self) -> int:
        return 1

    def load(self, path: Path, map_location: str) -> Any:
        return torch.jit.load(path)

    def synchronize(self, device: str) -> None:
        self.waits += 1

    def Stream(self, device: str) -> object:  # noqa: N802 - torch's name
        self.streams.append(object())
        return self.streams[-1]

    @contextlib.contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        self.current = stream
        yield
        self.current = None

    def from_numpy(self, values: Any) -> "FakeHostTensor":
        return FakeHostTensor(self, torch.from_numpy(values))


class FakeHostTensor:
    """A tensor that is not on the GPU yet."""

    def __init__(self, gpu: FakeGpu, tensor: torch.Tensor, *, pinned: bool = False) -> None:
        self.gpu, self.tensor, self.pinned = gpu, tensor, pinned

    def pin_memory(self) -> "FakeHostTensor":
        return FakeHostTensor(self.gpu, self.tensor, pinned=True)

    def to(self, device: str, *, non_blocking: bool) -> torch.Tensor:
        self.gpu.copies.append((self.gpu.current, self.pinned, non_blocking))
        return self.tensor


def test_each_thread_copies_from_pinned_memory_on_its_own_stream(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cpu = open_bundle(trained.bundle, runtime="torchscript")
    sample = on_cpu.sample({name: each.example() for name, each in on_cpu.manifest.modalities.items()})
    gpu = FakeGpu()
    monkeypatch.setattr(module, "import_torch", lambda: gpu)
    monkeypatch.setattr(module, "move_constants", lambda *_: None)
    bundle = open_bundle(trained.bundle, runtime="torchscript", device="cuda")
    assert gpu.waits == 1  # for the parameters
    gpu.streams.clear()  # that of this thread, which has warmed the bundle up
    gpu.copies.clear()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:  # never at once: the fake is simple
        outputs = [pool.submit(bundle.run, [sample]).result() for pool in (one, other, one)]
    for output in outputs:
        np.testing.assert_array_equal(output.probabilities, on_cpu.run([sample]).probabilities)
    n_inputs = len(bundle.collate([sample]).feed())
    first, second = gpu.streams
    assert gpu.copies == [(stream, True, True) for stream in (first, second, first) for _ in range(n_inputs)]
