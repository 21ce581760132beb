"""Classes: their order, their shots, and labels that do not fit."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from tailfuse.data.classes import assign_shots, encode_labels, make_class_infos, read_labels, sort_names
from tailfuse.errors import TableError


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "-1", "2.5"], ["-1", "2.5", "9", "10"]),
        (["grade10", "grade9", "Grade1"], ["Grade1", "grade9", "grade10"]),
        (["nv", "10", "df", "9"], ["9", "10", "df", "nv"]),
        (["true", "false"], ["false", "true"]),
    ],
)
def test_classes_are_sorted_as_people_do_it(names: list[str], ordered: list[str]) -> None:
    assert sort_names(names) == ordered


@pytest.mark.parametrize(
    ("counts", "shots"),
    [
        ([5, 9], ["few", "many"]),
        ([5, 5], ["many", "few"]),
        ([1, 3, 2], ["few", "many", "medium"]),
        ([4, 3, 2, 1], ["many", "medium", "medium", "few"]),
        ([1, 2, 3, 4, 5], ["few", "few", "medium", "many", "many"]),
        ([7, 7, 7, 7, 7, 7], ["many", "many", "medium", "medium", "few", "few"]),
    ],
)
def test_shots_are_thirds_by_training_rows(counts: list[int], shots: list[str]) -> None:
    assert assign_shots(counts) == shots


def test_class_infos_count_training_rows() -> None:
    infos = make_class_infos(["a", "b"], np.array([1, 1, 0]))
    assert [(info.name, info.train_count, info.shot) for info in infos] == [("a", 1, "few"), ("b", 2, "many")]


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ([1.0, 2.0, None], ["1", "2", None]),
        ([True, False], ["true", "false"]),
        ([3, 10], ["3", "10"]),
        (["x", None], ["x", None]),
    ],
)
def test_labels_of_any_type_are_strings(given: list[Any], labels: list[Any]) -> None:
    assert read_labels(pl.DataFrame({"y": given}), "y").to_list() == labels


def test_a_label_column_that_is_not_there_is_named() -> None:
    with pytest.raises(TableError) as caught:
        read_labels(pl.DataFrame({"label": ["a"]}), "labels")
    assert str(caught.value) == "label: the table has no column 'labels'; did you mean 'label'?"


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("mell", "row 3: label, column 'dx': 'mell' is not a class of this model; did you mean 'mel'?"),
        (None, "row 3: label, column 'dx': the label is missing"),
    ],
)
def test_a_label_the_model_does_not_know_is_named_with_its_row(label: str | None, said: str) -> None:
    labels = pl.Series("dx", ["nv", "x", label])
    assert encode_labels(labels, ["mel", "nv"], np.array([0])).tolist() == [1]
    with pytest.raises(TableError) as caught:
        encode_labels(labels, ["mel", "nv"], np.array([0, 2]))
    assert str(caught.value) == said
