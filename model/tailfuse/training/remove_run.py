"""The removal of a run that is to be replaced."""

import shutil
from pathlib import Path

from tailfuse.errors import UserError
from tailfuse.evaluation.out_of_fold import OUT_OF_FOLD
from tailfuse.files.output import check_not_read
from tailfuse.spec.schema import Spec
from tailfuse.training.fit import FINAL, FOLD

TRAINED, BUNDLE = "trained.pt", "bundle"


def check_kept(run: Path, spec: Spec) -> None:
    """Raises UserError if a run that is to be replaced holds a file that the training reads."""
    weights = (each.weights_path for each in spec.modalities.values())
    sources = [spec.table, *(path for path in weights if path is not None)]
    for file in list_written(run):
        check_not_read(file, sources)
    for source in sources:
        if source.resolve().is_relative_to((run / BUNDLE).resolve()):
            raise UserError(
                f"{source}: is read, and --overwrite removes the bundle that it is in; move it first"
            )


def remove_run(run: Path) -> None:
    """Remove what a training wrote but for run.json, which the next one replaces; other files stay.

    If this is interrupted, --resume trains the old run again.
    """
    if (run / BUNDLE).exists():
        shutil.rmtree(run / BUNDLE)
    for file in list_written(run):
        file.unlink()


def list_written(run: Path) -> list[Path]:
    """List the files that a training wrote beside the bundle and run.json."""
    patterns = (TRAINED, OUT_OF_FOLD, f"{FINAL}.pt", f"{FINAL}.csv", f"{FOLD}*.pt", f"{FOLD}*.csv")
    return [file for pattern in patterns for file in run.glob(pattern)]
