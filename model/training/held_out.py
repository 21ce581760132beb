"""What is fitted on rows that the encoders have not seen: confidences first, then the fusion.

Held-out rows are the validation rows under the final network, and the training rows of each fold under a
network trained on the other folds (cross-fitting). The statistics that the confidence networks
see mean the same under any of these networks, so what is learnt from all of them serves the final one.

Letters: H held-out rows, M modalities, E experts, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from model.data.part import Part
from model.network.confidence import N_STATISTICS, statistics
from model.network.experts import aggregate
from model.network.fusion import Fusion, modulation
from model.network.network import Network
from model.network.tensors import tensors_of
from model.training.damage import damage
from service.bundle.manifest import Modality

CONFIDENCE_STEPS, FUSION_STEPS, FUSION_ROWS = 400, 200, 2000


class HeldOut(NamedTuple):
    """A network and rows it was not trained on."""

    network: Network
    part: Part


class Evidence(NamedTuple):
    """What a confidence network learns from: statistics (n, 6), true-class probability (n,), weight (n,)."""

    statistics: Tensor
    target: Tensor
    weight: Tensor


def set_prototypes(network: Network, train: Part, device: torch.device) -> None:
    """Keep embeddings of training rows, spread over the classes, in each confidence network."""
    network.eval()
    for name in network.modalities:
        prototypes = network.confidence(name).prototypes
        rows = class_by_class(train.only([name]))
        if not len(rows):
            continue  # a fold may leave none of a modality that few rows have
        chosen = rows.take(torch.arange(len(prototypes)).remainder(len(rows)).numpy())
        with torch.no_grad():
            prototypes.copy_(
                network.encode_one(name, tensors_of(chosen.batch(), device).inputs[name]).embedding
            )


def class_by_class(part: Part) -> Part:
    """The rows so ordered that every prefix holds the classes as evenly as can be."""
    labels = torch.from_numpy(part.labels)
    rank = torch.zeros(len(labels))
    for each in labels.unique():
        rows = labels == each
        rank[rows] = torch.arange(int(rows.sum())).float()
    return part.take(rank.argsort(stable=True).numpy())


def fit_confidence(
    network: Network, held_out: Sequence[HeldOut], modalities: Mapping[str, Modality], *,
    seed: int, device: torch.device,
) -> None:  # fmt: skip
    """Fit the confidence networks of `network`: statistics of held-out rows -> true-class probability.

    Classes count alike, however many rows they have; damaged copies count as much as clean rows.
    """
    generator = torch.Generator().manual_seed(seed)
    for name in network.modalities:
        confidence = network.confidence(name)
        seen = [gather(each, name, modalities[name], generator, device) for each in held_out]
        evidence = Evidence(*(torch.cat(each) for each in zip(*seen, strict=True)))
        if not len(evidence.target):
            continue  # nothing was held out: this modality is trusted like any other
        confidence.mean.copy_(evidence.statistics.mean(0))
        confidence.scale.copy_(evidence.statistics.std(0).clamp(min=1e-3))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            confidence.first.reset_parameters()
        for parameter in confidence.parameters():
            parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(confidence.parameters(), lr=0.02, weight_decay=0.01)
        for _ in range(CONFIDENCE_STEPS):
            loss = F.binary_cross_entropy_with_logits(
                confidence(evidence.statistics), evidence.target, evidence.weight
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def gather(
    held_out: HeldOut, name: str, modality: Modality, generator: torch.Generator, device: torch.device
) -> Evidence:
    """The evidence of one modality's held-out rows, clean and damaged."""
    network, part = held_out.network, held_out.part.only([name])
    prototypes = network.confidence(name).prototypes
    counts = torch.bincount(torch.from_numpy(part.labels), minlength=network.n_classes)
    seen, targets, weights = [], [], []
    for piece in part.batches(256):
        rows, labels = tensors_of(piece.batch()).inputs[name], torch.from_numpy(piece.labels)
        for kind in (rows, damage(rows, modality, generator)):
            embedding, logits = network.encode_one(name, kind.to(device))
            seen.append(statistics(embedding, logits, prototypes))
            targets.append(own_class(aggregate(logits).exp(), labels.to(device)))
            weights.append(1.0 / counts[labels])
    if not seen:
        return Evidence(*(torch.zeros(shape, device=device) for shape in ((0, N_STATISTICS), (0,), (0,))))
    weight = torch.cat(weights).to(device)
    return Evidence(torch.cat(seen), torch.cat(targets), weight / weight.mean())


