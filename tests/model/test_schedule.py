"""Epochs, patience and folds that the spec leaves open fit the number of training rows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tailfuse.spec import schedule as module
from tailfuse.spec.schedule import Schedule, choose_schedule, count_steps
from tailfuse.spec.schema import TrainingSpec, load_spec
from tailfuse.training.fit import train_stages


@pytest.mark.parametrize("n_rows", [1, 245, 855, 3139, 5000])
def test_a_small_table_has_the_whole_schedule(n_rows: int) -> None:
    assert choose_schedule(TrainingSpec(), n_rows) == Schedule(epochs=200, patience=40, folds=4)


@pytest.mark.parametrize(
    ("n_rows", "schedule"),
    [
        (5001, Schedule(epochs=200, patience=40, folds=2)),
        (5121, Schedule(epochs=200, patience=40, folds=2)),
        (6800, Schedule(epochs=150, patience=40, folds=2)),
        (16_428, Schedule(epochs=62, patience=19, folds=2)),
        (100_000, Schedule(epochs=10, patience=3, folds=2)),
        (5_000_000, Schedule(epochs=1, patience=1, folds=2)),
    ],
)
def test_a_large_table_has_as_many_steps_as_it_needs(n_rows: int, schedule: Schedule) -> None:
    assert choose_schedule(TrainingSpec(), n_rows) == schedule


def test_what_the_spec_says_counts() -> None:
    assert choose_schedule(TrainingSpec(epochs=100, folds=3), 100_000) == Schedule(100, 40, 3)
    assert choose_schedule(TrainingSpec(patience=50), 100_000) == Schedule(10, 50, 2)
    assert choose_schedule(TrainingSpec(folds=0), 100_000) == Schedule(10, 3, 0)


@given(n_rows=st.integers(1, 10**7), batch_size=st.integers(1, 4096))
def test_no_schedule_is_empty_or_longer_than_the_limits(n_rows: int, batch_size: int) -> None:
    epochs, patience, folds = choose_schedule(TrainingSpec(batch_size=batch_size), n_rows)
    assert 1 <= epochs <= 200
    assert 1 <= patience <= 40
    assert folds in (2, 4)
    assert epochs == 1 or epochs * count_steps(n_rows, batch_size) <= 8000


def test_training_follows_the_schedule(lesions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STEPS", 6)
    monkeypatch.setattr(module, "MAX_ROWS_FOR_FOLDS", 5)
    spec = load_spec(lesions.write(), ["network.width=8", "training.batch_size=6", "training.patience=9"])
    dataset = lesions.load()
    epochs = 6 // count_steps(len(dataset.train), 6)
    assert 1 < epochs < 6
    heard: list[tuple[str, int]] = []
    stages = train_stages(spec, dataset, on_epoch=lambda stage, epoch, n: heard.append((stage.name, n)))
    assert [name for name, _ in heard].count("final") == epochs
    assert {n for _, n in heard} == {3}
    assert len(stages.folds) == 2
