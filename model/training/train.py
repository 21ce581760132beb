"""One run: the final network, the fold networks, what is fitted on held-out rows, and the bundle.

A run's folder holds run.json (what it was started with), for each stage a checkpoint and its log as
CSV, and the bundle.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric

from model.data.dataset import load_dataset
from model.data.folds import folds
from model.data.part import Dataset
from model.errors import RunError, TableError
from model.export.bundle import write_bundle
from model.network.build import build_network, check_encoders
from model.network.network import Network
from model.spec.schema import Spec
from model.training import checkpoint
from model.training.held_out import HeldOut, fit_confidence, fit_fusion, set_prototypes
from model.training.loop import Stage, best_epochs, fit_network, generator_of
from model.training.state import Epoch, read_log
from service.bundle import sha256

FINAL, TRAINED, RUN, BUNDLE = "final", "trained.pt", "run.json", "bundle"
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
SMALL_BATCH = 2**20  # numbers; 128 grey pictures of 90 x 90, or texts of 64 words


@dataclass(frozen=True, slots=True)
class Hardware:
    """What to train on, in Fabric's words."""

    accelerator: str = "auto"
    devices: int | str = 1
    precision: Any = "32-true"

    def fabric(self) -> Fabric:
        """Raises RunError."""
        if self.precision not in PRECISIONS:
            raise RunError(f"--precision: '{self.precision}' is none of {', '.join(PRECISIONS)}")
        try:
            return Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                precision=self.precision,
                strategy="auto" if self.devices == 1 else "ddp",
            )
        except (ValueError, RuntimeError, ImportError) as error:
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

    Raises SpecError, TableError, RunError, ExportError.
    """
    fabric = hardware.fabric()
    check_encoders(spec)
    begun = beginning(spec)
    if fabric.is_global_zero:
        check_run(run, begun, resume=resume)
    listener.on_step("reading the table")
    dataset = load_dataset(spec, listener.on_load)
    build_network(spec, dataset)  # an encoder that cannot be had shall leave no run behind
    if fabric.is_global_zero:
        run.mkdir(parents=True, exist_ok=True)
        checkpoint.replace(run / RUN, json.dumps(begun, indent=1).encode())
    if not (run / TRAINED).exists():
        fabric.launch()  # from here on there may be several processes
        network, held_out = train_stages(fabric, spec, dataset, run, listener)
        if not fabric.is_global_zero:
            return None
        listener.on_step("fitting confidences and fusion on held-out rows")
        fit_confidence(network, held_out, dataset.modalities, seed=spec.seed, device=fabric.device)
        fit_fusion(network, held_out, seed=spec.seed, device=fabric.device)
        checkpoint.save(run / TRAINED, network.state_dict())
    listener.on_step("exporting and checking the graphs on every subset")
    for left_over in run.glob(f".{BUNDLE}.*"):  # of an export that was killed
        shutil.rmtree(left_over)
    return export_run(run, spec, dataset, run / BUNDLE)


def export_run(run: Path, spec: Spec, dataset: Dataset, target: Path) -> Path:
    """Write the bundle of a run that has been trained. Raises RunError, ExportError."""
    set_up_torch(spec, dataset)
    state = checkpoint.load(run / TRAINED)
    if state is None:
        raise RunError(f"{run} holds no trained network yet; finish it with: tailfuse train --resume")
    network = build_network(spec, dataset)
    network.load_state_dict(state)
    write_bundle(network.eval(), spec, dataset, read_log(run / f"{FINAL}.csv"), target)
    return target


def beginning(spec: Spec) -> dict[str, Any]:
    """What run.json says: the spec, and which table it was. Raises TableError."""
    written = json.loads(spec.model_dump_json()) | {"table": str(spec.table.resolve())}
    return {"spec": written, "table_sha256": table_sha256(spec)}


def spec_of(run: Path) -> Spec:
    """The spec of a run whose table is still the same. Raises RunError, TableError."""
    try:
        spec = Spec.model_validate(json.loads((run / RUN).read_text())["spec"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{run / RUN} is damaged; train anew") from None
    # What the features learnt from another table would not fit the weights.
    check_run(run, beginning(spec), resume=True)
    return spec


def table_sha256(spec: Spec) -> str:
    """Raises TableError."""
    try:
        return sha256(spec.table)
    except OSError as error:
        raise TableError(f"table: {spec.table}: {str(error.strerror).lower()}") from None


def check_run(run: Path, begun: dict[str, Any], *, resume: bool) -> None:
    """The folder is free, or holds a run to go on with, of the same spec and table. Raises RunError."""
    path = run / RUN
    if not path.exists():
        if run.exists() and not (run.is_dir() and {file.name for file in run.iterdir()} <= {"run.part"}):
            raise RunError(f"{run} holds something else; choose another folder with --out")
        return
    if not resume:
        raise RunError(f"{run} holds a run already; go on with it by --resume, or choose another --out")
    try:
        before = json.loads(path.read_text())
        keys, same_table = differing(before["spec"], begun["spec"]), before["table_sha256"]
    except (ValueError, KeyError, AttributeError, TypeError):
        raise RunError(f"{path} is damaged; choose another --out") from None
    for key in keys:
        raise RunError(
            f"{run} was started with another {key}; resume with the same spec, or choose another --out"
        )
    if same_table != begun["table_sha256"]:
        raise RunError(
            f"{run} was started with another {Path(begun['spec']['table']).name}; choose another --out"
        )


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


def set_up_torch(spec: Spec, dataset: Dataset) -> None:
    """The same numbers every time, and no threads that take longer to wake than their work takes."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # saves a tenth
    numbers = 0  # of a row, that the encoders' first layers go through
    for name, modality in dataset.modalities.items():
        size = prod(dataset.train.inputs[name].shape[1:])
        numbers += size * spec.network.width if modality.kind == "text" else size
    if numbers * spec.training.batch_size < SMALL_BATCH:
        torch.set_num_threads(1)


def train_stages(
    fabric: Fabric, spec: Spec, dataset: Dataset, run: Path, listener: Listener
) -> tuple[Network, list[HeldOut]]:
    """The final network, and each network with the rows it has not seen."""
    set_up_torch(spec, dataset)
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
    held_out = [HeldOut(network, dataset.val)]
    for k, (others, own) in enumerate(
        folds(dataset.train.labels, dataset.groups, spec.training.folds, spec.seed)
    ):
        # No early stopping: what is held out must stay unseen. As many epochs as the final network took.
        stage = Stage(
            f"fold-{k}", spec.seed + 1 + k, dataset.train.take(others), None, best_epochs(log), augmented
        )
        held_out.append(HeldOut(trained(stage)[0], dataset.train.take(own)))
    return network, held_out
