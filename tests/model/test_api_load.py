"""`tailfuse.load`: a bundle answers rows of any library, without torch."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tailfuse
from PIL import Image
from tailfuse.errors import TableError, UserError

from tests.support.bundles import write_tiny_bundle

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
COLUMNS: dict[str, list[Any]] = {
    "image": [Image.fromarray(IMAGE), None, IMAGE],
    "age": [61, None, 20],
    "pulse": [70.5, 80.0, float("nan")],
    "smoker": [True, False, None],
    "site": ["back", "face", "knee"],
    "title": ["spot", None, ""],
    "review": ["a dark spot", "itchy", None],
}

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "scipy", "yaml", "rich", "jinja2", "lightning_fabric",
                                  "onnx", "pandas", "fastapi"):
            raise ModuleNotFoundError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
import tailfuse
model = tailfuse.load(sys.argv[1])
X = {"review": ["a dark spot", "itchy"], "age": [61, None]}
print(model.predict(X), model.predict_proba(X).shape, len(model.explain(X)), len(model.confidences(X)))
"""


@pytest.fixture
def model(tmp_path: Path) -> "tailfuse.Model":
    return tailfuse.load(write_tiny_bundle(tmp_path / "bundle"))


def test_the_import_is_light() -> None:
    heavy = "{'torch', 'pandas', 'polars', 'sklearn', 'onnxruntime', 'numpy', 'pydantic', 'yaml'}"
    script = f"import sys, tailfuse; print({heavy} & sys.modules.keys(), tailfuse.__version__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["set()", tailfuse.__version__], done.stderr


def test_every_public_name_is_there() -> None:
    assert set(tailfuse.__all__) <= set(dir(tailfuse))
    for name in tailfuse.__all__:
        assert getattr(tailfuse, name)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        tailfuse.lode  # noqa: B018


