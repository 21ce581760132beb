"""From arrays to a fitted network: the final one, the fold networks, and the fits on the calibration set.

Fold networks serve to fit on rows that a network has not seen; only the final one answers.
"""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor

from tailfuse.calibration.fit_confidence import fit_confidence
from tailfuse.calibration.fit_fusion import fit_fusion
from tailfuse.calibration.held_out import CalibrationRows, fit_generative, limit_rows, make_corrupted_features
from tailfuse.data.dataset import OnProgress
from tailfuse.data.folds import folds
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.modalities import KINDS
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.build import AnyNetwork, build_network, guided_fusion
from tailfuse.network.frozen import with_features
from tailfuse.network.network import Network
from tailfuse.network.torch_state import torch_state
from tailfuse.spec.schema import Spec
from tailfuse.training.loop import Stage, best_epochs, fit_network, make_generator
from tailfuse.training.smote import oversampled
from tailfuse.training.state import Epoch
from tailfuse.training.validate import fit_temperature

FINAL, FOLD = "final", "fold-"  # names of stages; the number of the fold follows
SMALL_BATCH = 2**20  # numbers; 128 grey images of 90 x 90, or texts of 64 words

OnEpoch = Callable[[Stage, Epoch, int], None]  # the last is the number of stages


class Stages(NamedTuple):
    """Trained networks; nothing of them is fitted on the calibration set yet."""

    network: AnyNetwork  # the final one
    folds: list[CalibrationRows]  # the fold networks, each with the training rows that it has not seen
    dataset: Dataset  # frozen encoders' images are their features
    damaged: dict[str, Tensor]  # features of damaged images, where the encoder is frozen


def fit(spec: Spec, dataset: Dataset, *, on_epoch: OnEpoch | None = None) -> AnyNetwork:
    """Train and fit a network in memory, on the CPU; what `train` does, without a file. In eval mode.

    Raises SpecError, RunError.
    """
    return fit_held_out(train_stages(spec, dataset, on_epoch=on_epoch), spec)


def train_stages(
    spec: Spec, dataset: Dataset, *, fabric: Fabric | None = None, folder: Path | None = None,
    on_epoch: OnEpoch | None = None, on_features: OnProgress | None = None,
) -> Stages:  # fmt: skip
    """Train the final network and, if anything is to be fitted with them, the fold networks.

    With a folder each stage leaves a checkpoint there, and goes on from it. Specs that differ only in
    whether the weights are uniform, in `training.damage` and in `training.calibrate` have the same stages.
    `on_features` hears of the images that a frozen encoder has seen, unless the cache has their features.
    Raises SpecError, RunError.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    with reproducible(spec, dataset):
        return run_stages(spec, dataset, fabric, folder, on_epoch, on_features)


def run_stages(
    spec: Spec, dataset: Dataset, fabric: Fabric, folder: Path | None,
    on_epoch: OnEpoch | None, on_features: OnProgress | None,
) -> Stages:  # fmt: skip
    """The stages of `train_stages`, one after the other."""
    first = build_network(spec, dataset)
    encoders = dict(zip(first.modalities, first.encoders, strict=True))
    decoded = dataset
    dataset = with_features(dataset, encoders, device=fabric.device, on_progress=on_features)
    n_stages = 1 + (spec.training.folds if isinstance(first, Network) else 0)
    augmentations = {
        name: augment
        for name, each in spec.modalities.items()
        if (augment := KINDS[each.kind].augmentation(each))
        # The features of a frozen encoder are not augmented.
        and dataset.train.inputs[name] is decoded.train.inputs[name]
    }

    def trained(
        name: str, seed: int, train: SplitArrays, val: SplitArrays | None, epochs: int
    ) -> tuple[AnyNetwork, list[Epoch]]:
        rows = oversampled(train, seed) if spec.training.smote else train
        stage = Stage(name, seed, rows, val, epochs, augmentations)
        torch.manual_seed(make_generator(seed).initial_seed())
        network = build_network(spec, dataset)
        copy_scales(first, network)
        log = fit_network(
            fabric, network, stage, spec.training, folder and folder / f"{name}.pt",
            lambda stage, epoch: on_epoch(stage, epoch, n_stages) if on_epoch else None,
        )  # fmt: skip
        if isinstance(network, Network):
            fit_generative(network, train, fabric.device)
        return network, log

    network, log = trained(FINAL, spec.seed, dataset.train, dataset.val, spec.training.epochs)
    held_out = []
    if isinstance(network, Network):
        for k, (others, own) in enumerate(
            folds(dataset.train.labels, dataset.groups, spec.training.folds, spec.seed)
        ):
            # No early stopping: what is held out must stay unseen. As many epochs as the final network took.
            fold, _ = trained(
                f"{FOLD}{k}", spec.seed + 1 + k, dataset.train.take(others), None, best_epochs(log)
            )
            assert isinstance(fold, Network)
            held_out.append(CalibrationRows(fold, dataset.train.take(own)))
    damaged = (
        make_corrupted_features(decoded, encoders, fabric.device) if isinstance(network, Network) else {}
    )
    return Stages(network, held_out, dataset, damaged)


def fit_held_out(stages: Stages, spec: Spec) -> AnyNetwork:
    """Return a copy of the final network, fitted on the calibration set; the stages stay as they are."""
    with reproducible(spec, stages.dataset):
        return fit_copy(stages, spec)


def fit_copy(stages: Stages, spec: Spec) -> AnyNetwork:
    """What `fit_held_out` does."""
    network = copy.deepcopy(stages.network)
    device = next(network.parameters()).device
    if isinstance(network, Baseline):
        if spec.training.calibrate:
            fit_temperature(network, stages.dataset.val, device)
        return network.eval()
    network.fusion = guided_fusion(spec, len(network.modalities)).to(device)
    held_out = limit_rows([CalibrationRows(network, stages.dataset.val), *stages.folds])
    fit_confidence(
        network, held_out, stages.dataset.modalities, stages.damaged, generative=spec.network.generative,
        damaged=spec.training.damage, seed=spec.seed, device=device,
    )  # fmt: skip
    if spec.training.calibrate:
        fit_fusion(network, held_out, seed=spec.seed, device=device)
    return network.eval()


def copy_scales(source: AnyNetwork, target: AnyNetwork) -> None:
    """Give pretrained encoders the scale of their features, which the training rows set once."""
    for one, other in zip(source.encoders, target.encoders, strict=True):
        if isinstance(one, Pretrained) and isinstance(other, Pretrained):
            other.scale.load_state_dict(one.scale.state_dict())


def reproducible(spec: Spec, dataset: Dataset) -> AbstractContextManager[None]:
    """Have a block compute the same numbers every time, on no more threads than its work is worth."""
    numbers = 0  # of a row, that the encoders' first layers go through
    for name, modality in dataset.modalities.items():
        shape = dataset.train.inputs[name].shape[1:]
        numbers += KINDS[modality.kind].count_inputs(shape, spec.network.width)
    small = numbers * spec.training.batch_size < SMALL_BATCH
    return torch_state(deterministic=True, threads=1 if small else None)
