"""The network: encoders, expert heads, joint branch, confidences and their fusion.

Letters: B samples, n_m present rows of modality m, M modalities, W width, E experts, C classes, D
penultimate features.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from tailfuse_service.bundle import CONFLICT, DISAGREEMENT, OUTPUT_NAMES
from torch import Tensor, nn

from tailfuse.losses.experts import aggregate
from tailfuse.losses.imbalance import ImbalanceLoss
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.modalities.text.encoder import find_ngram_buckets, find_projection
from tailfuse.network.confidence import N_STATISTICS, Confidences, compute_statistics
from tailfuse.network.conflict import Conflict
from tailfuse.network.forest import ForestExpert
from tailfuse.network.fusion import Fusion, ModalityPosteriors, compute_disagreement, compute_modulation
from tailfuse.network.head import compute_modality_losses, make_heads
from tailfuse.network.joint import JointBranch
from tailfuse.network.linear import LinearExpert
from tailfuse.network.ngrams import N_SHARES, NgramExperts
from tailfuse.network.plda import PldaHead
from tailfuse.network.ragged import Rows, count_penultimate_features, encode, scatter

FOREST_PREFIX = "forest_experts."  # of their parameters


class EncodedRows(NamedTuple):
    """Rows of one modality, or of all modalities end to end, through their encoders and experts."""

    embedding: Tensor  # (n, W)
    logits: Tensor  # (n, E, C)
    densities: Tensor  # (n, C), of the PLDA head
    ood_scores: Tensor  # (n, N_DENSITIES)
    # Where any modality of the network has them; 0 for those that do not.
    linear: Tensor | None = None  # (n, C), of the linear expert
    shares: Tensor | None = None  # (n, N_SHARES), of known n-grams
    forest: Tensor | None = None  # (n, C), of the forest


class Scores(NamedTuple):
    """Log-probabilities of a modality's experts, and the statistics that its confidence is computed from."""

    embedding: Tensor  # (n, W), or (B, M, W) with a slot for every modality; as those below
    log_p: Tensor  # (n, C), of the softmax experts
    densities: Tensor  # (n, C), of the PLDA head
    statistics: Tensor  # (n, N_STATISTICS, or N_SHARES more)
    # Of the linear expert and of the forest, (n, C); 0 for a modality that has none.
    linear: Tensor | None = None
    forest: Tensor | None = None


class Answer(NamedTuple):
    """The outputs for B samples. Networks without modality posteriors have neither of the last."""

    probabilities: Tensor  # (B, C)
    weights: Tensor  # (B, M)
    confidences: Tensor  # (B, M)
    disagreement: Tensor | None = None  # (B,), in bits
    conflict: Tensor | None = None  # (B,), a probability


class Embeddings(NamedTuple):
    """The representations of B samples that the experts classify."""

    modalities: Tensor  # (B, M, W), 0 where absent
    fused: Tensor  # (B, W), what the head of the joint branch receives


