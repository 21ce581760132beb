"""Reports of an evaluation: figures by subset of modalities and by class, as frames, HTML, chart or files."""

import html
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import polars as pl
from rich.console import Console
from tailfuse_service.bundle import Bundle, Manifest, write_atomically
from tailfuse_service.bundle.manifest import SubsetMetrics

from tailfuse.api.cells import make_column
from tailfuse.api.frames import Rows, to_pandas
from tailfuse.api.training_rows import check_training_table, predict_by_logistic
from tailfuse.data.classes import read_labels
from tailfuse.data.labelled import label_rows, labelled_part
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError, UserError
from tailfuse.evaluation.evaluate import (
    Evaluation,
    describe_calibration_error,
    evaluate,
    evaluation_json,
    subset_table,
)
from tailfuse.evaluation.findings import collect_findings
from tailfuse.evaluation.prior_metrics import evaluate_priors
from tailfuse.evaluation.report import LOGISTIC, Findings, report_html
from tailfuse.spec.schema import ShownRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("rows", "balanced_accuracy", "many", "medium", "few", "macro_f1", "accuracy", "nll", "ece")
WIDTH = 100  # of the table as text, in characters
SHARES = ("balanced_accuracy", "many", "medium", "few")  # drawn by `plot`


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """Figures of a model on labelled rows. Frames are of pandas if the rows were, else of polars.

    Shares are from 0 to 1; a figure that has no rows is missing. A notebook shows it as a table.
    """

    manifest: Manifest
    evaluation: Evaluation
    source: str = "rows"  # what was evaluated, for the page
    as_pandas: bool = False
    # What the page shows beside the figures, which takes a while.
    collect: Callable[[ShownRows], Findings] = lambda _: Findings()

    @property
    def overall(self) -> SubsetMetrics:
        """Figures of the rows as they are, each with the modalities that it has."""
        return self.evaluation.overall

    @property
    def by_subset(self) -> Any:
        """Frame of the figures by subset of modalities; what has no rows is missing."""
        rows = [
            {"subset": name, **{key: getattr(metrics, key) for key in METRICS}}
            for name, metrics in self.evaluation.metrics.items()
        ]
        return self.make_frame(pl.DataFrame(rows, schema_overrides=dict.fromkeys(METRICS[1:], pl.Float64)))

    @property
    def by_class(self) -> Any:
        """Frame of the classes: shot group, training rows, rows here, recall."""
        evaluation = self.evaluation
        columns = {
            "class": [info.name for info in evaluation.classes],
            "shot": [info.shot for info in evaluation.classes],
            "train_count": [info.train_count for info in evaluation.classes],
            "rows": evaluation.confusion.sum(axis=1),
            "recall": evaluation.recall,
        }
        return self.make_frame(pl.DataFrame(columns).with_columns(pl.col("recall").fill_nan(None)))

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain JSON, as `tailfuse evaluate --json` prints them."""
        return evaluation_json(self.evaluation)

    def write(self, path: str | Path, *, rows: ShownRows = "ids") -> Path:
        """Write the whole report as .html, or all figures as .json; an existing file is replaced.

        `rows` are for the page, as in `to_page`. Returns the path. Raises UserError.
        """
        target = Path(path)
        if target.suffix not in (".html", ".json"):
            raise UserError(f"{target}: a report is .html or .json")
        page = target.suffix == ".html"
        write_atomically(target, self.to_page(rows=rows) if page else json.dumps(self.to_dict(), indent=1))
        return target

    def to_page(self, *, rows: ShownRows = "ids") -> str:
        """Return the whole report as one HTML page.

        `rows` says what it shows of rows to look at: "none", "ids" (row numbers, labels and answers), or
        "all" (also images, texts and values, in clear).
        """
        if rows not in get_args(ShownRows):
            raise UserError(f"rows: '{rows}' is none of {', '.join(get_args(ShownRows))}")
        return report_html(self.manifest, self.evaluation, [], self.source, self.collect(rows))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw balanced accuracy and the recall of each shot group, by subset. It needs matplotlib."""
        if ax is None:
            from matplotlib import pyplot

            _, ax = pyplot.subplots(layout="constrained")
        names = list(self.evaluation.metrics)
        height = 0.8 / len(SHARES)
        for at, key in enumerate(SHARES):
            values = [getattr(each, key) for each in self.evaluation.metrics.values()]
            ax.barh(
                np.arange(len(names)) + (at - (len(SHARES) - 1) / 2) * height,
                [np.nan if value is None else value for value in values],
                height,
                label=key.replace("_", " "),
            )
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.set_xlim(0, 1)
        ax.set_xlabel("mean recall of the classes")
        ax.legend(fontsize="small")
        return ax

    def make_frame(self, frame: pl.DataFrame) -> Any:
        """Return a frame in the library of the rows."""
        return to_pandas(frame) if self.as_pandas else frame

    def __repr__(self) -> str:
        text = io.StringIO()
        # A notebook is no terminal, and its text has no colours.
        Console(file=text, width=WIDTH, force_terminal=False, force_jupyter=False).print(
            subset_table(self.evaluation.metrics)
        )
        return f"{text.getvalue().rstrip()}\n{describe_calibration_error(self.overall)}"

    def _repr_html_(self) -> str:
        by_subset = self.evaluation.metrics.items()
        rows = [[name, *(getattr(each, key) for key in METRICS)] for name, each in by_subset]
        caption = f"{self.manifest.name} {self.manifest.version} on {self.source}"
        return make_html_table(("subset", *METRICS), rows, caption)


