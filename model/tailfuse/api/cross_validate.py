"""Cross-validation of a spec: scores of the folds, and a prediction for each row by a model without it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tailfuse.api.answers import answer_rows
from tailfuse.api.fit import fit_dataset
from tailfuse.api.report import METRICS, Report, make_html_table, make_report
from tailfuse.api.trackers import Trackers, check_trackers
from tailfuse.api.train import AnySpec, read_any_spec
from tailfuse.data.classes import list_names
from tailfuse.data.dataset import load_table, make_dataset
from tailfuse.data.folds import assign_folds
from tailfuse.data.labels import load_labels
from tailfuse.data.split import Split, read_groups, split_by_fraction, split_rows
from tailfuse.errors import TableError
from tailfuse.network.build import check_encoders
from tailfuse.spec.schema import Spec, SplitSpec
from tailfuse.training.train import check_prior

Rows = NDArray[np.int64]

log = logging.getLogger("tailfuse")


@dataclass(frozen=True, slots=True, repr=False)
class CrossValidation:
    """Reports of the folds, and predictions: the model that answers a row was not trained on it.

    `reports` has a `Report` for each fold. `predictions` (polars) has a line for each row, counted from 1,
    with its fold, label, predicted label and the probability of each class.
    """

    name: str
    reports: list[Report]
    predictions: pl.DataFrame  # row (from 1), fold, label, predicted, probability.<class>

    @property
    def scores(self) -> pl.DataFrame:
        """Frame of the figures by fold, each of its rows as they are."""
        rows = [
            {"fold": fold, **{key: getattr(report.overall, key) for key in METRICS}}
            for fold, report in enumerate(self.reports)
        ]
        return pl.DataFrame(rows, schema_overrides=dict.fromkeys(METRICS[1:], pl.Float64))

    @property
    def summary(self) -> pl.DataFrame:
        """Frame of each figure's mean over the folds, and its standard deviation."""
        scores = self.scores.select(METRICS[1:])
        return pl.DataFrame(
            {
                "metric": scores.columns,
                "mean": [each.mean() for each in scores],
                "sd": [each.std() for each in scores],
            },
            schema_overrides={"mean": pl.Float64, "sd": pl.Float64},
        )

    def __repr__(self) -> str:
        lines = [
            f"{metric:>20}  –" if mean is None else f"{metric:>20}  {mean:.3f} ± {sd or 0:.3f}"
            for metric, mean, sd in self.summary.rows()
        ]
        return "\n".join([f"{self.name}, {len(self.reports)} folds: mean ± sd", *lines])

    def _repr_html_(self) -> str:
        caption = f"{self.name}, {len(self.reports)} folds"
        return make_html_table(self.summary.columns, self.summary.rows(), caption)


def cross_validate(spec: AnySpec, folds: int = 5) -> CrossValidation:
    """Train on all folds but one, evaluate on that one, for each fold; groups of the spec stay together.

    The test rows of the spec's split are in no fold: they stay unseen. With `split: {test: 0}` all rows are
    in the folds. A row whose class has no row outside of its fold is trained on, and has no prediction.
    Trackers of the spec get a run for each fold. Raises SpecError, TableError, RunError.

    >>> result = tailfuse.cross_validate("spec.yaml", folds=2)
    >>> result.predictions.columns
    ['row', 'fold', 'label', 'predicted', 'probability.calm', 'probability.windy']
    >>> len(result.scores)
    2
    """
    loaded = read_any_spec(spec)
    if folds < 2:
        raise ValueError(f"folds is {folds}; expected at least 2")
    check_encoders(loaded)
    check_trackers(loaded)
    table = load_table(loaded)
    labels = load_labels(table, loaded)
    reports, predictions = [], []
    for fold, (split, own) in enumerate(make_splits(loaded, table, labels, folds)):
        dataset = make_dataset(loaded, table, labels, split)
        check_prior(loaded, dataset)
        with Trackers.in_memory(loaded, f"fold-{fold}") as trackers:
            model = fit_dataset(loaded, dataset, trackers=trackers)
            report = make_report(model.bundle, dataset.test, f"fold {fold}")
            trackers.log_result({"test": report.evaluation.metrics})
        reports.append(report)
        answers = answer_rows(model.bundle, table[own], loaded.table.parent)
        predictions.append(
            make_predictions(fold, own, labels[own], model.manifest.class_names, answers.probabilities)
        )
    return CrossValidation(loaded.name, reports, pl.concat(predictions).sort("row"))


def make_splits(
    spec: Spec, table: pl.DataFrame, labels: pl.Series, n_folds: int
) -> Iterator[tuple[Split, Rows]]:
    """Yield the split of each fold, whose test rows are the fold's, and these rows. Raises TableError."""
    given = spec.split if isinstance(spec.split, SplitSpec) else SplitSpec(column=spec.split)
    chosen = split_rows(table, labels, spec.split, spec.seed)
    rows = np.sort(np.concatenate([chosen.train, chosen.val]))
    groups = read_groups(table, given.group)[rows]
    _, codes = np.unique(labels[rows].to_numpy(), return_inverse=True)
    fold_of_row = assign_folds(codes, groups, n_folds, spec.seed)
    empty = [fold for fold in range(n_folds) if not (fold_of_row == fold).any()]
    if empty:
        raise TableError(
            f"{n_folds} folds need as many groups of rows, and there are {len(np.unique(groups)):,}; use "
            "fewer folds"
        )
    is_alone = np.zeros(len(rows), bool)
    for fold in range(n_folds):
        is_alone |= (fold_of_row == fold) & ~np.isin(codes, codes[fold_of_row != fold])
    if is_alone.any():
        names = labels[rows[is_alone]].unique().sort().to_list()
        log.warning(
            "%d rows are trained on in every fold and have no prediction, for their class has no row outside "
            "of their fold: %s", is_alone.sum(), list_names(names),
        )  # fmt: skip
    for fold in range(n_folds):
        is_own = (fold_of_row == fold) & ~is_alone
        others = rows[~is_own]
        parts = split_by_fraction(labels, others, groups[~is_own], {"val": given.val}, spec.seed)
        if not len(parts["val"]) or not is_own.any():
            raise TableError(f"fold {fold}: no row is left to validate or to evaluate; use fewer folds")
        yield Split(parts["train"], parts["val"], rows[is_own]), rows[is_own]


def make_predictions(
    fold: int, rows: Rows, labels: pl.Series, names: list[str], probabilities: NDArray[np.float64]
) -> pl.DataFrame:
    """Return a line for each row of a fold; a row without any modality has no prediction."""
    answered = ~np.isnan(probabilities[:, 0])
    best = np.nan_to_num(probabilities, nan=-1.0).argmax(axis=1)
    predicted = [names[at] if has else None for at, has in zip(best, answered, strict=True)]
    columns = {
        "row": rows + 1,
        "fold": np.full(len(rows), fold),
        "label": labels.to_list(),
        "predicted": pl.Series(predicted, dtype=pl.String),
        **{f"probability.{name}": probabilities[:, at] for at, name in enumerate(names)},
    }
    return pl.DataFrame(columns).with_columns(pl.col("^probability\\..*$").fill_nan(None))
