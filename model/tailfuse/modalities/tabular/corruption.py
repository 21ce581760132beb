"""Corrupted copies of rows of numbers: what broken sensors send."""

import torch
from torch import Generator, Tensor

from tailfuse.modalities.corruption import pick_rows


def corrupt_numbers(rows: Tensor, generator: Generator) -> Tensor:
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
    candidates = torch.stack(
        [noise * scale, rows + noise * scale, rows.gather(0, order), constant.expand(n, width), rows * factor]
    )
    return pick_rows(candidates, generator)