def make_html_table(headings: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> str:
    """Return a table for a notebook; numbers with three decimals, what is missing as a dash."""
    head = "".join(f"<th>{html.escape(each.replace('_', ' '))}</th>" for each in headings)
    body = "".join(f"<tr>{''.join(f'<td>{format_cell(each)}</td>' for each in row)}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def format_cell(value: Any) -> str:
    """Return a value for HTML."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def evaluate_rows(
    bundle: Bundle, rows: Rows, y: Any = None, part: str | None = None, trained_on: Path | None = None
) -> Report:
    """Evaluate a bundle on labelled rows; the labels are `y`, or in the label's column.

    The page has logistic regression if it is told which table the bundle was `trained_on`. Raises TableError,
    UserError.
    """
    if trained_on is not None:
        check_training_table(bundle.manifest, trained_on)
    labelled = label_part(bundle.manifest, rows, y, part)
    source = "rows of a frame" if rows.source is None else rows.source.name
    report = make_report(bundle, labelled, source if part is None else f"{source}, part {part}")

    def collect(shown: ShownRows) -> Findings:
        predictions = {}
        if trained_on is not None:
            predictions[LOGISTIC] = predict_by_logistic(bundle.manifest, trained_on, labelled)
        return collect_findings(
            bundle.manifest, bundle.answer, labelled, report.evaluation, lambda: rows.table,
            shown=shown, source=part or "", predictions=predictions,
        )  # fmt: skip

    return replace(report, as_pandas=rows.pandas_index is not None, collect=collect)


def make_report(bundle: Bundle, part: SplitArrays, source: str) -> Report:
    """Evaluate a bundle on labelled arrays."""
    evaluation = evaluate(bundle.answer, part, bundle.manifest.classes)
    priors = evaluate_priors(bundle.runtime.run, part, bundle.manifest)
    return Report(bundle.manifest, replace(evaluation, priors=priors), source)


def label_part(manifest: Manifest, rows: Rows, y: Any, part: str | None) -> SplitArrays:
    """Return labelled rows as arrays. Raises TableError."""
    if rows.source is not None and y is None:
        return labelled_part(manifest, rows.source, part)
    if part is not None:
        raise TableError("part is for the path of a table; of a frame, give the rows of the part")
    table = rows.table
    if y is not None:
        labels = make_column(manifest.label, take_column(y, manifest.label))
        if len(labels) != len(table):
            raise TableError(f"y has {len(labels):,} labels, and X has {len(table):,} rows")
        table = table.with_columns(labels)
    names = read_labels(table, manifest.label)
    return label_rows(manifest, table, names, rows.folder, np.arange(len(table)), "X")


def take_column(y: Any, label: str) -> Any:
    """Return labels as one column, that of a frame or array with one column. Raises TypeError, TableError.

    >>> take_column(np.array([["nv"], ["mel"]]), "diagnosis").tolist()
    ['nv', 'mel']
    """
    if isinstance(y, str):
        raise TypeError(
            f"y is the text {y!r:.40}; give the label of each row, or leave y out: the labels are then those "
            f"in the column '{label}' of X"
        )
    if np.ndim(y) != 2 or not hasattr(y, "shape"):
        return y
    if y.shape[1] != 1:
        raise TableError(f"y has {y.shape[1]} columns; expected one, the label of each row")
    return np.asarray(y)[:, 0]
