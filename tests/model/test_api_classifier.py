"""`tailfuse.Classifier` on frames with images, texts, groups and splits, and its bundle."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tailfuse
from PIL import Image
from sklearn.exceptions import DataConversionWarning
from tailfuse.api import fit
from tailfuse.data.dataset import build_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import TableError
from tailfuse.spec.schema import Spec
from tailfuse_service.bundle import read_manifest

QUICK = {"epochs": 4, "folds": 0, "batch_size": 32}
SMALL = {"width": 16}
COLOURS = {"oak": (200, 60, 60), "elm": (60, 200, 60), "ash": (60, 60, 200)}


def make_leaves() -> pd.DataFrame:
    """60 leaves with an image, two columns, a note, a tree of two leaves, and gaps."""
    random = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(random.permutation(["oak"] * 36 + ["elm"] * 16 + ["ash"] * 8).tolist()):
        pixels = np.clip(random.normal(COLOURS[label], 40, (12, 9, 3)), 0, 255).astype(np.uint8)
        rows.append(
            {
                "picture": (Image.fromarray(pixels), pixels, None)[number % 3],
                "length": float(random.normal(list(COLOURS).index(label))),
                "side": ("left", "right", None)[number % 3],
                "note": None if number % 4 == 0 else f"a leaf that is {label[::-1]} like number {number}",
                "species": label,
                "tree_id": f"T{number // 2}",
            }
        )
    return pd.DataFrame(rows)


LEAVES = make_leaves()


def make_classifier(**keys: Any) -> "tailfuse.Classifier":
    return tailfuse.Classifier(**{"training": QUICK, "network": SMALL, **keys})


@pytest.fixture(scope="module")
def fitted() -> "tailfuse.Classifier":
    return make_classifier(name="leaves", version="2").fit(LEAVES, label="species")


def test_the_modalities_are_inferred(fitted: "tailfuse.Classifier") -> None:
    kinds = {name: each.kind for name, each in fitted.model_.manifest.modalities.items()}
    assert kinds == {"picture": "image", "tabular": "tabular", "text": "text"}
    assert fitted.classes_.tolist() == ["ash", "elm", "oak"]
    assert fitted.feature_names_in_.tolist() == ["picture", "length", "side", "note", "tree_id"]
    assert fitted.model_.manifest.spec["split"]["group"] == "tree_id"
    assert fitted.model_.manifest.spec["table_sha256"] is None


def test_it_answers_and_evaluates(fitted: "tailfuse.Classifier") -> None:
    probabilities = fitted.predict_proba(LEAVES)
    assert (fitted.predict(LEAVES) == fitted.classes_[probabilities.argmax(axis=1)]).all()
    report = fitted.evaluate(LEAVES)
    assert report.overall.accuracy == (fitted.predict(LEAVES) == LEAVES["species"]).mean() > 0.5
    assert report.by_subset["subset"].tolist()[0] == "picture+tabular+text"
    alone = fitted.predict_proba(LEAVES, modalities=["text"])
    assert np.isnan(alone).any(axis=1).tolist() == LEAVES["note"].isna().tolist()
    assert list(fitted.explain(LEAVES)["label"]) == fitted.predict(LEAVES).tolist()
    assert len(fitted.confidences(LEAVES)) == 60


@pytest.mark.slow
def test_its_bundle_answers_alike(fitted: "tailfuse.Classifier", tmp_path: Path) -> None:
    expected = fitted.predict_proba(LEAVES)
    model = tailfuse.load(fitted.export(tmp_path / "bundle"))
    order = [model.classes_.tolist().index(name) for name in fitted.classes_]
    assert np.allclose(model.predict_proba(LEAVES)[:, order], expected, atol=1e-4)
    manifest = read_manifest(tmp_path / "bundle")
    assert manifest.of == ("leaves", "2")
    assert manifest.metrics["picture+tabular+text"].rows == 0  # no row was set aside to test
    assert sum(each.rows for each in manifest.validation_metrics.values())
    assert all(sum(each.weight.counts) for each in manifest.reference.values())
    again = pickle.loads(pickle.dumps(fitted))
    assert np.allclose(again.predict_proba(LEAVES), expected, atol=1e-4)
    assert (again.classes_ == fitted.classes_).all()


def test_labels_beside_the_rows_and_in_them_are_the_same_training() -> None:
    rows = LEAVES[["length", "side"]]
    from_column = make_classifier().fit(LEAVES[["length", "side", "species"]], label="species")
    beside = make_classifier().fit(rows, LEAVES["species"])
    columns = {"length": LEAVES["length"], "side": ["left", "right", None] * 20}
    values = make_classifier().fit(pl.DataFrame(columns), LEAVES["species"].to_list())
    expected = from_column.predict_proba(rows)
    for other in (beside, values):
        assert np.array_equal(other.predict_proba(rows), expected)


def test_numbers_and_truth_values_come_back_as_they_are() -> None:
    X = LEAVES[["length"]]
    codes = LEAVES["species"].map({"oak": 10, "elm": 2, "ash": 30})
    for y in (codes, codes.astype(float), codes == 2, codes.astype(str)):
        classifier = make_classifier(training={**QUICK, "epochs": 1}).fit(X, y)
        assert classifier.classes_.tolist() == np.unique(y).tolist()
        assert classifier.predict(X).dtype == np.unique(y).dtype
        names = classifier.model_.manifest.class_names
        spelled = [str(value).lower().removesuffix(".0") for value in classifier.classes_]
        assert [names[at] for at in classifier._classes.order] == spelled


def test_labels_may_be_a_frame_with_one_column_of_any_name() -> None:
    y = LEAVES[["species"]].rename(columns={"species": "name"})
    classifier = make_classifier(training={**QUICK, "epochs": 1})
    for labels in (y, pl.DataFrame({"name": LEAVES["species"].to_list()})):
        with pytest.warns(DataConversionWarning):
            classifier.fit(LEAVES[["length"]], labels)
        assert classifier.classes_.tolist() == ["ash", "elm", "oak"]


def test_a_share_is_found_by_the_label_of_its_class() -> None:
    X, is_oak = LEAVES[["length"]], LEAVES["species"] == "oak"
    for y, prior in (
        (is_oak, {True: 0.75, False: 0.25}),
        (is_oak.astype(int), {1: 0.75, 0: 0.25}),
        (is_oak.astype(float), {1.0: 0.75, 0.0: 0.25}),
    ):
        classifier = make_classifier(training={**QUICK, "epochs": 1}, prior=prior).fit(X, y)
        assert list(classifier.model_.shares.values()) == [0.25, 0.75]


def test_one_text_that_is_missing_is_no_list_of_letters() -> None:
    X = LEAVES[["length"]].assign(side=["N", "A", "NA"] * 20)
    classifier = make_classifier(training={**QUICK, "epochs": 1}, missing="NA").fit(X, LEAVES["species"])
    assert classifier.model_.manifest.spec["missing"] == ["NA"]


@pytest.mark.slow
def test_a_table_is_trained_with_its_split_and_paths(tmp_path: Path) -> None:
    frame = LEAVES.drop(columns="picture")
    frame["split"] = ["train", "train", "val", "train", "test"] * 12
    frame["picture"] = [f"{number}.png" for number in range(60)]
    for number, label in enumerate(frame["species"]):
        Image.new("RGB", (9, 12), COLOURS[label]).save(tmp_path / f"{number}.png")
    frame.to_csv(tmp_path / "leaves.csv", index=False)
    classifier = make_classifier().fit(tmp_path / "leaves.csv", label="species")
    manifest = read_manifest(classifier.export(tmp_path / "bundle"))
    assert manifest.spec["split"] == "split"
    assert manifest.spec["table"] == "leaves.csv"
    assert manifest.metrics["as given"].rows == 12
    assert "logistic regression" in (tmp_path / "bundle" / "report.html").read_text()
    report = tailfuse.load(tmp_path / "bundle").evaluate(tmp_path / "leaves.csv", part="test")
    assert report.overall == manifest.metrics["as given"]


@pytest.mark.slow
def test_rows_of_a_frame_are_tested_and_reported(tmp_path: Path) -> None:
    classifier = make_classifier(split={"val": 0.2, "test": 0.2}).fit(LEAVES, label="species")
    manifest = read_manifest(classifier.export(tmp_path / "bundle"))
    assert manifest.metrics["as given"].rows > 0
    assert "logistic regression" in (tmp_path / "bundle" / "report.html").read_text()
    page = classifier.evaluate(LEAVES).write(tmp_path / "report.html").read_text()
    assert "rows of a frame" in page


def test_groups_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets: list[Dataset] = []

    def keep(spec: Spec, table: pl.DataFrame) -> Dataset:
        datasets.append(build_dataset(spec, table))
        return datasets[-1]

    monkeypatch.setattr(fit, "build_dataset", keep)
    X = LEAVES[["length", "side"]]
    trees = LEAVES["tree_id"].to_numpy()
    classifier = make_classifier(modalities={"shape": {"kind": "tabular", "columns": ["length", "side"]}})
    classifier.fit(X, LEAVES["species"], groups=iter(trees), split={"val": 0.3, "test": 0.2})
    assert classifier.model_.manifest.spec["split"] == {
        "column": None,
        "val": 0.3,
        "test": 0.2,
        "group": "group",
    }
    assert classifier.feature_names_in_.tolist() == ["length", "side"]
    [dataset] = datasets
    train, val, test = ({*trees[part.rows]} for part in (dataset.train, dataset.val, dataset.test))
    assert len(train) + len(val) + len(test) == len(train | val | test) == 30
    assert min(map(len, (train, val, test))) > 0


def test_an_arrow_table_is_trained_on() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    rows = {"length": LEAVES["length"].to_list(), "side": ["left", "right", None] * 20}
    rows["species"] = LEAVES["species"].to_list()
    classifier = make_classifier().fit(pyarrow.table(rows), label="species")
    expected = make_classifier().fit(pl.DataFrame(rows), label="species").predict_proba(pl.DataFrame(rows))
    assert np.array_equal(classifier.predict_proba(pyarrow.table(rows)), expected)


def test_a_notebook_shows_parameters_and_never_their_markup() -> None:
    evil = "<script>alert(1)</script>"
    shown = make_classifier(other=evil)._repr_html_()
    assert "Classifier" in shown
    assert evil not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "requires y to be passed, but the target y is None"),
        ({"label": "species", "y": LEAVES["species"]}, "has y and label"),
        ({"label": "spezies"}, "no column 'spezies'; did you mean 'species'"),
        ({"y": LEAVES["species"]}, "X has a column 'species', the name of y"),
        ({"X": LEAVES.rename(columns={"length": 1}), "y": LEAVES["species"].rename(1)}, "a column '1', the"),
        ({"y": LEAVES["species"][:50].rename(None)}, "X has 60, and y has 50"),
        ({"y": ["oak"] * 60}, "label: column 'label' has one value; a label has at least two"),
        ({"y": LEAVES["length"].rename(None)}, "continuous"),
        ({"y": np.array([*range(3), "x"] * 15, object)}, "several types"),
        ({"label": "species", "groups": ["a"]}, "groups has 1 values, and X has 60 rows"),
        ({"label": "species", "split": "part"}, "split: the table has no column 'part'"),
        ({"label": "species", "split": {"val": 2}}, "split.val: Input should be less than 1"),
    ],
)
def test_what_cannot_be_trained_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_classifier().fit(**{"X": LEAVES, **arguments})
    with pytest.raises(TypeError, match="name the column of the labels by label='species'"):
        make_classifier().fit(LEAVES, "species")


def test_what_is_left_out_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    X = LEAVES[["length"]].assign(species_code=LEAVES["species"].str[0], constant=1)
    make_classifier(training={**QUICK, "epochs": 1}).fit(X, LEAVES["species"])
    assert "column 'species_code' is left out: each 'species' goes with one of its values" in caplog.text
    assert "column 'constant' is left out: it is '1' in every row" in caplog.text


def test_rows_without_a_label_are_skipped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tailfuse")
    y = LEAVES["species"].where(LEAVES.index != 5)
    classifier = make_classifier(training={**QUICK, "epochs": 1}).fit(LEAVES[["length"]], y)
    assert "label: skipped 1 row without a label" in caplog.text
    assert classifier.classes_.tolist() == ["ash", "elm", "oak"]


def test_an_array_has_no_names(caplog: pytest.LogCaptureFixture) -> None:
    X = LEAVES[["length"]].assign(twice=LEAVES["length"] * 2).to_numpy()
    classifier = make_classifier(training={**QUICK, "epochs": 1}).fit(X, LEAVES["species"])
    assert not hasattr(classifier, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 1 features, but tailfuse is expecting 2"):
        classifier.predict(X[:, :1])
    with pytest.raises(TableError, match="no column of this model"):
        classifier.predict(LEAVES[["length"]])
