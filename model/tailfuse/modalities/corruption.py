"""What the corruptions of several kinds share."""

import torch
from torch import Generator, Tensor


def pick_rows(candidates: Tensor, generator: Generator) -> Tensor:
    """Pick one of k candidates for each row: (k, n, ...) -> (n, ...)"""
    which = torch.randint(0, len(candidates), (candidates.shape[1],), generator=generator)
    return candidates[which, torch.arange(candidates.shape[1])]
