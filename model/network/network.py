"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.confidence import ConfidenceNetwork
from model.network.experts import aggregate
from model.network.fusion import Fusion, modulation
from model.network.head import losses_alone, make_heads
from model.network.joint import JointBranch
from model.network.long_tail import LongTail
from model.network.ragged import Rows, embed, scatter


class Encoded(NamedTuple):
    """The present rows of one modality."""

    embedding: Tensor  # (n_m, W)
    logits: Tensor  # (n_m, E, C)


class Answer(NamedTuple):
    """What is asked for."""

    probabilities: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor  # (B, M)


class Network(nn.Module):
    """What is trained, and what is exported: one forward for both."""

    log_prior: Tensor

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        width: int,
        n_classes: int,
        tail: LongTail,
        dropout: float,
        n_prototypes: Mapping[str, int],
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        self.modalities = list(encoders)
        self.width = width
        self.n_classes = n_classes
        n_modalities = len(encoders)
        self.encoders = nn.ModuleList(encoders.values())
        self.heads = make_heads(n_modalities, width, tail, n_classes)
        self.joint = JointBranch(n_modalities, width, tail, n_classes, dropout)
        self.confidences = nn.ModuleList(ConfidenceNetwork(n_prototypes[name], width) for name in encoders)
        self.fusion = fusion or Fusion(n_modalities)
        for part in (self.confidences, self.fusion):
            part.requires_grad_(False)  # fitted later, on held-out rows
        # All classes alike, until `tailfuse adapt` writes into the graphs how frequent each one is.
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def encode(self, inputs: Rows) -> dict[str, Encoded]:
        """Each modality's present rows through its encoder and its experts."""
        return {name: self.encode_one(name, inputs[name]) for name in self.modalities}

    def encode_one(self, name: str, rows: Tensor) -> Encoded:
        """Rows of one modality, (n, ...), through its encoder and its experts."""
        m = self.modalities.index(name)
        embedding = embed(self.encoders[m], rows, training=self.training)
        return Encoded(embedding, self.heads[m](embedding))

    def scatter(self, present: Sequence[Tensor], rows: Rows, size: int) -> Tensor:
        """Lay the rows of each modality, (n_m, ...) each, at their samples: (B, M, ...), absent slots 0."""
        return scatter(present, [rows[name] for name in self.modalities], size)

    def scores(self, encoded: Mapping[str, Encoded]) -> list[Tensor]:
        """The log-odds of each modality being right, for its present rows: (n_m,) each."""
        return [self.confidence(name).score(*encoded[name]) for name in self.modalities]

    def confidence(self, name: str) -> ConfidenceNetwork:
        """The confidence network of a modality."""
        network = self.confidences[self.modalities.index(name)]
        assert isinstance(network, ConfidenceNetwork)
        return network

    def forward(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer:
        """A ragged batch -> probabilities, weights, confidences.

        inputs[m] (n_m, ...), rows[m] (n_m,) the sample of each, presence (B, M) bool.
        """
        encoded = self.encode(inputs)
        size = presence.shape[0]
        embeddings = self.scatter([each.embedding for each in encoded.values()], rows, size)
        votes = self.scatter([aggregate(each.logits) for each in encoded.values()], rows, size)
        scores = self.scatter(self.scores(encoded), rows, size)
        weights = self.fusion.weights(scores, presence)
        joint = self.joint(embeddings, modulation(weights, presence))
        log_p = self.fusion.log_probabilities(votes, joint, weights, presence)
        log_p = F.log_softmax(log_p + self.log_prior, dim=-1)
        return Answer(log_p.exp(), weights, scores.sigmoid().masked_fill(~presence, 0.0))

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The joint branch's loss plus those of the modalities alone, means over a batch.

        (B, M, W), (B, M), u (B, M) in 0..1, probabilities (B, C), share of the training done -> scalar
        """
        alone = losses_alone(self.heads, embeddings, presence, target, progress)
        return self.joint.loss(embeddings, u, target, progress) + alone.sum()

    def fitted(self) -> dict[str, Tensor]:
        """What was fitted on held-out rows to calibrate the answers."""
        return self.fusion.fitted()
