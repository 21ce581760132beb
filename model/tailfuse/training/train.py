"""One run: from a spec to a bundle.

A run's folder holds run.json (what it was started with), for each stage a checkpoint and its log as
CSV, the answers to rows by networks that were not trained on them, and the bundle.
"""

import json
import logging
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric import Fabric
from tailfuse_service.bundle import PriorError, check_loss, compute_shares, write_atomically

from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import RunError, SpecError, TableError
from tailfuse.evaluation.out_of_fold import OUT_OF_FOLD, load_out_of_fold, save_out_of_fold
from tailfuse.export.bundle import write_bundle
from tailfuse.files.lock import LOCK, FolderInUse, lock_folder
from tailfuse.files.sources import digest_table
from tailfuse.modalities.spec import digest_weights
from tailfuse.network.build import build_network, check_encoders
from tailfuse.network.network import Network
from tailfuse.spec.schema import Spec
from tailfuse.training import checkpoint
from tailfuse.training.fit import (
    FINAL,
    OnEpoch,
    calibrate_network,
    make_reproducible,
    predict_rows_out_of_fold,
    train_stages,
)
from tailfuse.training.hardware import Hardware, is_launched, launch
from tailfuse.training.remove_run import BUNDLE, TRAINED, check_kept, remove_run
from tailfuse.training.run_copy import RunCopy, keep_copy
from tailfuse.training.state import read_log

RUN = "run.json"
log = logging.getLogger("tailfuse")


class Listener(NamedTuple):
    """Callbacks for the progress of a run."""

    on_load: Callable[[str, int, int], None]  # modality, rows or images done, and in all
    on_epoch: OnEpoch
    on_step: Callable[[str], None]  # the step that begins
    on_start: Callable[[], None] = lambda: (
        None
    )  # the spec and the table are right, and the folder is the run's


