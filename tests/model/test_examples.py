"""Test rows that a bundle shows as the examples of its service's document."""

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from starlette.testclient import TestClient
from tailfuse.cli import main
from tailfuse.data.examples import MAX_EXAMPLE_BYTES, ExampleRow, read_examples, take_classes_in_turn
from tailfuse.errors import TableError
from tailfuse.modalities.example_values import MAX_FILE_BYTES, shrink_image, to_json
from tailfuse.spec.schema import load_spec
from tailfuse_service.app import create_app
from tailfuse_service.bundle import open_bundle, read_manifest
from tailfuse_service.modalities import ImageModality
from tailfuse_service.settings import Settings


def read(lesions: Any, n_examples: int) -> list[dict[str, Any]]:
    rows = read_examples(load_spec(lesions.write()), lesions.load().modalities, n_examples)
    return [row.inputs for row in rows]


def test_they_are_test_rows_as_the_table_has_them(lesions: Any) -> None:
    rows = {row["note"]: row for row in lesions.rows if row["split"] == "test"}
    examples = read(lesions, 6)
    assert {example["notes"] for example in examples} == set(rows)
    for example in examples:
        row = rows[example["notes"]]
        assert example["clinical"] == {"age": row["age"], "sex": row["sex"], "smoker": row["smoker"]}
        assert b64decode(example["image"]) == (lesions.folder / row["image"]).read_bytes()
    assert len({rows[example["notes"]]["label"] for example in read(lesions, 3)}) > 1  # not as it is sorted
    assert read(lesions, 3) == examples[:3]


def test_the_classes_come_in_turn(lesions: Any) -> None:
    labels = {row["note"]: row["label"] for row in lesions.rows if row["split"] == "test"}
    rows = read_examples(load_spec(lesions.write()), lesions.load().modalities, 6)
    assert [row.label for row in rows] == [labels[row.inputs["notes"]] for row in rows]
    n_classes = len(set(labels.values()))
    assert len({row.label for row in rows[:n_classes]}) == n_classes > 1


def test_a_class_whose_rows_are_not_complete_does_not_come_first() -> None:
    labels_and_sizes = [("x", 3), ("x", 3), ("y", 2), ("y", 3)]
    rows = [ExampleRow(label, dict.fromkeys("abc"[:size])) for label, size in labels_and_sizes]
    assert take_classes_in_turn(rows) == [rows[0], rows[3], rows[1], rows[2]]


def test_complete_rows_come_first_and_a_missing_modality_is_left_out(lesions: Any) -> None:
    tests = [row for row in lesions.rows if row["split"] == "test"]
    for row in tests[:4]:
        row["note"] = None
    tests[0]["image"] = None
    assert [len(example) for example in read(lesions, 6)] == [3, 3, 2, 2, 2, 1]


def test_a_row_that_is_too_large_is_not_shown(lesions: Any) -> None:
    for row in lesions.rows[5:]:
        row["note"] = "word " * MAX_EXAMPLE_BYTES
    [example] = read(lesions, 1)
    assert example["notes"].startswith("spot number 1 ")
    with pytest.raises(TableError, match="--examples 2: of the first 6 test rows only 1 have values of at"):
        read(lesions, 2)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\xff\xd8", "/9g="),
        (np.array([[1.0, np.nan]], np.float32), [[1.0, None]]),
        ({"a": np.float64(0.5), "b": float("inf"), "c": None}, {"a": 0.5, "b": None, "c": None}),
        ((1, True, "x"), [1, True, "x"]),
    ],
)
def test_a_raw_value_is_json(raw: Any, shown: Any) -> None:
    assert to_json(raw) == shown
    json.dumps(shown, allow_nan=False)


def test_a_large_image_is_shown_smaller_and_upright() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 600, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    modality = ImageModality(column="image", height=32, width=16, channels=3)
    shown = shrink_image(file.getvalue(), modality)
    assert shown is not None
    assert len(shown) < MAX_FILE_BYTES < len(file.getvalue())
    assert Image.open(io.BytesIO(b64decode(shown))).size == (32, 64)
    deep = modality.model_copy(update={"deep": True})
    assert shrink_image(file.getvalue(), deep) is None
    assert shrink_image(b"no image" * MAX_FILE_BYTES, modality) is None


@pytest.mark.slow
def test_an_exported_bundle_shows_them_and_answers_them(trained: Any, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(main, ["export", str(trained.run), "--out", str(out), "--examples", "3"])
    assert done.exit_code == 0, done.output
    examples, labels = read_manifest(out).examples, read_manifest(out).example_labels
    assert len(examples) == len(labels) == 3
    with TestClient(create_app(Settings(bundle=out), open_bundle(out))) as client:
        paths = client.get("/openapi.json").json()["paths"]
        shown = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert shown["everything"]["value"] == {"inputs": examples[0]}
        assert {"row 2", "row 3"} < set(shown)
        for example in shown.values():
            assert client.post("/predict", json=example["value"]).status_code == 200
        batch = paths["/predict/batch"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert [item["inputs"] for item in batch["items"]] == list(examples)


def test_without_the_option_a_bundle_has_no_row_of_the_table(trained: Any) -> None:
    assert read_manifest(trained.bundle).examples == ()


def test_a_smaller_bundle_takes_no_new_ones(trained: Any, tmp_path: Path) -> None:
    command = ["export", str(trained.run), "--out", str(tmp_path / "b"), "--precision", "int8"]
    done = CliRunner().invoke(main, [*command, "--examples", "3"])
    assert done.exit_code == 1
    assert "--examples goes with --precision float32" in done.output


@pytest.mark.parametrize("n", ["-1", "11", "x"])
def test_a_number_that_is_not_allowed_is_refused(trained: Any, n: str) -> None:
    assert CliRunner().invoke(main, ["export", str(trained.run), "--examples", n]).exit_code == 2
