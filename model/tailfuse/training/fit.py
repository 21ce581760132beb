"""Train and calibrate a network: the final one, the fold networks, and the fits on the calibration set.

Fold networks supply calibration rows that a network was not trained on; only the final one is kept.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple

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
from tailfuse.spec.schedule import Schedule, choose_schedule
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


@dataclass(frozen=True, slots=True)
class Training(Generic[N]):
    """Settings that all stages of a training share. `first` holds the frozen parts of all networks."""

    family: Family[N]
    spec: Spec
    dataset: Dataset
    fabric: Fabric
    folder: Path | None
    first: N
    texts: Mapping[str, NDArray[Any]]  # n-grams, in place of the features that a network is trained on
    schedule: Schedule
    augmentations: Mapping[str, Callable[[Tensor], Tensor]]
    on_epoch: OnEpoch | None
    told: set[tuple[str, int]] = field(default_factory=set)  # the epochs that `on_epoch` knows

    @property
    def n_folds(self) -> int:
        return self.schedule.folds if self.family.has_folds else 0

    def prepare(self, plan: Plan) -> tuple[N, Stage]:
        """Return an untrained network, and what to train it on."""
        rows = oversample(plan.train, plan.seed) if self.spec.training.smote else plan.train
        stage = Stage(plan.name, plan.seed, rows, plan.val, plan.epochs, self.schedule, self.augmentations)
        torch.manual_seed(make_generator(plan.seed).initial_seed())
        network = self.family.build(self.spec, self.dataset)
        share_frozen(self.first, network, with_projections=False)
        return network, stage

    def train(self, plan: Plan) -> tuple[N, list[Epoch]]:
        """Train a network, and fit what needs no gradient."""
        network, stage = self.prepare(plan)
        path = self.folder and self.folder / f"{plan.name}.pt"
        log = fit_network(self.fabric, network, stage, self.spec.training, path, self.report)
        share_frozen(self.first, network, with_projections=True)
        self.family.fit_closed_form(network, self.restore_texts(plan.train), self.fabric.device)
        return network, log

    def train_ahead(self, plans: Sequence[Plan], seconds: float) -> None:
        """Train folds in processes, if that is worth it; each takes about so many seconds."""
        if self.folder is None:
            return
        count = count_processes(self.fabric, self.dataset.train, len(plans), seconds)
        if count:
            folder, training = self.folder, self.spec.training
            jobs = (Job(*self.prepare(plan), training, folder / f"{plan.name}.pt") for plan in plans)
            train_in_processes(jobs, count, self.report)

    def report(self, stage: Stage, epoch: Epoch) -> None:
        """Tell of an epoch, once: a process may have told of it before its checkpoint is read."""
        key = stage.name, epoch.epoch
        if self.on_epoch and key not in self.told:
            self.told.add(key)
            self.on_epoch(stage, epoch, 1 + self.n_folds)

    def restore_texts(self, part: SplitArrays) -> SplitArrays:
        """Return the part with n-grams in place of their features."""
        return replace(part, inputs={**part.inputs, **self.texts})


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
    # The features of a frozen encoder are not augmented.
    as_decoded = [name for name in encoders if dataset.train.inputs[name] is decoded.train.inputs[name]]
    training = Training(
        family, spec, dataset, fabric, folder, first, texts, schedule, find_augmentations(spec, as_decoded),
        on_epoch,
    )  # fmt: skip
    begun = time.monotonic()
    network, log = training.train(Plan(FINAL, spec.seed, dataset.train, dataset.val, schedule.epochs))
    epochs = count_best_epochs(log)
    seconds = (time.monotonic() - begun) * epochs / len(log)
    folds = train_folds(training, epochs, seconds)
    fitted: list[tuple[N, SplitArrays, SplitArrays | None]] = [
        (network, training.restore_texts(dataset.train), None)
    ]
    fitted.extend(folds)
    family.cross_fit(fitted, spec)
    corrupted = family.corrupt_features(decoded, encoders, fabric.device)
    train, val, test = map(training.restore_texts, (dataset.train, dataset.val, dataset.test))
    return Stages(
        family, network, [(fold, held) for fold, _, held in folds],
        replace(dataset, train=train, val=val, test=test), corrupted,
    )  # fmt: skip


def train_folds(
    training: Training[N], epochs: int, seconds: float
) -> list[tuple[N, SplitArrays, SplitArrays]]:
    """Train the fold networks; return each with its rows and those of its fold. Each takes about `seconds`.

    There is no early stopping: it would look at the calibration rows. They take as many epochs as the final
    network took.
    """
    rows, seed = training.dataset.train, training.spec.seed
    folds = make_folds(rows.labels, training.dataset.groups, training.n_folds, seed)
    plans = [
        Plan(f"{FOLD}{k}", seed + 1 + k, rows.take(others), None, epochs)
        for k, (others, _) in enumerate(folds)
    ]
    training.train_ahead(plans, seconds)
    restore = training.restore_texts
    return [
        (training.train(plan)[0], restore(plan.train), restore(rows.take(held)))
        for plan, (_, held) in zip(plans, folds, strict=True)
    ]


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


def make_reproducible(spec: Spec, dataset: Dataset) -> AbstractContextManager[None]:
    """Make a block deterministic, on one thread if its batches are small."""
    numbers = 0  # of a row, in the encoders' first layers
    for name, modality in dataset.modalities.items():
        rows = dataset.train.inputs[name]
        numbers += KINDS[modality.kind].count_inputs(modality, rows, spec.network.width)
    small = numbers * spec.training.batch_size < SMALL_BATCH
    return torch_state(deterministic=True, threads=1 if small else None)
