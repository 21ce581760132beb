"""The state of a stage: all that changes while it trains, and all that a checkpoint holds."""

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

from tailfuse.network.build import AnyNetwork
from tailfuse.training import checkpoint


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
    """What is trained, and how far it is. `waited` counts the epochs since the best one."""

    network: AnyNetwork
    averaged: AnyNetwork
    optimizer: Optimizer
    precision: Precision
    log: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    waited: int = 0
    finished: bool = False

    def note(self, epoch: Epoch) -> None:
        """Add an epoch to the log, and keep its weights if none validated better."""
        self.log.append(epoch)
        if math.isnan(epoch.val_loss):
            return  # nothing was validated, so there is no best
        self.waited += 1
        # Of equals the later: it has annealed further.
        if self.best is None or epoch.val_loss <= self.best.val_loss:
            self.best, self.waited = Best(epoch.val_loss, snapshot(self.averaged)), 0

    def keep_best(self) -> None:
        """Give the network the best weights, or those of the last epoch if nothing was validated."""
        self.network.load_state_dict(self.best.weights if self.best else self.averaged.state_dict())
        self.network.eval()

    def save(self, path: Path) -> None:
        """Write a checkpoint, and the log beside it as CSV, for whoever wants to watch or plot it."""
        # First the log: after a kill between the two, the epoch that it tells of is trained again.
        write_atomically(path.with_suffix(".csv"), format_csv(self.log))
        checkpoint.save(
            path,
            {
                "log": [list(line) for line in self.log], "best": self.best and list(self.best),
                "waited": self.waited, "finished": self.finished, "network": snapshot(self.network),
                "averaged": snapshot(self.averaged), "optimizer": self.optimizer.state_dict(),
                "precision": self.precision.state_dict(),
            },
        )  # fmt: skip

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one. Raises RunError."""
        saved: dict[str, Any] | None = checkpoint.load(path)
        if saved is None:
            return
        self.log = [Epoch(*line) for line in saved["log"]]
        self.best = saved["best"] and Best(*saved["best"])
        self.waited, self.finished = saved["waited"], saved["finished"]
        checkpoint.set_weights(self.network, saved["network"], path)
        checkpoint.set_weights(self.averaged, saved["averaged"], path)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.precision.load_state_dict(saved["precision"])


def format_csv(log: list[Epoch]) -> bytes:
    """A training log as CSV, with a header."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Epoch._fields)
    lines.writerows(log)
    return text.getvalue().encode()


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log written by State.save; none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(file)]


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
