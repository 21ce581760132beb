"""The log-mel spectrogram of a series and its change from frame to frame: what a sound is to an ear."""

import math

import torch
import torch.nn.functional as F
from tailfuse_service.modalities import SeriesModality
from torch import Tensor, nn

from tailfuse.modalities.series.fixed import SILENCE, Spectrum

# A logarithm brings the loudest level near. What lies beyond so many deviations of the training rows is moved
# away, so that a level that none of them has takes the confidence to 0, as in other encoders.
MAX_DEVIATIONS, GAIN = 4.0, 20.0


class LogMel(nn.Module):
    """The log powers of each channel in bands, standardised, and their deltas. Nothing of it is trained.

    Rows (n, time, channels + 1) -> (n, frames, n_channels + 1); the last channel of both is the mask.
    """

    def __init__(self, modality: SeriesModality) -> None:
        super().__init__()
        self.spectrum = Spectrum(modality.length)
        n_bands = len(modality.channels) * self.spectrum.bands.shape[1]
        self.norm = nn.BatchNorm1d(n_bands, affine=False)
        self.n_channels = 2 * n_bands
        self.max_frames = modality.length // self.spectrum.hop + 1

    def forward(self, rows: Tensor) -> Tensor:
        series, mask = rows.transpose(1, 2).split([rows.shape[2] - 1, 1], dim=1)
        log, present = self.spectrum.compute_frames(series, mask.clamp(0, 1))
        # Silence is 0, as padding is: the statistics of the norm are then those of the same numbers.
        log = (log - math.log(SILENCE)) * present
        log = self.norm(log.transpose(1, 2)).transpose(1, 2) * present
        log = log + GAIN * (log - log.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS))
        both = present[:, 2:] * present[:, :-2]
        # At the first and the last frame, which lack a neighbour, it is 0.
        delta = F.pad((log[:, 2:] - log[:, :-2]) * both, (0, 0, 1, 1))
        return torch.cat([log, delta, present], dim=2)
