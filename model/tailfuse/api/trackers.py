"""The trackers of a run: Lightning's loggers get its parameters, its metrics, and for MLflow the bundle.

Whatever a tracker does wrong while a run goes on is a warning: a training of hours does not end because a
server does not answer.
"""

import json
import logging
import math
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger
from lightning_fabric.utilities.rank_zero import rank_zero_only
from tailfuse_service.bundle import install_hint, write_atomically
from tailfuse_service.bundle.manifest import SubsetMetrics

from tailfuse.errors import RunError
from tailfuse.spec.schema import Spec

if TYPE_CHECKING:
    from tailfuse.training.loop import Stage
    from tailfuse.training.state import Epoch

PACKAGES = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "pandas", "pytorch_lightning"),
    "wandb": ("wandb", "pytorch_lightning"),
}  # by tracker, the packages of the extra with its name
STATE, EVENTS = "trackers.json", "tensorboard"  # files of a run's folder
FIXED_SECTIONS = ("split", "network", "training")  # of a spec: their keys are no names of columns or classes
MAX_ERROR_CHARS = 300

log = logging.getLogger("tailfuse")


def check_trackers(spec: Spec) -> None:
    """Check that what a spec's trackers need is installed. Raises RunError."""
    for tracker in spec.training.trackers.names:
        missing = [package for package in PACKAGES[tracker] if find_spec(package) is None]
        if missing:
            raise RunError(
                f"training.trackers: {tracker} needs {', '.join(missing)}, which the extra '{tracker}' "
                f"brings: {install_hint(tracker)}"
            )


