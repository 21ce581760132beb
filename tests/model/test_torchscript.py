"""Devices of the torchscript runtime: refused in one sentence where torch does not have them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tailfuse_service.bundle import GRAPHS, BundleError, Manifest, open_graph, read_manifest
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
