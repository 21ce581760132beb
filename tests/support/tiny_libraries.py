"""Small networks with random weights, and a torchvision and a timm that make them."""

import sys
import types
from typing import Any

import pytest
import torch
from torch import Tensor, nn

GREY, SPREAD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


class TinyNet(nn.Module):
    """A classifier of two blocks whose layers are called as a library calls them."""

    def __init__(self, block: str, head: str, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2)
        blocks = [
            nn.Sequential(nn.Conv2d(4, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
            for _ in range(2)
        ]
        self.add_module(block, nn.Sequential(*blocks))
        self.add_module(head, nn.Linear(4, classes))
        self.block, self.head = block, head
        self.pretrained_cfg = {"mean": GREY, "std": SPREAD}

    def reset_classifier(self, classes: int) -> None:
        assert classes == 0
        self.set_submodule(self.head, nn.Identity())

    def features(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.get_submodule(self.block)(self.stem(pixels))
        return maps.mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        answers: Tensor = self.get_submodule(self.head)(self.features(pixels))
        return answers


def make_timm_net(classes: int = 10) -> TinyNet:
    return TinyNet("blocks", "classifier", classes)


def make_torchvision_net(classes: int = 10) -> TinyNet:
    return TinyNet("layers", "fc", classes)


def install_tiny_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision and a timm that both have `tinynet`, with other names of weights."""

    def create(name: str, *, pretrained: bool) -> nn.Module:
        assert not pretrained
        if name == "tinynet.broken":
            raise RuntimeError("invalid pretrained tag (broken)\nand more")
        return make_timm_net()

    timm = types.SimpleNamespace(
        is_model=lambda name: name in ("tinynet", "timmnet"), create_model=create,
        list_models=lambda: ["tinynet", "timmnet"],
    )  # fmt: skip

    def get_weights(name: str) -> Any:
        return types.SimpleNamespace(
            DEFAULT=types.SimpleNamespace(transforms=lambda: types.SimpleNamespace(mean=GREY, std=SPREAD))
        )

    models = types.SimpleNamespace(
        get_model=lambda name, weights: make_torchvision_net(), get_model_weights=get_weights,
        list_models=lambda module: ["tinynet"],
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))


def make_weights(network: nn.Module) -> dict[str, Tensor]:
    """Other weights for a network, its statistics included, which it has from then on."""
    generator = torch.Generator().manual_seed(7)
    weights = {}
    for name, value in network.state_dict().items():
        random = torch.rand(value.shape, generator=generator)
        centred = value.dim() > 1 or name.endswith(("bias", "running_mean"))
        weights[name] = (
            (random - 0.5 if centred else random + 0.5) if value.is_floating_point() else value + 5
        )
    network.load_state_dict(weights)
    return weights
