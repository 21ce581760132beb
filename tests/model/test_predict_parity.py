"""A table's rows are answered as the service answers the same cells, however they are spelled."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tailfuse.files.reading import Reading
from tailfuse.files.table import read_batches
from tailfuse.scoring.answers import Counts, TableScorer
from tailfuse_service.bundle import Bundle, features_by_modality, make_predictions
from tailfuse_service.errors import InvalidInput, MissingModality

MISSING = ("NA", "null")
CLINICAL = ("age", "pulse", "smoker", "site")
NOTES = ("title", "review")
CELLS = st.sampled_from([
    "", "NA", "null", "61", "61.0", " 61 ", "6.1e1", "1_000", "+61", "-0.0", ".5", "1e400", "1e39", "inf",
    "nan", "0x1", "٣", "true", "True", "TRUE", "0", "1", "1.0", "yes", "back", "Back", " face", "'", 'a"b',
    "a,b", "old",
])  # fmt: skip
TEXTS = st.sampled_from(
    [
        "",
        "dark",
        " dark  spot ",
        "é",
        "1.0",
        "true",
        'say "so"',
        "a,b\nc",
        "皮膚",
        "NA",
        " null ",
        "cafe\u0301",
    ]
)
SAMPLES = st.fixed_dictionaries(dict.fromkeys(CLINICAL, CELLS) | dict.fromkeys(NOTES, TEXTS))


@pytest.fixture(scope="module")
def with_missing(bundle: Bundle) -> Bundle:
    """The tiny bundle, whose columns know the same texts as missing as its tables do."""
    modalities = bundle.manifest.modalities | {
        name: bundle.manifest.modalities[name].model_copy(update={"missing": MISSING})
        for name in ("clinical", "notes")
    }
    manifest = bundle.manifest.model_copy(update={"modalities": modalities})
    return replace(bundle, manifest=manifest, features=features_by_modality(modalities))


def ask(bundle: Bundle, cells: dict[str, str]) -> list[Any]:
    """What POST /predict answers: label, probabilities, weights and confidences; or the error's detail."""
    inputs = {
        "clinical": {name: cells[name] for name in CLINICAL},
        "notes": {name: cells[name] for name in NOTES},
    }
    try:
        batch = bundle.collate([bundle.sample(inputs)])
    except MissingModality:
        return [None, None]
    except InvalidInput as error:
        return [None, error.detail]
    output = bundle.runtime.run(batch)
    [prediction] = make_predictions(output, batch.presence, bundle.manifest.class_names)
    by_label = dict(zip(prediction.labels, prediction.probabilities, strict=True))
    numbers: list[float | None] = [by_label[name] for name in bundle.manifest.class_names]
    modalities = (prediction.presence, prediction.weights, prediction.confidences)
    for present, weight, confidence in zip(*modalities, strict=True):
        numbers += [weight, confidence if present else None]
    numbers.append(prediction.conflict)
    return [prediction.labels[0], pytest.approx(numbers, abs=2e-6)]


def predict(bundle: Bundle, path: Path) -> pl.DataFrame:
    scorer = TableScorer(bundle, path.parent, MISSING)
    return pl.concat(scorer.score(read_batches(path, Reading(missing=())), Counts()))


@settings(max_examples=12)
@given(samples=st.lists(SAMPLES, min_size=1, max_size=12))
def test_a_table_is_answered_as_its_cells_are(with_missing: Bundle, samples: list[dict[str, str]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            lines = csv.DictWriter(file, list(samples[0]))
            lines.writeheader()
            lines.writerows(samples)
        answers = predict(with_missing, path)
    for cells, row in zip(samples, answers.iter_rows(named=True), strict=True):
        label, expected = ask(with_missing, cells)
        assert row["label"] == label, cells
        assert (row["error"] is None) == (not isinstance(expected, str)), (cells, row["error"], expected)
        if label is not None:
            numbers = [
                value for name, value in row.items() if name.startswith(("probability.", "weight.", "conf"))
            ]
            assert numbers == expected, cells


def test_pieces_are_answered_while_the_rest_is_unread(bundle: Bundle, tmp_path: Path) -> None:
    """Memory does not grow with the table: no batch is asked for before the last one is answered."""
    asked = []

    def batches() -> Iterator[pl.DataFrame]:
        for number in range(3):
            asked.append(number)
            yield pl.DataFrame({"age": [40.0 + number] * 1500})

    counts = Counts()
    answers = TableScorer(bundle, tmp_path).score(batches(), counts)
    for number in range(3):
        assert [len(next(answers)), len(next(answers))] == [1024, 476]
        assert (asked, counts.rows) == (list(range(number + 1)), 1500 * (number + 1))


@pytest.mark.parametrize(("unreadable", "n_errors"), [("stop", 2), ("missing", 0)])
def test_an_unreadable_file_is_an_error_or_missing_as_the_bundle_says(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, unreadable: str, n_errors: int
) -> None:
    image = bundle.manifest.modalities["image"].model_copy(update={"unreadable": unreadable})
    modalities = bundle.manifest.modalities | {"image": image}
    manifest = bundle.manifest.model_copy(update={"modalities": modalities})
    (tmp_path / "empty.png").write_bytes(b"")
    table = pl.DataFrame({"image": ["none.png", "empty.png", None], "age": [40.0, 40.0, 40.0]})
    counts = Counts()
    answers = pl.concat(TableScorer(replace(bundle, manifest=manifest), tmp_path).score([table], counts))
    assert (counts.errors, counts.answered) == (n_errors, 3 - n_errors)
    assert answers["probability"].drop_nulls().n_unique() == 1
    if n_errors:
        assert answers["error"].to_list() == [
            "modality 'image', column 'image' (none.png): no such file or directory",
            "modality 'image', column 'image' (empty.png): the file is empty",
            None,
        ]
    else:
        assert "2 of 2 files cannot be read and count as missing; the first is column 'image'" in caplog.text
