"""Curves of weight by the strength of noise: which rows, what noise, and what the report draws of them."""

from typing import Any

import numpy as np
import pytest
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.noise_curves import MAX_ROWS, STRENGTHS, chart_noise, measure_noise_curves
from tailfuse.modalities import KINDS
from tailfuse.modalities.ragged import keep_apart
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.modalities import ImageModality, Modality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import NumberColumn

NUMBER = TabularModality(columns=(NumberColumn(name="x", mean=0.0, scale=1.0),), width=1)
MODALITIES: dict[str, Modality] = {"a": NUMBER, "b": NUMBER}


def answer(batch: Batch) -> Output:
    """A modality's confidence is 1 where its value is 50, and its weight follows; class 1 needs `b`."""
    confidence = np.zeros(batch.presence.shape, np.float32)
    for column, name in enumerate(batch.rows):
        confidence[batch.rows[name], column] = np.isclose(batch.inputs[name][:, 0], 50)
    weights = (confidence + 0.1) * batch.presence
    weights /= weights.sum(axis=1, keepdims=True)
    first = np.where(confidence[:, -1] == 1, 0.1, 0.9)
    return Output(np.stack([first, 1 - first], axis=1).astype(np.float32), weights, confidence)


def make_part(n_rows: int, *, alone: int = 0) -> SplitArrays:
    """Rows of class 1 with both modalities, but for the first `alone`, which have `a` only."""
    position = {"a": np.arange(n_rows), "b": np.where(np.arange(n_rows) < alone, -1, np.arange(n_rows))}
    values = np.full((n_rows, 1), 50.0, np.float32)
    return SplitArrays({"a": values, "b": values}, position, np.ones(n_rows, np.int64))


def test_a_noisy_modality_loses_weight_and_the_other_keeps_it() -> None:
    curves = measure_noise_curves(answer, make_part(9, alone=3), MODALITIES)
    weights = [point.weight for point in curves["a"]]
    assert weights[0] == pytest.approx(0.5)  # of rows with both only
    assert weights[1:] == pytest.approx([0.1 / 1.2] * 4)
    assert [point.accuracy for point in curves["a"]] == [1.0] * 5
    assert [point.accuracy for point in curves["b"]] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert [point.strength for point in curves["b"]] == list(STRENGTHS)


def test_a_modality_that_is_always_alone_is_measured_and_an_absent_one_is_not() -> None:
    curves = measure_noise_curves(answer, make_part(4, alone=4), MODALITIES)
    assert list(curves) == ["a"]
    assert curves["a"][0].weight == 1.0
    assert measure_noise_curves(answer, make_part(0), MODALITIES) == {}


def test_the_cost_has_a_bound() -> None:
    asked = []

    def count(batch: Batch) -> Output:
        asked.append(len(batch.presence))
        return answer(batch)

    measure_noise_curves(count, make_part(5000), MODALITIES)
    assert sum(asked) == 2 * len(STRENGTHS) * MAX_ROWS


@pytest.mark.parametrize("strength", STRENGTHS)
def test_noise_keeps_type_shape_and_the_rows_themselves(strength: float) -> None:
    random = np.random.default_rng(0)
    image = ImageModality(column="i", height=9, width=7, channels=3)
    bag = TextModality(columns=("t",), buckets=64, ngrams=1, max_tokens=99)
    steps = np.concatenate([random.normal(size=(12, 2)), np.arange(12)[:, None] < 8], axis=1)
    cases: list[tuple[str, Any, Any]] = [
        ("image", image, random.integers(0, 256, (5, 3, 9, 7)).astype(np.uint8)),
        ("tabular", NUMBER, random.normal(size=(5, 3)).astype(np.float32)),
        ("series", None, keep_apart([steps.astype(np.float32), np.ones((1, 3), np.float32)])),
        ("text", bag, keep_apart([np.arange(1, 60), np.array([64])])),
    ]
    for kind, modality, rows in cases:
        before = [row.copy() for row in rows]
        noisy = KINDS[kind].add_noise(modality, rows, strength, np.random.default_rng(1))
        assert noisy.dtype == rows.dtype
        for old, row, new in zip(before, rows, noisy, strict=True):
            assert (old == row).all()
            assert new.shape == row.shape
            assert new.dtype == row.dtype
            assert (new == row).all() == (strength == 0) or new.size == 1
            if kind == "series":
                assert (new[:, -1] == row[:, -1]).all()
                assert (new[row[:, -1] == 0, :-1] == (1 - strength) * row[row[:, -1] == 0, :-1]).all()
            if kind == "text":
                assert 1 <= new.min() <= new.max() <= 64


def test_the_report_of_a_training_draws_each_modality(trained: Any) -> None:
    html = (trained.bundle / "report.html").read_text("utf-8")
    section = html[html.index("When a modality breaks") : html.index("<h2>Mistakes")]
    names = list(trained.dataset.modalities)
    assert section.count("<svg") == len(names)
    assert all(f"<strong>{name}</strong>" in section for name in names)


def test_charts_are_from_0_to_1() -> None:
    (chart, _) = chart_noise(measure_noise_curves(answer, make_part(9), MODALITIES))
    assert [label for _, label in chart.y_ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [line.name for line in chart.lines] == ["weight", "confidence", "accuracy"]
