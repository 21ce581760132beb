"""Train on a spec and evaluate a bundle, as the commands of the same names do."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailfuse_service.bundle import RuntimeName

from tailfuse.api.model import Model, load, open_model
from tailfuse.api.report import Report
from tailfuse.errors import SpecError
from tailfuse.spec.schema import Spec, load_spec, make_spec

if TYPE_CHECKING:
    from tailfuse.training.train import Listener

AnySpec = str | Path | Mapping[str, Any] | Spec


def train(
    spec: AnySpec,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    checkpoints: str | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    precision: str = "32-true",
    listener: "Listener | None" = None,
) -> Model:
    """Train on what a spec describes: the path of a YAML file, or its keys; write a run with its bundle.

    The run's folder is `out`, or runs/<name of the spec>. `overrides` are like `--set` of the command. A run
    that was stopped continues with `resume`. `checkpoints` is an address such as s3://runs/skin that
    checkpoints are copied to; a run continues from there if `out` holds none. Training on several `devices`
    runs the script in as many processes, of which all but the first end here. `listener` is called as the run
    goes on. Raises SpecError, TableError, RunError, ExportError.

    >>> model = tailfuse.train("spec.yaml", "run", overrides=["training.epochs=1"])
    >>> model.manifest.parity.keys()
    dict_keys(['onnx', 'torchscript'])
    """
    loaded = read_any_spec(spec, overrides)  # a mistake in it is not to wait for torch, which takes seconds
    from tailfuse.api.tracked_run import train_tracked

    run = Path("runs") / loaded.name if out is None else Path(out)
    hardware = accelerator, devices, precision
    bundle = train_tracked(
        loaded, run, hardware, listener, resume=resume, overwrite=overwrite, checkpoints=checkpoints
    )
    if bundle is None:  # another process than the first of several
        sys.exit()
    return load(bundle)


def evaluate(
    bundle: str | Path | Model,
    X: Any,
    y: Any = None,
    *,
    part: str | None = None,
    trained_on: str | Path | None = None,
    prior: str | Mapping[str, float] | None = None,
    runtime: RuntimeName = "onnx",
) -> Report:
    """Evaluate a bundle on labelled rows, as `Model.evaluate` does.

    `prior` and `runtime` are those of `load`, and are for the path of a bundle.

    >>> rows = {"title": ["a", "b"], "review": ["a dark spot", None]}
    >>> tailfuse.evaluate("bundle", rows, ["nv", "mel"]).overall.rows
    2
    """
    return open_model(bundle, prior=prior, runtime=runtime).evaluate(X, y, part=part, trained_on=trained_on)


def read_any_spec(spec: AnySpec, overrides: Sequence[str] = ()) -> Spec:
    """Return a spec from its file or its keys; a table's path is relative to the file. Raises SpecError."""
    if isinstance(spec, str | Path):
        return load_spec(spec, overrides)
    if overrides:
        raise SpecError("overrides are for the path of a spec; set the keys themselves")
    return spec if isinstance(spec, Spec) else make_spec(dict(spec))
