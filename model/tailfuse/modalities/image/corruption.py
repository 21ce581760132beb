"""Corrupted copies of images: what a dark, blind or broken camera sends."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from tailfuse.modalities.corruption import pick_rows


def corrupt_images(rows: Tensor, generator: Generator) -> Tensor:
    """Black; white or grey; noise alone or on top; blurred, or in blocks, beyond use; pale; inverted."""
    n = len(rows)
    pixels = rows.float()

    def draw_cells(limit: int) -> int:
        return int(torch.randint(2, max(limit, 2) + 1, (), generator=generator))

    level = 255 * (torch.randint(1, 5, (n, 1, 1, 1), generator=generator) / 4)
    noise = torch.randn(pixels.shape, generator=generator)
    candidates = torch.stack(
        [
            torch.zeros_like(pixels),  # by itself: among dark images it is the hardest to recognise
            level.expand(pixels.shape),
            127.5 + 64 * noise,
            pixels + 128 * noise,
            average_cells(pixels, draw_cells(6), "bilinear"),
            # As JPEG of the lowest quality does.
            average_cells(pixels, draw_cells(min(pixels.shape[2:]) // 8), "nearest"),
            pixels.mean((2, 3), keepdim=True).expand(pixels.shape) + 0.1 * (pixels - 127.5),
            255 - pixels,
        ]
    )
    return pick_rows(candidates, generator).clamp(0, 255).round().to(rows.dtype)


def average_cells(pixels: Tensor, cells: int, mode: str) -> Tensor:
    """Replace an image by the means of cells x cells parts: (n, channels, height, width)"""
    return F.interpolate(F.adaptive_avg_pool2d(pixels, cells), size=pixels.shape[2:], mode=mode)