def own_class(values: Tensor, labels: Tensor) -> Tensor:
    """The value of each row's own class: (n, C), (n,) -> (n,)"""
    return values.gather(1, labels[:, None]).squeeze(1)


def fit_fusion(network: Network, held_out: Sequence[HeldOut], *, seed: int, device: torch.device) -> None:
    """Fit a, kappa and lambda by class-balanced cross-entropy of held-out rows, over random subsets.

    A handful of numbers, pulled towards where they start: that much few rows can tell.
    """
    fusion, generator = network.fusion, torch.Generator().manual_seed(seed)
    start = [parameter.detach().clone() for parameter in fusion.parameters()]
    limit = FUSION_ROWS // len(held_out)
    some = [HeldOut(each, class_by_class(part).first(limit)) for each, part in held_out]
    seen = [thinned(answers(network, each, device), generator) for each in some]
    for parameter in fusion.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.02)
    rows = sum(len(each.labels) for each in seen)
    for _ in range(FUSION_STEPS):
        loss = torch.stack([balanced_loss(fusion, each) * len(each.labels) for each in seen]).sum() / rows
        pull = torch.stack([(p - s).square().sum() for p, s in zip(fusion.parameters(), start, strict=True)])
        optimizer.zero_grad()
        (loss + pull.sum() / rows).backward(inputs=list(fusion.parameters()))
        optimizer.step()


class Answers(NamedTuple):
    """What held-out rows give the fusion."""

    votes: Tensor  # (H, M, C)
    embeddings: Tensor  # (H, M, W)
    scores: Tensor  # (H, M)
    presence: Tensor  # (H, M)
    labels: Tensor  # (H,)
    network: Network


@torch.no_grad()
def answers(network: Network, held_out: HeldOut, device: torch.device) -> Answers:
    """Votes of the held-out rows under their own network, confidences by the fitted one."""
    other, part = held_out
    pieces = []
    for piece in part.batches(256):
        inputs, rows, presence = tensors_of(piece.batch(), device)
        encoded = other.encode(inputs)
        scores = [
            network.confidence(name)(statistics(*each, other.confidence(name).prototypes))
            for name, each in encoded.items()
        ]
        votes = other.scatter([aggregate(each.logits) for each in encoded.values()], rows, len(piece))
        embeddings = other.scatter([each.embedding for each in encoded.values()], rows, len(piece))
        labels = torch.from_numpy(piece.labels).to(device)
        pieces.append((votes, embeddings, other.scatter(scores, rows, len(piece)), presence, labels))
    votes, embeddings, scattered, presence, labels = (torch.cat(each) for each in zip(*pieces, strict=True))
    return Answers(votes, embeddings, scattered, presence, labels, other)


def thinned(seen: Answers, generator: torch.Generator, times: int = 3) -> Answers:
    """Every row several times, each time with another subset of its modalities."""
    rows = torch.arange(len(seen.labels), device=seen.labels.device).repeat(times)
    votes, embeddings, scores, presence, labels = (each[rows] for each in seen[:5])
    return Answers(votes, embeddings, scores, thin(presence, generator), labels, seen.network)


def thin(presence: Tensor, generator: torch.Generator) -> Tensor:
    """A random subset of each row's modalities: every number of them equally likely, one at least."""
    order = torch.rand(presence.shape, generator=generator).to(presence.device).masked_fill(~presence, 2.0)
    rank = order.argsort(1).argsort(1)  # present ones first
    kept = torch.rand(len(presence), 1, generator=generator).to(presence.device) * presence.sum(
        1, keepdim=True
    )
    return presence & (rank <= kept)


def balanced_loss(fusion: Fusion, seen: Answers) -> Tensor:
    """Class-balanced cross-entropy of the fused answer."""
    weights = fusion.weights(seen.scores, seen.presence)
    joint = seen.network.joint(seen.embeddings, modulation(weights, seen.presence))
    log_p = fusion.log_probabilities(seen.votes, joint, weights, seen.presence)
    counts = torch.bincount(seen.labels, minlength=log_p.shape[1]).float()
    weight = 1.0 / counts[seen.labels]
    return -(own_class(log_p, seen.labels) * weight).sum() / weight.sum()
