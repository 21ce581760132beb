"""Features of frozen encoders: computed once, and cached on disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tailfuse.data.dataset import OnProgress
from tailfuse.data.split_arrays import Dataset
from tailfuse.files.cache import cached, make_key
from tailfuse.modalities.pretrained import Pretrained

BATCH = 8  # images; the feature maps of many more do not fit into a processor's cache

Report = Callable[[int, int], None]  # images done, images in all


def add_frozen_features(
    dataset: Dataset,
    encoders: Mapping[str, nn.Module],
    *,
    device: torch.device | str = "cpu",
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Return the dataset with the features of every frozen encoder, (n, F) float32, in place of its images.

    Also fit the scale of each of these encoders to the features of the training rows.
    """
    features: dict[str, NDArray[Any]] = {}
    for name, encoder in encoders.items():
        if isinstance(encoder, Pretrained) and encoder.trained == "none":
            images, rows = dataset.train.inputs[name], dataset.train.position[name]
            report = partial(on_progress, name) if on_progress else None
            raw = compute_backbone_features(encoder.backbone, images, device=device, report=report)
            encoder.scale.fit(torch.from_numpy(raw[rows[rows >= 0]]))
            features[name] = encoder.scale.cpu()(torch.from_numpy(raw)).numpy()
    train, val, test = (
        replace(part, inputs=part.inputs | features) for part in (dataset.train, dataset.val, dataset.test)
    )
    return replace(dataset, train=train, val=val, test=test)


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


def fingerprint(network: nn.Module) -> str:
    """Hash a network's layers and their weights."""
    digest = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
