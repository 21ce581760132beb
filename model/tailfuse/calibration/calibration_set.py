"""The calibration set: rows that a network was not trained on, and their scores.

It holds the validation rows under the final network, and the training rows of each fold under a
network trained on the other folds (cross-fitting). The statistics mean the same under each of these
networks, so a fit to all of them serves the final one.

Letters: H rows of the calibration set, n rows of one modality, M modalities, W width, E experts, C classes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from tailfuse_service.modalities import Modality
from torch import Tensor, nn

from tailfuse.data.classes import order_by_class
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.modalities import KINDS
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.ragged import pad_rows
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.modalities.text.encoder import find_projection
from tailfuse.network.frozen import compute_backbone_features
from tailfuse.network.network import Network, Scores, concatenate_fields
from tailfuse.network.tensors import make_tensors

CALIBRATION_ROWS, PLDA_ROWS = 4000, 2000  # more tell no more
CORRUPTED_COPIES, CORRUPTED_IMAGES, IMAGES_PER_BATCH = 4, 1000, 50


class CalibrationRows(NamedTuple):
    """A network and rows it was not trained on."""

    network: Network
    part: SplitArrays


class CalibrationData(NamedTuple):
    """The calibration set of one modality. Its `weight` (n,) balances the classes and has mean 1."""

    clean: Scores
    corrupted: Scores
    labels: Tensor  # (n,), of the clean rows
    weight: Tensor  # (n,)


def fit_plda_heads(network: Network, train: SplitArrays, device: torch.device) -> None:
    """Fit every modality's PLDA head to training rows of `network`."""
    network.eval()
    for name in network.modalities:
        part = take_evenly(train.only([name]), PLDA_ROWS)
        if not len(part):
            continue  # a fold may leave none of a modality that few rows have
        with torch.no_grad():
            features = [
                network.compute_penultimate_features(name, make_tensors(piece.batch(), device).inputs[name])
                for piece in part.batches(256)
            ]
        of_cells = isinstance(network.encoders[network.modalities.index(name)], Mlp)
        labels = torch.from_numpy(part.labels).to(device)
        network.plda_head(name).fit(torch.cat(features), labels, of_cells=of_cells)


def take_evenly(part: SplitArrays, n: int) -> SplitArrays:
    """Take at most n rows, as evenly from all classes as there are."""
    return part.take(order_by_class(part.labels)[:n])


def limit_rows(calibration_set: Sequence[CalibrationRows]) -> list[CalibrationRows]:
    """Limit the rows to as many as are needed, evenly over the classes."""
    limit = CALIBRATION_ROWS // len(calibration_set)
    return [CalibrationRows(network, take_evenly(part, limit)) for network, part in calibration_set]


def make_corrupted_features(
    dataset: Dataset, encoders: Mapping[str, nn.Module], device: torch.device
) -> dict[str, Tensor]:
    """Compute each frozen encoder's features of corrupted training images and texts: (n, F).

    Corrupted texts stay rows where experts read their n-grams. The images are corrupted, not the features:
    those of a black image are nothing like noise.
    """
    features = {name: torch.from_numpy(pad_rows(rows, rows)) for name, rows in dataset.corrupted.items()}
    for name, encoder in encoders.items():
        projection = find_projection(encoder)
        if projection is not None and projection.tfidf is None and name in dataset.corrupted:
            made = projection.compute_features(dataset.corrupted[name], device=device)
            features[name] = torch.from_numpy(made)
        if not isinstance(encoder, Pretrained) or encoder.trained != "none":
            continue
        part = take_evenly(dataset.train.only([name]), CORRUPTED_IMAGES)
        images = torch.from_numpy(part.inputs[name][part.position[name]])
        generator = torch.Generator().manual_seed(0)
        modality = dataset.modalities[name]
        kind = KINDS[modality.kind]
        copies = torch.cat(
            [kind.corrupt(piece, modality, generator) for piece in images.split(IMAGES_PER_BATCH)]
        )
        made = compute_backbone_features(encoder.backbone, copies.numpy(), device=device)
        features[name] = encoder.scale.cpu()(torch.from_numpy(made))
    return features


@torch.no_grad()
def collect_calibration_data(
    calibration_set: Sequence[CalibrationRows], name: str, modality: Modality,
    features: Mapping[str, Tensor], *, seed: int, device: torch.device,
) -> CalibrationData | None:  # fmt: skip
    """Collect all rows of one modality, clean and corrupted. Return None if there are none.

    Each row has CORRUPTED_COPIES. A frozen encoder's rows have a share of `features` instead.
    The final network, the first one, also scores corrupted images. For a network a black image is a single
    point, and the fold networks do not tell where that point lies in the final one. Corrupted numbers are
    many points, so the fold networks suffice; scoring twice as many cost 0.2 points of accuracy.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = KINDS[modality.kind]
    final = calibration_set[0].network
    copies = 0 if name in features else CORRUPTED_COPIES
    clean, corrupted, labels = [], [], []
    for at, (network, part) in enumerate(calibration_set):
        for piece in part.only([name]).batches(256):
            rows = make_tensors(piece.batch()).inputs[name]
            clean.append(network.score(name, rows.to(device)))
            labels.append(torch.from_numpy(piece.labels))
            for _ in range(copies):
                corrupted_rows = kind.corrupt(rows, modality, generator).to(device)
                corrupted.append(network.score(name, corrupted_rows))
                if kind.final_scores_corrupted and network is not final:
                    corrupted.append(final.score(name, corrupted_rows))
        if name in features:
            corrupted.append(network.score(name, features[name][at :: len(calibration_set)].to(device)))
    if not labels:
        return None
    every = torch.cat(labels).to(device)
    return CalibrationData(
        concatenate_scores(clean), concatenate_scores(corrupted), every, compute_row_weights(every)
    )


def concatenate_scores(pieces: Sequence[Scores]) -> Scores:
    """Concatenate scores along the rows."""
    return Scores(*concatenate_fields(pieces))


def compute_row_weights(labels: Tensor) -> Tensor:
    """Return class-balanced weights of mean 1: (n,) -> (n,)"""
    weight = 1.0 / torch.bincount(labels)[labels]
    return weight / weight.mean()


def select_class(values: Tensor, labels: Tensor) -> Tensor:
    """Select the value of each row's true class: (n, C), (n,) -> (n,)"""
    return values.gather(1, labels[:, None]).squeeze(1)
