"""Train on a spec and evaluate a bundle, as the commands of the same names do."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tailfuse.api.model import Model, load
from tailfuse.api.report import Report
from tailfuse.errors import SpecError
from tailfuse.spec.schema import Spec, load_spec, make_spec

AnySpec = str | Path | Mapping[str, Any] | Spec


def train(
    spec: AnySpec,
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    accelerator: str = "auto",
    precision: str = "32-true",
) -> Model:
    """Train on what a spec describes: the path of a YAML file, or its keys; write a run with its bundle.

    The run's folder is `out`, or runs/<name of the spec>. `overrides` are like `--set` of the command. A run
    that was stopped continues with `resume`. Raises SpecError, TableError, RunError, ExportError.

    >>> model = tailfuse.train("spec.yaml", "run", overrides=["training.epochs=1"])
    >>> model.manifest.parity.keys()
    dict_keys(['onnx', 'torchscript'])
    """
    from tailfuse.training.train import Hardware, Listener
    from tailfuse.training.train import train as train_run

    loaded = read_any_spec(spec, overrides)
    run = Path("runs") / loaded.name if out is None else Path(out)
    silent = Listener(lambda *_: None, lambda *_: None, lambda _: None)
    hardware = Hardware(accelerator, 1, precision)
    bundle = train_run(loaded, run, hardware, silent, resume=resume, overwrite=overwrite)
    assert bundle is not None  # there is one process
    return load(bundle)


def evaluate(
    bundle: str | Path | Model,
    X: Any,
    y: Any = None,
    *,
    part: str | None = None,
    prior: str | Mapping[str, float] | None = None,
) -> Report:
    """Evaluate a bundle on labelled rows, as `Model.evaluate` does.

    >>> rows = {"title": ["a", "b"], "review": ["a dark spot", None]}
    >>> tailfuse.evaluate("bundle", rows, ["nv", "mel"]).overall.rows
    2
    """
    model = bundle if isinstance(bundle, Model) else load(bundle, prior=prior)
    return model.evaluate(X, y, part=part)


def read_any_spec(spec: AnySpec, overrides: Sequence[str] = ()) -> Spec:
    """Return a spec from its file or its keys; a table's path is relative to the file. Raises SpecError."""
    if isinstance(spec, str | Path):
        return load_spec(Path(spec), overrides)
    if overrides:
        raise SpecError("overrides are for the path of a spec; set the keys themselves")
    return spec if isinstance(spec, Spec) else make_spec(dict(spec))
