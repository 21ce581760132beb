"""Run one task: train its methods, evaluate them, write the results."""

import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tailfuse.data.split_arrays import Dataset
from tailfuse.evaluation.evaluate import subset_name
from tailfuse.network.build import build_encoders
from tailfuse.network.frozen import add_frozen_features
from tailfuse.spec.schema import Spec

from tailfuse_bench.corruption import CorruptedRows, corrupt_modalities
from tailfuse_bench.datasets import HEADLINE_IR, ORIGINAL_IR
from tailfuse_bench.evaluator import Evaluator, list_subsets
from tailfuse_bench.methods import CONCAT, METHODS, MOGONET, OURS, RIVALS, SPECIALIST
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.rivals.evaluate import RivalRows, evaluate_rival
from tailfuse_bench.rows import load_rows
from tailfuse_bench.tasks import Experiment, Record, Task, code_sha256
from tailfuse_bench.training import TrainedMethod, train_columns, train_networks

METHODS_WITH_BINS = (OURS, CONCAT)
CORRUPTED: dict[Experiment, list[CorruptedRows]] = {}  # of one experiment: corrupting images is slow
NEURAL_GROUPS = ("ours", "fusion", "long tail", "ablation")


def run_task(task: Task) -> None:
    """Train and evaluate each method of the task, and write its results."""
    begun = time.monotonic()
    for method, results, bins in evaluate_task(task):
        record = Record(task.fingerprint(method), code_sha256(), time.monotonic() - begun, results, bins)
        record.write(task.file(method))
        begun = time.monotonic()


def evaluate_task(task: Task) -> Iterator[tuple[str, list[Result], list[Bin]]]:
    """Yield each method of the task with its results."""
    if task.methods == (SPECIALIST,):
        yield SPECIALIST, list(evaluate_specialists(task)), []
        return
    if METHODS[task.methods[0]].group == RIVALS:
        yield from evaluate_rivals(task)
        return
    dataset = load_rows(task.spec(OURS), task.experiment).dataset
    for method, trained in train_methods(task, dataset):
        evaluator = make_evaluator(task, method, trained, dataset)
        yield method, list(evaluate_method(evaluator, method, dataset, trained)), make_bins(evaluator, method)


def evaluate_rivals(task: Task) -> Iterator[tuple[str, list[Result], list[Bin]]]:
    """Yield each rival of the task with its results. Raises RunError if it fails."""
    assert task.environment is not None
    experiment = task.experiment
    rows = load_rival_rows(task.spec(OURS).model_dump_json(), experiment)
    for method in task.methods:
        template = experiment.make_result(method)
        yield method, list(evaluate_rival(task.environment, rows, template, experiment.missing)), []


@lru_cache(maxsize=1)
def load_rival_rows(spec_json: str, experiment: Experiment) -> RivalRows:
    """Load the rows with features of frozen encoders; the last ones are cached for the next rival."""
    spec = Spec.model_validate_json(spec_json)
    loaded = load_rows(spec, experiment)
    raw = loaded.dataset
    dataset = add_frozen_features(raw, build_encoders(spec, raw))
    inputs = dataset.train.inputs
    encoded = tuple(name for name in inputs if inputs[name] is not raw.train.inputs[name])
    return RivalRows(dataset, loaded.texts, encoded)


def train_methods(task: Task, dataset: Dataset) -> Iterator[tuple[str, TrainedMethod]]:
    """Train the task's methods on the rows of its experiment."""
    specs = {method: task.spec(method) for method in task.methods}
    if METHODS[task.methods[0]].group in NEURAL_GROUPS and task.methods != (MOGONET,):
        yield from train_networks(specs, dataset)
    else:
        for method, spec in specs.items():
            yield method, train_columns(method, spec, dataset)


def make_evaluator(task: Task, method: str, trained: TrainedMethod, dataset: Dataset) -> Evaluator:
    """Return an evaluator of the method, with the test rows in the form that its encoders take."""
    return Evaluator(
        template=task.experiment.make_result(method),
        run=trained.run,
        prepare=trained.prepare,
        classes=dataset.classes,
        test=trained.prepare(dataset.test),
        corrupted=corrupt_test_rows(task.experiment, trained, dataset)
        if needs_corruption(task.experiment, method)
        else (),
    )


def needs_corruption(experiment: Experiment, method: str) -> bool:
    """Return whether the method is evaluated on corrupted rows.

    Only fusions are, at the headline's ratio: the losses share a fusion that cannot detect corruption.
    """
    is_fusion = METHODS[method].group in ("ours", "fusion", "ablation") and method != SPECIALIST
    return is_fusion and not experiment.missing and experiment.ir in (HEADLINE_IR, ORIGINAL_IR)


def corrupt_test_rows(
    experiment: Experiment, trained: TrainedMethod, dataset: Dataset
) -> list[CorruptedRows]:
    """Return the corrupted test rows. They are cached for the next method of the experiment."""
    if experiment not in CORRUPTED:
        CORRUPTED.clear()
        complete = dataset.test.only(dataset.test.modalities)
        CORRUPTED[experiment] = [
            each._replace(part=trained.prepare(each.part))
            for each in corrupt_modalities(complete, experiment.dataset, experiment.seed)
        ]
    return CORRUPTED[experiment]


def evaluate_method(
    evaluator: Evaluator, method: str, dataset: Dataset, trained: TrainedMethod
) -> Iterator[Result]:
    """Yield every measurement of one method."""
    costs: dict[str, Any] = {
        "parameters": trained.parameters, "train_seconds": trained.seconds, "size_bytes": trained.size_bytes,
    }  # fmt: skip
    if evaluator.template.condition != "clean":
        microseconds = evaluator.measure_time(evaluator.test)
        yield evaluator.evaluate_incomplete()._replace(**costs, predict_microseconds=microseconds)
        return
    neural = METHODS[method].group in NEURAL_GROUPS
    subsets = [
        each
        for each in list_subsets(evaluator.all_modalities)
        if neural or len(each) in (1, len(evaluator.all_modalities))
    ]
    yield from evaluator.evaluate_subsets(subsets)
    if neural:
        yield from evaluator.evaluate_modalities()
    yield from evaluator.evaluate_corruptions()
    if method == OURS:
        yield from evaluator.evaluate_shifts(dataset.val)
    complete = evaluator.test.only(evaluator.all_modalities)
    yield evaluator.template._replace(
        subset=subset_name(evaluator.all_modalities), condition="cost", **costs,
        predict_microseconds=evaluator.measure_time(complete),
    )  # fmt: skip


def make_bins(evaluator: Evaluator, method: str) -> list[Bin]:
    """Return the reliability bins of methods whose diagrams the report shows."""
    clean = evaluator.template.condition == "clean"
    return list(evaluator.compute_bins()) if clean and method in METHODS_WITH_BINS else []


def evaluate_specialists(task: Task) -> Iterator[Result]:
    """Train one model for each incomplete subset of modalities, and evaluate it on that subset."""
    _, *smaller = list_subsets(list(task.spec(OURS).modalities))
    for subset in smaller:
        spec = task.spec(SPECIALIST, subset)
        dataset = load_rows(spec, task.experiment).dataset
        for _, trained in train_networks({SPECIALIST: spec}, dataset):
            evaluator = make_evaluator(task, SPECIALIST, trained, dataset)
            yield from evaluator.evaluate_subsets([subset])
