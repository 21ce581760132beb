"""The state of a stage: everything that changes during training, and that a checkpoint holds."""

import csv
import io
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric.plugins.precision import Precision
from tailfuse_service.bundle import write_atomically
from torch import Tensor, nn
from torch.optim import Optimizer

from tailfuse.errors import RunError
from tailfuse.network.build import AnyNetwork
from tailfuse.training import checkpoint

KEYS = {
    "log", "best", "epochs_since_best", "finished", "network", "averaged", "optimizer", "precision",
}  # fmt: skip


class Epoch(NamedTuple):
    """One line of the training log."""

    epoch: int
    loss: float
    val_loss: float
    val_balanced_accuracy: float
    learning_rate: float


class Best(NamedTuple):
    """The averaged weights of the epoch that validated best."""

    val_loss: float
    weights: dict[str, Tensor]


@dataclass
class State:
    """A network in training, its log, and the best weights so far."""

    network: AnyNetwork
    averaged: AnyNetwork
    optimizer: Optimizer
    precision: Precision
    log: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    epochs_since_best: int = 0
    finished: bool = False

    def add_epoch(self, epoch: Epoch) -> None:
        """Add an epoch to the log, and keep its weights if no epoch validated better."""
        self.log.append(epoch)
        if math.isnan(epoch.val_loss):
            return  # nothing was validated, so there is no best
        self.epochs_since_best += 1
        # Of equals the later: it has annealed further.
        if self.best is None or epoch.val_loss <= self.best.val_loss:
            self.best, self.epochs_since_best = Best(epoch.val_loss, copy_weights(self.averaged)), 0

    def keep_best(self) -> None:
        """Give the network the best weights, or those of the last epoch if nothing was validated."""
        self.network.load_state_dict(self.best.weights if self.best else self.averaged.state_dict())
        self.network.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint, and the log beside it as CSV, to be watched or plotted."""
        # First the log: after a kill between the two writes, its last epoch is trained again.
        write_atomically(path.with_suffix(".csv"), format_csv(self.log))
        checkpoint.save(
            path,
            {
                "log": [list(line) for line in self.log],
                "best": self.best and list(self.best),
                "epochs_since_best": self.epochs_since_best,
                "finished": self.finished,
                "network": copy_weights(self.network),
                "averaged": copy_weights(self.averaged),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.precision.state_dict(),
            },
        )

    def restore(self, saved: dict[str, Any] | None, path: Path) -> None:
        """Continue from what a checkpoint at `path` holds, if there is one. Raises RunError."""
        if saved is None:
            return
        if saved.keys() != KEYS:
            raise RunError(
                f"{path} was written by another version of tailfuse; "
                "delete it, and --resume trains this part again"
            )
        self.log = [Epoch(*line) for line in saved["log"]]
        self.best = saved["best"] and Best(*saved["best"])
        self.epochs_since_best, self.finished = saved["epochs_since_best"], saved["finished"]
        checkpoint.set_weights(self.network, saved["network"], path)
        checkpoint.set_weights(self.averaged, saved["averaged"], path)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.precision.load_state_dict(saved["precision"])


def format_csv(log: list[Epoch]) -> bytes:
    """Format a training log as CSV, with a header."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Epoch._fields)
    lines.writerows(log)
    return text.getvalue().encode()


def read_log(path: Path) -> list[dict[str, float]]:
    """Read the lines of a log written by State.save; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(file)]


def copy_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copy the weights to the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
