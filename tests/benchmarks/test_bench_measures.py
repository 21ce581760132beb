"""What the bench measures: every subset, corruption, shift, reliability and cost of each method."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tailfuse_bench.datasets import DATASETS, DIGITS
from tailfuse_bench.experiment import evaluate_task
from tailfuse_bench.methods import (
    ADAPTED,
    CONCAT,
    LOGISTIC,
    OURS,
    SPECIALIST,
)
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.tasks import Experiment, Task

from tests.support.known import known

pytestmark = pytest.mark.slow

WHOLE = "image+fourier+shape"


def task(folder: Path, out: Path, *methods: str, ir: int = 50) -> Task:
    return Task(Experiment(DIGITS.name, ir, 0), methods, folder, out)


@pytest.fixture(scope="module")
def results(
    digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[list[Result], list[Bin]]]:
    """All kinds of method, networks trained for two epochs."""
    out = tmp_path_factory.mktemp("out")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, DIGITS.name, replace(DIGITS, training={"epochs": 2, "folds": 2}))
        for methods in ((OURS, "uniform"), (CONCAT,), (LOGISTIC,), (SPECIALIST,)):
            for method, rows, bins in evaluate_task(task(digits, out, *methods)):
                found[method] = rows, bins
    return found


def of(results: Any, method: str, condition: str, modality: str = "") -> list[Result]:
    return [each for each in results[method][0] if (each.condition, each.modality) == (condition, modality)]


def test_a_network_is_judged_on_every_subset_all_modalities_first(results: Any) -> None:
    for method in (OURS, "uniform", CONCAT):
        clean = of(results, method, "clean")
        assert [each.subset for each in clean] == [
            WHOLE, "image+fourier", "image+shape", "fourier+shape", "image", "fourier", "shape",
        ]  # fmt: skip
        assert {each.rows for each in clean} == {400}
        assert all(None not in each[8:17] for each in clean)


def test_columns_answer_for_all_modalities_and_each_alone(results: Any) -> None:
    clean = of(results, LOGISTIC, "clean")
    assert [each.subset for each in clean] == [WHOLE, "image", "fourier", "shape"]
    assert known(clean[0].balanced_accuracy) > 0.8


def test_a_model_is_trained_for_each_smaller_subset(results: Any) -> None:
    rows, _ = results[SPECIALIST]
    assert [each.subset for each in rows] == [
        "image+fourier", "image+shape", "fourier+shape", "image", "fourier", "shape",
    ]  # fmt: skip
    assert {each.method for each in rows} == {SPECIALIST}


def test_weights_sum_to_one_and_confidences_are_scored(results: Any) -> None:
    for method in (OURS, "uniform", CONCAT):
        each = [of(results, method, "clean", name)[0] for name in DIGITS.modalities]
        assert sum(known(one.weight) for one in each) == pytest.approx(1, abs=1e-5)
        assert {(one.subset, one.rows, one.balanced_accuracy) for one in each} == {(WHOLE, 400, None)}
    for name in DIGITS.modalities:
        assert of(results, "uniform", "clean", name)[0].weight == pytest.approx(1 / 3, abs=1e-5)
        assert 0 < known(of(results, OURS, "clean", name)[0].auroc) < 1
        assert not of(results, LOGISTIC, "clean", name)


def test_every_damage_has_its_row(results: Any) -> None:
    for method in (OURS, CONCAT):
        rows = [each for each in results[method][0] if each.condition not in ("clean", "cost")]
        damage = [each for each in rows if each.modality]
        assert len(damage) == 3 * (4 + 6) + 2
        assert {each.subset for each in damage} == {WHOLE}
        assert all(each.balanced_accuracy is not None for each in damage)
        assert all(each.weight is not None for each in damage)
        levels = [each.level for each in damage if each.condition == "noise_added"]
        assert levels == [0, 0.25, 0.5, 1, 2, 4] * 3
    assert not [each for each in results[LOGISTIC][0] if each.modality]
    nothing_added = of(results, OURS, "noise_added", "shape")[0]
    assert nothing_added.balanced_accuracy == of(results, OURS, "clean")[0].balanced_accuracy


def test_ours_is_adapted_to_shifted_classes(results: Any) -> None:
    for condition in ("shift_long", "shift_uniform", "shift_inverse"):
        assert [each.method for each in of(results, OURS, condition)] == [OURS, ADAPTED]
    assert not [each for each in results[CONCAT][0] if each.condition.startswith("shift")]


def test_reliability_is_told_of_two_methods(results: Any) -> None:
    assert {method for method, (_, bins) in results.items() if bins} == {OURS, CONCAT}
    _, bins = results[OURS]
    assert sum(each.bin_rows for each in bins) == 400
    assert {(each.set, each.ir, each.seed, each.method, each.subset) for each in bins} == {
        (DIGITS.name, 50, 0, OURS, WHOLE)
    }


def test_cost_is_told_of_every_method(results: Any) -> None:
    for method in (OURS, "uniform", CONCAT, LOGISTIC):
        [cost] = of(results, method, "cost")
        assert known(cost.parameters) > 100
        assert known(cost.train_seconds) > 0
        assert known(cost.predict_microseconds) > 0
    ours, concat = (of(results, method, "cost")[0] for method in (OURS, CONCAT))
    assert known(ours.train_seconds) > known(concat.train_seconds)
