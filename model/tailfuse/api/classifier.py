"""A classifier with scikit-learn's contract, on several modalities."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tailfuse.api.cells import make_column
from tailfuse.api.fit import fit_model
from tailfuse.api.frames import Rows, read_rows
from tailfuse.api.infer import add_column, infer_modalities, make_array_modality
from tailfuse.api.labels import Classes, check_labels, find_values
from tailfuse.api.model import Model
from tailfuse.api.report import Report
from tailfuse.data.classes import read_labels
from tailfuse.data.dataset import clean_table
from tailfuse.errors import SpecError, TableError
from tailfuse.files.reading import DEFAULT_MISSING, Reading
from tailfuse.spec.schema import make_spec

INFER: Literal["infer"] = "infer"
FRACTIONS = {"val": 0.1, "test": 0}  # scikit-learn's users keep their test rows to themselves
IN_MEMORY = Path("data frame")  # the table of a spec whose rows are not from a file

Modalities = Mapping[str, Mapping[str, Any]] | Literal["infer"]
Split = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Roles:
    """A table, and what its columns are for."""

    rows: Rows
    label: str
    split: Split | None
    group: str | None
    features: list[str]  # all other columns


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train on a frame, an array or a table, with the keys of a spec (docs/SPEC.md) as parameters.

    `modalities` are the spec's, or "infer": what each column holds is found out as `tailfuse init` does. All
    columns of an array are one tabular modality. `network` and `training` are the spec's sections; a key of
    theirs is set as `training__epochs=20`. Unless `split` says otherwise, a tenth of the rows validates, and
    all others are trained on.

    >>> clf = tailfuse.Classifier(training={"epochs": 3, "folds": 0})
    >>> clf.fit([[0.1, 5], [0.2, 4], [2.1, 1], [1.9, 2]] * 10, ["calm", "calm", "windy", "windy"] * 10)
    Classifier(training={'epochs': 3, 'folds': 0})
    >>> clf.predict_proba([[0.1, 4.5]]).shape, clf.classes_.tolist()
    ((1, 2), ['calm', 'windy'])
    """

    model_: Model
    classes_: NDArray[Any]

    def __init__(
        self,
        modalities: Modalities = INFER,
        *,
        split: Split | None = None,
        network: Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | None = None,
        min_rows: int | None = None,
        other: str | None = None,
        prior: str | Mapping[str, float] | None = None,
        separator: str | None = None,
        decimal: Literal[".", ","] | None = None,
        encoding: str | None = None,
        missing: Sequence[str] | None = None,
        name: str = "model",
        version: str = "1",
        seed: int = 0,
        accelerator: str = "auto",
    ) -> None:
        self.modalities = modalities
        self.split = split
        self.network = network
        self.training = training
        self.min_rows = min_rows
        self.other = other
        self.prior = prior
        self.separator = separator
        self.decimal = decimal
        self.encoding = encoding
        self.missing = missing
        self.name = name
        self.version = version
        self.seed = seed
        self.accelerator = accelerator

    def set_params(self, **params: Any) -> Self:
        """Set parameters; `training__epochs=20` sets one key of a section.

        >>> tailfuse.Classifier().set_params(training__epochs=20).training
        {'epochs': 20}
        """
        nested = {key: params.pop(key) for key in [*params] if key.startswith(("network__", "training__"))}
        super().set_params(**params)  # first: a whole section would replace a key of it that is set here too
        for name, value in nested.items():
            section, _, key = name.partition("__")
            setattr(self, section, {**(getattr(self, section) or {}), key: value})
        return self

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        label: str | None = None,
        split: Split | None = None,
        groups: Any = None,
    ) -> Self:
        """Train on rows with labels: `y`, or the column `label` of X.

        `split` is the spec's key, and overrides the parameter: a column with train, val and test, or
        fractions. Rows of one group (a column, or a value for each row) are never on both sides of a split.
        X is whatever `Model` takes. Raises SpecError, TableError, ValueError.

        >>> days = {"gusts": [0.1, 0.2, 2.1, 1.9] * 10, "weather": ["calm", "calm", "windy", "windy"] * 10}
        >>> clf = tailfuse.Classifier(training={"epochs": 1, "folds": 0}).fit(days, label="weather")
        >>> clf.feature_names_in_.tolist()
        ['gusts']
        """
        roles = self._read(X, y, label, self.split if split is None else split, groups)
        table = clean_table(roles.rows.table, self._reading.missing)
        spec = make_spec(self._make_keys(roles, table))
        values = find_values(roles.rows.table[roles.label] if y is None else check_labels(y, len(table)))
        self.model_ = fit_model(spec, table, roles.features, self.accelerator)
        self._classes = Classes(values, self.model_.manifest.class_names)
        self.classes_ = self._classes.values
        self.n_features_in_ = len(roles.features)
        if not roles.rows.by_position:
            self.feature_names_in_ = np.array(roles.features, object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    @property
    def _reading(self) -> Reading:
        given = (self.missing,) if isinstance(self.missing, str) else self.missing
        missing = DEFAULT_MISSING if given is None else tuple(given)
        return Reading(self.separator, self.decimal, self.encoding, missing)

    def _read(self, X: Any, y: Any, label: str | None, split: Split | None, groups: Any) -> Roles:
        """Return the rows as one table that has all labels and groups."""
        if (y is None) == (label is None):
            what = "requires y to be passed, but the target y is None" if y is None else "has y and label"
            raise ValueError(f"fit {what}; give the labels as y, or the name of their column as label")
        kinds = find_kinds(self.modalities)
        rows = read_rows(X, replace(self._reading, missing=()), kinds)
        features = list(rows.table.columns)
        if y is not None:
            name = getattr(y, "name", None)  # any hashable value; of a frame, the column "name"
            wanted = "label" if name is None or not isinstance(name, Hashable) else str(name) or "label"
            if wanted in features and wanted != "label":
                raise TableError(
                    f"X has a column '{wanted}', the name of y; leave it out, or fit(X, label={wanted!r})"
                )
            table, label = add_column(rows, wanted, make_column("y", check_labels(y, len(rows.table))))
            rows = replace(rows, table=table)
        group = groups if isinstance(groups, str) else None
        if groups is not None and group is None:
            groups = groups if hasattr(groups, "__len__") else list(groups)
            if len(groups) != len(rows.table):
                raise ValueError(f"groups has {len(groups):,} values, and X has {len(rows.table):,} rows")
            table, group = add_column(rows, "group", make_column("groups", groups))
            rows = replace(rows, table=table)
        assert label is not None
        read_labels(rows.table, label)  # a wrong name is named before anything is inferred
        column = split.get("column") if isinstance(split, Mapping) else split
        taken = (label, column, group, split.get("group") if isinstance(split, Mapping) else None)
        return Roles(rows, label, split, group, [name for name in features if name not in taken])

    def _make_keys(self, roles: Roles, table: pl.DataFrame) -> dict[str, Any]:
        """Return the keys of the spec."""
        modalities, split, group = self.modalities, roles.split, roles.group
        if isinstance(modalities, str) and modalities != INFER:
            raise SpecError(f"modalities: '{modalities}' is neither '{INFER}' nor modalities by their names")
        if modalities == INFER and roles.rows.by_position:
            modalities = make_array_modality(roles.features)
        elif modalities == INFER:
            known = table.select(*roles.features, roles.label)
            modalities, schema = infer_modalities(known, roles.rows.folder, roles.label, self.decimal)
            split = schema.split if split is None else split
            if split is None and group is None and schema.groups:
                group = schema.groups[0]
        if group is not None:
            split = {**({"column": split} if isinstance(split, str) else split or FRACTIONS), "group": group}
        keys = {
            "name": self.name, "version": self.version, "table": roles.rows.source or IN_MEMORY,
            "separator": self.separator, "decimal": self.decimal, "encoding": self.encoding,
            "missing": self._reading.missing, "label": roles.label, "min_rows": self.min_rows,
            "other": self.other, "split": split or FRACTIONS, "modalities": modalities,
            "network": self.network, "training": self.training, "prior": self.prior, "seed": self.seed,
        }  # fmt: skip
        return {key: value for key, value in keys.items() if value is not None}

    def predict(self, X: Any, modalities: Iterable[str] | None = None) -> NDArray[Any]:
        """Return the label of each row, (N,), of the type that the labels of `fit` had.

        `modalities` are the names of those that answer; None takes all that a row has. Raises TableError
        for a row without any modality.

        >>> clf.predict({"gusts": [0.1, 2.0]}).shape
        (2,)
        """
        check_is_fitted(self)
        return self._classes.get_values(self.model_.choose_classes(X, modalities))

    def predict_proba(self, X: Any, modalities: Iterable[str] | None = None) -> NDArray[np.float64]:
        """Return the probability of each class, (N, C), in the order of `classes_`; NaN without any modality.

        `modalities` are the names of those that answer; None takes all that a row has. Raises TableError, and
        ValueError for an unknown name.

        >>> clf.predict_proba({"gusts": [0.1, None]}).shape
        (2, 2)
        """
        check_is_fitted(self)
        return self._classes.sort_columns(self.model_.predict_proba(X, modalities))

    def confidences(self, X: Any, modalities: Iterable[str] | None = None) -> Any:
        """Return a frame of N rows: the fusion weight and confidence of each modality, and the conflict.

        The columns are `weight.<modality>` and `confidence.<modality>`, all from 0 to 1; the weights of a row
        sum to 1. Raises TableError, ValueError.

        >>> clf.confidences({"gusts": [0.1]}).columns
        ['weight.tabular', 'confidence.tabular', 'conflict']
        """
        check_is_fitted(self)
        return self.model_.confidences(X, modalities)

    def embed(self, X: Any) -> Any:
        """Return a frame with the embedding of each modality and the fused one, a column for each number.

        The columns are `embedding.<modality>.<i>` and `fused.<i>`; what is absent is missing. A classifier
        that was pickled embeds by the exported graph. Raises TableError, and UserError for a baseline.

        >>> clf.embed({"gusts": [0.1]}).columns[0]
        'embedding.tabular.0'
        """
        check_is_fitted(self)
        return self.model_.embed(X)

    def explain(self, X: Any) -> Any:
        """Return a frame with each row's label, and what each modality adds to its probability.

        The contributions are Shapley values: `prior` and the columns `contribution.<modality>` sum to
        `probability`. Labels are the names of the classes, as text. Raises TableError.

        >>> clf.explain({"gusts": [0.1]}).columns
        ['label', 'probability', 'prior', 'contribution.tabular']
        """
        check_is_fitted(self)
        return self.model_.explain(X)

    def evaluate(self, X: Any, y: Any = None) -> Report:
        """Evaluate on labelled rows: every subset of modalities; many, medium and few-shot classes.

        `y` are the labels (N,); None takes them from the column that was trained on. Raises TableError.

        >>> clf.evaluate({"gusts": [0.1, 2.0]}, ["calm", "windy"]).overall.rows
        2
        """
        check_is_fitted(self)
        return self.model_.evaluate(X, y)

    def export(self, path: str | Path) -> Path:
        """Write the bundle to a new folder, or to a .zip. Raises UserError if something is there.

        >>> tailfuse.load(clf.export("weather.zip")).name
        'model'
        """
        check_is_fitted(self)
        return self.model_.export(path)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = replace(tags.input_tags, allow_nan=True, categorical=True, string=True)
        return tags


def find_kinds(modalities: Any) -> dict[str, str]:
    """Return the kind of the modality that reads each column, where names without patterns say it."""
    kinds = {}
    for each in modalities.values() if isinstance(modalities, Mapping) else ():
        columns = each.get("column", each.get("columns", ())) if isinstance(each, Mapping) else ()
        for column in (columns,) if isinstance(columns, str) else columns:
            kinds[column] = str(each.get("kind"))
    return kinds
