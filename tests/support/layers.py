"""Layers inside a network, by their paths."""

from torch import nn


def find_linear(network: nn.Module, path: str) -> nn.Linear:
    layer = network.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    return layer
