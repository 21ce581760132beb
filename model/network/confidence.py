"""Confidence: a modality's estimated probability of being right for this sample.

A network per modality sees statistics of how that modality's experts answer and of how far its embedding
lies from those of training rows. Its target is the true-class probability (Corbière et al. 2019; Han et
al. 2022), on rows the encoder has NOT been trained on, clean and damaged: on its own training rows an
encoder is always sure, and the confidence would learn nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.experts import aggregate

N_STATISTICS = 6


def statistics(embedding: Tensor, logits: Tensor, prototypes: Tensor) -> Tensor:
    """(n, W), (n, E, C), (P, W) -> (n, 6)

    Log-odds of the top class, log ratio of the top two, entropy, experts' disagreement, and the distance to
    the nearest and to the third nearest prototype, per unit of width. None moves when a constant is
    added to all logits.
    """
    joint = aggregate(logits)  # (n, C)
    log_p = joint.sort(dim=-1, descending=True).values
    odds = log_p[:, 0] - log_p[:, 1:].logsumexp(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    each = F.log_softmax(logits, dim=-1)  # (n, E, C)
    disagreement = (each.exp() * (each - joint[:, None, :])).sum(-1).mean(-1)
    three = squared_distances(embedding, prototypes).topk(3, dim=-1, largest=False).indices
    # Anew for these, without a product whose rounding depends on the size of the batch.
    squared = (embedding[:, None, :] - prototypes[three]).square().mean(-1)  # (n, 3)
    # The constant keeps the root's slope small: rounding must not show when a row is a prototype.
    nearest = (squared + 0.01).sqrt()
    return torch.stack(
        [odds, log_p[:, 0] - log_p[:, 1], entropy, disagreement, nearest[:, 0], nearest[:, 2]], dim=-1
    )


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, W), (P, W) -> (n, P). One matrix product; not torch.cdist, which ONNX has no operator for."""
    return (a * a).sum(-1, keepdim=True) - 2 * a @ b.T + (b * b).sum(-1)


class ConfidenceNetwork(nn.Module):
    """Statistics -> the log-odds of being right. Small: it is fitted on few rows."""

    mean: Tensor
    scale: Tensor
    prototypes: Tensor

    def __init__(self, n_prototypes: int, width: int, hidden: int = 16) -> None:
        super().__init__()
        # Embeddings of training rows, to tell what is far from everything that was seen.
        self.register_buffer("prototypes", torch.zeros(n_prototypes, width))
        self.register_buffer("mean", torch.zeros(N_STATISTICS))
        self.register_buffer("scale", torch.ones(N_STATISTICS))
        self.first, last = nn.Linear(N_STATISTICS, hidden), nn.Linear(hidden, 1)
        self.layers = nn.Sequential(self.first, nn.Tanh(), last)
        # Until it is fitted every modality is trusted alike.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def score(self, embedding: Tensor, logits: Tensor) -> Tensor:
        """The log-odds of being right: (n, W), (n, E, C) -> (n,)"""
        score: Tensor = self(statistics(embedding, logits, self.prototypes))
        return score

    def forward(self, seen: Tensor) -> Tensor:
        """(n, 6) -> (n,)"""
        logit: Tensor = self.layers((seen - self.mean) / self.scale)
        return logit.squeeze(-1)
