"""From a spec and fitted modalities to an untrained network."""

import torch
from torch import nn

from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import SpecError
from tailfuse.losses.long_tail import long_tail
from tailfuse.modalities import KINDS
from tailfuse.network.baselines import FUSIONS
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.fusion import Fusion
from tailfuse.network.network import Network
from tailfuse.spec.schema import Spec

AnyNetwork = Network | Baseline


def build_network(spec: Spec, dataset: Dataset) -> AnyNetwork:
    """A network for the dataset's modalities and classes, its prior that of the training rows.

    Raises SpecError.
    """
    encoders = build_encoders(spec, dataset)
    counts = torch.tensor([info.train_count for info in dataset.classes], dtype=torch.float32)
    tail = long_tail(spec.network.loss, counts, spec.network.experts)
    width, n_classes, dropout = spec.network.width, len(counts), spec.network.dropout
    if spec.network.fusion in FUSIONS:
        fusion = FUSIONS[spec.network.fusion](len(encoders), width, tail, n_classes, dropout)
        return Baseline(encoders, n_classes=n_classes, tail=tail, fusion=fusion)
    return Network(
        encoders,
        width=width,
        n_classes=n_classes,
        tail=tail,
        dropout=dropout,
        fusion=guided_fusion(spec, len(encoders)),
    )


def guided_fusion(spec: Spec, n_modalities: int) -> Fusion:
    """Our fusion, or the one with equal weights; not fitted yet."""
    return Fusion(n_modalities, uniform=spec.network.fusion == "uniform")


def build_encoders(spec: Spec, dataset: Dataset) -> dict[str, nn.Module]:
    """An encoder for each modality. Raises SpecError."""
    encoders = {}
    for name, modality in dataset.modalities.items():
        each = spec.modalities[name]
        kind = KINDS[each.kind]
        try:
            kind.check_encoder(each.encoder)
            encoders[name] = kind.build_encoder(
                each, modality, width=spec.network.width, dropout=spec.network.dropout,
                input_dropout=spec.network.input_dropout,
            )  # fmt: skip
        except SpecError as error:
            raise SpecError(f"modalities.{name}.{error}") from None
    return encoders


def check_encoders(spec: Spec) -> None:
    """Every encoder's name is known; said before any row is read. Raises SpecError."""
    for name, each in spec.modalities.items():
        try:
            KINDS[each.kind].check_encoder(each.encoder)
        except SpecError as error:
            raise SpecError(f"modalities.{name}.{error}") from None
