"""A cell that is missing, or a value that no training row has, does not take a modality's confidence to 0."""

from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse

ROWS = 240


def make_rows() -> pl.DataFrame:
    """Rows whose cells are never missing, and depend on each other as those of real tables do."""
    random = np.random.default_rng(0)
    rare = np.arange(ROWS) % 4 == 0
    east, north = random.normal(size=(2, ROWS)) + 1.5 * rare
    soil = random.integers(0, 3, ROWS)
    return pl.DataFrame(
        {
            "species": np.where(rare, "elm", "oak"),
            "east": east,
            "north": north,
            "sum": east + north,  # follows from two others
            "bark": np.where(random.random(ROWS) < 0.8, np.where(rare, "smooth", "rough"), "bare"),
            "leaf": random.choice(["round", "lobed", "long", "small"], ROWS),
            "native": random.random(ROWS) < 0.5,
            "clay": soil == 0,
            "sand": (soil == 1) * 1.5,  # three columns for one category
            "peat": (soil == 2) * 1.5,
            "loam": (soil == 0) * 1.5,
            "plots": np.full(ROWS, 7.0),
            "park": ["west"] * ROWS,
            "remark": [f"{'grey' if each else 'brown'} {at % 5}" for at, each in enumerate(rare)],
        }
    )


CELLS = [name for name in make_rows().columns if name not in ("species", "remark")]


@pytest.fixture(scope="module")
def classifier() -> tailfuse.Classifier:
    return tailfuse.Classifier(
        modalities={
            "cells": {"kind": "tabular", "columns": CELLS, "types": {"park": "category"}},
            "note": {"kind": "text", "columns": "remark"},
        },
        network={"width": 16},
        training={"epochs": 12, "folds": 2},
    ).fit(make_rows(), label="species")


def measure_confidence(classifier: tailfuse.Classifier, changes: dict[str, Any]) -> float:
    """Return the mean confidence of the cells over rows with other values in some columns."""
    rows = make_rows().drop("species")
    rows = rows.with_columns(
        pl.lit(value).cast(rows[name].dtype).alias(name) for name, value in changes.items()
    )
    return float(classifier.confidences(rows)["confidence.cells"].mean())


@pytest.mark.parametrize(
    "changes",
    [
        {"leaf": None},
        {"leaf": "needle"},
        {"bark": None},
        {"native": None},
        {"clay": None},
        {"sum": None},
        {"sand": None, "peat": None},
        {"sand": 0.0, "peat": 0.0, "loam": 0.0},
        {"plots": 7.1},
        {"plots": None},
        {"park": "east"},
        {"park": None},
        {"leaf": None, "native": None, "park": None},
    ],
    ids=str,
)
def test_one_cell_is_no_reason_to_ignore_the_others(
    classifier: tailfuse.Classifier, changes: dict[str, Any]
) -> None:
    assert measure_confidence(classifier, changes) > 0.25 * measure_confidence(classifier, {})


@pytest.mark.parametrize("changes", [{"east": 60.0}, {"plots": 60.0}, {"sum": -60.0}], ids=str)
def test_a_number_far_from_all_others_still_is(
    classifier: tailfuse.Classifier, changes: dict[str, Any]
) -> None:
    assert measure_confidence(classifier, changes) < 0.1 * measure_confidence(classifier, {})
