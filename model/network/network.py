"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.confidence import ConfidenceNetwork
from model.network.experts import ExpertHead, adjustments, aggregate
from model.network.fusion import Fusion, JointBranch, modulation


class Encoded(NamedTuple):
    """The present rows of one modality."""

    embedding: Tensor  # (n_m, W)
    logits: Tensor  # (n_m, E, C)


class Answer(NamedTuple):
    """What is asked for."""

    probabilities: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor  # (B, M)


Rows = Mapping[str, Tensor]


class Network(nn.Module):
    """What is trained, and what is exported: one forward for both."""

    adjustment: Tensor
    log_prior: Tensor

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        *,
        width: int,
        taus: Sequence[float],
        prior: Tensor,
        dropout: float,
        n_prototypes: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.modalities = list(encoders)
        self.width = width
        n_modalities, n_classes, n_experts = len(encoders), len(prior), len(taus)
        self.encoders = nn.ModuleList(encoders.values())
        self.heads = nn.ModuleList(ExpertHead(width, n_experts, n_classes) for _ in encoders)
        self.joint = JointBranch(n_modalities, width, n_experts, n_classes, dropout)
        self.confidences = nn.ModuleList(ConfidenceNetwork(n_prototypes[name], width) for name in encoders)
        self.fusion = Fusion(n_modalities)
        self.register_buffer("adjustment", adjustments(prior, taus))
        # All classes alike, until `tailfuse adapt` writes into the graphs how frequent each one is.
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def encode(self, inputs: Rows) -> dict[str, Encoded]:
        """Each modality's present rows through its encoder and its experts."""
        return {name: self.encode_one(name, inputs[name]) for name in self.modalities}

    def encode_one(self, name: str, rows: Tensor) -> Encoded:
        """Rows of one modality, (n, ...), through its encoder and its experts."""
        m = self.modalities.index(name)
        if not self.training:
            embedding = self.encoders[m](rows)
        else:
            self.encoders[m].train(len(rows) > 1)  # batch norm cannot learn from one row
            # Without rows a blank one goes through, so that every weight has a gradient on every device.
            filled = rows if len(rows) else rows.new_zeros((1, *rows.shape[1:]))
            embedding = self.encoders[m](filled)[: len(rows)]
        return Encoded(embedding, self.heads[m](embedding))

    def scatter(self, present: Sequence[Tensor], rows: Rows, size: int) -> Tensor:
        """Lay the rows of each modality, (n_m, ...) each, at their samples: (B, M, ...), absent slots 0."""
        slots = self.adjustment.new_zeros((len(present), size, *present[0].shape[1:]))
        for m, (name, values) in enumerate(zip(self.modalities, present, strict=True)):
            slots = slots.index_put((torch.full_like(rows[name], m), rows[name]), values.to(slots.dtype))
        return slots.transpose(0, 1)

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
