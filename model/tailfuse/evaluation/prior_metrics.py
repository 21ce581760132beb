"""Metrics of a bundle's answers for each class prior, where classes are as frequent as in training."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from tailfuse_service.bundle import PRIORS, Batch, Manifest, Output, PriorError, apply_prior, make_prior
from tailfuse_service.bundle.manifest import ClassInfo, SubsetMetrics

from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.evaluate import decimal, percent
from tailfuse.evaluation.metrics import Counts, subset_metrics
from tailfuse.evaluation.predict_part import predict_part

PRIORS_HEADING = "Answers by --prior, the rows weighted such that classes have their training shares:"


def evaluate_priors(
    run: Callable[[Batch], Output], part: SplitArrays, manifest: Manifest
) -> dict[str, SubsetMetrics]:
    """Evaluate the graph's answers under every prior, by its name; nothing for a bundle that has only one.

    Test rows need not have the training shares: those of the quick-start are balanced. Weights make up for
    it, so that accuracy and macro-F1 are those of rows that are as frequent as in training.
    """
    try:
        priors = {name: make_prior(manifest, name) for name in PRIORS}
    except PriorError:  # a baseline whose answers are not for equally frequent classes
        return {}
    if not len(part):
        return {}
    output = predict_part(run, part)
    weights = compute_natural_weights(part.labels, manifest.classes)
    shots = [info.shot for info in manifest.classes]
    return {
        name: subset_metrics(apply_prior(output, prior.factors).probabilities, part.labels, shots, weights)
        for name, prior in priors.items()
    }


def compute_natural_weights(labels: Counts, classes: tuple[ClassInfo, ...]) -> NDArray[np.float64]:
    """Compute weights of mean 1 that give the classes of these rows (N,) their training shares."""
    counts = np.array([info.train_count for info in classes], np.float64)
    rows = np.bincount(labels, minlength=len(classes))
    weights: NDArray[np.float64] = (counts / np.maximum(rows, 1))[labels]
    weights /= weights.mean()
    return weights


def prior_table(by_prior: Mapping[str, SubsetMetrics]) -> Table:
    """The metrics by prior, for a terminal."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("prior")
    for heading in ("accuracy", "macro-F1", "balanced accuracy", "few", "NLL"):
        table.add_column(heading, justify="right")
    for name, each in by_prior.items():
        shares = map(percent, (each.accuracy, each.macro_f1, each.balanced_accuracy, each.few))
        table.add_row(name, *shares, decimal(each.nll))
    return table
