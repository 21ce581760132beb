"""Features of frozen encoders, computed once: those of images and of a BERT are cached on disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tailfuse.data.arrays import OnProgress
from tailfuse.data.classes import order_by_class
from tailfuse.data.split_arrays import Dataset
from tailfuse.files.cache import cached, make_key
from tailfuse.modalities.pretrained import Pretrained, fingerprint
from tailfuse.modalities.text.encoder import find_projection

SCALE_ROWS = 1000  # training images that fit the scale of an encoder that is trained
PROJECTION_ROWS = 32_000  # training texts that fit a projection; of more the classes give evenly
BATCH = 8  # images; the feature maps of many more do not fit into a processor's cache

Report = Callable[[int, int], None]  # rows done, rows in all


def add_frozen_features(
    dataset: Dataset,
    encoders: Mapping[str, nn.Module],
    *,
    device: torch.device | str = "cpu",
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Return the dataset with the features of every frozen encoder, (n, F) float32, in place of its rows.

    Also fit to the training rows what no gradient changes: the scale of the features of images and of a BERT,
    the projection of texts.
    """
    features: dict[str, NDArray[Any]] = {}
    for name, encoder in encoders.items():
        report = partial(on_progress, name) if on_progress else None
        present = dataset.train.position[name] >= 0
        rows, labels = dataset.train.position[name][present], dataset.train.labels[present]
        if (projection := find_projection(encoder)) is not None:
            fitted = rows[np.sort(order_by_class(labels)[:PROJECTION_ROWS])]
            features[name] = projection.fit_features(
                dataset.train.inputs[name], fitted, seed=seed, device=device, report=report
            )
        if isinstance(encoder, Pretrained):
            scaled = scale_features(encoder, dataset.train.inputs[name], rows, device, report)
            features |= {} if scaled is None else {name: scaled}
    train, val, test = (
        replace(part, inputs=part.inputs | features) for part in (dataset.train, dataset.val, dataset.test)
    )
    return replace(dataset, train=train, val=val, test=test)


def scale_features(
    encoder: Pretrained,
    images: NDArray[Any],
    train: NDArray[np.int64],
    device: torch.device | str,
    report: Report | None,
) -> NDArray[np.float32] | None:
    """Fit the scale of features to the training images; return those of all images if the encoder is frozen.

    An encoder that is trained begins with the scale that its features have before.
    """
    if encoder.trained != "none":
        sample = images[train[np.linspace(0, len(train) - 1, min(len(train), SCALE_ROWS)).astype(int)]]
        raw = compute_backbone_features(encoder.backbone, sample, device=device, report=report)
        encoder.scale.cpu().fit(torch.from_numpy(raw))
        return None
    raw = compute_backbone_features(encoder.backbone, images, device=device, report=report)
    encoder.scale.cpu().fit(torch.from_numpy(raw[train]))
    scaled: NDArray[np.float32] = encoder.scale(torch.from_numpy(raw)).numpy()
    return scaled


@torch.inference_mode()
def compute_backbone_features(
    backbone: nn.Module,
    images: NDArray[np.uint8],
    *,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> NDArray[np.float32]:
    """Compute features of images (n, channels, height, width), or read them from the cache: (n, F)"""
    device = torch.device(device)
    backbone = backbone.to(device).eval()

    def batches() -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(images[start : start + BATCH])
            yield backbone(batch.to(device)).cpu().numpy()
            if report:
                report(min(start + BATCH, len(images)), len(images))

    content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    name = "features-" + make_key(
        content, images.shape, fingerprint(backbone), torch.__version__, device.type
    )
    width = backbone(torch.zeros(1, *images.shape[1:], device=device)).shape[1]
    return cached(name, (len(images), width), np.float32, batches)
