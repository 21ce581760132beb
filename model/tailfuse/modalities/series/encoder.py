"""The encoder of series: a 1-D CNN that knows where each series ends, on the steps or on a spectrogram."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from tailfuse_service.modalities import SeriesModality
from torch import Tensor, nn

from tailfuse.modalities.series.logmel import LogMel

KERNEL = 5


class Conv(nn.Module):
    """Convolutions over time, each halving it, until about 32 steps are left; then their mean and maximum.

    With a `front` they read the frames that it makes of the steps, in place of the steps.

    Padding is masked after every layer, as if it were not there: a row's answer does not depend on how far
    it was padded.
    """

    ragged = True

    def __init__(
        self,
        modality: SeriesModality,
        *,
        width: int,
        dropout: float,
        input_dropout: float,
        front: LogMel | None = None,
    ) -> None:
        super().__init__()
        self.front = front
        length, n_channels = modality.length, len(modality.channels)
        if front is not None:
            length, n_channels = front.max_frames, front.n_channels
        halvings = min(max(2, math.ceil(math.log2(length / 32))), 8)
        # Few channels while there are many steps, or a sound would take long.
        channels = [n_channels + 2, *(max(16, 128 >> i) for i in reversed(range(halvings)))]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(into, out, KERNEL, 2, KERNEL // 2, bias=False) for into, out in pairwise(channels)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(out) for out in channels[1:])
        self.layers = nn.Sequential(
            nn.Dropout(input_dropout),
            nn.Linear(2 * channels[-1], width),
            nn.ReLU(),
            nn.LayerNorm(width, elementwise_affine=False),
            nn.Dropout(dropout),
        )

    def extract_features(self, rows: Tensor) -> Tensor:
        """(n, time, channels + 1), the last one 1 at a time step and 0 in padding -> (n, features)"""
        if self.front is not None:
            rows = self.front(rows)
        hidden = rows.transpose(1, 2)  # (n, channels + 1, time)
        mask = hidden[:, -1:]
        # When something happens may matter as much as what: -1 is the first step, 1 the last.
        steps = mask.sum(2, keepdim=True).clamp(min=1.0)
        position = (2 * mask.cumsum(2) - 1 - steps) / steps * mask
        hidden = torch.cat([hidden, position], 1)
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            mask = mask[:, :, ::2]  # the steps that the convolution keeps
            hidden = F.relu(norm(convolve(hidden))) * mask
        mean = hidden.sum(2) / mask.sum(2).clamp(min=1.0)
        # Nothing is below 0 here, so padding is never the maximum.
        return torch.cat([mean, hidden.amax(2)], 1)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, time, channels + 1) -> (n, width)"""
        embedding: Tensor = self.layers(self.extract_features(rows))
        return embedding
