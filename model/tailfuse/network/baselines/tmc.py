"""Trusted multi-view classification (Han et al. 2021): evidence for classes, combined as beliefs.

    e_m = softplus(L_m h_m)        evidence for each class, at least 0
    S_m = C + sum_c e_mc           the total, with one piece of evidence for every class in advance
    b_m = e_m / S_m, u_m = C / S_m beliefs, and the belief that nothing is known; they sum to 1
    b, u                           the opinions of the modalities present, combined by Dempster's rule
    p   = (e + 1) / S              where S = C / u and e = b S

A modality without evidence, and an absent one, has u = 1 and changes nothing. Loss: for every modality and
for the combined opinion the expected cross-entropy of the Dirichlet distribution with parameters e + 1, and
its divergence from the uniform one once the evidence for the true class is taken out. As in the authors' code
the divergence comes in slowly, over the first tenth of the training. They do not treat class imbalance: here
the spec's loss corrects the prediction for the training prior.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer
from tailfuse.network.head import average_present

FULL_DIVERGENCE_FROM = 0.1  # share of the training: epoch 50 of 500
SMALLEST = 1e-6


class Opinion(NamedTuple):
    """Beliefs in the classes (..., C), and the rest, that nothing is known (...). They sum to 1."""

    beliefs: Tensor
    unknown: Tensor


class TrustedMultiView(nn.Module):
    """Linear layers that give evidence, and Dempster's rule."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, n_classes) for _ in range(n_modalities))
        self.loss_fn = loss_fn

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the combined opinion; weights are the shares of what the modalities know"""
        class_evidence = self.compute_evidence(embeddings)
        opinions = form_opinions(class_evidence, presence)
        combined = combine_all(opinions)
        log_p = (recover_evidence(combined) + 1).log()
        known = (1 - opinions.unknown).clamp(min=SMALLEST) * presence
        separate = self.loss_fn.separate_experts(log_p.unsqueeze(-2))
        return FusedAnswer(aggregate(separate), known / known.sum(-1, keepdim=True), known)

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The modalities' losses and that of the opinion of those whose u is not 0."""
        class_evidence = self.compute_evidence(embeddings)
        share = min(1.0, progress / FULL_DIVERGENCE_FROM)
        alone = compute_evidential_loss(class_evidence, target[:, None, :], share)
        combined = combine_all(form_opinions(class_evidence, u > 0))
        fused = compute_evidential_loss(recover_evidence(combined), target, share)
        return fused.mean() + average_present(alone, presence).sum()

    def compute_evidence(self, embeddings: Tensor) -> Tensor:
        """Compute each modality's evidence: (B, M, W) -> (B, M, C)"""
        logits = [layer(embeddings[:, m]) for m, layer in enumerate(self.layers)]
        return F.softplus(torch.stack(logits, dim=1))


def form_opinions(class_evidence: Tensor, presence: Tensor) -> Opinion:
    """Form the opinion of each modality: (B, M, C), (B, M) -> (B, M, C), (B, M)"""
    class_evidence = class_evidence * presence[:, :, None]
    total = class_evidence.sum(-1) + class_evidence.shape[-1]
    return Opinion(class_evidence / total[:, :, None], class_evidence.shape[-1] / total)


def combine_all(opinions: Opinion) -> Opinion:
    """Combine the opinions of all modalities: (B, M, C), (B, M) -> (B, C), (B,)"""
    pairs = zip(opinions.beliefs.unbind(1), opinions.unknown.unbind(1), strict=True)
    first, *others = (Opinion(*pair) for pair in pairs)
    for each in others:
        first = combine(first, each)
    return first


def combine(one: Opinion, other: Opinion) -> Opinion:
    """Combine two opinions by Dempster's rule: without what contradicts, scaled to sum to 1."""
    beliefs = (
        one.beliefs * other.beliefs
        + one.beliefs * other.unknown[..., None]
        + other.beliefs * one.unknown[..., None]
    )
    unknown = one.unknown * other.unknown
    total = beliefs.sum(-1) + unknown  # 1 - conflict, never 0: unknown never is
    return Opinion(beliefs / total[..., None], unknown / total)


def recover_evidence(opinion: Opinion) -> Tensor:
    """Recover the evidence that an opinion stands for: (..., C)"""
    total = opinion.beliefs.shape[-1] / opinion.unknown.clamp(min=SMALLEST)
    return opinion.beliefs * total[..., None]


def compute_evidential_loss(class_evidence: Tensor, target: Tensor, share: float) -> Tensor:
    """Compute the expected cross-entropy, and `share` of the divergence: (..., C), (..., C) -> (...)"""
    alpha = class_evidence + 1
    expected = (target * (alpha.sum(-1, keepdim=True).digamma() - alpha.digamma())).sum(-1)
    others = target + (1 - target) * alpha  # without the evidence for the true class
    return expected + share * compute_divergence(others)


def compute_divergence(alpha: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence of Dirichlet(alpha) from the uniform one: (..., C) -> (...)"""
    total = alpha.sum(-1)
    n_classes = torch.tensor(float(alpha.shape[-1]), device=alpha.device)
    spread = (alpha - 1) * (alpha.digamma() - total.digamma()[..., None])
    return total.lgamma() - n_classes.lgamma() - alpha.lgamma().sum(-1) + spread.sum(-1)
