"""Multimodal Dynamics (Han et al. 2022): informativeness of features and of modalities, sample by sample.

    h'_m = sigmoid(G_m h_m) * h_m          uninformative features are gated out; open gates are penalised
    c_m  = sigmoid(a_m . h'_m)             the confidence: an estimate of p_m(true class)
    y    = head([c_1 h'_1; ...; c_M h'_M])

Losses: that of y, of a head on each h'_m, the gates' mean, and (c_m - p_m(true class))^2, all with weight 1
as in the authors' code. All of it is learnt on the training rows. The authors gate the input's columns and
leave c_m unbounded; here the embedding is gated, as images and texts have no columns, and c_m lies in 0..1.
An absent modality is 0.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.baselines.fused import FusedAnswer
from tailfuse.network.head import Head, average_present, compute_modality_losses, make_heads
from tailfuse.network.joint import make_hidden_layers


class GatedEmbeddings(NamedTuple):
    """The embeddings after their gates, and the confidences."""

    gates: Tensor  # (B, M, W)
    gated: Tensor  # (B, M, W)
    confidences: Tensor  # (B, M)


class Dynamics(nn.Module):
    """Gates, heads, confidences, and a head on the concatenation that they scale."""

    def __init__(
        self, n_modalities: int, width: int, loss_fn: ImbalanceLoss, n_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(n_modalities))
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)
        self.confidences = nn.ModuleList(nn.Linear(width, 1) for _ in range(n_modalities))
        self.mix = nn.Linear(n_modalities * width, width)
        self.layers = make_hidden_layers(width, dropout)
        self.head = Head(width, loss_fn, n_classes)
        self.loss_fn = loss_fn

    def forward(self, embeddings: Tensor, presence: Tensor) -> FusedAnswer:
        """(B, M, W), (B, M) -> the head's answer; weights are the confidences' shares"""
        gated_embeddings = self.gate(embeddings)
        present = gated_embeddings.confidences * presence
        logits = self.head(self.compute_hidden(gated_embeddings, presence))
        return FusedAnswer(
            aggregate(logits), present / present.sum(-1, keepdim=True), gated_embeddings.confidences
        )

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """All four losses; modalities whose u is 0 are left out of the concatenation."""
        gated_embeddings = self.gate(embeddings)
        alone = compute_modality_losses(
            self.heads, self.loss_fn, gated_embeddings.gated, presence, target, progress
        )
        with torch.no_grad():
            log_posteriors = [
                self.loss_fn.predict(head(gated_embeddings.gated[:, m])) for m, head in enumerate(self.heads)
            ]
            true_class = (torch.stack(log_posteriors, 1).exp() * target[:, None, :]).sum(-1)
        wrong = (gated_embeddings.confidences - true_class).square() + gated_embeddings.gates.mean(-1)
        fused = self.head.loss(self.compute_hidden(gated_embeddings, u > 0), target, progress)
        return fused.mean() + (alone + average_present(wrong, presence)).sum()

    def gate(self, embeddings: Tensor) -> GatedEmbeddings:
        """Gate the embeddings and estimate confidences: (B, M, W)"""
        pairs = list(zip(embeddings.unbind(1), self.gates, self.confidences, strict=True))
        gates = torch.stack([gate(h).sigmoid() for h, gate, _ in pairs], dim=1)
        gated = gates * embeddings
        scores = [score(gated[:, m]) for m, (_, _, score) in enumerate(pairs)]
        return GatedEmbeddings(gates, gated, torch.cat(scores, dim=1).sigmoid())

    def compute_hidden(self, gated_embeddings: GatedEmbeddings, present: Tensor) -> Tensor:
        """Compute the hidden layer on present modalities, scaled by their confidences: (B, M) -> (B, W)"""
        scale = (gated_embeddings.confidences * present)[:, :, None]
        hidden: Tensor = self.layers(self.mix((scale * gated_embeddings.gated).flatten(1)))
        return hidden
