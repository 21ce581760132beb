"""The piecewise encoder: its edges, its bins, and when a table gets it."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tailfuse.modalities import KINDS
from tailfuse.modalities.tabular import edges as module
from tailfuse.modalities.tabular.edges import BINS, compute_edges, is_piecewise
from tailfuse.modalities.tabular.encoder import list_edges
from tailfuse.modalities.tabular.piecewise import PiecewiseLinear
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.tabular import NumberColumn
from torch import nn


def make_numbers(n_columns: int) -> TabularModality:
    columns = tuple(NumberColumn(name=str(at), mean=0, scale=1) for at in range(n_columns))
    return TabularModality(columns=columns, width=n_columns)


@pytest.mark.parametrize(
    ("encoder", "n_columns", "n_rows", "expected"),
    [
        ("auto", 9, 5001, True),
        ("auto", 9, 5000, False),
        ("auto", 128, 10**6, True),
        ("auto", 129, 10**6, False),
        ("piecewise", 500, 10, True),
        ("mlp", 9, 10**6, False),
    ],
)
def test_bins_need_many_rows_and_few_columns(
    encoder: str, n_columns: int, n_rows: int, expected: bool
) -> None:
    assert is_piecewise(encoder, make_numbers(n_columns), n_rows) is expected


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
    kind, frame = KINDS["tabular"], pl.DataFrame(table)
    spec = kind.spec.model_validate({"kind": "tabular", "columns": list(table), "encoder": encoder})
    fitted: TabularModality = kind.fit("m", spec, frame, np.arange(len(frame)), None)  # type: ignore[arg-type]
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


def test_many_rows_get_bins_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_ROWS", 50)
    assert list_edges(fit({"age": list(range(100))}, "auto"))
    assert not list_edges(fit({"age": list(range(100))}, "mlp"))


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
