"""Measurements of a trained method, as rows of results.csv and reliability.csv.

Letters: N rows, M modalities.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.calibration_error import estimate_calibration_error
from tailfuse.evaluation.evaluate import subset_name, subsets
from tailfuse.evaluation.metrics import FloatArray, auroc, mean, reliability, subset_metrics
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import estimate_prior, mean_answers, reweighted
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo

from tailfuse_bench.corruption import CorruptedRows
from tailfuse_bench.methods import ADAPTED
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.shift import SHIFTS, draw_shifted_rows

MAX_MODALITIES = 3  # with more modalities, only some subsets are evaluated
BATCH, REPEATS = 64, 20

Subset = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Evaluate the predictions of one method; `template` holds its dataset, ratio, seed and name.

    `prepare` turns rows into the input of `run` (images become features of a frozen encoder). `test` and
    `corrupted` are prepared already.
    """

    template: Result
    run: Callable[[Batch], Output]
    prepare: Callable[[SplitArrays], SplitArrays]
    classes: Sequence[ClassInfo]
    test: SplitArrays
    corrupted: Sequence[CorruptedRows]

    def evaluate_subsets(self, chosen: Sequence[Subset]) -> Iterator[Result]:
        """Yield the metrics of each subset, on the rows that have all of its modalities."""
        for subset in chosen:
            rows = self.test.only(subset)
            metrics = measure_answers(self.predict(rows).probabilities, rows.labels, self.classes)
            yield self.template._replace(subset=subset_name(subset), **metrics)

    def evaluate_incomplete(self) -> Result:
        """Return the metrics of all test rows, whichever modalities they have."""
        metrics = measure_answers(self.predict(self.test).probabilities, self.test.labels, self.classes)
        return self.template._replace(subset=subset_name(self.all_modalities), **metrics)

    def evaluate_modalities(self) -> Iterator[Result]:
        """Yield each modality's mean weight, and the AUROC of its confidence against its own correctness."""
        test = self.test.only(self.all_modalities)
        output = self.predict(test)
        for at, name in enumerate(self.all_modalities):
            correct = self.predict(test.only((name,))).probabilities.argmax(axis=1) == test.labels
            confidence = output.confidences[:, at]
            yield self.template._replace(
                subset=subset_name(self.all_modalities),
                modality=name,
                rows=len(test),
                weight=mean(output.weights[:, at]),
                auroc=None if np.isnan(confidence).any() else auroc(confidence, correct),
            )

    def evaluate_corruptions(self) -> Iterator[Result]:
        """Yield the metrics of all modalities with one of them corrupted."""
        for modality, condition, level, rows in self.corrupted:
            output = self.predict(rows)
            yield self.make_result(
                rows, output, subset=subset_name(self.all_modalities), condition=condition, modality=modality,
                level=level, weight=mean(output.weights[:, self.all_modalities.index(modality)]),
            )  # fmt: skip

    def evaluate_shifts(self, val: SplitArrays) -> Iterator[Result]:
        """Yield the metrics under other class frequencies, before and after adapting to them."""
        test = self.test.only(self.all_modalities)
        answers = self.predict(test).probabilities
        val = self.prepare(val)
        calibration = mean_answers(self.predict(val).probabilities, val.labels)
        counts = [info.train_count for info in self.classes]
        for condition in SHIFTS:
            seed = [
                zlib.crc32(self.template.set.encode()),
                self.template.seed,
                zlib.crc32(condition.encode()),
            ]
            rows = draw_shifted_rows(test.labels, counts, condition, np.random.default_rng(seed))
            prior = estimate_prior(answers[rows], calibration, counts)
            adapted = reweighted(answers[rows], prior.shares)
            for method, each in ((self.template.method, answers[rows]), (ADAPTED, adapted)):
                yield self.template._replace(
                    method=method, subset=subset_name(self.all_modalities), condition=condition,
                    **self.compute_metrics(each, test.take(rows)),
                )  # fmt: skip

    def compute_bins(self) -> Iterator[Bin]:
        """Yield the reliability bins of predictions from all modalities."""
        test = self.test.only(self.all_modalities)
        curve = reliability(self.predict(test).probabilities, test.labels)
        for values in zip(curve.rows.tolist(), curve.confidence, curve.accuracy, strict=True):
            yield Bin(*self.template[:4], subset_name(self.all_modalities), *values)

    def measure_time(self, rows: SplitArrays) -> float:
        """Measure the CPU time per row, in microseconds, of a batch without the frozen encoders' features."""
        batch = rows.first(BATCH).batch()
        seconds = []
        for _ in range(REPEATS):
            begun = time.process_time()
            self.run(batch)
            seconds.append(time.process_time() - begun)
        return 1e6 * median(seconds) / len(batch.presence)

    @property
    def all_modalities(self) -> Subset:
        """The subset of all modalities."""
        return tuple(self.test.modalities)

    def predict(self, part: SplitArrays) -> Output:
        """Predict rows in batches."""
        return predict_part(self.run, part)

    def make_result(self, part: SplitArrays, output: Output, **where: Any) -> Result:
        """Make a result from an output and the place it belongs to."""
        return self.template._replace(**where, **self.compute_metrics(output.probabilities, part))

    def compute_metrics(self, probabilities: FloatArray, part: SplitArrays) -> dict[str, Any]:
        """Compute the metrics of the probabilities for these rows."""
        return compute_metrics(probabilities, part.labels, self.classes)


def compute_metrics(
    probabilities: FloatArray, labels: NDArray[np.int64], classes: Sequence[ClassInfo]
) -> dict[str, Any]:
    """Compute the metrics of probabilities: (N, C), (N,)"""
    return subset_metrics(probabilities, labels, [info.shot for info in classes]).model_dump()


def measure_answers(
    probabilities: FloatArray, labels: NDArray[np.int64], classes: Sequence[ClassInfo]
) -> dict[str, Any]:
    """Compute the metrics and the debiased calibration error of probabilities: (N, C), (N,)"""
    metrics = compute_metrics(probabilities, labels, classes)
    if len(labels):
        error = estimate_calibration_error(probabilities, labels)
        metrics |= {"ece_debiased": error.value, "ece_low": error.low, "ece_high": error.high}
    return metrics


def list_subsets(modalities: Sequence[str]) -> list[Subset]:
    """Return the subsets to evaluate, largest first; of many modalities only all, all but one, and each."""
    sizes = {len(modalities), len(modalities) - 1, 1}
    every = len(modalities) <= MAX_MODALITIES
    return [subset for subset in subsets(modalities) if every or len(subset) in sizes]
