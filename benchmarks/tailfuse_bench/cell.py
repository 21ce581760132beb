"""One task done: train, judge, write."""

import time
from collections.abc import Iterator
from functools import lru_cache

from tailfuse.data.classes import labels_of
from tailfuse.data.dataset import dataset_of, load_table
from tailfuse.data.part import Dataset
from tailfuse.data.split import split_rows
from tailfuse.data.tail import thinned
from tailfuse.spec.schema import Spec

from tailfuse_bench.damaged import Damaged, damaged_parts
from tailfuse_bench.datasets import HEADLINE_IR, OWN_TAIL
from tailfuse_bench.judge import Judge, views
from tailfuse_bench.methods import CONCAT, METHODS, OURS, SPECIALIST
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.tasks import Cell, Record, Task, code_sha256
from tailfuse_bench.trained import Trained, train_columns, train_networks

WITH_BINS = (OURS, CONCAT)
KEPT: dict[Cell, list[Damaged]] = {}  # of one cell: damaged pictures take long to make
NEURAL = ("ours", "fusion", "long tail", "ablation")


def run_task(task: Task) -> None:
    """Write the results of each of the task's methods."""
    begun = time.monotonic()
    for method, results, bins in measured(task):
        record = Record(task.fingerprint(method), code_sha256(), time.monotonic() - begun, results, bins)
        record.write(task.file(method))
        begun = time.monotonic()


def measured(task: Task) -> Iterator[tuple[str, list[Result], list[Bin]]]:
    """The results of each method."""
    first = task.methods[0]
    if first == SPECIALIST:
        yield first, list(specialists(task)), []
        return
    dataset = dataset_for(task.spec(OURS), task.cell.ir)
    for method, trained in train(task, dataset):
        judge = judge_of(task, method, trained, dataset)
        yield method, list(judged(judge, method, dataset, trained)), bins_of(judge, method)


def train(task: Task, dataset: Dataset) -> Iterator[tuple[str, Trained]]:
    """The task's methods, trained on the cell's rows."""
    specs = {method: task.spec(method) for method in task.methods}
    if METHODS[task.methods[0]].group in NEURAL:
        yield from train_networks(specs, dataset)
    else:
        for method, spec in specs.items():
            yield method, train_columns(method, spec, dataset)


def judge_of(task: Task, method: str, trained: Trained, dataset: Dataset) -> Judge:
    """A judge of the method, with the test rows as its encoders take them."""
    return Judge(
        where=Result(*task.cell, method),
        run=trained.run,
        prepared=trained.prepared,
        classes=dataset.classes,
        test=trained.prepared(dataset.test),
        damaged=damaged_tests(task.cell, trained, dataset) if with_damage(task.cell, method) else (),
    )


def with_damage(cell: Cell, method: str) -> bool:
    """Which fusion finds damage out is asked where the headline is; the losses share one that cannot."""
    asked = METHODS[method].group in ("ours", "fusion", "ablation") and method != SPECIALIST
    return asked and cell.ir in (HEADLINE_IR, OWN_TAIL)


def damaged_tests(cell: Cell, trained: Trained, dataset: Dataset) -> list[Damaged]:
    """The damaged test rows; kept for the cell's next method, since they are the same for all."""
    if cell not in KEPT:
        KEPT.clear()
        whole = dataset.test.only(dataset.test.modalities)
        KEPT[cell] = [
            each._replace(part=trained.prepared(each.part))
            for each in damaged_parts(whole, cell.set, cell.seed)
        ]
    return KEPT[cell]


def judged(judge: Judge, method: str, dataset: Dataset, trained: Trained) -> Iterator[Result]:
    """All that is measured of a method."""
    neural = METHODS[method].group in NEURAL
    subsets = [each for each in views(judge.whole) if neural or len(each) in (1, len(judge.whole))]
    yield from judge.subsets(subsets)
    if neural:
        yield from judge.modalities()
    yield from judge.damage()
    if method == OURS:
        yield from judge.shifts(dataset.val)
    yield judge.cost(trained.parameters, trained.seconds)


def bins_of(judge: Judge, method: str) -> list[Bin]:
    """The reliability bins, of the methods whose diagrams the report draws."""
    return list(judge.bins()) if method in WITH_BINS else []


def specialists(task: Task) -> Iterator[Result]:
    """A model of ours for each subset that leaves something out, judged on that subset."""
    _, *smaller = views(list(task.spec(OURS).modalities))
    for subset in smaller:
        spec = task.spec(SPECIALIST, subset)
        dataset = dataset_for(spec, task.cell.ir)
        for _, trained in train_networks({SPECIALIST: spec}, dataset):
            judge = judge_of(task, SPECIALIST, trained, dataset)
            yield from judge.subsets([subset])


def dataset_for(spec: Spec, ir: int) -> Dataset:
    """The spec's table with the tail imposed; the last one is kept for the cell's next task."""
    return loaded(spec.model_dump_json(), ir)


@lru_cache(maxsize=1)
def loaded(spec_json: str, ir: int) -> Dataset:
    """See dataset_for; a spec as JSON can be a key."""
    spec = Spec.model_validate_json(spec_json)
    table = load_table(spec)
    labels = labels_of(table, spec.label)
    split = split_rows(table, labels, spec.split, spec.seed)
    if ir != OWN_TAIL:
        split = thinned(split, labels, ir, spec.seed)
    return dataset_of(spec, table, split)
