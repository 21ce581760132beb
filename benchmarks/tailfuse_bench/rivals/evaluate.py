"""Make a rival's problem of an experiment's rows, and measure its answers as those of any other method."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import RunError
from tailfuse.evaluation.evaluate import subset_name

from tailfuse_bench.evaluator import list_subsets, measure_answers
from tailfuse_bench.records import Result
from tailfuse_bench.rivals.environment import Environment, run_rival
from tailfuse_bench.rivals.runner.problem import Costs, Floats, Problem, Question, Rows

MAX_ERROR = 1e-3  # of the sum of a row's probabilities

Texts = Mapping[str, Mapping[str, list[str | None]]]  # by part and modality


@dataclass(frozen=True, slots=True)
class RivalRows:
    """An experiment's rows as rivals take them: features of frozen encoders as columns, and raw texts."""

    dataset: Dataset
    texts: Texts
    embeddings: tuple[str, ...]  # modalities whose features come from an encoder


def evaluate_rival(
    environment: Environment, rows: RivalRows, template: Result, missing: int
) -> Iterator[Result]:
    """Run the rival that `template` names, and yield its measurements."""
    problem = make_problem(rows, template, environment.seconds, missing)
    answers, costs = run_rival(environment, problem)
    results = list(measure_questions(problem, answers, rows.dataset, template))
    if missing:
        yield results[0]._replace(**describe_costs(costs))
        return
    yield from results
    full = subset_name(tuple(rows.dataset.test.modalities))
    yield template._replace(subset=full, condition="cost", **describe_costs(costs))


def make_problem(rows: RivalRows, template: Result, seconds: int, missing: int) -> Problem:
    """Return the problem: all modalities and each alone, on the test rows that have them.

    With missing modalities there is one question, all test rows as they are.
    """
    dataset = rows.dataset
    modalities = tuple(dataset.test.modalities)
    if missing:
        questions = [Question(np.arange(len(dataset.test)), modalities)]
    else:
        subsets = (each for each in list_subsets(modalities) if len(each) in (1, len(modalities)))
        questions = [Question(find_complete(dataset.test, subset), subset) for subset in subsets]
    return Problem(
        rival=template.method,
        seed=template.seed,
        seconds=seconds,
        n_classes=len(dataset.classes),
        embeddings=rows.embeddings,
        train=make_rows(dataset.train, rows.texts["train"]),
        val=make_rows(dataset.val, rows.texts["val"]),
        test=make_rows(dataset.test, rows.texts["test"], labelled=False),
        questions=tuple(questions),
    )


def find_complete(part: SplitArrays, subset: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows that have every modality of a subset."""
    return np.flatnonzero(np.all([part.position[name] >= 0 for name in subset], axis=0))


def make_rows(part: SplitArrays, texts: Mapping[str, list[str | None]], *, labelled: bool = True) -> Rows:
    """Return a part's rows with NaN for a missing modality. Raises RunError if a modality has no columns."""
    features = {name: spread_rows(name, part) for name in part.modalities}
    kept = {
        name: [text if there else None for text, there in zip(each, part.position[name] >= 0, strict=True)]
        for name, each in texts.items()
    }
    return Rows(features, kept, part.labels if labelled else part.labels[:0])


def spread_rows(modality: str, part: SplitArrays) -> NDArray[np.float32]:
    """Return a modality's features of every row, NaN where it is absent: (N, F). Raises RunError."""
    inputs, position = part.inputs[modality], part.position[modality]
    if inputs.dtype == object:
        raise RunError(f"modality '{modality}' has rows of different lengths: rivals take columns")
    spread = np.full((len(part), prod(inputs.shape[1:])), np.nan, np.float32)
    present = position >= 0
    spread[present] = inputs[position[present]].reshape(present.sum(), -1)
    return spread


def measure_questions(
    problem: Problem, answers: Sequence[Floats], dataset: Dataset, template: Result
) -> Iterator[Result]:
    """Yield the metrics of each question's answers. Raises RunError if those are no probabilities."""
    for question, probabilities in zip(problem.questions, answers, strict=True):
        labels = dataset.test.labels[question.rows]
        check_probabilities(problem.rival, probabilities, (len(labels), problem.n_classes))
        metrics = measure_answers(probabilities, labels, dataset.classes)
        yield template._replace(subset=subset_name(question.modalities), **metrics)


def check_probabilities(rival: str, found: Floats, shape: tuple[int, int]) -> None:
    """Raises RunError if an array is not of a shape, or its rows are no probabilities."""
    if found.shape != shape:
        raise RunError(f"{rival} answers an array {found.shape}, expected {shape}")
    sums = found.sum(axis=1)
    right = (found >= 0).all(axis=1) & (np.abs(sums - 1) <= MAX_ERROR)  # neither holds for NaN
    if not right.all():
        wrong = int(np.flatnonzero(~right)[0])
        raise RunError(
            f"{rival}: the probabilities of answer {wrong + 1} are {found[wrong].min():.4g} to "
            f"{found[wrong].max():.4g} and add up to {sums[wrong]:.4g}, expected 1"
        )


def describe_costs(costs: Costs) -> dict[str, Any]:
    """Return the costs as columns of results.csv; a time that could not be measured is None."""
    found = costs._asdict()
    del found["wall_seconds"]
    if math.isnan(costs.predict_microseconds):
        found["predict_microseconds"] = None
    return found
