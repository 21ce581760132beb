"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes, D numbers
in a view.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from tailfuse.network.confidence import ConfidenceNetwork, all_doubts, statistics
from tailfuse.network.experts import aggregate
from tailfuse.network.fusion import Fusion, Vote, all_votes, disagreement, modulation
from tailfuse.network.generative import Generative
from tailfuse.network.head import losses_alone, make_heads
from tailfuse.network.joint import JointBranch
from tailfuse.network.long_tail import LongTail
from tailfuse.network.ragged import Rows, encode, scatter, scatter_rows, view_width


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
    """What is asked for. Where modalities have no answers of their own they cannot disagree."""

    probabilities: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor  # (B, M)
    disagreement: Tensor | None = None  # (B,), in bits


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
        """A ragged batch -> probabilities, weights, confidences, disagreement.

        inputs[m] (n_m, ...), rows[m] (n_m,) the sample of each, presence (B, M) bool.
        """
        embeddings, log_p, densities, seen = self.look_at_all(inputs, rows, presence.shape[0])
        real, right = all_doubts(self.confidences, seen)
        trust = self.fusion.trust(real, right, presence)
        joint = aggregate(self.joint(embeddings, modulation(trust.weights, presence)))
        votes, own = all_votes(self.votes, log_p, densities)
        log_p = self.fusion.log_probabilities(votes, joint, trust, presence)
        confidences = (real.sigmoid() * right.sigmoid()).masked_fill(~presence, 0.0)
        probabilities = (log_p + self.log_prior).softmax(-1)
        return Answer(probabilities, trust.weights, confidences, disagreement(own, trust.weights))

    def look_at_all(self, inputs: Rows, rows: Rows, size: int) -> Seen:
        """What is seen of a whole ragged batch, laid at its samples: (B, M, ...) each, absent slots 0.

        The rows of all modalities go through one copy of each step, end to end: a graph of a third of the
        nodes, and on few rows nodes are what time goes to.
        """
        encoded = self.encode(inputs)
        told = [self.generative(name)(each.view) for name, each in encoded.items()]
        logits = torch.cat([each.logits for each in encoded.values()])
        densities, strangeness = (torch.cat(each) for each in zip(*told, strict=True))
        seen = Seen(
            torch.cat([each.embedding for each in encoded.values()]),
            aggregate(logits),
            densities,
            statistics(logits, densities, strangeness),
        )
        widths = [each.shape[1] for each in seen]
        slots = scatter_rows(torch.cat(seen, -1), [rows[name] for name in self.modalities], size)
        return Seen(*slots.split(widths, dim=-1))

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
