"""One run from a spec to a bundle, with its trackers."""

from functools import partial
from pathlib import Path

from tailfuse_service.bundle import read_manifest

from tailfuse.api.trackers import Trackers, check_trackers
from tailfuse.spec.schema import Spec
from tailfuse.training.hardware import Hardware
from tailfuse.training.loop import Stage
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.state import Epoch, read_log
from tailfuse.training.train import Listener, train

SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)


def train_tracked(
    spec: Spec, run: Path, hardware: tuple[str, int | str, str], listener: Listener | None, *, resume: bool,
    overwrite: bool, checkpoints: str | None = None,
) -> Path | None:  # fmt: skip
    """Train as `tailfuse.training.train` does, and log to the spec's trackers.

    Raises SpecError, TableError, RunError, ExportError.
    """
    check_trackers(spec)
    listener = listener or SILENT
    with Trackers(spec, run) as trackers:

        def on_epoch(stage: Stage, epoch: Epoch, n_stages: int) -> None:
            trackers.on_epoch(stage, epoch, n_stages)
            listener.on_epoch(stage, epoch, n_stages)

        tracked = listener._replace(on_epoch=on_epoch, on_start=partial(start, trackers, resume))
        bundle = train(
            spec, run, Hardware(*hardware), tracked, resume=resume, overwrite=overwrite,
            checkpoints=checkpoints,
        )  # fmt: skip
        if bundle is not None:
            manifest = read_manifest(bundle)
            trackers.log_result({"test": manifest.metrics, "validation": manifest.validation_metrics}, bundle)
    return bundle


def start(trackers: Trackers, resume: bool) -> None:
    """Start the trackers. Of a run that was trained before, they get the epochs from its logs."""
    trackers.start(resume=resume)
    if trackers.loggers and (trackers.folder / TRAINED).exists():
        for path in sorted(trackers.folder.glob("*.csv")):
            for line in read_log(path):
                trackers.log_epoch(path.stem, int(line.pop("epoch")), line)
