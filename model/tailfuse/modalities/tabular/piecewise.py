"""Piecewise linear encoding of numbers (Gorishniy et al. 2022, arXiv 2203.05556).

A number becomes one value per bin: 0 below the bin, 1 above it, and in between its position within the bin.
A linear layer of these values is a piecewise linear function of the number. So one hidden layer can learn
ranges, which trees find at once, and which a layer of the number alone finds only with many units.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.modalities.dropout import Dropout

MIN_SIZE = 1e-30  # of a bin: two edges may be one float32


class PiecewiseLinear(nn.Linear):
    """A linear layer of all slots, plus one of the bins of the slots that have `edges`.

    The weights of the bins start at 0: the layer begins as a linear one, and bends as the rows ask for.
    """

    slots: Tensor  # (K,), of the numbers that have edges
    low: Tensor  # (K, T), the lower edge of each bin
    size: Tensor  # (K, T); a column of fewer bins ends with bins that no number reaches

    def __init__(
        self, width_in: int, width: int, edges: Mapping[int, tuple[float, ...]], input_dropout: float
    ) -> None:
        super().__init__(width_in, width)
        n_bins = max(map(len, edges.values())) - 1
        low = torch.full((len(edges), n_bins), torch.finfo(torch.float32).max)
        size = torch.ones(len(edges), n_bins)
        for at, each in enumerate(edges.values()):
            bounds = torch.tensor(each)
            low[at, : len(each) - 1] = bounds[:-1]
            size[at, : len(each) - 1] = bounds.diff().clamp(min=MIN_SIZE)
        self.register_buffer("slots", torch.tensor(list(edges)))
        self.register_buffer("low", low)
        self.register_buffer("size", size)
        self.dropout = Dropout(input_dropout)
        self.bins = nn.Linear(len(edges) * n_bins, width, bias=False)
        nn.init.zeros_(self.bins.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, width_in) -> (n, width)"""
        linear = F.linear(self.dropout(rows), self.weight, self.bias)
        bent: Tensor = linear + self.bins(self.dropout(self.compute_positions(rows)))
        return bent

    def compute_positions(self, rows: Tensor) -> Tensor:
        """Compute the position of each number within each bin, 0..1: (n, width_in) -> (n, K T)"""
        numbers = rows.index_select(1, self.slots)[:, :, None]
        return ((numbers - self.low) / self.size).clamp(0, 1).flatten(1)
