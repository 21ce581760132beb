"""The batches of an epoch as tensors; for a GPU, other processes gather them, and memory is pinned."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.network.tensors import Tensors, make_tensors

WORKERS = 4  # processes
MIN_BATCHES = 50  # of an epoch; of fewer the processes take longer to start than to work


class LabelledBatch(NamedTuple):
    """A ragged batch on the CPU, and its labels (B,)."""

    tensors: Tensors
    labels: Tensor


class Batches(Dataset[LabelledBatch]):
    """The batches of some rows; each index holds the rows of one."""

    def __init__(self, rows: SplitArrays, indices: Sequence[NDArray[np.int64]]) -> None:
        self._rows, self._indices = rows, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, at: int) -> LabelledBatch:
        part = self._rows.take(self._indices[at])
        return LabelledBatch(make_tensors(part.batch()), torch.from_numpy(part.labels))


def load_batches(
    rows: SplitArrays, indices: Sequence[NDArray[np.int64]], device: torch.device
) -> Iterable[LabelledBatch]:
    """Return the batches in order, in memory that is pinned if they go to a GPU."""
    to_gpu = device.type == "cuda"
    return DataLoader(
        Batches(rows, indices),
        batch_size=None,
        num_workers=WORKERS if to_gpu and len(indices) >= MIN_BATCHES else 0,
        pin_memory=to_gpu,
        generator=torch.Generator(),  # whose numbers nobody uses: those of training must not be drawn from
    )
