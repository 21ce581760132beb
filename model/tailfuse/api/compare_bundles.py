"""Two or more bundles side by side on the same labelled rows."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binomtest
from tailfuse_service.bundle import Manifest

from tailfuse.api.compare import DIFFERENCE, compare_rows
from tailfuse.api.model import Model, load
from tailfuse.api.report import METRICS, label_part, make_html_table
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import TableError, UserError
from tailfuse.evaluation.evaluate import Evaluation, decimal, evaluate

log = logging.getLogger("tailfuse")

PAIRED = ("only_first_right", "only_this_right", "p_value")  # of McNemar's test, against the first bundle
FLOATS = (*METRICS[1:], *DIFFERENCE, "p_value")


@dataclass(frozen=True, slots=True, repr=False)
class BundleComparison:
    """Figures of bundles on the same rows; differences are to the first bundle. Frames are of polars.

    `summary` has a row for each bundle, `by_class` for each class, and `by_subset` for each subset of
    modalities. `differing` has the rows with different answers, counted from 1.
    """

    summary: pl.DataFrame  # bundle, METRICS, DIFFERENCE of the balanced accuracy, PAIRED
    by_class: pl.DataFrame  # class, rows, recall.<bundle>
    by_subset: pl.DataFrame  # subset, rows, balanced_accuracy.<bundle>
    differing: pl.DataFrame  # row (from 1), label, predicted.<bundle>, probability.<bundle>

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON; of the rows that differ, how many there are."""
        frames = {"bundles": self.summary, "by_class": self.by_class, "by_subset": self.by_subset}
        plain: dict[str, Any] = {name: frame.to_dicts() for name, frame in frames.items()}
        return {**plain, "differing_rows": len(self.differing)}

    def __repr__(self) -> str:
        first = self.summary.row(0, named=True)
        lines = [f"{first['rows']} rows; difference to {first['bundle']} (95 %), McNemar's p"]
        for row in self.summary.iter_rows(named=True):
            figures = [f"balanced accuracy {decimal(row['balanced_accuracy'])}", f"nll {decimal(row['nll'])}"]
            if row["p_value"] is not None:
                figures.append("{difference:+.3f} ({low:+.3f} to {high:+.3f}), p {p_value:.3g}".format(**row))
            lines.append("  ".join([row["bundle"], *figures]))
        lines.append(f"{len(self.differing)} rows with different answers")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return make_html_table(self.summary.columns, self.summary.rows(), "bundles on the same rows")


def compare_bundles(
    bundles: Iterable[str | Path | Model], X: Any, y: Any = None, *, part: str | None = None
) -> BundleComparison:
    """Answer the same labelled rows with two or more bundles, and compare the answers.

    The difference of the balanced accuracy to the first bundle has a paired bootstrap interval. McNemar's
    exact test counts the rows that only one of the two answers rightly. `X`, `y` and `part` are those of
    `Model.evaluate`. Raises UserError for bundles that differ in classes or columns, and TableError.

    >>> rows = {"title": ["a", "b"], "review": ["a dark spot", "itchy"]}
    >>> result = tailfuse.compare_bundles(["bundle", model], rows, ["nv", "mel"])
    >>> result.summary["difference"].to_list()
    [None, 0.0]
    """
    models = name_models(bundles)
    first, *others = models
    for name in others:
        check_alike(first, models[first].manifest, name, models[name].manifest)
    parts = {name: label_part(model.manifest, model.read(X), y, part) for name, model in models.items()}
    check_rows(parts, part)
    answered = np.flatnonzero(np.all([each.presence().any(axis=1) for each in parts.values()], axis=0))
    if not len(answered):
        raise TableError("no row has a modality that all bundles can read")
    if left_out := len(parts[first]) - len(answered):
        log.warning("%d labelled rows have no modality and are left out", left_out)
    rows = {name: each.take(answered) for name, each in parts.items()}
    results = {
        name: evaluate(model.bundle.answer, rows[name], model.manifest.classes)
        for name, model in models.items()
    }
    probabilities = {name: each.given.probabilities for name, each in results.items()}
    labels = rows[first].labels
    return BundleComparison(
        make_summary(results, probabilities, labels),
        compare_classes(results),
        compare_subsets(results),
        find_differing(models[first].manifest.class_names, probabilities, rows[first]),
    )


def name_models(bundles: Iterable[str | Path | Model]) -> dict[str, Model]:
    """Open bundles; the name of each is its path, or its name and version if it was open.

    Raises UserError.
    """
    given = [] if isinstance(bundles, str | Path | Model) else list(bundles)
    if len(given) < 2:
        raise UserError("expected a list of two bundles or more")
    models: dict[str, Model] = {}
    for each in given:
        model = each if isinstance(each, Model) else load(each)
        name = f"{model.name} {model.version}" if isinstance(each, Model) else str(each)
        if name in models:
            raise UserError(f"bundle '{name}' is named twice; expected different bundles")
        models[name] = model
    return models


