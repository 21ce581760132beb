"""Checkpoints: the whole state of one stage of a run. Every file of a run is replaced whole."""

from pathlib import Path
from typing import Any

import torch
from tailfuse_service.bundle import atomic_file

from tailfuse.errors import RunError


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path`."""
    with atomic_file(path) as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none; tensors and plain values only, no pickled code.

    Raises RunError.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises half a dozen kinds
        raise RunError(f"{path} is damaged; delete it, and --resume trains this part again") from None
    return state
