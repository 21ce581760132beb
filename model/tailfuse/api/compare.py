"""Several methods on the same rows of one spec."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle.manifest import SubsetMetrics

from tailfuse.api.fit import fit_dataset
from tailfuse.api.report import METRICS, make_html_table
from tailfuse.api.trackers import Trackers, check_trackers
from tailfuse.api.train import AnySpec, read_any_spec
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import SpecError
from tailfuse.evaluation.baselines import bootstrap_recall
from tailfuse.evaluation.evaluate import decimal
from tailfuse.evaluation.logistic import predict_probabilities
from tailfuse.evaluation.metrics import subset_metrics
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.spec.schema import Fusion, Loss, Spec
from tailfuse.spelling import did_you_mean

LOGISTIC, MAJORITY = "logistic regression", "majority"
FUSIONS, LOSSES = get_args(Fusion), get_args(Loss)
METHODS = (*FUSIONS, *LOSSES, LOGISTIC, MAJORITY)
DIFFERENCE = ("difference", "low", "high")  # of the balanced accuracy, to the first method
SHOWN = ("balanced_accuracy", "few", "nll")  # of the metrics, as text


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """Figures by method on the same test rows, and differences to the first method.

    `frame` (polars) has a row for each method; `difference`, `low` and `high` are of the balanced accuracy,
    with its 95 % interval. `metrics` has all figures by method.
    """

    name: str
    frame: pl.DataFrame  # method, METRICS, and difference, low, high of the balanced accuracy
    metrics: dict[str, SubsetMetrics]

    def __repr__(self) -> str:
        first = self.frame.row(0, named=True)
        lines = [f"{self.name}, {first['rows']} test rows; difference to {first['method']} (95 %)"]
        for row in self.frame.iter_rows(named=True):
            figures = [f"{key.replace('_', ' ')} {decimal(row[key])}" for key in SHOWN]
            if row["difference"] is not None:
                figures.append("{difference:+.3f} ({low:+.3f} to {high:+.3f})".format(**row))
            lines.append("  ".join([f"{row['method']:>20}", *figures]))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return make_html_table(self.frame.columns, self.frame.rows(), f"{self.name}: test rows")


def compare(
    spec: AnySpec, methods: Iterable[str] = ("confidence", "concat", "logistic regression")
) -> Comparison:
    """Train each method on the rows of a spec and evaluate it on the same test rows.

    A method is a `network.fusion`, a `network.loss`, "logistic regression" or "majority". The difference of
    the balanced accuracy to that of the first method has a paired bootstrap interval. Raises SpecError,
    TableError.

    >>> tailfuse.compare("spec.yaml", ["confidence", "logistic regression"]).frame.columns[:3]
    ['method', 'rows', 'balanced_accuracy']
    """
    loaded = read_any_spec(spec)
    names = [] if isinstance(methods, str) else list(methods)
    check_methods(names)
    check_trackers(loaded)
    dataset = load_dataset(loaded)
    if not len(dataset.test):
        raise SpecError("split.test: is 0, and methods are compared on test rows")
    shots = [info.shot for info in dataset.classes]
    probabilities = {method: predict_test_rows(method, loaded, dataset) for method in names}
    metrics = {name: subset_metrics(each, dataset.test.labels, shots) for name, each in probabilities.items()}
    first, *others = names
    apart = {
        name: compare_rows(probabilities[first], probabilities[name], dataset.test.labels) for name in others
    }
    rows = [
        [name, *(getattr(each, key) for key in METRICS), *apart.get(name, (None, None, None))]
        for name, each in metrics.items()
    ]
    floats = dict.fromkeys((*METRICS[1:], *DIFFERENCE), pl.Float64)
    schema = {"method": pl.String, "rows": pl.Int64, **floats}
    return Comparison(loaded.name, pl.DataFrame(rows, schema=schema, orient="row"), metrics)


def check_methods(methods: Sequence[str]) -> None:
    """Raises SpecError for an unknown method, or for one that is there twice."""
    if not methods:
        raise SpecError("methods: expected a list of names such as ['confidence', 'concat']")
    for method in methods:
        if method not in METHODS:
            known = ", ".join(METHODS)
            raise SpecError(f"methods: '{method}' is none of {known}{did_you_mean(method, METHODS)}")
    if len(set(methods)) < len(methods):
        raise SpecError("methods: a method is named twice")


def predict_test_rows(method: str, spec: Spec, dataset: Dataset) -> NDArray[Any]:
    """Return the probabilities of the test rows, (N, C). Raises SpecError."""
    if method == LOGISTIC:
        return predict_probabilities(dataset)
    if method == MAJORITY:
        counts = np.array([info.train_count for info in dataset.classes], np.float64)
        return np.tile(counts / counts.sum(), (len(dataset.test), 1))
    key = "fusion" if method in FUSIONS else "loss"
    network = spec.network.model_copy(update={key: method})
    changed = spec.model_copy(update={"network": network, "prior": None})
    with Trackers.in_memory(changed, method) as trackers:
        model = fit_dataset(changed, dataset, trackers=trackers)
    return predict_part(model.bundle.answer, dataset.test).probabilities


def compare_rows(
    first: NDArray[Any], other: NDArray[Any], labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Return how much the other's balanced accuracy is above the first's, and the ends of a 95 % interval.

    The bootstrap draws rows of each class anew, the same rows for both.
    """
    right, other_right = (each.argmax(axis=1) == labels for each in (first, other))
    _, gain = bootstrap_recall(right, other_right, labels)
    return gain.value, gain.low, gain.high