class Network(nn.Module):
    """The network that is trained and exported; both use the same forward."""

    log_prior: Tensor
    output_names = (*OUTPUT_NAMES, DISAGREEMENT, CONFLICT)  # the fields of its Answer
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
            PldaHead(count_penultimate_features(encoder), n_classes) for encoder in encoders.values()
        )
        self.ngram_experts = nn.ModuleDict(
            {
                str(m): NgramExperts(buckets, n_classes)
                for m, encoder in enumerate(encoders.values())
                if (buckets := find_ngram_buckets(encoder)) is not None
            }
        )
        self.linear_experts = nn.ModuleDict(
            {
                str(m): LinearExpert(encoder.n_columns, n_classes)
                for m, encoder in enumerate(encoders.values())
                if isinstance(encoder, Mlp)
            }
        )
        self.forest_experts = nn.ModuleDict()  # of the modalities where they help, which is found out later
        # Fitted later, on the calibration set.
        has_linear = bool(self.ngram_experts or self.linear_experts)
        self.posteriors = ModalityPosteriors(n_modalities, 3 if has_linear else 2)
        n_statistics = N_STATISTICS + (N_SHARES if self.ngram_experts else 0)
        self.confidences = Confidences(n_modalities, n_statistics)
        self.conflict = Conflict()
        self.fusion = fusion or Fusion(n_modalities)
        for part in (self.confidences, self.conflict, self.fusion):
            part.requires_grad_(False)
        # All classes alike, until `tailfuse adapt` writes their frequencies into the graphs.
        self.register_buffer("log_prior", torch.zeros(n_classes))

    def compute_penultimate_features(self, name: str, rows: Tensor) -> Tensor:
        """Compute the penultimate features of rows of one modality: (n, ...) -> (n, D)"""
        return encode(self.encoders[self.modalities.index(name)], rows, training=self.training)[0]

    def plda_head(self, name: str) -> PldaHead:
        """Return the PLDA head of a modality."""
        return cast(PldaHead, self.plda_heads[self.modalities.index(name)])

    def ngrams(self, name: str) -> NgramExperts:
        """Return the experts on the n-grams of a modality that has them."""
        return cast(NgramExperts, self.ngram_experts[str(self.modalities.index(name))])

    def linear_expert(self, name: str) -> LinearExpert:
        """Return the linear expert of a modality of columns."""
        return cast(LinearExpert, self.linear_experts[str(self.modalities.index(name))])

    def add_forest(self, name: str, expert: ForestExpert) -> None:
        """Give a modality of columns a forest; nothing may be calibrated yet."""
        device = self.log_prior.device
        self.forest_experts[str(self.modalities.index(name))] = expert.to(device)
        self.posteriors = ModalityPosteriors(len(self.modalities), 4).to(device)

    def add_forests_from(self, weights: Mapping[str, Tensor]) -> None:
        """Add the forests that the weights of another network have."""
        for m in sorted({key.split(".")[1] for key in weights if key.startswith(FOREST_PREFIX)}):
            self.add_forest(self.modalities[int(m)], ForestExpert(self.n_classes))

    def forest_expert(self, name: str) -> ForestExpert:
        """Return the forest of a modality that has one."""
        return cast(ForestExpert, self.forest_experts[str(self.modalities.index(name))])

    @property
    def forests(self) -> list[ForestExpert]:
        """All forests, in the order of the modalities."""
        return [cast(ForestExpert, self.forest_experts[m]) for m in sorted(self.forest_experts, key=int)]

    def drop_unused_forests(self) -> None:
        """Drop the forests that the calibration gave no weight."""
        for m in list(self.forest_experts):
            if not self.posteriors.pool_weights[int(m), 3]:
                del self.forest_experts[m]
        if not self.forest_experts:
            self.posteriors.pool_weights = self.posteriors.pool_weights[:, :3]

    def encode(self, name: str, rows: Tensor) -> EncodedRows:
        """Encode rows of one modality, (n, ...), and apply its experts."""
        m = self.modalities.index(name)
        features, embedding = encode(self.encoders[m], rows, training=self.training)
        densities, ood_scores = self.plda_heads[m](features)
        linear, shares = self.score_linear(m, rows, features)
        logits, forest = self.heads[m](embedding), self.score_forest(m, features)
        return EncodedRows(embedding, logits, densities, ood_scores, linear, shares, forest)

    def score_linear(self, m: int, rows: Tensor, features: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Score rows of modality m by its linear expert, and its known n-grams: (n, C), (n, N_SHARES)

        0 if the modality has none; None if no modality of the network has any.
        """
        encoder, n = self.encoders[m], features.shape[0]
        linear = shares = None
        if self.ngram_experts:
            linear, shares = features.new_zeros(n, self.n_classes), features.new_zeros(n, N_SHARES)
        if str(m) in self.ngram_experts:
            projection = find_projection(encoder)
            tfidf = None if projection is None else projection.tfidf
            return cast(tuple[Tensor, Tensor], self.ngram_experts[str(m)](rows, tfidf))
        if isinstance(encoder, Mlp):
            linear = self.linear_experts[str(m)](encoder.spread_columns(features))
        elif self.linear_experts:
            linear = features.new_zeros(n, self.n_classes)
        return linear, shares

    def score_forest(self, m: int, columns: Tensor) -> Tensor | None:
        """Score rows of modality m, (n, D), by its forest: (n, C); 0 or None as of the linear expert."""
        if str(m) in self.forest_experts:
            return cast(Tensor, self.forest_experts[str(m)](columns))
        return columns.new_zeros(columns.shape[0], self.n_classes) if self.forest_experts else None

    def score(self, name: str, rows: Tensor) -> Scores:
        """Score rows of one modality, (n, ...)."""
        return score(self.encode(name, rows))

    def score_batch(self, inputs: Rows, rows: Rows, size: int) -> Scores:
        """Score a ragged batch: (B, M, ...) each, absent slots 0.

        The rows of all modalities go through one copy of each step, end to end: the graph has a third of the
        nodes, and on few rows the number of nodes determines the time.
        """
        encoded = [self.encode(name, inputs[name]) for name in self.modalities]
        scores = score(EncodedRows(*concatenate_fields(encoded)))
        given = [each for each in scores if each is not None]
        widths = [each.shape[1] for each in given]
        slots = scatter(torch.cat(given, -1), [rows[name] for name in self.modalities], size)
        return Scores(*slots.split(widths, dim=-1))

    def forward(self, inputs: Rows, rows: Rows, presence: Tensor) -> Answer:
        """A ragged batch -> probabilities, weights, confidences, disagreement, conflict.

        inputs[m] (n_m, ...), rows[m] (n_m,) the sample of each, presence (B, M) bool.
        """
        return self.answer_and_embed(inputs, rows, presence)[0]

    def answer_and_embed(self, inputs: Rows, rows: Rows, presence: Tensor) -> tuple[Answer, Embeddings]:
        """Answer a ragged batch, and return the embeddings that the answers are made from."""
        scores = self.score_batch(inputs, rows, presence.shape[0])
        own_in_dist, correct = self.confidences(scores.statistics)
        log_posteriors = self.posteriors(scores.log_p, scores.densities, scores.linear, scores.forest)
        in_dist, conflict = self.conflict(log_posteriors, own_in_dist, presence)
        weighting = self.fusion.compute_weights(in_dist, correct, presence)
        fused = self.joint.compute_hidden(scores.embedding, compute_modulation(weighting.weights, presence))
        joint = aggregate(self.joint.head(fused))
        log_p = self.fusion.fuse(self.posteriors.soften(log_posteriors), joint, weighting, presence)
        confidences = (in_dist.sigmoid() * correct.sigmoid()).masked_fill(~presence, 0.0)
        probabilities = (log_p + self.log_prior).softmax(-1)
        disagreement = compute_disagreement(log_posteriors, weighting.weights)
        answer = Answer(probabilities, weighting.weights, confidences, disagreement, conflict)
        return answer, Embeddings(scores.embedding, fused)

    def loss(
        self, embeddings: Tensor, presence: Tensor, u: Tensor, target: Tensor, progress: float
    ) -> Tensor:
        """The joint branch's loss plus those of the modalities alone, means over a batch.

        (B, M, W), (B, M), u (B, M) in 0..1, probabilities (B, C), share of the training done -> scalar
        """
        alone = compute_modality_losses(self.heads, self.loss_fn, embeddings, presence, target, progress)
        return self.joint.loss(embeddings, u, target, progress) + alone.sum()

    def describe_calibration(self) -> dict[str, Tensor]:
        """Return the parameters of the fusion, by the names that the manifest has for them.

        And the weight of each modality's forest in its posterior, if any modality has one.
        """
        fitted = self.fusion.describe_calibration()
        if self.forest_experts:
            fitted["forest"] = self.posteriors.pool_weights[:, 3]
        return fitted


def concatenate_fields(pieces: Sequence[tuple[Tensor | None, ...]]) -> list[Any]:
    """Concatenate the fields of named tuples along the rows; one that is None in all of them stays so."""
    return [None if each[0] is None else torch.cat(each) for each in zip(*pieces, strict=True)]


def score(encoded: EncodedRows) -> Scores:
    """Score encoded rows."""
    embedding, logits, densities, ood_scores, linear, shares, forest = encoded
    statistics = compute_statistics(logits, densities, ood_scores, shares)
    return Scores(embedding, aggregate(logits), densities, statistics, linear, forest)
