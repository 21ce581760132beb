"""Damaged copies of rows: what a broken sensor, a dark camera or a garbled text looks like.

The confidence networks learn from these which inputs are unlike anything that was seen.
"""

import torch
import torch.nn.functional as F
from tailfuse_service.modalities import ImageModality, Modality, SeriesModality, TabularModality, TextModality
from torch import Tensor


def damage(rows: Tensor, modality: Modality, generator: torch.Generator) -> Tensor:
    """A damaged copy of every row of a modality, of the same shape and type."""
    if isinstance(modality, TabularModality):
        return damage_numbers(rows, generator)
    if isinstance(modality, ImageModality):
        return damage_pictures(rows, generator)
    if isinstance(modality, SeriesModality):
        return damage_series(rows, generator)
    assert isinstance(modality, TextModality)
    return damage_tokens(rows, modality.buckets, generator)


def damage_numbers(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of scale 0.5..4 alone or on top, columns from other rows, a constant, scaled down or up."""
    n, width = rows.shape
    noise = torch.randn(rows.shape, generator=generator)
    scale = 0.5 * 8 ** torch.rand(n, 1, generator=generator)
    order = torch.rand(rows.shape, generator=generator).argsort(0)
    constant = torch.randn(n, 1, generator=generator) * (torch.rand(n, 1, generator=generator) < 0.5)
    factor = torch.where(
        torch.rand(n, 1, generator=generator) < 0.5,
        0.3 * torch.rand(n, 1, generator=generator),
        3 + 3 * torch.rand(n, 1, generator=generator),
    )
    kinds = torch.stack(
        [noise * scale, rows + noise * scale, rows.gather(0, order), constant.expand(n, width), rows * factor]
    )
    return pick(kinds, generator)


def damage_pictures(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Black; white or grey; noise alone or on top; blurred, or in blocks, beyond use; pale; inverted."""
    n = len(rows)
    pixels = rows.float()

    def cells(most: int) -> int:
        return int(torch.randint(2, max(most, 2) + 1, (), generator=generator))

    level = 255 * (torch.randint(1, 5, (n, 1, 1, 1), generator=generator) / 4)
    noise = torch.randn(pixels.shape, generator=generator)
    kinds = torch.stack(
        [
            torch.zeros_like(pixels),  # of its own: on dark pictures it is the hardest to tell
            level.expand(pixels.shape),
            127.5 + 64 * noise,
            pixels + 128 * noise,
            coarse(pixels, cells(6), "bilinear"),
            coarse(pixels, cells(min(pixels.shape[2:]) // 8), "nearest"),  # as JPEG of least quality does
            pixels.mean((2, 3), keepdim=True).expand(pixels.shape) + 0.1 * (pixels - 127.5),
            255 - pixels,
        ]
    )
    return pick(kinds, generator).clamp(0, 255).round().to(rows.dtype)


def coarse(pixels: Tensor, cells: int, mode: str) -> Tensor:
    """Of a picture only the means of cells x cells parts: (n, channels, height, width)"""
    return F.interpolate(F.adaptive_avg_pool2d(pixels, cells), size=pixels.shape[2:], mode=mode)


def damage_series(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Noise alone or on top, its steps shuffled, flat lines, scaled down or up; as long as before.

    (n, time, channels + 1), the last one the mask.
    """
    n, mask = len(rows), rows[:, :, -1:]
    values = rows[:, :, :-1]
    noise = torch.randn(values.shape, generator=generator)
    scale = 0.5 * 8 ** torch.rand(n, 1, 1, generator=generator)
    order = (torch.rand(mask.shape, generator=generator) - mask).argsort(1)  # padding stays behind
    flat = torch.randn(n, 1, values.shape[2], generator=generator)
    flat = flat * (torch.rand(n, 1, 1, generator=generator) < 0.5)
    factor = torch.where(
        torch.rand(n, 1, 1, generator=generator) < 0.5,
        0.3 * torch.rand(n, 1, 1, generator=generator),
        3 + 3 * torch.rand(n, 1, 1, generator=generator),
    )
    kinds = torch.stack(
        [
            noise * scale,
            values + noise * scale,
            values.gather(1, order.expand(values.shape)),
            flat.expand(values.shape),
            values * factor,
        ]
    )
    return torch.cat([pick(kinds, generator) * mask, mask], dim=2)


def damage_tokens(rows: Tensor, buckets: int, generator: torch.Generator) -> Tensor:
    """Words nobody has used."""
    other = torch.randint(1, buckets + 1, rows.shape, generator=generator)
    return torch.where(rows > 0, other, rows)


def pick(kinds: Tensor, generator: torch.Generator) -> Tensor:
    """One of the kinds for each row: (k, n, ...) -> (n, ...)"""
    which = torch.randint(0, len(kinds), (kinds.shape[1],), generator=generator)
    return kinds[which, torch.arange(kinds.shape[1])]
