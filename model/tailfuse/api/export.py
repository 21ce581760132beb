"""Write the bundle of a run anew, or a bundle of less precision."""

from pathlib import Path
from typing import TYPE_CHECKING

from tailfuse.api.bundles import check_new, write_packed
from tailfuse.errors import RunError, UserError
from tailfuse.files.output import check_outside_bundle

if TYPE_CHECKING:
    from tailfuse.export.precision import Reduced
    from tailfuse.export.reduce import Comparison
    from tailfuse.spec.schema import ShownRows


def export_run(
    run: str | Path, out: str | Path | None = None, *, version: str | None = None, n_examples: int = 0,
    report_rows: "ShownRows | None" = None,
) -> Path:  # fmt: skip
    """Export the trained network of a run as a bundle, a folder or .zip, and return its path.

    Without `out` it is the run's own bundle. The inputs of `n_examples` test rows become part of it, in
    clear. `report_rows` is what its report shows of rows, in place of the spec's key report.rows.
    Raises RunError, SpecError, TableError, ExportError, UserError.

    >>> _ = tailfuse.train("spec.yaml", "run")
    >>> tailfuse.export_run("run", "weather.zip", version="2").name
    'weather.zip'
    """
    folder = Path(run)
    if out is not None:
        check_new(Path(out))
    if not is_run(folder):  # said before torch is loaded
        raise RunError(f"{folder} is not the folder of a run: it has no run.json")

    from tailfuse.data.dataset import load_dataset
    from tailfuse.spec.schema import ReportSpec
    from tailfuse.training.remove_run import BUNDLE
    from tailfuse.training.train import export_run as write_bundle
    from tailfuse.training.train import read_spec

    spec = read_spec(folder)
    report = ReportSpec(rows=report_rows or spec.report.rows)
    spec = spec.model_copy(update={"version": version or spec.version, "report": report})
    target = folder / BUNDLE if out is None else Path(out)
    write_packed(
        lambda new: write_bundle(folder, spec, load_dataset(spec), new, n_examples=n_examples), target
    )
    return target


def reduce_bundle(
    source: str | Path, out: str | Path, precision: "Reduced", *, table: str | Path | None = None,
    version: str | None = None,
) -> "Comparison":  # fmt: skip
    """Write a bundle with a graph of less precision, and return what the difference costs on test rows.

    `source` is a run, or a bundle with the `table` that it was trained on. `precision` is float16 or int8.
    Raises BundleError, UserError, TableError, ExportError.

    >>> tailfuse.reduce_bundle("bundle", "small", "int8", table="table.csv")
    Traceback (most recent call last):
    ...
    tailfuse.errors.UserError: --table: table.csv is not the table that bundle was trained on
    """
    path, target, trained_on = Path(source), Path(out), None if table is None else Path(table)
    check_new(target)
    if trained_on is None and not is_run(path):
        raise UserError(f"--precision {precision} needs --table, the one that {path} was trained on")

    from tailfuse.export.reduce import reduce_bundle as write_bundle

    if is_run(path):
        from tailfuse.training.remove_run import BUNDLE
        from tailfuse.training.train import read_spec

        trained_on = trained_on or read_spec(path).table
        path = path / BUNDLE
    check_outside_bundle(target, path)
    assert trained_on is not None
    rows = trained_on
    return write_packed(lambda new: write_bundle(path, rows, precision, new, version), target)


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run."""
    return (folder / "run.json").is_file()
