"""Runs that are killed at given moments, and gone on with. A program for test_resume.py.

Every run is a process of its own, forked from this one, which has imported torch and never used it:
importing takes longer than training. A kill is SIGKILL at a place in the code, not after some time.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from tailfuse.calibration import fit_confidence, fit_fusion
from tailfuse.data.split_arrays import Dataset
from tailfuse.export import bundle
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training import families, loop, train
from tailfuse.training.hardware import Hardware
from tailfuse_service.bundle import sha256

SILENT = train.Listener(lambda *_: None, lambda *_: None, lambda _: None)


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def in_write(number: int, *, after: bool) -> Callable[[], None]:
    """In the middle of the n-th file that a run writes, or right after it.

    The files: run.json, final.pt and final.csv three times, those of the folds by epoch, trained.pt.
    """

    def arrange() -> None:
        replace, calls = os.replace, iter(range(1, 100))

        def counted(temporary: Path, path: Path) -> None:
            if path.suffix not in (".json", ".pt", ".csv") or next(calls) != number:
                return replace(temporary, path)
            if after:
                replace(temporary, path)
            else:
                os.truncate(temporary, temporary.stat().st_size // 2)
            die()

        mock.patch.object(os, "replace", counted).start()

    return arrange


def at_call(place: Any, name: str) -> Callable[[], None]:
    """When a function is called."""
    return lambda: setattr(place, name, die)


TRAINING = {
    **{f"in the middle of file {n}": in_write(n, after=False) for n in (1, 3, 5, 8)},
    **{f"after file {n}": in_write(n, after=True) for n in (1, 2, 4, 6)},
    "before the first epoch": at_call(loop, "run_epoch"),
    "between two stages": at_call(families, "fit_plda_heads"),
    "before confidences are fitted": at_call(families, "fit_confidence"),
    "before the fusion is fitted": at_call(families, "fit_fusion"),
    "before the export": at_call(train, "export_run"),
}
EXPORT = {
    "before the graphs are checked": at_call(bundle, "check_parity"),
    "before the bundle is opened": at_call(bundle, "open_bundle"),
}


def forked(work: Callable[[], object]) -> int:
    """The exit status of a process that does the work; -9 if it was killed."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def skip_export(run: Path, spec: Spec, dataset: Dataset, target: Path, *, n_examples: int = 0) -> Path:
    """Return the target, in place of an export, which takes long."""
    return target


def main(folder: Path, spec: Spec) -> dict[str, dict[str, Any]]:
    """What became of each run: the statuses of its two processes, and the sums of the files it left."""
    loop.CHECKPOINT_EVERY_S = -1.0  # after every epoch
    hardware = Hardware("cpu")

    def run(name: str, *, export: bool, resume: bool, moment: Callable[[], None] = lambda: None) -> int:
        def work() -> None:
            if not export:  # nor all that takes long
                fit_confidence.POSTERIOR_STEPS = fit_confidence.CONFIDENCE_STEPS = fit_fusion.STEPS = 9
                train.export_run = skip_export
            moment()
            train.train(spec, folder / name, hardware, SILENT, resume=resume)

        return forked(work)

    def sums(name: str) -> dict[str, str]:
        files = sorted(file for file in (folder / name).rglob("*") if file.is_file())
        return {str(file.relative_to(folder / name)): sha256(file) for file in files}

    told = {"never": {"statuses": [run("never", export=False, resume=False)], "files": sums("never")}}
    for name, moment in TRAINING.items():
        statuses = [
            run(name, export=False, resume=False, moment=moment),
            run(name, export=False, resume=True),
        ]
        told[name] = {"statuses": statuses, "files": sums(name)}
    statuses = [run("exporting", export=True, resume=True, moment=moment) for moment in EXPORT.values()]
    statuses.append(run("exporting", export=True, resume=True))
    told["exporting"] = {"statuses": statuses, "files": sums("exporting")}
    return told


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1]), load_spec(Path(sys.argv[2]))), sys.stdout)
