"""Checkpoints: the whole state of one stage of a run, written beside and renamed."""

import os
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step: a kill leaves the old one or the new one."""
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path: Path) -> dict[str, Any] | None:
    """The state at `path`, or None where there is none. Tensors and plain values only: no pickled code."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
