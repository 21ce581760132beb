"""Checkpoints: the whole state of one stage of a run. Every file of a run is written beside and renamed."""

import io
import os
from pathlib import Path
from typing import Any

import torch

from tailfuse.errors import RunError


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    replace(path, buffer.getvalue())


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


def replace(path: Path, data: bytes) -> None:
    """Write a file in one step: a kill leaves the old one or the new one."""
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
