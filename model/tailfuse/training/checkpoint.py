"""Checkpoints: the whole state of one stage of a run. Every file of a run is replaced atomically."""

from pathlib import Path
from typing import Any

import torch
from tailfuse_service.bundle import atomic_file
from torch import Tensor, nn

from tailfuse.errors import RunError


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path`."""
    with atomic_file(path) as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any] | None:
    """Load the state at `path`, or return None if there is no file; tensors and plain values, no code.

    Raises RunError.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen kinds
        raise RunError(f"{path} is damaged; delete it, and --resume trains this part again") from None
    return state


def set_weights(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Give a network the weights that were read from `path`. Raises RunError."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise RunError(
            f"{path} does not fit this version of tailfuse: its network has other parameters; train anew"
        ) from None
