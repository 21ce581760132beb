"""Corrupted copies of time series: what broken sensors send."""

import torch
from torch import Generator, Tensor

from tailfuse.modalities.corruption import pick_rows


def corrupt_series(rows: Tensor, generator: Generator) -> Tensor:
    """Noise alone or on top, shuffled steps, flat lines, scaled down or up; of the same length.

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
    candidates = torch.stack(
        [
            noise * scale,
            values + noise * scale,
            values.gather(1, order.expand(values.shape)),
            flat.expand(values.shape),
            values * factor,
        ]
    )
    return torch.cat([pick_rows(candidates, generator) * mask, mask], dim=2)
