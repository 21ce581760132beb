"""Ragged batches as tensors on a device, and answers as arrays."""

from typing import NamedTuple

import torch
from tailfuse_service.bundle import Batch, Output
from torch import Tensor

from tailfuse.network.network import Answer


class Tensors(NamedTuple):
    """A Batch as tensors: what Network takes."""

    inputs: dict[str, Tensor]
    rows: dict[str, Tensor]
    presence: Tensor


def make_tensors(batch: Batch, device: torch.device | str = "cpu") -> Tensors:
    """Convert the batch's arrays to tensors on a device."""
    tensors = Tensors(
        {name: torch.from_numpy(rows) for name, rows in batch.inputs.items()},
        {name: torch.from_numpy(rows) for name, rows in batch.rows.items()},
        torch.from_numpy(batch.presence),
    )
    return move_tensors(tensors, device)


def move_tensors(tensors: Tensors, device: torch.device | str) -> Tensors:
    """Move a batch to a device; from pinned memory while the processor goes on."""
    return Tensors(
        {name: each.to(device, non_blocking=True) for name, each in tensors.inputs.items()},
        {name: each.to(device, non_blocking=True) for name, each in tensors.rows.items()},
        tensors.presence.to(device, non_blocking=True),
    )


def make_output(answer: Answer) -> Output:
    """Convert an answer's tensors to arrays."""
    return Output(*(each.cpu().numpy() for each in answer if each is not None))
