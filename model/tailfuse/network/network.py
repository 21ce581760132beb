"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes, D numbers
in a view.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from tailfuse_service.bundle import DISAGREEMENT, OUTPUT_NAMES
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.network.confidence import Confidences, statistics
from tailfuse.network.fusion import Fusion, ModalityPosteriors, disagreement, modulation
from tailfuse.network.head import losses_alone, make_heads
from tailfuse.network.joint import JointBranch
from tailfuse.network.plda import PldaHead
from tailfuse.network.ragged import Rows, encode, scatter, view_width


class Encoded(NamedTuple):
    """Rows of one modality, or of all modalities end to end, through their encoders and experts."""

    embedding: Tensor  # (n, W)
    logits: Tensor  # (n, E, C)
    densities: Tensor  # (n, C), of the PLDA head
    ood_scores: Tensor  # (n, N_DENSITIES)


class Scores(NamedTuple):
    """The answers of a modality's experts, and the statistics that its confidence is made from."""

    embedding: Tensor  # (n, W), or (B, M, W) with a slot for every modality; as those below
    log_p: Tensor  # (n, C), of the softmax experts
    densities: Tensor  # (n, C), of the PLDA head
    statistics: Tensor  # (n, N_STATISTICS)


class Answer(NamedTuple):
    """What is asked for. Where modalities have no answers of their own they cannot disagree."""

    probabilities: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor  # (B, M)
    disagreement: Tensor | None = None  # (B,), in bits


class Network(nn.Module):
    """What is trained, and what is exported: one forward for both."""

    log_prior: Tensor
    output_names = (*OUTPUT_NAMES, DISAGREEMENT)  # the fields of its Answer
    ranks: Tensor | None = None  # all modalities answer, in no order

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        width: int,
        n_classes: int,
        loss_fn: ImbalanceLoss,
        dropout: float,
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        self.modalities = list(encoders)
        self.width = width
        self.n_classes = n_classes
        self.loss_fn = loss_fn
        n_modalities = len(encoders)
        self.encoders = nn.ModuleList(encoders.values())
        self.heads = make_heads(n_modalities, width, loss_fn, n_classes)
        self.joint = JointBranch(n_modalities, width, loss_fn, n_classes, dropout)
        self.plda_heads = nn.ModuleList(
            PldaHead(view_width(encoder), n_classes) for encoder in encoders.values()
        )
        # Fitted later, on the calibration set.
        self.posteriors = ModalityPosteriors(n_modalities)
        self.confidences = Confidences(n_modalities)
        self.fusion = fusion or Fusion(n_modalities)
        for part in (self.confidences, self.fusion):
            part.requires_grad_(False)
        # All classes alike, until `tailfuse adapt` writes into the graphs how frequent each one is.
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def view(self, name: str, rows: Tensor) -> Tensor:
        """What the last layers of a modality's encoder see of its rows: (n, ...) -> (n, D)"""
        return encode(self.encoders[self.modalities.index(name)], rows, training=self.training)[0]

    def plda_head(self, name: str) -> PldaHead:
        """Return the PLDA head of a modality."""
        return cast(PldaHead, self.plda_heads[self.modalities.index(name)])

    def encode(self, name: str, rows: Tensor) -> Encoded:
        """Rows of one modality, (n, ...), through its encoder and its experts."""
        m = self.modalities.index(name)
        view, embedding = encode(self.encoders[m], rows, training=self.training)
        return Encoded(embedding, self.heads[m](embedding), *self.plda_heads[m](view))

    def score(self, name: str, rows: Tensor) -> Scores:
        """Score rows of one modality, (n, ...)."""
        return score(self.encode(name, rows))

    def score_batch(self, inputs: Rows, rows: Rows, size: int) -> Scores:
        """Score a ragged batch: (B, M, ...) each, absent slots 0.

        The rows of all modalities go through one copy of each step, end to end: a graph of a third of the
        nodes, and on few rows nodes are what time goes to.
        """
        encoded = [self.encode(name, inputs[name]) for name in self.modalities]
        scores = score(Encoded(*(torch.cat(each) for each in zip(*encoded, strict=True))))
        widths = [each.shape[1] for each in scores]
        slots = scatter(torch.cat(scores, -1), [rows[name] for name in self.modalities], size)
        return Scores(*slots.split(widths, dim=-1))

    def forward(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer:
        """A ragged batch -> probabilities, weights, confidences, disagreement.

        inputs[m] (n_m, ...), rows[m] (n_m,) the sample of each, presence (B, M) bool.
        """
        scores = self.score_batch(inputs, rows, presence.shape[0])
        real, right = self.confidences(scores.statistics)
        trust = self.fusion.trust(real, right, presence)
        joint = aggregate(self.joint(scores.embedding, modulation(trust.weights, presence)))
        own = self.posteriors(scores.log_p, scores.densities)
        log_p = self.fusion.log_probabilities(self.posteriors.soften(own), joint, trust, presence)
        confidences = (real.sigmoid() * right.sigmoid()).masked_fill(~presence, 0.0)
        probabilities = (log_p + self.log_prior).softmax(-1)
        return Answer(probabilities, trust.weights, confidences, disagreement(own, trust.weights))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The joint branch's loss plus those of the modalities alone, means over a batch.

        (B, M, W), (B, M), u (B, M) in 0..1, probabilities (B, C), share of the training done -> scalar
        """
        alone = losses_alone(self.heads, self.loss_fn, embeddings, presence, target, progress)
        return self.joint.loss(embeddings, u, target, progress) + alone.sum()

    def fitted(self) -> dict[str, Tensor]:
        """What was fitted on the calibration set to calibrate the answers."""
        return self.fusion.fitted()


def score(encoded: Encoded) -> Scores:
    """Score encoded rows."""
    embedding, logits, densities, ood_scores = encoded
    return Scores(embedding, aggregate(logits), densities, statistics(logits, densities, ood_scores))
