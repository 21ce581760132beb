"""Ragged batches as tensors on a device."""

from typing import NamedTuple

import torch
from torch import Tensor

from service.bundle import Batch


class Tensors(NamedTuple):
    """A Batch as tensors: what Network takes."""

    inputs: dict[str, Tensor]
    rows: dict[str, Tensor]
    presence: Tensor


def tensors_of(batch: Batch, device: torch.device | str = "cpu") -> Tensors:
    """The batch's arrays on a device."""
    return Tensors(
        {name: torch.from_numpy(rows).to(device) for name, rows in batch.inputs.items()},
        {name: torch.from_numpy(rows).to(device) for name, rows in batch.rows.items()},
        torch.from_numpy(batch.presence).to(device),
    )
