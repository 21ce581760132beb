"""Weights in a local file: a state_dict as safetensors or as PyTorch saves it. No code in it is run."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tailfuse_service.bundle import install_hint
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.modalities.image.architectures import Architecture, describe_error

WRAPPERS = ("state_dict", "model")  # keys under which training scripts save it beside other things
PREFIXES = ("module.", "model.")  # of DataParallel, and of a Lightning module
COUNTER = "num_batches_tracked"  # of batch norm; files of before 2018 have none, and nothing depends on it
SHOWN = 3  # differences that a message names


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file's weights by name. Raises SpecError."""
    if not path.is_file():
        raise SpecError(f"encoder: {path}: no such file")
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path)
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content or not all(map(torch.is_tensor, content.values())):
        raise SpecError(
            f"encoder: {path} has no state_dict: weights by name, at the top or under {' or '.join(WRAPPERS)}"
        )
    weights = {str(name): value for name, value in content.items()}
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def read_safetensors(path: Path) -> Any:
    """Raises SpecError."""
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise SpecError(f"encoder: {path} needs safetensors: {install_hint('pretrained')}") from None
    try:
        return load_file(path)
    except Exception as error:  # of a damaged file, or of one that cannot be opened
        raise SpecError(f"encoder: {path} is no file of safetensors: {describe_error(error)}") from error


def read_pickled(path: Path) -> Any:
    """Raises SpecError if the file holds anything but weights: unpickling other objects runs code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SpecError(
            f"encoder: {path} is damaged, or holds other Python objects than weights; "
            "save the model's state_dict() alone"
        ) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, OSError and others for damaged files
        raise SpecError(f"encoder: {path} cannot be read: {describe_error(error)}") from error


def load_weights(architecture: Architecture, weights: Mapping[str, Tensor]) -> list[str]:
    """Load weights into the network if they fit; else return each difference, and change nothing."""
    network = architecture.weighted
    differences = list_differences(network, weights, architecture.classifier)
    if not differences:
        fitting = {name: weights[name] for name in network.state_dict() if name in weights}
        network.load_state_dict(fitting, strict=False)  # a counter of batch norm may be missing
    return differences


def list_differences(
    network: nn.Module, weights: Mapping[str, Tensor], classifier: frozenset[str]
) -> list[str]:
    """List where weights do not fit a network; those that it does not know come last."""
    expected = network.state_dict()
    differences = []
    for name, value in expected.items():
        if name not in weights:
            if not name.endswith(COUNTER):
                differences.append(f"{name} is missing")
            continue
        given = weights[name]
        if given.shape != value.shape:
            differences.append(f"{name} is {tuple(given.shape)}, expected {tuple(value.shape)}")
        elif given.is_floating_point() != value.is_floating_point():
            differences.append(f"{name} has the type {given.dtype}, expected {value.dtype}")
        elif not given.isfinite().all():
            differences.append(f"{name} has values that are not finite")
    differences += [
        f"{name} is unknown" for name in weights if name not in expected and name not in classifier
    ]
    return differences


def describe_differences(differences: list[str]) -> str:
    """Name the first differences, and say how many more there are."""
    more = len(differences) - SHOWN
    return "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