def train(
    spec: Spec, run: Path, hardware: Hardware, listener: Listener, *, resume: bool = False,
    overwrite: bool = False, checkpoints: str | None = None,
) -> Path | None:  # fmt: skip
    """Train, fit, export; the bundle's folder, or None in all but the first of several processes.

    A run that was killed goes on with `resume`. With `overwrite` a run that the folder holds is replaced,
    once the spec and the table have been found to be right. `checkpoints` is the address of a copy of the
    run's checkpoints, from which a run goes on whose folder is empty.

    Raises SpecError, TableError, RunError, ExportError.
    """
    fabric = hardware.fabric()
    check_encoders(spec)
    if not fabric.is_global_zero:
        return train_locked(spec, run, fabric, listener, None, resume=resume, overwrite=overwrite)
    copy = None if checkpoints is None else RunCopy(run, checkpoints)
    with lock_run(run):
        if copy:
            copy.begin(resume=resume, overwrite=overwrite)
        return train_locked(spec, run, fabric, listener, copy, resume=resume, overwrite=overwrite)


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Hold the folder of a run. Raises RunError if another training holds it."""
    if run.exists() and not run.is_dir():
        raise RunError(f"{run} is a file; choose another folder with --out")
    try:
        with lock_folder(run):
            yield
    except FolderInUse:
        raise RunError(
            f"{run} is in use by another training; wait until it ends, or choose another --out"
        ) from None


def train_locked(
    spec: Spec, run: Path, fabric: Fabric, listener: Listener, copy: RunCopy | None, *, resume: bool,
    overwrite: bool,
) -> Path | None:  # fmt: skip
    """Train as `train` does, in a folder that is locked."""
    begun = describe_run(spec)
    if fabric.is_global_zero:
        check_run(run, begun, resume=resume, overwrite=overwrite)
        if overwrite:
            check_kept(run, spec)
    listener.on_step("reading the table")
    dataset = load_dataset(spec, listener.on_load)
    check_prior(spec, dataset)
    build_network(spec, dataset)  # without its encoder a run shall leave no folder behind
    if fabric.is_global_zero:
        if overwrite:
            remove_run(run)
            if copy:
                copy.clear()
        write_atomically(run / RUN, json.dumps(begun, indent=1))
        if copy:
            copy.copy_first()
    listener.on_start()
    with keep_copy(copy):
        if not train_network(spec, dataset, run, fabric, listener):
            return None
    listener.on_step("exporting and checking the graphs on every subset")
    for left_over in run.glob(f".{BUNDLE}.*"):  # of an export that was killed
        shutil.rmtree(left_over)
    for left_over in run.glob(".*.part"):
        left_over.unlink()
    return export_run(run, spec, dataset, run / BUNDLE)


def train_network(spec: Spec, dataset: Dataset, run: Path, fabric: Fabric, listener: Listener) -> bool:
    """Train and calibrate the network, unless the run has one.

    False in all but the first of several processes. Raises RunError.
    """
    trained = (run / TRAINED).exists()
    if is_launched() or not trained:
        launch(fabric)  # from here on there may be several processes
        trained = fabric.broadcast(trained)  # those on other machines do not see the disk
    if not trained:
        stages = train_stages(
            spec, dataset, fabric=fabric, folder=run, on_epoch=listener.on_epoch,
            on_features=lambda name, *done: listener.on_load(f"features of {name}", *done),
        )  # fmt: skip
        if fabric.is_global_zero:
            listener.on_step("fitting on the calibration set")
            network = calibrate_network(stages, spec)
            if spec.network.forest and "forest" not in network.describe_calibration():
                log.warning("network.forest: no modality gains from a forest, so the network has none")
            if out_of_fold := predict_rows_out_of_fold(network, stages, spec):
                save_out_of_fold(run / OUT_OF_FOLD, out_of_fold)
            checkpoint.save(run / TRAINED, network.state_dict())
    return fabric.is_global_zero


def check_prior(spec: Spec, dataset: Dataset) -> None:
    """Check the prior of the answers against the classes, before anything is trained. Raises SpecError."""
    if spec.prior in (None, "uniform"):
        return
    try:
        check_loss(spec.model_dump(mode="json"))
        compute_shares(dataset.classes, spec.prior)
    except PriorError as error:
        raise SpecError(f"prior: {error}") from None


def export_run(run: Path, spec: Spec, dataset: Dataset, target: Path, *, n_examples: int = 0) -> Path:
    """Write the bundle of a run that has been trained, with the inputs of `n_examples` test rows.

    Raises RunError, ExportError, TableError.
    """
    state = checkpoint.load(run / TRAINED)
    if state is None:
        raise RunError(
            f"{run} holds no trained network yet; finish it with: "
            f"tailfuse train SPEC --out {shlex.quote(str(run))} --resume"
        )
    with make_reproducible(spec, dataset):
        network = build_network(spec, dataset)
        if isinstance(network, Network):
            network.add_forests_from(state)
        checkpoint.set_weights(network, state, run / TRAINED)
        history, out_of_fold = read_log(run / f"{FINAL}.csv"), load_out_of_fold(run / OUT_OF_FOLD)
        write_bundle(network.eval(), spec, dataset, history, target, out_of_fold, n_examples=n_examples)
    return target


def describe_run(spec: Spec) -> dict[str, Any]:
    """Describe a run for run.json: the spec, and the checksums of the files that it names.

    Raises SpecError, TableError.
    """
    written = json.loads(spec.model_dump_json()) | {"table": str(spec.table.resolve())}
    weights = {
        name: digest_weights(f"modalities.{name}.encoder", each.weights_path)
        for name, each in spec.modalities.items()
        if each.weights_path is not None
    }
    return {"spec": written, "table_sha256": table_sha256(spec), "weights_sha256": weights}


def read_spec(run: Path) -> Spec:
    """Read the spec of a run whose table is unchanged. Raises RunError, SpecError, TableError."""
    try:
        spec = Spec.model_validate(json.loads((run / RUN).read_text())["spec"])
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{run / RUN} is damaged; train again with --overwrite") from None
    # Features fitted to another table would not fit the weights.
    check_run(run, describe_run(spec), resume=True)
    return spec


def table_sha256(spec: Spec) -> str:
    """Raises TableError."""
    try:
        return digest_table(spec.table)
    except OSError as error:
        raise TableError(f"table: {spec.table}: {str(error.strerror).lower()}") from None


def check_run(run: Path, begun: dict[str, Any], *, resume: bool, overwrite: bool = False) -> None:
    """The folder is free, or holds a run to replace or to go on with, of the same spec and table.

    Raises RunError.
    """
    path = run / RUN
    if not path.exists():
        if not all(file.name == LOCK or file.suffix == ".part" for file in run.iterdir()):
            raise RunError(f"{run} holds something else; choose another folder with --out")
        return
    if overwrite:
        return
    if not resume:
        raise RunError(
            f"{run} holds a run already; continue it with --resume, replace it with --overwrite, or choose "
            "another --out"
        )
    try:
        before = json.loads(path.read_text())
        keys = find_differences(add_new_keys(before["spec"]), begun["spec"])
        same_table = before["table_sha256"]
        weights = before.get("weights_sha256", {})  # older runs do not say
    except (ValueError, KeyError, AttributeError, TypeError):
        raise RunError(
            f"{path} is damaged; replace the run with --overwrite, or choose another --out"
        ) from None
    for key in keys:
        raise RunError(
            f"{run} was started with another {key}; resume with the same spec, replace the run with "
            "--overwrite, or choose another --out"
        )
    for name, digest in begun["weights_sha256"].items():
        if weights.get(name) != digest:
            file = Path(begun["spec"]["modalities"][name]["encoder"]).name
            raise RunError(
                f"{run} was started with another {file}; replace the run with --overwrite, or choose another "
                "--out"
            )
    if same_table != begun["table_sha256"]:
        raise RunError(
            f"{run} was started with another {Path(begun['spec']['table']).name}; replace the run with "
            "--overwrite, or choose another --out"
        )


def add_new_keys(written: dict[str, Any]) -> dict[str, Any]:
    """Add the keys that the spec of an older version lacks, with their defaults."""
    try:
        return dict(json.loads(Spec.model_validate(written).model_dump_json()))
    except ValueError:
        return written  # it has a key that is gone, and differs by that


def find_differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """List the keys whose values differ, as dotted paths.

    The paths of the table and of weights do not matter: their checksums are compared. Nor does what the
    report shows, which is written at the end.
    """
    keys = []
    for key in before | now:
        if not prefix and key == "report":
            continue
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += find_differences(old, new, f"{prefix}{key}.")
        elif old != new and f"{prefix}{key}" != "table" and not (key == "encoder" and are_paths(old, new)):
            keys.append(f"{prefix}{key}")
    return keys


def are_paths(*encoders: object) -> bool:
    """Return whether all of these are files of weights, whose paths are absolute in a spec that was read."""
    return all(isinstance(each, str) and Path(each).is_absolute() for each in encoders)