def check_alike(first: str, expected: Manifest, name: str, manifest: Manifest) -> None:
    """Check that two bundles read the same columns and know the same classes. Raises UserError."""
    pairs = (
        ("classes", expected.class_names, manifest.class_names),
        ("merged classes", expected.merged_labels, manifest.merged_labels),
        ("label", [expected.label], [manifest.label]),
        ("columns", list_columns(expected), list_columns(manifest)),
    )
    for what, wanted, got in pairs:
        if wanted != got:
            apart = sorted({*map(str, wanted)} ^ {*map(str, got)})
            named = f"; not in both: {', '.join(apart[:5])}{', …' if len(apart) > 5 else ''}" if apart else ""
            raise UserError(f"{first} and {name} have different {what}{named}")


def list_columns(manifest: Manifest) -> list[str]:
    """Return `modality.column` of each column that a bundle reads."""
    return sorted(
        f"{name}.{column}" for name, each in manifest.modalities.items() for column in each.column_names
    )


def check_rows(parts: dict[str, SplitArrays], part: str | None) -> None:
    """Check that all bundles are given the same rows and labels. Raises UserError."""
    first, *others = parts
    for name in others:
        same_rows = np.array_equal(parts[first].rows, parts[name].rows)  # type: ignore[arg-type]
        if not same_rows or not np.array_equal(parts[first].labels, parts[name].labels):
            hint = f"; they were split in different ways, so their {part} rows differ" if part else ""
            raise UserError(f"{first} and {name} do not read the same labelled rows{hint}")


def make_summary(
    results: dict[str, Evaluation], probabilities: dict[str, NDArray[Any]], labels: NDArray[np.int64]
) -> pl.DataFrame:
    """Return a line for each bundle."""
    first = next(iter(results))
    rows = []
    for name, each in results.items():
        paired: list[Any] = [None] * (len(DIFFERENCE) + len(PAIRED))
        if name != first:
            interval = compare_rows(probabilities[first], probabilities[name], labels)
            paired = [*interval, *compute_mcnemar(probabilities[first], probabilities[name], labels)]
        rows.append([name, *(getattr(each.overall, key) for key in METRICS), *paired])
    names = ("bundle", *METRICS, *DIFFERENCE, *PAIRED)
    types = {name: pl.Float64 if name in FLOATS else pl.Int64 for name in names}
    return pl.DataFrame(rows, schema={**types, "bundle": pl.String}, orient="row")


def compute_mcnemar(
    first: NDArray[Any], other: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[int, int, float]:
    """Return how many rows only the first and only the other answers rightly, and the exact p-value."""
    first_right, other_right = first.argmax(axis=1) == labels, other.argmax(axis=1) == labels
    only_first, only_other = int((first_right & ~other_right).sum()), int((other_right & ~first_right).sum())
    apart = only_first + only_other
    return only_first, only_other, float(binomtest(only_first, apart).pvalue) if apart else 1.0


def compare_classes(results: dict[str, Evaluation]) -> pl.DataFrame:
    """Return the recall of each class, missing where it has no rows."""
    first = next(iter(results.values()))
    columns: dict[str, Any] = {
        "class": [info.name for info in first.classes],
        "rows": first.confusion.sum(axis=1),
    }
    recalls = {f"recall.{name}": each.recall for name, each in results.items()}
    return pl.DataFrame(columns | recalls).with_columns(pl.col("^recall\\..*$").fill_nan(None))


def compare_subsets(results: dict[str, Evaluation]) -> pl.DataFrame:
    """Return the balanced accuracy from each subset of the modalities, missing where it has no rows."""
    subsets = next(iter(results.values())).metrics
    columns: dict[str, Any] = {
        "subset": list(subsets),
        "rows": [each.rows for each in subsets.values()],
    }
    for name, each in results.items():
        figures = [each.metrics[subset].balanced_accuracy for subset in subsets]
        columns[f"balanced_accuracy.{name}"] = pl.Series(figures, dtype=pl.Float64)
    return pl.DataFrame(columns)


def find_differing(
    names: Sequence[str], probabilities: dict[str, NDArray[Any]], part: SplitArrays
) -> pl.DataFrame:
    """Return the rows that the bundles put into different classes."""
    chosen = np.stack([each.argmax(axis=1) for each in probabilities.values()])
    at = np.flatnonzero((chosen != chosen[0]).any(axis=0))
    numbers = np.arange(len(part)) if part.rows is None else part.rows
    classes = np.array(names)
    columns: dict[str, Any] = {"row": numbers[at] + 1, "label": classes[part.labels[at]]}
    for name, each in zip(probabilities, chosen, strict=True):
        columns[f"predicted.{name}"] = classes[each[at]]
    for name, figures in probabilities.items():
        columns[f"probability.{name}"] = figures[at].max(axis=1).astype(np.float64)
    return pl.DataFrame(columns)
