"""Train and calibrate a network: the final one, the fold networks, and the fits on the calibration set.

Fold networks supply calibration rows that a network was not trained on; only the final one is kept.
"""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from tailfuse.data.arrays import OnProgress
from tailfuse.data.folds import make_folds
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation.out_of_fold import OutOfFold
from tailfuse.modalities import KINDS
from tailfuse.modalities.pretrained import Pretrained
from tailfuse.modalities.text.encoder import find_ngram_buckets, share_projection
from tailfuse.network.build import AnyNetwork
from tailfuse.network.frozen import add_frozen_features
from tailfuse.network.torch_state import torch_state
from tailfuse.spec.schedule import choose_schedule
from tailfuse.spec.schema import Spec
from tailfuse.training.families import Family, N, Stages, choose_family
from tailfuse.training.loop import Stage, count_best_epochs, fit_network, make_generator
from tailfuse.training.parallel_folds import Job, count_processes, train_in_processes
from tailfuse.training.smote import oversample
from tailfuse.training.state import Epoch

FINAL, FOLD = "final", "fold-"  # names of stages; the number of the fold follows
SMALL_BATCH = 2**20  # numbers; 128 grey images of 90 x 90, or texts of 64 words


class Plan(NamedTuple):
    """A network to train: its seed, its rows, and for how many epochs."""

    name: str
    seed: int
    train: SplitArrays
    val: SplitArrays | None
    epochs: int


OnEpoch = Callable[[Stage, Epoch, int], None]  # the last is the number of stages


def fit(
    spec: Spec, dataset: Dataset, *, fabric: Fabric | None = None, on_epoch: OnEpoch | None = None
) -> AnyNetwork:
    """Train and calibrate a network in memory as `train` does, but without files. On the CPU, in eval mode.

    Raises SpecError, RunError.
    """
    stages = train_stages(spec, dataset, fabric=fabric, on_epoch=on_epoch)
    network: AnyNetwork = calibrate_network(stages, spec)
    return network.cpu()


