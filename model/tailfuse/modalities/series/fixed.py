"""Fixed features of series: competing random convolutions, and the log spectrum over time.

Nothing of them is trained, so they are computed once for each row, and few rows suffice.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tailfuse_service.modalities import SeriesModality
from torch import Tensor, nn

from tailfuse.modalities.pretrained import Pretrained

SEED = 0  # the same kernels everywhere
KERNEL = 9
GROUPS, KERNELS = 8, 8  # of each dilation; the kernels of a group compete
MAX_CHANNELS = 3  # channels that one kernel reads
MAX_STEPS = 512  # of the series that kernels read; a sound's fast changes are in its spectrum
SHARPNESS = 3.0  # of the competition; a hard one would turn rounding errors into other features
MIN_SIZE = 1e-4  # of the responses of a group; a flat series has none
MAX_WINDOW, MIN_WINDOW = 256, 8  # steps of a spectrum
MAX_BANDS = 32
SEGMENTS = 4  # of a series, in order, each with its mean spectrum
SILENCE = 1e-4  # added to powers; a series has variance 1


class FixedFeatures(nn.Module):
    """Rows (n, time, channels + 1), the last one 1 at a time step and 0 in padding -> (n, F)"""

    def __init__(self, modality: SeriesModality) -> None:
        super().__init__()
        channels = len(modality.channels)
        self.competitions = Competitions(channels, modality.length)
        self.spectrum = Spectrum(modality.length)

    def forward(self, rows: Tensor) -> Tensor:
        series, mask = rows.transpose(1, 2).split([rows.shape[2] - 1, 1], dim=1)
        mask = mask.clamp(0, 1)
        return torch.cat([self.competitions(series, mask), self.spectrum(series, mask)], dim=1)


class Competitions(nn.Module):
    """Random kernels of many dilations, as in Hydra (Dempster et al. 2023, arXiv 2203.13652).

    At each step the kernels of a group compete. Features are how often each wins, and how strong it is then,
    on the series and on its differences.
    """

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        random = np.random.default_rng(SEED)
        count = GROUPS * KERNELS
        self.pooled = math.ceil(length / MAX_STEPS)
        length = math.ceil(length / self.pooled)
        self.dilations = [2**i for i in range(max(1, int(math.log2(max(2, length / KERNEL))) + 1))]
        for dilation in self.dilations:
            weight = random.normal(size=(count, channels, KERNEL))
            weight -= weight.mean(2, keepdims=True)
            order = random.random((count, channels)).argsort(1)
            weight *= (order < MAX_CHANNELS)[:, :, None]
            weight /= np.sqrt(np.square(weight).sum((1, 2), keepdims=True))
            self.register_buffer(f"weight_{dilation}", torch.from_numpy(weight.astype(np.float32)))

    def forward(self, series: Tensor, mask: Tensor) -> Tensor:
        """(n, C, time), (n, 1, time) -> (n, features)"""
        if self.pooled > 1:
            series, mask = pool(series, mask, self.pooled)
        later = F.pad(series[:, :, 1:] - series[:, :, :-1], (1, 0)) * mask
        features = []
        for each in (series, later):
            for dilation in self.dilations:
                weight = getattr(self, f"weight_{dilation}")
                padding = dilation * (KERNEL // 2)
                features += compete(F.conv1d(each, weight, padding=padding, dilation=dilation), mask)
        return torch.cat(features, dim=1)


def pool(series: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each `size` steps, without padding, and the mask of these means."""
    both = F.avg_pool1d(F.pad(torch.cat([series, mask], 1), (0, size - 1)), size)
    series, share = both[:, :-1], both[:, -1:]
    return series / share.clamp(min=1e-6), (share > 0).to(series.dtype)


def compete(responses: Tensor, mask: Tensor) -> list[Tensor]:
    """Return each kernel's share of wins and its mean response in them: (n, G * K, time) -> two (n, G * K)"""
    steps = mask.sum(2).clamp(min=1.0)
    groups = responses.unflatten(1, (GROUPS, KERNELS))
    power = (responses.square() * mask).sum(2).unflatten(1, (GROUPS, KERNELS)).mean(2) / steps
    size = power.sqrt().clamp(min=MIN_SIZE)[:, :, None, None]
    wins = (SHARPNESS * groups / size).softmax(2).flatten(1, 2) * mask
    strength = (wins * responses).sum(2) / steps
    return [wins.sum(2) / steps, strength.sign() * strength.abs().sqrt()]


