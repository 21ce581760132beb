"""Build an untrained network from a spec and fitted modalities."""

import torch
from torch import nn

from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import SpecError
from tailfuse.losses.imbalance import ImbalanceLoss, make_loss
from tailfuse.modalities import KINDS
from tailfuse.network.baselines import FUSIONS
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.baselines.sade_mm import SadeMM, count_encoder_sets
from tailfuse.network.fusion import Fusion
from tailfuse.network.network import Network
from tailfuse.network.parallel import run_parallel
from tailfuse.spec.schema import Spec

AnyNetwork = Network | Baseline


def build_network(spec: Spec, dataset: Dataset) -> AnyNetwork:
    """Build an untrained network of the family that the spec's fusion belongs to. Raises SpecError."""
    return (build_baseline if spec.network.fusion in FUSIONS else build_guided)(spec, dataset)


def build_guided(spec: Spec, dataset: Dataset) -> Network:
    """Build our network for the dataset's modalities and classes. Raises SpecError."""
    encoders = build_encoders(spec, dataset)
    return Network(
        encoders,
        width=spec.network.width,
        n_classes=len(dataset.classes),
        loss_fn=build_loss(spec, dataset),
        dropout=spec.network.dropout,
        fusion=make_fusion(spec, len(encoders)),
    )


def build_baseline(spec: Spec, dataset: Dataset) -> Baseline:
    """Build the same encoders with a published fusion. Raises SpecError."""
    loss_fn, n_classes = build_loss(spec, dataset), len(dataset.classes)
    fusion = FUSIONS[spec.network.fusion](
        len(dataset.modalities), spec.network.width, loss_fn, n_classes, spec.network.dropout
    )
    sets = count_encoder_sets(loss_fn) if isinstance(fusion, SadeMM) else 1
    each_set = [build_encoders(spec, dataset) for _ in range(sets)]
    encoders = {name: run_parallel([encoders[name] for encoders in each_set]) for name in dataset.modalities}
    return Baseline(encoders, n_classes=n_classes, loss_fn=loss_fn, fusion=fusion)


def build_loss(spec: Spec, dataset: Dataset) -> ImbalanceLoss:
    """Build the loss, its prior that of the training rows. Raises SpecError."""
    counts = torch.tensor([info.train_count for info in dataset.classes], dtype=torch.float32)
    return make_loss(spec.network.loss, counts, spec.network.experts)


def make_fusion(spec: Spec, n_modalities: int) -> Fusion:
    """Make our fusion, or the one with equal weights; it is not fitted yet."""
    return Fusion(n_modalities, uniform=spec.network.fusion == "uniform")


def build_encoders(spec: Spec, dataset: Dataset) -> dict[str, nn.Module]:
    """Build an encoder for each modality. Raises SpecError."""
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
    """Check the names of the encoders before any row is read. Raises SpecError."""
    for name, each in spec.modalities.items():
        try:
            KINDS[each.kind].check_encoder(each.encoder)
        except SpecError as error:
            raise SpecError(f"modalities.{name}.{error}") from None