def train_stages(
    spec: Spec, dataset: Dataset, *, fabric: Fabric | None = None, folder: Path | None = None,
    on_epoch: OnEpoch | None = None, on_features: OnProgress | None = None,
) -> Stages[Any]:  # fmt: skip
    """Train the final network and, if the calibration needs them, the fold networks.

    With a folder each stage writes a checkpoint there, and continues from it. Specs that differ only in
    whether the weights are uniform, in `training.damage` and in `training.calibrate` have the same stages.
    `on_features` is called while a frozen encoder computes features that are not cached.
    Raises SpecError, RunError.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    with make_reproducible(spec, dataset):
        return run_stages(choose_family(spec), spec, dataset, fabric, folder, on_epoch, on_features)


def run_stages(
    family: Family[N], spec: Spec, dataset: Dataset, fabric: Fabric, folder: Path | None,
    on_epoch: OnEpoch | None, on_features: OnProgress | None,
) -> Stages[N]:  # fmt: skip
    """Run the stages of `train_stages`: the final network, then those of the folds."""
    first = family.build(spec, dataset)
    encoders = dict(zip(first.modalities, first.encoders, strict=True))
    decoded = dataset
    dataset = add_frozen_features(
        dataset, encoders, device=fabric.device, seed=spec.seed, on_progress=on_features
    )
    texts = {name: decoded.train.inputs[name] for name, each in encoders.items() if find_ngram_buckets(each)}
    schedule = choose_schedule(spec.training, len(dataset.train))
    n_folds = schedule.folds if family.has_folds else 0
    # The features of a frozen encoder are not augmented.
    as_decoded = [name for name in encoders if dataset.train.inputs[name] is decoded.train.inputs[name]]
    augmentations = find_augmentations(spec, as_decoded)

    def prepare(each: Plan) -> tuple[N, Stage]:
        rows = oversample(each.train, each.seed) if spec.training.smote else each.train
        stage = Stage(each.name, each.seed, rows, each.val, each.epochs, schedule, augmentations)
        torch.manual_seed(make_generator(each.seed).initial_seed())
        network = family.build(spec, dataset)
        share_frozen(first, network, with_projections=False)
        return network, stage

    def find_checkpoint(name: str) -> Path | None:
        return folder and folder / f"{name}.pt"

    told = set[tuple[str, int]]()

    def report(stage: Stage, epoch: Epoch) -> None:
        key = stage.name, epoch.epoch
        if on_epoch and key not in told:  # a process of the folds has told of it before
            told.add(key)
            on_epoch(stage, epoch, 1 + n_folds)

    def train_stage(each: Plan) -> tuple[N, list[Epoch]]:
        network, stage = prepare(each)
        log = fit_network(fabric, network, stage, spec.training, find_checkpoint(each.name), report)
        share_frozen(first, network, with_projections=True)
        family.fit_closed_form(network, replace_rows(each.train, texts), fabric.device)
        return network, log

    begun = time.monotonic()
    network, log = train_stage(Plan(FINAL, spec.seed, dataset.train, dataset.val, schedule.epochs))
    epochs = count_best_epochs(log)
    fold_s = (time.monotonic() - begun) * epochs / len(log)
    folds = make_folds(dataset.train.labels, dataset.groups, n_folds, spec.seed)
    # No early stopping: it would look at the calibration rows. As many epochs as the final network took.
    plans = [
        Plan(f"{FOLD}{k}", spec.seed + 1 + k, dataset.train.take(others), None, epochs)
        for k, (others, _) in enumerate(folds)
    ]
    if folder and (count := count_processes(fabric, dataset.train, len(plans), fold_s)):
        jobs = (Job(*prepare(each), spec.training, folder / f"{each.name}.pt") for each in plans)
        train_in_processes(jobs, count, report)
    fold_networks = []
    fitted: list[tuple[N, SplitArrays, SplitArrays | None]] = [
        (network, replace_rows(dataset.train, texts), None)
    ]
    for plan, (_, calibration_rows) in zip(plans, folds, strict=True):
        fold, _ = train_stage(plan)
        held = replace_rows(dataset.train.take(calibration_rows), texts)
        fold_networks.append((fold, held))
        fitted.append((fold, replace_rows(plan.train, texts), held))
    family.cross_fit(fitted)
    corrupted = family.corrupt_features(decoded, encoders, fabric.device)
    train, val, test = (replace_rows(part, texts) for part in (dataset.train, dataset.val, dataset.test))
    return Stages(
        family, network, fold_networks, replace(dataset, train=train, val=val, test=test), corrupted
    )


def find_augmentations(spec: Spec, names: Sequence[str]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return the augmentations of these modalities, of those that have one."""
    found = {name: KINDS[spec.modalities[name].kind].augmentation(spec.modalities[name]) for name in names}
    return {name: augment for name, augment in found.items() if augment}


def calibrate_network(stages: Stages[N], spec: Spec) -> N:
    """Return a copy of the final network, fitted on the calibration set; the stages stay as they are."""
    with make_reproducible(spec, stages.dataset):
        network = copy.deepcopy(stages.network)
        stages.family.calibrate(network, stages, spec)
        return network.eval()


def predict_rows_out_of_fold(network: N, stages: Stages[N], spec: Spec) -> OutOfFold | None:
    """Predict validation and training rows by the networks that were not trained on them, if any."""
    with make_reproducible(spec, stages.dataset):
        return stages.family.predict_out_of_fold(network, stages)


def share_frozen(source: AnyNetwork, target: AnyNetwork, *, with_projections: bool) -> None:
    """Give encoders what was fitted once to the training rows: the scale of features, the projection.

    While a network is trained it has no projection, for its rows are features: neither the moving average
    nor the checkpoints copy tens of megabytes that never change.
    """
    for one, other in zip(source.encoders, target.encoders, strict=True):
        if isinstance(one, Pretrained) and isinstance(other, Pretrained):
            other.scale.load_state_dict(one.scale.state_dict())
        share_projection(one, other, keep=with_projections)


def replace_rows(part: SplitArrays, rows: dict[str, NDArray[Any]]) -> SplitArrays:
    """Return a part with other arrays for some modalities, in the order of those that it has."""
    return replace(part, inputs=part.inputs | rows)


def make_reproducible(spec: Spec, dataset: Dataset) -> AbstractContextManager[None]:
    """Make a block deterministic, on one thread if its batches are small."""
    numbers = 0  # of a row, in the encoders' first layers
    for name, modality in dataset.modalities.items():
        rows = dataset.train.inputs[name]
        numbers += KINDS[modality.kind].count_inputs(modality, rows, spec.network.width)
    small = numbers * spec.training.batch_size < SMALL_BATCH
    return torch_state(deterministic=True, threads=1 if small else None)