class Spectrum(nn.Module):
    """Log power in bands of frequency: mean, deviation, change from frame to frame, and means of segments.

    The bands are narrow at low frequencies and wide at high ones, as in hearing.
    """

    cosine: Tensor
    sine: Tensor
    bands: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        window = 2 ** int(math.log2(min(MAX_WINDOW, max(MIN_WINDOW, length / 4))))
        self.window, self.hop = window, window // 2
        at = np.arange(window)
        shape = np.hanning(window + 1)[:-1] / np.sqrt(window)
        angle = 2 * np.pi * np.outer(np.arange(window // 2 + 1), at) / window
        self.register_buffer("cosine", to_kernel(shape * np.cos(angle)))
        self.register_buffer("sine", to_kernel(shape * np.sin(angle)))
        self.register_buffer("bands", torch.from_numpy(make_bands(window // 2 + 1).astype(np.float32)))

    def forward(self, series: Tensor, mask: Tensor) -> Tensor:
        """(n, C, time), (n, 1, time) -> (n, features)"""
        log, present = self.compute_frames(series, mask)
        frames = present.sum(1, keepdim=True).clamp(min=1.0)
        mean = (log * present).sum(1, keepdim=True) / frames
        deviation = ((log - mean).square() * present).sum(1, keepdim=True) / frames
        both = present[:, 1:] * present[:, :-1]
        change = ((log[:, 1:] - log[:, :-1]).square() * both).sum(1, keepdim=True) / frames
        position = (present.cumsum(1) - 1) / frames * SEGMENTS
        features = [mean, (deviation + 1e-6).sqrt(), (change + 1e-6).sqrt()]
        for segment in range(SEGMENTS):
            # Overlapping triangles, so that a frame more or less changes little.
            share = (1 - (position - segment - 0.5).abs()).clamp(min=0) * present
            features.append((log * share).sum(1, keepdim=True) / share.sum(1, keepdim=True).clamp(min=1e-3))
        return torch.cat(features, dim=1).flatten(1)

    def compute_frames(self, series: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the log power of each frame, and the mask of frames.

        (n, C, time), (n, 1, time) -> (n, frames, C * bands), (n, frames, 1)
        """
        n, channels = series.shape[0], series.shape[1]
        padded = F.pad(series, (self.hop, self.window)).flatten(0, 1)[:, None]
        real, imaginary = (F.conv1d(padded, each, stride=self.hop) for each in (self.cosine, self.sine))
        power = (real.square() + imaginary.square()).transpose(1, 2) @ self.bands
        log = (power + SILENCE).log().unflatten(0, (n, channels)).transpose(1, 2).flatten(2)
        # A frame counts if the step in its middle is one of the series.
        present = F.pad(mask, (0, self.window))[:, :, :: self.hop][:, :, : log.shape[1]].transpose(1, 2)
        return log, present


def to_kernel(rows: NDArray[np.float64]) -> Tensor:
    """Return rows as kernels of a convolution of one channel."""
    return torch.from_numpy(rows.astype(np.float32))[:, None]


def make_bands(n_frequencies: int) -> NDArray[np.float64]:
    """Return triangular bands that are evenly spaced on the mel scale: (frequencies, bands)

    The highest frequency is taken for 4 kHz; half or twice as much changes the spacing little.
    """
    n_bands = min(MAX_BANDS, n_frequencies)
    mel = np.linspace(0, np.log1p(4000 / 700), n_bands)
    centres = 700 * np.expm1(mel) / 4000 * (n_frequencies - 1)
    width = np.maximum(np.gradient(centres), 1.0)
    distance = np.abs(np.arange(n_frequencies)[:, None] - centres[None])
    bands: NDArray[np.float64] = np.maximum(0, 1 - distance / width)
    total: NDArray[np.float64] = np.maximum(bands.sum(0), 1e-6)
    return bands / total


class FixedSeries(Pretrained):
    """One hidden layer on fixed features, which are computed once as those of a frozen encoder."""

    ragged = True

    def __init__(self, modality: SeriesModality, *, width: int, dropout: float) -> None:
        example = torch.ones(1, min(modality.length, MAX_WINDOW), len(modality.channels) + 1)
        super().__init__(
            FixedFeatures(modality), example, last=(), width=width, dropout=dropout, trained="none"
        )
