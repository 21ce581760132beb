"""Confidence-guided fusion of three experts, as the authors of arXiv 2605.10498 most probably wrote it.

    q_m, k_m  = A_m z_m, a_m . z_m                   class logits, and a confidence without bounds
    l_e       = L_e [k_1 h_e1; ...; k_M h_eM]        expert e; absent modalities are 0
    y         = softmax(mean of the experts' logits)

h_em and z_m are embeddings by encoders of their own: each expert has a set, and so have the confidences.
Losses: the experts' (`loss: sade` has the paper's three), balanced softmax of q_m, and
(k_m - softmax(q_m)[true class])^2 with gradients into both. All of it is learnt on the training rows. At test
time the authors weigh the experts by how well two augmented views of unlabelled test rows agree; the bench
does it in `tailfuse_bench.expert_weights`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.errors import SpecError
from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer
from tailfuse.network.head import average_present

SMALLEST = 1e-3


class Estimates(NamedTuple):
    """The answers and confidences from the embeddings of the last set of encoders."""

    logits: Tensor  # (B, M, C)
    confidences: Tensor  # (B, M)


class SadeMM(nn.Module):
    """A linear layer per expert, and two per modality."""

    expert_weights: Tensor  # (E,), sum to 1

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        if loss_fn.predict is not aggregate:
            raise SpecError("network.fusion: sade_mm averages experts; network.loss must be sade or experts")
        self.loss_fn = loss_fn
        self.sets = count_encoder_sets(loss_fn)
        self.experts = nn.ModuleList(
            nn.Linear(n_modalities * width, n_classes) for _ in range(loss_fn.n_experts)
        )
        self.classifiers = nn.ModuleList(nn.Linear(width, n_classes) for _ in range(n_modalities))
        self.confidences = nn.ModuleList(nn.Linear(width, 1) for _ in range(n_modalities))
        self.register_buffer("expert_weights", torch.full((loss_fn.n_experts,), 1 / loss_fn.n_experts))

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, sets W), (B, M) -> the experts' answer; weights are the confidences' shares

        A confidence below 0 has no share; in the experts it keeps its sign.
        """
        logits, estimates = self.compute_logits(embeddings, presence)
        fused = (self.expert_weights[:, None] * logits).sum(1)
        shown = estimates.confidences.clamp(SMALLEST, 1.0) * presence
        weights = shown / shown.sum(-1, keepdim=True).clamp(min=SMALLEST)
        return FusedAnswer(F.log_softmax(fused, dim=-1), weights, shown)

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """All losses; modalities whose u is 0 are left out of the experts."""
        logits, estimates = self.compute_logits(embeddings, u > 0)
        fused = self.loss_fn(logits, target, progress)
        assert self.loss_fn.prior is not None
        log_prior = self.loss_fn.prior.to(embeddings.device).log()
        balanced = -(target[:, None, :] * F.log_softmax(estimates.logits + log_prior, dim=-1)).sum(-1)
        true_class = (target[:, None, :] * F.softmax(estimates.logits, dim=-1)).sum(-1)
        wrong = (estimates.confidences - true_class).square()
        return fused.mean() + average_present(balanced + wrong, presence).sum()

    def compute_logits(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Estimates]:
        """Compute the experts' logits (B, E, C), and the estimates: (B, M, sets W), (B, M)"""
        *of_experts, last = embeddings.chunk(self.sets, dim=2)
        estimates = self.estimate(last)
        scale = (estimates.confidences * present)[:, :, None]
        pairs = zip(self.experts, of_experts, strict=True)
        return torch.stack([layer((scale * each).flatten(1)) for layer, each in pairs], dim=1), estimates

    def estimate(self, embeddings: Tensor) -> Estimates:
        """Estimate classes and confidences of each modality alone: (B, M, W)"""
        rows = list(zip(embeddings.unbind(1), self.classifiers, self.confidences, strict=True))
        logits = torch.stack([classify(each) for each, classify, _ in rows], dim=1)
        return Estimates(logits, torch.cat([rate(each) for each, _, rate in rows], dim=1))


def count_encoder_sets(loss_fn: ImbalanceLoss) -> int:
    """Count the sets of encoders: one for each expert, and one for the confidences."""
    return loss_fn.n_experts + 1
