"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes, D numbers
in a view.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.confidence import ConfidenceNetwork, statistics
from model.network.experts import aggregate
from model.network.fusion import Fusion, Vote, modulation
from model.network.generative import Generative
from model.network.head import losses_alone, make_heads
from model.network.joint import JointBranch
from model.network.long_tail import LongTail
from model.network.ragged import Rows, encode, scatter, view_width


class Encoded(NamedTuple):
    """The present rows of one modality."""

    view: Tensor  # (n_m, D), what the encoder's last layers see
    embedding: Tensor  # (n_m, W)
    logits: Tensor  # (n_m, E, C)


class Seen(NamedTuple):
    """The same rows, looked at by all experts."""

    embedding: Tensor  # (n_m, W)
    log_p: Tensor  # (n_m, C), of the softmax experts
    densities: Tensor  # (n_m, C), of the generative one
    statistics: Tensor  # (n_m, N_STATISTICS)


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
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        self.modalities = list(encoders)
        self.width = width
        self.n_classes = n_classes
        self.tail = tail
        n_modalities = len(encoders)
        self.encoders = nn.ModuleList(encoders.values())
        self.heads = make_heads(n_modalities, width, tail, n_classes)
        self.joint = JointBranch(n_modalities, width, tail, n_classes, dropout)
        self.generatives = nn.ModuleList(
            Generative(view_width(encoder), n_classes) for encoder in encoders.values()
        )
        # Fitted later, on held-out rows.
        self.votes = nn.ModuleList(Vote() for _ in encoders)
        self.confidences = nn.ModuleList(ConfidenceNetwork() for _ in encoders)
        self.fusion = fusion or Fusion(n_modalities)
        for part in (self.confidences, self.fusion):
            part.requires_grad_(False)
        # All classes alike, until `tailfuse adapt` writes into the graphs how frequent each one is.
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def encode(self, inputs: Rows) -> dict[str, Encoded]:
        """Each modality's present rows through its encoder and its experts."""
        return {name: self.encode_one(name, inputs[name]) for name in self.modalities}

    def encode_one(self, name: str, rows: Tensor) -> Encoded:
        """Rows of one modality, (n, ...), through its encoder and its experts."""
        m = self.modalities.index(name)
        view, embedding = encode(self.encoders[m], rows, training=self.training)
        return Encoded(view, embedding, self.heads[m](embedding))

    def scatter(self, present: Sequence[Tensor], rows: Rows, size: int) -> Tensor:
        """Lay the rows of each modality, (n_m, ...) each, at their samples: (B, M, ...), absent slots 0."""
        return scatter(present, [rows[name] for name in self.modalities], size)

    def look(self, name: str, encoded: Encoded) -> Seen:
        """What the experts of one modality say, and the statistics that its confidence is made from."""
        densities, strangeness = self.generative(name)(encoded.view)
        seen = statistics(encoded.logits, densities, strangeness)
        return Seen(encoded.embedding, aggregate(encoded.logits), densities, seen)

    def generative(self, name: str) -> Generative:
        """The generative expert of a modality."""
        return cast(Generative, self.generatives[self.modalities.index(name)])

    def vote(self, name: str) -> Vote:
        """The vote of a modality."""
        return cast(Vote, self.votes[self.modalities.index(name)])

    def confidence(self, name: str) -> ConfidenceNetwork:
        """The confidence network of a modality."""
        return cast(ConfidenceNetwork, self.confidences[self.modalities.index(name)])

    def forward(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer:
        """A ragged batch -> probabilities, weights, confidences.

        inputs[m] (n_m, ...), rows[m] (n_m,) the sample of each, presence (B, M) bool.
        """
        size = presence.shape[0]
        seen = {name: self.look(name, each) for name, each in self.encode(inputs).items()}
        embeddings = self.scatter([each.embedding for each in seen.values()], rows, size)
        votes, doubts = self.judge(seen)
        real, right = self.scatter(doubts, rows, size).unbind(-1)
        trust = self.fusion.trust(real, right, presence)
        joint = aggregate(self.joint(embeddings, modulation(trust.weights, presence)))
        log_p = self.fusion.log_probabilities(self.scatter(votes, rows, size), joint, trust, presence)
        log_p = F.log_softmax(log_p + self.log_prior, dim=-1)
        confidences = (real.sigmoid() * right.sigmoid()).masked_fill(~presence, 0.0)
        return Answer(log_p.exp(), trust.weights, confidences)

    def judge(self, seen: Mapping[str, Seen]) -> tuple[list[Tensor], list[Tensor]]:
        """Of each modality's rows the votes (n_m, C), and the log-odds of being real and right (n_m, 2)."""
        votes = [self.vote(name)(each.log_p, each.densities) for name, each in seen.items()]
        doubts = [torch.stack(self.confidence(name)(each.statistics), 1) for name, each in seen.items()]
        return votes, doubts

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The joint branch's loss plus those of the modalities alone, means over a batch.

        (B, M, W), (B, M), u (B, M) in 0..1, probabilities (B, C), share of the training done -> scalar
        """
        alone = losses_alone(self.heads, self.tail, embeddings, presence, target, progress)
        return self.joint.loss(embeddings, u, target, progress) + alone.sum()

    def fitted(self) -> dict[str, Tensor]:
        """What was fitted on held-out rows to calibrate the answers."""
        return self.fusion.fitted()
