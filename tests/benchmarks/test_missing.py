"""Modalities removed at random: how many, which, and what the rest of the table is."""

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tailfuse.data.split import Split
from tailfuse.errors import RunError
from tailfuse.spec.schema import Spec
from tailfuse_bench.missing import (
    find_columns,
    find_presence,
    name_condition,
    remove_modalities,
    thin_presence,
)

COLUMNS = {"a": ["a_0", "a_1"], "b": ["b"], "c": ["c"]}


def make_table(rows: int = 300) -> pl.DataFrame:
    """Three modalities; the first row has `b` alone, the second a single value of `a`."""
    at = list(range(rows))
    table = pl.DataFrame({"label": at, "a_0": at, "a_1": at, "b": [f"text {i}" for i in at], "c": at})
    return table.with_columns(
        pl.when(pl.col("label") > 0).then(pl.col(name)).alias(name) for name in ("a_0", "a_1", "c")
    ).with_columns(pl.when(pl.col("label") != 1).then(pl.col("a_1")).alias("a_1"))


def make_split(rows: int = 300) -> Split:
    parts = np.split(np.arange(rows - 10), [150, 200])  # the last ten rows are of no part
    return Split(*parts)


def thin(presence: NDArray[np.bool_], percent: int, seed: int = 0) -> NDArray[np.bool_]:
    return thin_presence(presence, percent, np.random.default_rng(seed))


@pytest.mark.parametrize(("modalities", "percent"), [(2, 30), (2, 50), (3, 30), (6, 30), (3, 1)])
def test_the_share_is_exact_and_every_row_keeps_one(modalities: int, percent: int) -> None:
    presence = np.ones((200, modalities), bool)
    thinned = thin(presence, percent)
    assert (~thinned).sum() == 200 * modalities * percent // 100
    assert thinned.any(axis=1).all()


def test_every_modality_loses_about_as_much() -> None:
    lost = (~thin(np.ones((20_000, 3), bool), 30)).mean(axis=0)
    np.testing.assert_allclose(lost, 0.3, atol=0.02)


def test_what_is_missing_already_stays_so_and_does_not_count() -> None:
    presence = np.random.default_rng(1).random((400, 4)) < 0.8
    presence[0] = False
    thinned = thin(presence, 30)
    assert not (thinned & ~presence).any()
    assert presence.sum() - thinned.sum() == round(0.3 * presence.sum())
    assert (thinned.any(axis=1) == presence.any(axis=1)).all()


def test_more_than_can_be_removed_is_refused() -> None:
    with pytest.raises(RunError, match=r"--missing: 30 % of the modalities are 3, but only 0 can be removed"):
        thin(np.ones((10, 1), bool), 30)
    with pytest.raises(RunError, match="60 % of the modalities are 12, but only 10"):
        thin(np.ones((10, 2), bool), 60)


def test_values_are_removed_from_the_table_by_modality_and_part() -> None:
    table, split = make_table(), make_split()
    thinned = remove_modalities(table, COLUMNS, split, 30, seed=0)
    assert thinned.columns == table.columns
    assert thinned.dtypes == table.dtypes
    assert thinned["label"].equals(table["label"])
    assert thinned[290:].equals(table[290:])
    before, after = find_presence(table, COLUMNS), find_presence(thinned, COLUMNS)
    for rows in (split.train, split.val, split.test):
        assert before[rows].sum() - after[rows].sum() == round(0.3 * before[rows].sum())
    assert after.any(axis=1).all()
    assert before[:2].tolist() == [[False, True, False], [True, True, True]]
    for at, names in enumerate(COLUMNS.values()):
        for name in names:
            kept = table[name].zip_with(pl.Series(after[:, at]), pl.Series([None], dtype=table[name].dtype))
            assert thinned[name].equals(kept)


def test_seeds_differ_and_repeat() -> None:
    table, split = make_table(), make_split()
    found = [remove_modalities(table, COLUMNS, split, 30, seed=seed) for seed in (0, 0, 1)]
    assert found[0].equals(found[1])
    assert not found[0].equals(found[2])


def test_columns_are_those_of_the_spec() -> None:
    modalities = {
        "numbers": {"kind": "tabular", "columns": "a_*"},
        "text": {"kind": "text", "columns": ["b"]},
        "image": {"kind": "image", "column": "c", "size": 8},
    }
    spec = Spec.model_validate(
        {"name": "x", "table": "t.csv", "label": "label", "split": "split", "modalities": modalities}
    )
    assert list(find_columns(spec, make_table()).values()) == list(COLUMNS.values())


def test_conditions_have_names() -> None:
    assert [name_condition(percent) for percent in (0, 30)] == ["clean", "missing_30"]
