"""A short training of an encoder, to compare encoders by their loss on rows that were held out."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tailfuse.modalities.ragged import pad_rows

WIDTH, DROPOUT, INPUT_DROPOUT = 128, 0.5, 0.2  # of the encoders, as in a network
EVALUATE_EVERY, LEARNING_RATE, WEIGHT_DECAY = 50, 2e-3, 0.05


def train_briefly(
    encoder: nn.Module, rows: NDArray[Any], codes: NDArray[np.int64], judges: NDArray[np.bool_], *,
    n_classes: int, steps: int, batch_size: int, seed: int,
) -> float:  # fmt: skip
    """Train an encoder and a linear layer on the rows (n, ...) that do not judge.

    Return the lowest class-balanced negative log-likelihood of the judges on the way. It is at most that of a
    guess, so it is finite where the training fails. `codes` (n,) are 0 to `n_classes` - 1.
    """
    network = nn.Sequential(encoder, nn.Linear(WIDTH, n_classes))
    counts = np.bincount(codes[~judges], minlength=n_classes)
    log_prior = torch.from_numpy(np.log((counts + 1) / (counts + 1).sum())).float()
    learnt = [each for each in network.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    random, others, best = np.random.default_rng(seed), np.flatnonzero(~judges), float(np.log(n_classes))
    for step in range(1, steps + 1):
        at = random.choice(others, batch_size)
        logits = network.train()(torch.from_numpy(pad_rows(rows[at], rows)))
        optimizer.zero_grad()
        # With the prior in the loss, all classes count alike in the answers.
        F.cross_entropy(logits + log_prior, torch.from_numpy(codes[at])).backward()
        optimizer.step()
        if step % EVALUATE_EVERY == 0:
            best = min(best, measure_loss(network, rows[judges], codes[judges], rows, batch_size))
    return best


@torch.no_grad()
def measure_loss(
    network: nn.Module, rows: NDArray[Any], codes: NDArray[np.int64], like: NDArray[Any], batch_size: int
) -> float:
    """Measure the class-balanced negative log-likelihood of rows; `like` as for `pad_rows`."""
    network.eval()
    pieces: list[Tensor] = [
        network(torch.from_numpy(pad_rows(rows[start : start + batch_size], like)))
        for start in range(0, len(rows), batch_size)
    ]
    logits = torch.cat(pieces)
    weights = 1 / np.maximum(np.bincount(codes, minlength=logits.shape[1]), 1)
    return float(F.cross_entropy(logits, torch.from_numpy(codes), torch.from_numpy(weights).float()))
