"""What is measured of a method that has been trained, as rows of results.csv and reliability.csv.

Letters: N rows, M modalities.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from tailfuse.data.part import Part
from tailfuse.evaluation.evaluate import predict_part, subset_name, subsets
from tailfuse.evaluation.metrics import FloatArray, auroc, mean, reliability, subset_metrics
from tailfuse.evaluation.prior import estimate_prior, mean_answers, reweighted
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo

from tailfuse_bench.damaged import Damaged
from tailfuse_bench.methods import ADAPTED
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.shift import SHIFTS, shifted

FEW_MODALITIES = 3  # with more, not every subset is judged
BATCH, REPEATS = 64, 20

Subset = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the answers of one method; `where` names set, tail, seed and method.

    `prepared` makes of a part what `run` takes (pictures become the features of a frozen encoder); `test`
    and `damaged` are so prepared.
    """

    where: Result
    run: Callable[[Batch], Output]
    prepared: Callable[[Part], Part]
    classes: Sequence[ClassInfo]
    test: Part
    damaged: Sequence[Damaged]

    def subsets(self, views: Sequence[Subset]) -> Iterator[Result]:
        """The metrics of each subset, on the rows that have all of it."""
        for subset in views:
            rows = self.test.only(subset)
            yield self.measured(rows, self.answers(rows), subset=subset_name(subset))

    def modalities(self) -> Iterator[Result]:
        """Each one's mean weight among all, and how well its confidence tells where it is right alone."""
        test = self.test.only(self.whole)
        given = self.answers(test)
        for at, name in enumerate(self.whole):
            right = self.answers(test.only((name,))).probabilities.argmax(axis=1) == test.labels
            confidence = given.confidences[:, at]
            yield self.where._replace(
                subset=subset_name(self.whole),
                modality=name,
                rows=len(test),
                weight=mean(given.weights[:, at]),
                auroc=None if np.isnan(confidence).any() else auroc(confidence, right),
            )

    def damage(self) -> Iterator[Result]:
        """All modalities, one of them damaged."""
        for modality, condition, level, damaged in self.damaged:
            output = self.answers(damaged)
            yield self.measured(
                damaged, output, subset=subset_name(self.whole), condition=condition, modality=modality,
                level=level, weight=mean(output.weights[:, self.whole.index(modality)]),
            )  # fmt: skip

    def shifts(self, val: Part) -> Iterator[Result]:
        """Test rows with other shares of the classes, answered as they are, and adapted to them."""
        test = self.test.only(self.whole)
        answers = self.answers(test).probabilities
        val = self.prepared(val)
        held_out = mean_answers(self.answers(val).probabilities, val.labels)
        counts = [info.train_count for info in self.classes]
        for condition in SHIFTS:
            seed = [zlib.crc32(self.where.set.encode()), self.where.seed, zlib.crc32(condition.encode())]
            rows = shifted(test.labels, counts, condition, np.random.default_rng(seed))
            prior = estimate_prior(answers[rows], held_out, counts)
            adapted = reweighted(answers[rows], prior.shares)
            for method, each in ((self.where.method, answers[rows]), (ADAPTED, adapted)):
                yield self.where._replace(
                    method=method, subset=subset_name(self.whole), condition=condition,
                    **self.metrics(each, test.take(rows)),
                )  # fmt: skip

    def bins(self) -> Iterator[Bin]:
        """The reliability of the answers to all modalities."""
        test = self.test.only(self.whole)
        curve = reliability(self.answers(test).probabilities, test.labels)
        for values in zip(curve.rows.tolist(), curve.confidence, curve.accuracy, strict=True):
            yield Bin(*self.where[:4], subset_name(self.whole), *values)

    def cost(self, parameters: int | None, train_seconds: float) -> Result:
        """Also a processor's time per row, in batches, once frozen encoders have seen the pictures."""
        batch = self.test.only(self.whole).first(BATCH).batch()
        taken = []
        for _ in range(REPEATS):
            begun = time.process_time()
            self.run(batch)
            taken.append(time.process_time() - begun)
        return self.where._replace(
            subset=subset_name(self.whole), condition="cost", parameters=parameters,
            train_seconds=train_seconds, predict_microseconds=1e6 * median(taken) / len(batch.presence),
        )  # fmt: skip

    @property
    def whole(self) -> Subset:
        return tuple(self.test.modalities)

    def answers(self, part: Part) -> Output:
        return predict_part(self.run, part)

    def measured(self, part: Part, output: Output, **where: Any) -> Result:
        return self.where._replace(**where, **self.metrics(output.probabilities, part))

    def metrics(self, probabilities: FloatArray, part: Part) -> dict[str, Any]:
        shots = [info.shot for info in self.classes]
        return subset_metrics(probabilities, part.labels, shots).model_dump()


def views(modalities: Sequence[str]) -> list[Subset]:
    """The subsets that are judged, largest first: every one, or of many modalities all, all but one, each."""
    sizes = {len(modalities), len(modalities) - 1, 1}
    every = len(modalities) <= FEW_MODALITIES
    return [subset for subset in subsets(modalities) if every or len(subset) in sizes]
