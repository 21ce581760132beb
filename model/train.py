"""One run: the final network, the fold networks, what is fitted on held-out rows, and the bundle.

A run's folder holds run.json (what it was started with), a checkpoint per stage, log.csv, and the bundle.
"""

import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from numpy.typing import NDArray

from model import checkpoint
from model.build import build_network
from model.bundle import write_bundle
from model.dataset import load_dataset
from model.errors import RunError
from model.held_out import HeldOut, fit_confidence, fit_fusion, set_prototypes
from model.loop import Epoch, Stage, best_epochs, fit_network, generator_of
from model.network import Network
from model.part import Dataset
from model.spec import Spec
from service.bundle import sha256

FINAL, TRAINED, RUN, LOG, BUNDLE = "final", "trained.pt", "run.json", "log.csv", "bundle"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What to train on, in Fabric's words; precision is 32-true, bf16-mixed, …"""

    accelerator: str = "auto"
    devices: int | str = 1
    precision: Any = "32-true"

    def fabric(self) -> Fabric:
        # A batch may lack a modality altogether, so that some parameters get no gradient.
        strategy = "auto" if self.devices in (1, "1") else DDPStrategy(find_unused_parameters=True)
        try:
            return Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                precision=self.precision,
                strategy=strategy,
            )
        except (ValueError, RuntimeError) as error:
            raise RunError(f"cannot train on this hardware: {str(error).splitlines()[0]}") from None


class Listener(NamedTuple):
    """Who hears how far a run is."""

    on_load: Callable[[str, int, int], None]  # modality, rows done, rows in all
    on_epoch: Callable[[Stage, Epoch, int], None]  # the last is the number of stages
    on_step: Callable[[str], None]  # what is being done now


def train(
    spec: Spec, run: Path, hardware: Hardware, listener: Listener, *, resume: bool = False
) -> Path | None:
    """Train, fit, export; the bundle's folder, or None in all but the first of several processes.

    A run that was killed goes on with `resume`.

    Raises SpecError, TableError, RunError.
    """
    fabric = hardware.fabric()
    fabric.launch()
    if fabric.is_global_zero:
        open_run(run, spec, resume=resume)
    fabric.barrier()
    torch.use_deterministic_algorithms(True, warn_only=True)
    listener.on_step("reading the table")
    dataset = load_dataset(spec, listener.on_load)
    network, held_out = train_stages(fabric, spec, dataset, run, listener)
    if not fabric.is_global_zero:
        return None
    if not (run / TRAINED).exists():
        listener.on_step("fitting confidences and fusion on held-out rows")
        device = fabric.device
        fit_confidence(network, held_out, dataset.modalities, seed=spec.seed, device=device)
        fit_fusion(network, held_out, seed=spec.seed, device=device)
        checkpoint.save(run / TRAINED, network.state_dict())
    listener.on_step("exporting and checking the graphs on every subset")
    return export_run(run, spec, dataset, run / BUNDLE)


def export_run(run: Path, spec: Spec, dataset: Dataset, target: Path) -> Path:
    """Write the bundle of a run that has been trained. Raises RunError, ExportError."""
    state = checkpoint.load(run / TRAINED)
    if state is None:
        raise RunError(f"{run} holds no trained network yet; finish it with: tailfuse train --resume")
    network = build_network(spec, dataset)
    network.load_state_dict(state)
    write_bundle(network.eval(), spec, dataset, read_log(run / LOG), target)
    return target


def open_run(run: Path, spec: Spec, *, resume: bool) -> None:
    """Make the run's folder, or check that it was started with the same spec and table. Raises RunError."""
    begun = {"spec": json.loads(spec.model_dump_json()), "table_sha256": sha256(spec.table)}
    path = run / RUN
    if not path.exists():
        if run.exists() and any(run.iterdir()):
            raise RunError(f"{run} holds something else; choose another folder with --out")
        run.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(begun, indent=1))
        os.replace(beside, path)
        return
    if not resume:
        raise RunError(f"{run} holds a run already; go on with it by --resume, or choose another --out")
    before = json.loads(path.read_text())
    for key in differing(before["spec"], begun["spec"]):
        raise RunError(
            f"{run} was started with another {key}; resume with the same spec, or choose another --out"
        )
    if before["table_sha256"] != begun["table_sha256"]:
        raise RunError(f"{run} was started with another {spec.table.name}; choose another --out")


def differing(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """The keys whose values differ, as dotted paths. Where the files lie does not matter."""
    keys = []
    for key in before | now:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += differing(old, new, f"{prefix}{key}.")
        elif old != new and f"{prefix}{key}" != "table":
            keys.append(f"{prefix}{key}")
    return keys


def train_stages(
    fabric: Fabric, spec: Spec, dataset: Dataset, run: Path, listener: Listener
) -> tuple[Network, list[HeldOut]]:
    """The final network, and each network with the rows it has not seen."""
    augmented = frozenset(
        name for name, each in spec.modalities.items() if each.kind == "image" and each.augment
    )
    n_stages = 1 + spec.training.folds

    def trained(stage: Stage) -> tuple[Network, list[Epoch]]:
        torch.manual_seed(generator_of(stage.seed).initial_seed())
        network = build_network(spec, dataset)
        log = fit_network(
            fabric, network, stage, spec.training, run / f"{stage.name}.pt",
            lambda stage, epoch: listener.on_epoch(stage, epoch, n_stages),
        )  # fmt: skip
        set_prototypes(network, stage.train, fabric.device)
        return network, log

    final = Stage(FINAL, spec.seed, dataset.train, dataset.val, spec.training.epochs, augmented)
    network, log = trained(final)
    if fabric.is_global_zero:
        write_log(run / LOG, log)
    held_out = [HeldOut(network, dataset.val)]
    fold_of = folds(dataset.train.labels, spec.training.folds, spec.seed)
    for k in range(spec.training.folds):
        others, own = np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k)
        # No early stopping: what is held out must stay unseen. As many epochs as the final network took.
        stage = Stage(
            f"fold-{k}", spec.seed + 1 + k, dataset.train.take(others), None, best_epochs(log), augmented
        )
        held_out.append(HeldOut(trained(stage)[0], dataset.train.take(own)))
    return network, held_out


def folds(labels: NDArray[np.int64], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, every class spread as evenly as can be: (N,)."""
    random = np.random.default_rng(seed)
    fold = np.zeros(len(labels), np.int64)
    for each in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == each))
        fold[rows] = (np.arange(len(rows)) + random.integers(n_folds)) % n_folds if n_folds else 0
    return fold


def write_log(path: Path, log: list[Epoch]) -> None:
    """The final network's training curve as CSV."""
    beside = path.with_suffix(".part")
    with beside.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(Epoch._fields)
        lines.writerows(log)
    os.replace(beside, path)


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of log.csv; none where there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: float(value) for key, value in line.items()} for line in csv.DictReader(file)]
