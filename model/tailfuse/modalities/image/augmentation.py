"""Augmentation of training images: small shifts, turns and zooms, and changes of brightness."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, TURN, ZOOM, LIGHT = 0.08, math.radians(12), 0.12, 0.15


def augment(images: Tensor) -> Tensor:
    """Each image moved, turned, scaled and lit a little at random: (n, channels, h, w) 0..255 -> float.

    No mirror image: for letters, digits and many defects that is another class.
    """
    n = len(images)
    if not n:  # grid_sample takes no empty batch
        return images.float()

    def between(limit: float) -> Tensor:
        return (torch.rand(n, device=images.device) * 2 - 1) * limit

    pixels = images.float()
    turn, zoom = between(TURN), 1 + between(ZOOM)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    moves = torch.stack([cos, -sin, between(SHIFT), sin, cos, between(SHIFT)], dim=1).view(n, 2, 3)
    grid = F.affine_grid(moves, list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return (moved * (1 + between(LIGHT))[:, None, None, None]).clamp(0, 255)
