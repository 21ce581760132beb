"""The piecewise encoder: its edges, its bins, and when a table gets it."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tailfuse.modalities import KINDS
from tailfuse.modalities.tabular.choose_encoder import add_edges, is_clear_gain
from tailfuse.modalities.tabular.edges import BINS, compute_edges, list_edges
from tailfuse.modalities.tabular.piecewise import PiecewiseLinear
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn
from torch import nn


def make_numbers(n_columns: int) -> TabularModality:
    columns = tuple(NumberColumn(name=str(at), mean=0, scale=1) for at in range(n_columns))
    return TabularModality(columns=columns, width=n_columns)


def make_table(n_rows: int, n_columns: int, *, ranges: bool) -> tuple[Any, Any]:
    """Rows of three classes, by the range of a number; or of two, by a noisy sum."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(n_rows, n_columns)).astype(np.float32)
    ranged = np.where(np.abs(rows[:, 0]) < 0.4, 2, rows[:, 1] > 0)
    summed = rows[:, 0] + rows[:, 1] + random.normal(size=n_rows) > 0
    return rows, (ranged if ranges else summed).astype(np.int64)


@pytest.mark.parametrize(
    ("encoder", "n_columns", "n_rows", "ranges", "expected"),
    [
        ("auto", 9, 5001, True, True),
        ("auto", 9, 5001, False, False),  # nothing that a line does not say
        ("auto", 9, 500, True, True),
        ("auto", 9, 500, False, False),
        ("auto", 9, 499, True, False),
        ("auto", 128, 5001, True, True),
        ("auto", 129, 5001, True, False),
        ("piecewise", 9, 10, False, True),
        ("mlp", 9, 5001, True, False),
    ],
)
def test_bins_need_rows_few_columns_and_a_gain(
    encoder: str, n_columns: int, n_rows: int, ranges: bool, expected: bool
) -> None:
    rows, labels = make_table(n_rows, n_columns, ranges=ranges)
    modality = add_edges(encoder, make_numbers(n_columns), rows, labels, seed=0)
    assert bool(list_edges(modality)) is expected


def test_classes_of_few_rows_take_no_part_in_the_trial() -> None:
    rows, labels = make_table(6000, 3, ranges=True)
    labels[:3] = 7
    assert list_edges(add_edges("auto", make_numbers(3), rows, labels, seed=0))
    assert not list_edges(add_edges("auto", make_numbers(3), rows, np.zeros(6000, np.int64), seed=0))


def test_a_gain_counts_if_chance_does_not_explain_it() -> None:
    codes = np.repeat([0, 1], [90, 10])
    before = np.full(100, 1.0)
    assert is_clear_gain(before, before - 0.1, codes)
    assert not is_clear_gain(before, before - 0.04, codes)  # certain, but less than 5 %
    one_row = before.copy()
    one_row[95] = 0.0  # a tenth of its class, and so a twentieth of the loss
    assert not is_clear_gain(before, one_row - 0.01, codes)
    noise = np.where(np.arange(100) % 2, 1.0, -1.0)
    assert not is_clear_gain(before, before - 0.1 + noise, codes)


def test_edges_hold_as_many_numbers_between_them() -> None:
    numbers = np.random.default_rng(0).normal(size=3200).astype(np.float32)
    edges = compute_edges(numbers)
    assert len(edges) == BINS + 1
    assert np.histogram(numbers, edges)[0] == pytest.approx(3200 / BINS, abs=1)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([0, 0, 0, 0], ()), ([0, 1] * 40, ()), ([], ()), ([0.0] * 90 + [1.0] * 9 + [7.0], (0.0, 1.0, 7.0))],
    ids=["constant", "a bit", "none", "mostly zero"],
)
def test_equal_quantiles_are_one_edge(numbers: list[float], expected: tuple[float, ...]) -> None:
    assert compute_edges(np.array(numbers, np.float32)) == expected


def fit(table: dict[str, list[Any]], encoder: str) -> TabularModality:
    kind, frame, at = KINDS["tabular"], pl.DataFrame(table), np.arange(len(next(iter(table.values()))))
    spec = kind.spec.model_validate({"kind": "tabular", "columns": list(table), "encoder": encoder})
    modality = kind.fit("m", spec, frame, at, Path())
    arrays = kind.read_arrays("m", modality, frame, at)
    assert arrays is not None
    fitted: TabularModality = kind.fit_to_labels(spec, modality, arrays[0], at % 2, at, 0)
    return fitted


def test_missing_numbers_categories_and_indicators_have_no_bins() -> None:
    ages = [float(age) if age % 5 else None for age in range(100)]
    modality = fit({"kind": ["a", "b"] * 50, "age": ages, "smoker": [True, False] * 50}, "piecewise")
    (slot, edges), *others = list_edges(modality).items()
    assert (slot, others) == (2, [])
    present = (np.array([age for age in ages if age is not None]) - 50) / np.std(range(100))
    assert edges[0] == pytest.approx(present.min(), abs=0.1)
    assert edges[-1] == pytest.approx(present.max(), abs=0.1)
    assert list_edges(fit({"age": ages}, "auto")) == {}
    described = KINDS["tabular"].describe(modality)
    assert described == "row of 1 category, 1 number, 1 boolean; 1 of them in bins"


def test_a_number_is_its_position_in_each_bin() -> None:
    layer = PiecewiseLinear(3, 1, {0: (-1.0, 0.0, 2.0), 2: (0.0, 1.0)}, 0.0)
    with torch.no_grad():
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        layer.bins.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        for row, expected in [
            ([-5.0, 9.0, -1.0], 0.0),
            ([-0.5, 9.0, 0.25], 0.5 + 25.0),
            ([1.0, 9.0, 5.0], 1.0 + 5.0 + 100.0),  # the column of one bin has no second
            ([1e30, 9.0, -1e30], 11.0),
        ]:
            assert layer(torch.tensor([row])).item() == pytest.approx(expected)


def test_it_begins_as_a_linear_layer() -> None:
    layer = PiecewiseLinear(2, 4, {1: (-1.0, 0.0, 2.0)}, 0.0)
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(rows), nn.functional.linear(rows, layer.weight, layer.bias))


def test_two_edges_that_are_one_float_divide_by_nothing() -> None:
    layer = PiecewiseLinear(1, 1, {0: (0.0, 1e-60, 1.0)}, 0.0)
    nn.init.ones_(layer.bins.weight)
    assert layer(torch.zeros(1, 1)).isfinite().all()


def test_it_learns_a_range_that_a_linear_layer_cannot() -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32))
    labels = ((rows[:, 0] > -0.5) & (rows[:, 0] < 0.5)).long()
    torch.manual_seed(0)
    accuracy = []
    for layer in (nn.Linear(2, 2), PiecewiseLinear(2, 2, {0: compute_edges(rows[:, 0].numpy())}, 0.0)):
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.05)
        for _ in range(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(layer(rows), labels).backward()
            optimizer.step()
        accuracy.append(float((layer(rows).argmax(1) == labels).float().mean()))
    assert accuracy[0] < 0.7
    assert accuracy[1] > 0.95
