"""From a spec and fitted modalities to an untrained network."""

import numpy as np
import torch

from model.data.part import Dataset, Part
from model.errors import SpecError
from model.network.encoders import build_encoder, check_encoder
from model.network.network import Network
from model.spec.schema import Spec

MAX_PROTOTYPES = 256


def build_network(spec: Spec, dataset: Dataset) -> Network:
    """A network for the dataset's modalities and classes, its prior that of the training rows."""
    encoders = {}
    for name, modality in dataset.modalities.items():
        try:
            encoders[name] = build_encoder(
                spec.modalities[name].encoder, modality, width=spec.network.width,
                dropout=spec.network.dropout, input_dropout=spec.network.input_dropout,
            )  # fmt: skip
        except SpecError as error:
            raise SpecError(f"modalities.{name}.{error}") from None
    counts = torch.tensor([info.train_count for info in dataset.classes], dtype=torch.float32)
    return Network(
        encoders,
        width=spec.network.width,
        taus=spec.network.experts,
        prior=counts / counts.sum(),
        dropout=spec.network.dropout,
        n_prototypes={name: n_prototypes(dataset.train, name) for name in encoders},
    )


def check_encoders(spec: Spec) -> None:
    """Every encoder's name is known; said before any row is read. Raises SpecError."""
    for name, each in spec.modalities.items():
        try:
            check_encoder(each.encoder, each.kind)
        except SpecError as error:
            raise SpecError(f"modalities.{name}.{error}") from None


def n_prototypes(train: Part, name: str) -> int:
    """How many prototypes a modality gets; three at least, for the third nearest."""
    return int(np.clip((train.position[name] >= 0).sum(), 3, MAX_PROTOTYPES))
