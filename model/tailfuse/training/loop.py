"""The training loop of one network: epochs, validation, early stopping, a checkpoint to go on from."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import RunError
from tailfuse.network.build import AnyNetwork
from tailfuse.network.tensors import move_tensors
from tailfuse.spec.schedule import Schedule, count_steps
from tailfuse.spec.schema import TrainingSpec
from tailfuse.training import checkpoint
from tailfuse.training.average import Average
from tailfuse.training.loader import load_batches
from tailfuse.training.objective import Objective, draw
from tailfuse.training.state import Epoch, State
from tailfuse.training.validate import validate

# A moving average of the weights over this share of all epochs is validated and kept: it acts as annealing,
# so stopping early costs little, and its validation curve is smooth.
AVERAGED_SHARE = 0.05
# Pretrained weights change more slowly than weights that start from random values.
PRETRAINED_SCALE = 0.1
# A checkpoint per epoch, but not more often than this: tiny sets have a hundred epochs a second.
CHECKPOINT_EVERY_S = 1.0


class Stage(NamedTuple):
    """One network to train, and what to train it on."""

    name: str
    seed: int
    train: SplitArrays
    val: SplitArrays | None  # None: no early stopping; the network of the last epoch is kept
    epochs: int  # to train; a fold network stops where the final network was best
    schedule: Schedule  # whose epochs the learning rate follows
    augmentations: Mapping[str, Callable[[Tensor], Tensor]]  # by modality


class Progress(Protocol):
    """Called after every epoch."""

    def __call__(self, stage: Stage, epoch: Epoch) -> None: ...


def fit_network(
    fabric: Fabric,
    network: AnyNetwork,
    stage: Stage,
    training: TrainingSpec,
    path: Path | None,
    on_epoch: Progress,
) -> list[Epoch]:
    """Train in place, from the checkpoint at `path` if there is one, and return the log of all epochs.

    Every epoch draws its randomness from (seed, epoch) alone, so a run that was killed and resumed
    ends with the same weights as one that was not. Without a path nothing is written to disk.
    Raises RunError.
    """
    fused = fabric.device.type in ("cpu", "cuda")  # one kernel for the whole step
    optimizer = torch.optim.AdamW(
        make_parameter_groups(network), weight_decay=training.weight_decay, fused=fused
    )
    wrapped, stepper = fabric.setup(Objective(network).train(), optimizer)
    average = Average(network, compute_average_decay(stage, training))
    state = State(network, average.network, optimizer, fabric.strategy.precision)
    if path:
        state.restore(fabric.broadcast(checkpoint.load(path) if fabric.is_global_zero else None), path)
    for line in state.log:
        on_epoch(stage, line)

    schedule, saved_at = stage.schedule, time.monotonic()
    while not state.finished:
        epoch = len(state.log)
        rate = compute_learning_rate(training.learning_rate, schedule.epochs, epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["learning_rate_scale"]
        loss = run_epoch(fabric, wrapped, stepper, average, stage, training, epoch)
        validated = (np.nan, np.nan)
        if stage.val is not None:
            # Batch norm's statistics differ between devices; all must stop at the same epoch.
            validated = fabric.broadcast(validate(average.network, stage.val, fabric.device))
        state.add_epoch(Epoch(epoch, loss, *validated, rate))
        # The patience starts anew where a loss changes late in training.
        earliest = network.loss_fn.last_change * schedule.epochs + schedule.patience
        out_of_patience = state.epochs_since_best >= schedule.patience and epoch + 1 >= earliest
        state.finished = epoch + 1 == stage.epochs or out_of_patience
        due = state.finished or time.monotonic() - saved_at > CHECKPOINT_EVERY_S
        if path and due and fabric.is_global_zero:
            state.save(path)
            saved_at = time.monotonic()
        on_epoch(stage, state.log[-1])
    fabric.barrier()
    state.keep_best()
    return state.log


def make_parameter_groups(network: AnyNetwork) -> list[dict[str, Any]]:
    """Group the trained parameters by the scale of their learning rate."""
    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    pretrained = [each for name, each in trained.items() if ".backbone." in name]
    other = [each for name, each in trained.items() if ".backbone." not in name]
    return [
        {"params": other, "learning_rate_scale": 1.0},
        {"params": pretrained, "learning_rate_scale": PRETRAINED_SCALE},
    ]


def count_best_epochs(log: list[Epoch]) -> int:
    """Count the epochs up to the smallest validation loss, the last of equals."""
    losses = [line.val_loss for line in log]
    return len(losses) - int(np.argmin(losses[::-1]))


def compute_learning_rate(highest: float, epochs: int, epoch: int) -> float:
    """Compute the learning rate: a short linear warm-up, then a cosine down to zero."""
    warm_up = min(1.0, (epoch + 1) / min(5, epochs))
    return float(highest * warm_up * (1 + np.cos(np.pi * epoch / epochs)) / 2)


def run_epoch(
    fabric: Fabric, wrapped: Any, optimizer: Any, average: Average, stage: Stage,
    training: TrainingSpec, epoch: int,
) -> float:  # fmt: skip
    """Train for one epoch, each device on its share of every batch, and return the mean loss."""
    order = torch.randperm(len(stage.train), generator=make_generator(stage.seed, epoch)).numpy()
    own = make_generator(stage.seed, epoch, 1 + fabric.global_rank)
    torch.manual_seed(own.initial_seed())  # dropout and augmentation
    losses: list[Tensor] = []
    batches = split_order(order, training.batch_size, fabric.world_size)
    shares = [rows[fabric.global_rank :: fabric.world_size] for rows in batches]
    for whole, batch in zip(batches, load_batches(stage.train, shares, fabric.device), strict=True):
        draws = draw(
            batch.tensors.presence, dropout=training.modality_dropout, mixup=training.mixup, generator=own
        )
        inputs, rows, presence = move_tensors(batch.tensors, fabric.device)
        for name, augment in stage.augmentations.items():
            inputs[name] = augment(inputs[name])
        labels = batch.labels.to(fabric.device, non_blocking=True)
        optimizer.zero_grad()
        loss = wrapped(inputs, rows, presence, labels, draws.to(fabric.device), epoch / stage.schedule.epochs)
        loss = loss * (len(labels) * fabric.world_size / len(whole))  # a row counts alike on every device
        fabric.backward(loss)
        optimizer.step()
        average.update()
        losses.append(loss.detach())
    mean = fabric.all_reduce(torch.stack(losses).mean())
    assert isinstance(mean, Tensor)
    loss = float(mean)
    if not np.isfinite(loss):
        raise RunError(
            f"the loss of {stage.name} is {loss} in epoch {epoch + 1}; try a smaller training.learning_rate"
        )
    return loss


def split_order(order: NDArray[np.int64], batch_size: int, n_devices: int) -> list[NDArray[np.int64]]:
    """Split the rows of an epoch into batches of nearly equal size: a last one of one row upsets batch norm.

    Each has a row for every device, if need be one twice.
    """
    batches = np.array_split(order, count_steps(len(order), batch_size))
    return [np.resize(rows, max(len(rows), n_devices)) for rows in batches]


def compute_average_decay(stage: Stage, training: TrainingSpec) -> float:
    """Compute the decay per step of a moving average over AVERAGED_SHARE of the epochs."""
    steps = count_steps(len(stage.train), training.batch_size) * stage.schedule.epochs
    return 1 - 1 / max(1.0, steps * AVERAGED_SHARE)


def make_generator(*numbers: int) -> torch.Generator:
    """Make a generator that depends on these numbers alone."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.Generator().manual_seed(seed)