class Trackers:
    """The trackers of one run, as a context manager that ends them. Only the first of several processes logs.

    `folder` is that of the run, in which some of them write files.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        self.spec = spec
        self.folder = folder
        self.loggers: dict[str, Logger] = {}
        self.parameters = flatten_spec(spec)

    @classmethod
    def in_memory(cls, spec: Spec, name: str) -> Self:
        """Return the trackers of a training that has no run's folder: theirs is `runs/<spec>-<name>-<id>`."""
        return cls(spec, Path("runs") / f"{spec.name}-{name}-{uuid.uuid4().hex[:8]}")

    def start(self, *, resume: bool = False) -> None:
        """Start the trackers, and log the parameters. With `resume` a run is continued where it was tracked.

        Raises RunError if one cannot be started.
        """
        if getattr(rank_zero_only, "rank", 0) > 0:
            return
        state = self.folder / STATE
        if not resume:
            state.unlink(missing_ok=True)  # of a run that was replaced
        ids = read_ids(state)
        for tracker in self.spec.training.trackers.names:
            try:
                with redirect_stdout(sys.stderr):  # stdout may be JSON
                    logger = START[tracker](self.spec, self.folder, ids.get(tracker))
                    self.loggers[tracker] = logger
                    if tracker != "tensorboard":  # it takes parameters with the result
                        logger.log_hyperparams(self.parameters)
                        ids[tracker] = str(logger.version)
            except Exception as error:  # whatever the packages raise
                hint = f"; delete {state} to start anew there" if tracker in ids else ""
                raise RunError(f"training.trackers: {tracker}: {describe_error(error)}{hint}") from error
        if ids and self.folder.is_dir():  # a training in memory is never continued
            write_atomically(state, json.dumps(ids))

    def log_epoch(self, stage: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics of an epoch of one stage; what was not measured is NaN."""
        measured = {f"{stage}/{name}": value for name, value in metrics.items() if not math.isnan(value)}
        self._call_each(lambda _, logger: logger.log_metrics(measured, step=epoch))

    def on_epoch(self, stage: "Stage", epoch: "Epoch", n_stages: int) -> None:
        """Log an epoch that has ended, as a callback of the training."""
        number, *_ = epoch
        self.log_epoch(stage.name, number, {k: v for k, v in epoch._asdict().items() if k != "epoch"})

    def log_result(
        self, metrics: Mapping[str, Mapping[str, SubsetMetrics]], bundle: Path | None = None
    ) -> None:
        """Log the final metrics, by part of the rows and by subset of the modalities, and the bundle."""
        figures = flatten_metrics(metrics)

        def log_to(tracker: str, logger: Logger) -> None:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.parameters, figures)
            else:
                logger.log_metrics(figures)
            if tracker == "mlflow" and bundle is not None:
                log_model(bundle, str(logger.version))

        self._call_each(log_to)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        def end(tracker: str, logger: Any) -> None:
            logger.finalize("success" if error is None else "failed")
            if tracker == "wandb":  # Lightning leaves the run open
                logger.experiment.finish(exit_code=int(error is not None))

        self._call_each(end)

    def _call_each(self, call: Callable[[str, Logger], None]) -> None:
        """Call with each tracker; one that fails is left out from there on."""
        for tracker, logger in list(self.loggers.items()):
            try:
                with redirect_stdout(sys.stderr):
                    call(tracker, logger)
            except Exception as error:  # whatever the packages raise
                del self.loggers[tracker]
                log.warning(
                    "training.trackers: %s failed and gets nothing more of this run: %s",
                    tracker, describe_error(error),
                )  # fmt: skip


def start_tensorboard(spec: Spec, folder: Path, _: str | None) -> Logger:
    """Start to write event files. A run that is continued logs all of its epochs again."""
    shutil.rmtree(folder / EVENTS, ignore_errors=True)
    return TensorBoardLogger(folder, name=EVENTS, version="")


def start_mlflow(spec: Spec, folder: Path, run_id: str | None) -> Logger:
    """Start or continue a run of MLflow."""
    import mlflow
    from pytorch_lightning.loggers import MLFlowLogger

    options = spec.training.trackers.mlflow
    assert options is not None
    logger: Logger = MLFlowLogger(
        experiment_name=options.experiment or spec.name,
        run_name=folder.name,
        tracking_uri=options.tracking_uri or mlflow.get_tracking_uri(),
        run_id=run_id,
    )
    return logger


def log_model(bundle: Path, run_id: str) -> None:
    """Log a bundle as the model of a run of MLflow."""
    from tailfuse.api.mlflow_model import log_bundle

    log_bundle(bundle, run_id)


def start_wandb(spec: Spec, folder: Path, run_id: str | None) -> Logger:
    """Start or continue a run of Weights & Biases."""
    from pytorch_lightning.loggers import WandbLogger

    options = spec.training.trackers.wandb
    assert options is not None
    folder.mkdir(parents=True, exist_ok=True)
    logger: Logger = WandbLogger(
        name=folder.name,
        project=options.project or spec.name,
        save_dir=folder,
        id=run_id or uuid.uuid4().hex[:8],
        offline=options.offline,
    )
    return logger


START: dict[str, Callable[[Spec, Path, str | None], Logger]] = {
    "tensorboard": start_tensorboard,
    "mlflow": start_mlflow,
    "wandb": start_wandb,
}


def read_ids(state: Path) -> dict[str, str]:
    """Read the ids that trackers gave to a run. Raises RunError."""
    try:
        return {str(name): str(run_id) for name, run_id in json.loads(state.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise RunError(f"{state} is damaged; delete it, and the trackers start anew") from None


def describe_error(error: Exception) -> str:
    """Return the beginning of an error on one line, or its type if it says nothing."""
    return " ".join(str(error).split())[:MAX_ERROR_CHARS] or type(error).__name__


def flatten_spec(spec: Spec) -> dict[str, Any]:
    """Return the keys of a spec as parameters: `training.epochs`. Lists and mappings of names are JSON.

    Only the names of files are given, for their folders are those of one machine.
    """
    written = json.loads(spec.model_dump_json()) | {"table": spec.table.name}
    modalities = written.pop("modalities")
    for name, each in spec.modalities.items():
        if each.weights_path is not None:
            modalities[name]["encoder"] = each.weights_path.name
    sections = {name: written.pop(name) for name in FIXED_SECTIONS if isinstance(written[name], dict)}
    sections |= {f"modalities.{name}": keys for name, keys in modalities.items()}
    nested = {f"{name}.{key}": value for name, keys in sections.items() for key, value in keys.items()}
    return {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for key, value in (written | nested).items()
        if value is not None
    }


def flatten_metrics(metrics: Mapping[str, Mapping[str, SubsetMetrics]]) -> dict[str, float]:
    """Return metrics by one name each, as `test/image-clinical/accuracy`; what has no rows is left out.

    MLflow takes no plus sign in a name.
    """
    return {
        f"{part}/{subset.replace('+', '-')}/{name}": float(value)
        for part, by_subset in metrics.items()
        for subset, each in by_subset.items()
        for name, value in each.model_dump().items()
        if value is not None
    }
