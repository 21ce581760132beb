"""What a network says of rows that it was not trained on: from these alone its weights are fitted.

Held-out rows are the validation rows under the final network, and the training rows of each fold under a
network trained on the other folds (cross-fitting). What the confidences see means the same under any of
these networks, so what is learnt from all of them serves the final one.

Letters: H held-out rows, n rows of one modality, M modalities, W width, E experts, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from tailfuse_service.modalities import Modality
from torch import Tensor, nn

from tailfuse.data.part import Dataset, Part
from tailfuse.modalities import KINDS
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.network.frozen import backbone_features
from tailfuse.network.network import Network, Scores
from tailfuse.network.tensors import tensors_of

HELD_OUT_ROWS, GENERATIVE_ROWS = 4000, 2000  # more tell no more
DAMAGED_COPIES, DAMAGED_PICTURES, FEW_PICTURES = 4, 1000, 50


class HeldOut(NamedTuple):
    """A network and rows it was not trained on."""

    network: Network
    part: Part


class Evidence(NamedTuple):
    """What is learnt from of one modality, class by class alike: `weight` (n,) has mean 1."""

    clean: Scores
    damaged: Scores
    labels: Tensor  # (n,), of the clean rows
    weight: Tensor  # (n,)


def fit_generative(network: Network, train: Part, device: torch.device) -> None:
    """Fit every modality's generative expert to training rows of `network`."""
    network.eval()
    for name in network.modalities:
        part = class_by_class(train.only([name])).first(GENERATIVE_ROWS)
        if not len(part):
            continue  # a fold may leave none of a modality that few rows have
        with torch.no_grad():
            views = [
                network.view(name, tensors_of(piece.batch(), device).inputs[name])
                for piece in part.batches(256)
            ]
        network.generative(name).fit(torch.cat(views), torch.from_numpy(part.labels).to(device))


def class_by_class(part: Part) -> Part:
    """The rows so ordered that every prefix holds the classes as evenly as can be."""
    labels = torch.from_numpy(part.labels)
    rank = torch.zeros(len(labels))
    for each in labels.unique():
        rows = labels == each
        rank[rows] = torch.arange(int(rows.sum())).float()
    return part.take(rank.argsort(stable=True).numpy())


def some_of(held_out: Sequence[HeldOut]) -> list[HeldOut]:
    """As many of the rows as are needed, of every class."""
    limit = HELD_OUT_ROWS // len(held_out)
    return [HeldOut(network, class_by_class(part).first(limit)) for network, part in held_out]


def damaged_features(
    dataset: Dataset, encoders: Mapping[str, nn.Module], device: torch.device
) -> dict[str, Tensor]:
    """What each frozen encoder makes of damaged copies of some training pictures: (n, F)

    Damaged features would not do: those of a black picture are nothing like noise.
    """
    features = {}
    for name, encoder in encoders.items():
        if not isinstance(encoder, Pretrained) or encoder.trained != "none":
            continue
        part = class_by_class(dataset.train.only([name])).first(DAMAGED_PICTURES)
        pictures = torch.from_numpy(part.inputs[name][part.position[name]])
        generator = torch.Generator().manual_seed(0)
        modality = dataset.modalities[name]
        kind = KINDS[modality.kind]
        copies = torch.cat(
            [kind.corrupt(piece, modality, generator) for piece in pictures.split(FEW_PICTURES)]
        )
        made = backbone_features(encoder.backbone, copies.numpy(), device=device)
        features[name] = encoder.scale.cpu()(torch.from_numpy(made))
    return features


@torch.no_grad()
def evidence_of(
    held_out: Sequence[HeldOut], name: str, modality: Modality, features: Mapping[str, Tensor], *,
    seed: int, device: torch.device,
) -> Evidence | None:  # fmt: skip
    """All held-out rows of one modality, clean and damaged; None if there are none.

    Damaged are DAMAGED_COPIES of each row, or if these rows are a frozen encoder's, its share of `features`.
    Damaged pictures are also shown to the final network, the first one: black is one single point to a
    network, and of where that lies in another the fold networks tell nothing. (Of damaged numbers, which
    are many points, they tell enough; to see twice as many cost 0.2 points of accuracy.)
    """
    generator = torch.Generator().manual_seed(seed)
    kind = KINDS[modality.kind]
    final = held_out[0].network
    copies = 0 if name in features else DAMAGED_COPIES
    clean, damaged, labels = [], [], []
    for at, (network, part) in enumerate(held_out):
        for piece in part.only([name]).batches(256):
            rows = tensors_of(piece.batch()).inputs[name]
            clean.append(network.score(name, rows.to(device)))
            labels.append(torch.from_numpy(piece.labels))
            for _ in range(copies):
                broken = kind.corrupt(rows, modality, generator).to(device)
                damaged.append(network.score(name, broken))
                if kind.final_scores_corrupted and network is not final:
                    damaged.append(final.score(name, broken))
        if name in features:
            damaged.append(network.score(name, features[name][at :: len(held_out)].to(device)))
    if not labels:
        return None
    every = torch.cat(labels).to(device)
    return Evidence(together(clean), together(damaged), every, balanced(every))


def together(pieces: Sequence[Scores]) -> Scores:
    """Pieces one after the other."""
    return Scores(*(torch.cat(each) for each in zip(*pieces, strict=True)))


def balanced(labels: Tensor) -> Tensor:
    """Weights with which all classes count alike, of mean 1: (n,) -> (n,)"""
    weight = 1.0 / torch.bincount(labels)[labels]
    return weight / weight.mean()


def own_class(values: Tensor, labels: Tensor) -> Tensor:
    """The value of each row's own class: (n, C), (n,) -> (n,)"""
    return values.gather(1, labels[:, None]).squeeze(1)