def test_a_bundle_answers_where_there_is_no_torch(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(bundle)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.endswith("(2, 3) 2 2\n"), done.stderr


class ArrowTable:
    """A table that is known by its Arrow stream alone."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)


def test_the_answers_do_not_depend_on_the_library_of_the_rows(
    model: "tailfuse.Model", tmp_path: Path
) -> None:
    expected = model.predict_proba(COLUMNS)
    assert np.allclose(expected.sum(axis=1), 1)
    frame = pd.DataFrame(COLUMNS)
    png = model.read(COLUMNS).table
    png.write_parquet(tmp_path / "table.parquet")
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]
    for X in (
        frame, frame[frame.columns[::-1]], frame.astype({"site": "category"}).convert_dtypes(), rows,
        png, png.lazy(), ArrowTable(png), tmp_path / "table.parquet", str(tmp_path / "table.parquet"),
    ):  # fmt: skip
        assert np.array_equal(model.predict_proba(X), expected), type(X)


def test_paths_and_bytes_are_images(model: "tailfuse.Model", tmp_path: Path, monkeypatch: Any) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    data = (tmp_path / "a.png").read_bytes()
    expected = model.predict_proba({"image": [IMAGE]})
    for cell in ("a.png", tmp_path / "a.png", data, bytearray(data), Image.open(tmp_path / "a.png")):
        assert np.array_equal(model.predict_proba({"image": [cell]}), expected), type(cell)


def test_an_arrow_table_is_rows(model: "tailfuse.Model") -> None:
    pyarrow = pytest.importorskip("pyarrow")
    expected = model.predict_proba(COLUMNS)
    table = pyarrow.table(model.read(COLUMNS).table.to_dict(as_series=False))
    assert np.array_equal(model.predict_proba(table), expected)
    assert model.predict(table).tolist() == model.predict(COLUMNS).tolist()


def test_a_notebook_shows_a_model_as_text(model: "tailfuse.Model") -> None:
    assert model._repr_html_() == (
        "<pre>&lt;tailfuse.Model skin-lesions 3: image+clinical+notes -&gt; nv, mel, bkl&gt;</pre>"
    )
    names = [
        each.model_copy(update={"name": "<img src=x onerror=alert(1)>"}) for each in model.manifest.classes
    ]
    object.__setattr__(model.bundle, "manifest", model.manifest.model_copy(update={"classes": tuple(names)}))
    assert "<img" not in model._repr_html_()
    assert "&lt;img src=x" in model._repr_html_()


def test_frames_come_back_in_the_library_of_the_rows(model: "tailfuse.Model") -> None:
    frame = pd.DataFrame(COLUMNS, index=["a", "b", "c"])
    for made in (model.explain(frame), model.confidences(frame)):
        assert isinstance(made, pd.DataFrame)
        assert list(made.index) == ["a", "b", "c"]
    assert isinstance(model.explain(COLUMNS), pl.DataFrame)
    assert model.confidences(COLUMNS)["confidence.image"].is_null().to_list() == [False, True, False]


def test_contributions_sum_to_the_probability(model: "tailfuse.Model") -> None:
    explained = model.explain(COLUMNS)
    contributions = explained.select(pl.sum_horizontal(pl.col("^contribution\\..*$"))).to_series()
    assert np.allclose(contributions + explained["prior"], explained["probability"])
    assert explained["label"].to_list() == model.predict(COLUMNS).tolist()
    assert abs(explained["contribution.image"][1]) < 1e-12  # absent in this row


def test_some_of_the_modalities_answer_alone(model: "tailfuse.Model") -> None:
    both = model.predict_proba(COLUMNS, modalities=["image", "notes"])
    without = {
        name: values for name, values in COLUMNS.items() if name not in ("age", "pulse", "smoker", "site")
    }
    assert np.array_equal(both, model.predict_proba(without), equal_nan=True)
    with pytest.raises(ValueError, match="'imag' is none of image, clinical, notes; did you mean 'image'"):
        model.predict_proba(COLUMNS, modalities=["imag"])
    empty: list[Any] = [[], np.array([]), "image", 5]
    for names in empty:
        with pytest.raises(ValueError, match="a list of names such as"):
            model.predict_proba(COLUMNS, modalities=names)


def test_modalities_may_be_any_iterable(model: "tailfuse.Model") -> None:
    expected = model.confidences(COLUMNS, modalities=["image", "notes"])
    labels = model.predict({"review": ["a dark spot"]}, modalities=["image", "notes"])

    def make_names() -> list[Any]:
        return [iter(["image", "notes"]), np.array(["image", "notes"]), {"image": 1, "notes": 2}]

    for names in make_names():
        assert model.confidences(COLUMNS, modalities=names).equals(expected)
    for names in make_names():
        assert model.predict({"review": ["a dark spot"]}, modalities=names) == labels
    with pytest.raises(TableError, match="row 2 has none of the modalities image, so"):
        model.predict(COLUMNS, modalities=iter(["image"]))


def test_a_row_without_a_modality_has_no_answer(
    model: "tailfuse.Model", caplog: pytest.LogCaptureFixture
) -> None:
    answered = ~np.isnan(model.predict_proba(COLUMNS, modalities=["image"])).any(axis=1)
    assert answered.tolist() == [True, False, True]
    assert "1 of 3 rows have none of the modalities image and no answer; the first is row 2" in caplog.text
    with pytest.raises(TableError, match="row 2 has none of the modalities image"):
        model.predict(COLUMNS, modalities=["image"])
    only = model.explain({"review": ["spot", None]})
    assert only["label"].to_list()[1] is only["probability"].to_list()[1] is None


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"agee": [3]}, "no column of this model"),
        ({"age": ["old"]}, "row 1: .*'age': expected a finite number, not 'old'"),
        ({"age": [1, float("inf")]}, "row 2: .*'age': expected a finite number, not 'inf"),
        ({"age": [1, 2], "pulse": [3]}, "different numbers of rows: 'age' 2, 'pulse' 1"),
        ({"age": 3}, "column 'age' is one value"),
        ({"review": "a dark spot"}, "column 'review' is one value"),
        ({"age": []}, "X has no rows"),
        ({}, "X has 0 feature"),
        ({"image": [np.zeros((4, 4, 3))]}, "row 1: column 'image': an array of float64, 4 x 4 x 3, is"),
        ({"image": [None, np.zeros((4, 4, 2), np.uint8)]}, "row 2: .*4 x 4 x 2, is no image"),
        ({"image": ["nowhere.png"]}, "row 1.*nowhere.png"),
        ({"image": [b"GIF"]}, "row 1"),
        ({"age": [1, [2]]}, "holds list among others"),
        (pd.DataFrame([[1, 2]], columns=["age", "age"]), "same name"),
        (np.zeros((2, 3)), "X has no names of columns"),
        (pd.Series([1.0, 2.0]), "Expected 2D array, got 1D array"),
        (np.zeros(3), "Expected 2D array, got 1D array"),
        (pd.DataFrame({"age": []}), "X has no rows"),
    ],
)  # fmt: skip
def test_doubtful_rows_are_refused(model: "tailfuse.Model", X: Any, message: str) -> None:
    with pytest.raises((TableError, ValueError), match=message):
        model.predict_proba(X)


def test_integers_of_more_than_64_bits_are_numbers(model: "tailfuse.Model") -> None:
    expected = model.predict_proba({"age": [float(2**70), 3.0]})
    assert np.array_equal(model.predict_proba({"age": [2**70, 3]}), expected)


def test_a_column_that_is_missing_is_warned_of(
    model: "tailfuse.Model", caplog: pytest.LogCaptureFixture
) -> None:
    model.predict({"Review": ["spot"], "title": ["x"]})
    assert (
        "the table has no column 'review'; its cells count as missing; did you mean 'Review'?" in caplog.text
    )


def test_a_model_is_pickled_and_exported_by_its_bundle(model: "tailfuse.Model", tmp_path: Path) -> None:
    expected = model.predict_proba(COLUMNS)
    again = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))
    for target in ("copy", "copy.zip"):
        again.export(tmp_path / target)
        assert np.array_equal(tailfuse.load(tmp_path / target).predict_proba(COLUMNS), expected)
        with pytest.raises(UserError, match="is there already"):
            again.export(tmp_path / target)
    with pytest.raises(UserError, match="does not exist"):
        again.export(tmp_path / "no" / "bundle")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle", "copy", "copy.zip"]


def test_a_prior_is_kept_in_a_pickle(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    shares = {"nv": 0.8, "mel": 0.15, "bkl": 0.05}
    model = tailfuse.load(bundle, prior=shares)
    assert not np.allclose(model.predict_proba(COLUMNS), tailfuse.load(bundle).predict_proba(COLUMNS))
    assert np.array_equal(
        pickle.loads(pickle.dumps(model)).predict_proba(COLUMNS), model.predict_proba(COLUMNS)
    )
    assert model.explain(COLUMNS)["prior"].is_in(list(shares.values())).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": {0: 0.5, 1: 0.5}}, "'0' is no class of the model; expected 'nv', 'mel', 'bkl'"),
        ({"prior": {"nv": "x", "mel": 0.5, "bkl": 0.5}}, "the share of class 'nv' is no number: 'x'"),
        ({"prior": [0.2, 0.3, 0.5]}, "prior is a list; expected uniform, training, tempered, or a mapping"),
        ({"runtime": "onx"}, "runtime 'onx' is none of onnx, torchscript"),
    ],
    ids=repr,
)
def test_wrong_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(tailfuse.BundleError, match=message):
        tailfuse.load(write_tiny_bundle(tmp_path / "bundle"), **options)


def test_a_bundle_that_was_replaced_is_not_exported(model: "tailfuse.Model", tmp_path: Path) -> None:
    manifest = tmp_path / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version":"3"', '"version":"4"'))
    with pytest.raises(Exception, match="was replaced since it was opened"):
        model.export(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
