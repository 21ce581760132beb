"""The storage of a search: its trials in SQLite beside its output, and what it was begun with."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from tailfuse_service.bundle import write_atomically

from tailfuse.api.search_space import Range, SearchSpace
from tailfuse.errors import RunError
from tailfuse.files.lock import LOCK, FolderInUse, lock_folder
from tailfuse.files.output import check_not_read
from tailfuse.spec.schema import Spec
from tailfuse.training.train import describe_run, find_differences

STUDY, BEGUN, BEST, REPORT = "study.db", "tune.json", "best.yaml", "report.md"
WRITTEN = (STUDY, BEGUN, BEST, REPORT)
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# Before so many trials, or epochs, none is stopped early: medians of a few, and first epochs, say little.
MIN_TRIALS, MIN_EPOCHS = 5, 5


@contextmanager
def hold_study(
    folder: Path, spec: Spec, space: SearchSpace, folds: int | None, *, overwrite: bool,
    sources: Sequence[Path],
) -> Iterator[None]:  # fmt: skip
    """Hold the folder of a search that is new, or that was begun with the same.

    Raises UserError if the search would replace one of the files that it reads, `sources`, and RunError if
    the folder holds something else.
    """
    for name in WRITTEN:
        check_not_read(folder / name, sources)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another folder with --out")
    if "?" in str(folder):  # it would begin the options of a database's address
        raise RunError(f"{folder}: a search cannot be kept in a folder with '?' in its name")
    begun = describe_search(spec, space, folds)
    try:
        with lock_folder(folder):
            check_search(folder, begun, overwrite=overwrite)
            yield
    except FolderInUse:
        raise RunError(
            f"{folder} is in use by another search; wait until it ends, or choose another --out"
        ) from None


def describe_search(spec: Spec, space: SearchSpace, folds: int | None) -> dict[str, Any]:
    """Return what the scores of a search follow from, as plain JSON."""
    written = {
        key: each.model_dump() if isinstance(each, Range) else dict(each.by_name)
        for key, each in space.items()
    }
    return {**describe_run(spec), "space": written, "folds": folds}


def check_search(folder: Path, begun: dict[str, Any], *, overwrite: bool) -> None:
    """Check that a folder is free or holds this search, and note what it is begun with. Raises RunError."""
    path = folder / BEGUN
    if overwrite and path.exists():
        for name in (STUDY, BEST, REPORT):
            (folder / name).unlink(missing_ok=True)
    elif path.exists():
        try:
            before = json.loads(path.read_text())
            changed = find_differences(before["spec"], begun["spec"])
            changed += [key for key in begun if key != "spec" and before.get(key) != begun[key]]
        except (ValueError, KeyError, AttributeError, TypeError):
            raise RunError(f"{path} is damaged; --overwrite begins the search anew") from None
        if changed:
            key = "table" if changed[0] == "table_sha256" else changed[0]
            raise RunError(
                f"{folder} holds a search with another {key}; begin it anew with --overwrite, or choose "
                "another --out"
            )
        return
    elif any(file.name != LOCK for file in folder.iterdir()):
        raise RunError(f"{folder} holds something else; choose another folder with --out")
    write_atomically(path, json.dumps(begun, indent=1))


def make_study(folder: Path, seed: int, folds: int | None) -> optuna.Study:
    """Open or begin the study of a folder. A trial that was killed counts as failed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / STUDY).absolute()}",
        study_name="tune",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(MIN_TRIALS, 0 if folds else MIN_EPOCHS),
    )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    # Another seed after each start: with the first one, the first values would be drawn again.
    study.sampler = optuna.samplers.TPESampler(seed=(seed + len(study.trials)) % 2**32)
    return study


def list_finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were scored or stopped early."""
    return study.get_trials(deepcopy=False, states=FINISHED)
