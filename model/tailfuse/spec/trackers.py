"""The trackers of a training: programs that keep the parameters and metrics of many runs."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from tailfuse.modalities.spec import Frozen, Name
from tailfuse.spelling import did_you_mean


class CsvSpec(Frozen):
    """The log of each stage as CSV in the run's folder. It is always written: the report shows it."""


class TensorBoardSpec(Frozen):
    """Event files in the folder `tensorboard` of the run."""


class MlflowSpec(Frozen):
    """A run of MLflow, which gets the bundle as a model."""

    tracking_uri: Name | None = None
    """Where MLflow keeps its runs. null: MLFLOW_TRACKING_URI, or mlflow.db in the working folder."""
    experiment: Name | None = None
    """The experiment of the run. null: the spec's name."""


class WandbSpec(Frozen):
    """A run of Weights & Biases."""

    project: Name | None = None
    """The project of the run. null: the spec's name."""
    offline: bool = False
    """Whether the run stays in the folder `wandb` of the run until `wandb sync` sends it."""


class TrackersSpec(Frozen):
    """The trackers of a training: a list of their names, or a mapping from each name to its options."""

    csv: CsvSpec | None = None
    """The logs as CSV in the run's folder; always written."""
    tensorboard: TensorBoardSpec | None = None
    """Event files in the run's folder; needs the extra `tensorboard`."""
    mlflow: MlflowSpec | None = None
    """A run of MLflow, with the bundle as a model; needs the extra `mlflow`."""
    wandb: WandbSpec | None = None
    """A run of Weights & Biases; needs the extra `wandb`."""

    @property
    def names(self) -> list[str]:
        """The trackers in use beside the CSV files."""
        return [name for name in TRACKERS if name != "csv" and getattr(self, name) is not None]


TRACKERS = tuple(TrackersSpec.model_fields)


def _trackers(value: Any) -> Any:
    """Read a list of names as a mapping; a tracker without options has none of its own."""
    if isinstance(value, TrackersSpec):
        return value
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        if len(set(value)) < len(value):
            raise ValueError(f"names a tracker twice: {', '.join(value)}")
        value = dict.fromkeys(value)
    if not isinstance(value, dict):
        raise ValueError(f"takes a list of {', '.join(TRACKERS)}, or a mapping from each to its options")
    for name in value:
        if name not in TRACKERS:
            known = ", ".join(TRACKERS)
            raise ValueError(f"'{name}' is none of {known}{did_you_mean(str(name), TRACKERS)}")
    return {name: {} if options is None else options for name, options in value.items()}


Trackers = Annotated[TrackersSpec, BeforeValidator(_trackers)]
