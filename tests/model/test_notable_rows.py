"""Rows in the report: which ones, from where in the table, and as text whatever they hold."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import RunError
from tailfuse.evaluation.baselines import compare_baselines
from tailfuse.evaluation.evaluate import Evaluation, evaluate
from tailfuse.evaluation.notable_rows import Answered, find_notable_rows
from tailfuse.evaluation.out_of_fold import (
    OUT_OF_FOLD,
    OutOfFold,
    load_out_of_fold,
    save_out_of_fold,
    select_answered,
)
from tailfuse.evaluation.report import Findings, report_html
from tailfuse.modalities.preview import draw_curves, encode_png, preview_cells
from tailfuse.training.train import export_run
from tailfuse_service.bundle import Batch, Manifest, Output, read_manifest
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import ImageModality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import NumberColumn

from tests.support.html_tags import collect_tags

EVIL = "</li><script>alert('1')</script>\"><img src=x onerror=alert(2)>{{ 7*7 }}\u202e\x00"
CLASSES = (
    ClassInfo(name="cat", train_count=9, shot="many"),
    ClassInfo(name=EVIL, train_count=3, shot="few"),
)
TABLE = pl.DataFrame({
    "note": [f"{EVIL} note {row}" for row in range(20)],
    "photo": [f"{EVIL}/{row}.png" for row in range(20)],
})  # fmt: skip
# Of four rows of the table, 16 to 19, the second is answered wrongly and the third is in conflict.
LABELS = np.array([0, 1, 0, 1])
FIRST = np.array([0.9, 0.8, 0.6, 0.1])  # the probability of the first class
CONFLICT = np.array([0.1, 0.2, 0.9, 0.7], np.float32)


def make_part() -> SplitArrays:
    images = np.full((4, 3, 200, 100), 7, np.uint8)
    notes = np.zeros((4, 1), np.int64)
    everywhere = np.arange(4)
    position = {"photo": everywhere.copy(), "note": everywhere.copy()}
    position["photo"][3] = -1  # one modality is in no conflict
    return SplitArrays({"photo": images, "note": notes}, position, LABELS, np.arange(16, 20))


def answer(batch: Batch) -> Output:
    n = len(batch.presence)
    first = FIRST if n == 4 else np.full(n, 0.5)
    weights = batch.presence / batch.presence.sum(axis=1, keepdims=True)
    probabilities = np.stack([first, 1 - first], axis=1).astype(np.float32)
    return Output(probabilities, weights, batch.presence * 0.5, conflict=CONFLICT[:n])


@pytest.fixture
def evaluation() -> Evaluation:
    return evaluate(answer, make_part(), CLASSES)


@pytest.fixture
def manifest(evaluation: Evaluation) -> Manifest:
    photo = ImageModality(column="photo", height=200, width=100, channels=3)
    note = TextModality(columns=("note",), buckets=64, ngrams=2, max_tokens=8)
    return Manifest(
        name="pets", version="1", label="kind", classes=CLASSES, modalities={"photo": photo, "note": note},
        input_schema={}, calibration={}, metrics=evaluation.metrics, reference=evaluation.reference,
        parity={}, spec={"table": "t.csv"}, built_with={}, files={},
    )  # fmt: skip


def test_each_kind_of_row_is_found_with_its_number(manifest: Manifest, evaluation: Evaluation) -> None:
    found = find_notable_rows(manifest, make_part(), evaluation, [], "test", lambda: TABLE)
    assert [(row.number, row.label, row.answer) for row in found.hardest] == [(18, EVIL, "cat")]
    assert found.hardest[0].label_probability == pytest.approx(0.2)
    assert found.hardest[0].content["note"].text == TABLE["note"][17]
    assert [row.number for row in found.conflicted] == [19]
    assert found.conflicted[0].conflict == pytest.approx(0.9)
    assert found.n_checked == 4


def test_rows_of_other_parts_are_checked_for_wrong_labels(manifest: Manifest, evaluation: Evaluation) -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.95, 0.95, 0.01, 0.05, 0.05, 0.05])
    empty = {"photo": np.full(6, -1), "note": np.arange(6)}
    part = SplitArrays(
        {"photo": np.zeros((0, 3, 2, 2)), "note": np.zeros((6, 1))}, empty, labels, np.arange(6)
    )
    other = Answered("training", part, np.stack([first, 1 - first], axis=1))
    found = find_notable_rows(manifest, make_part(), evaluation, [other], "test", lambda: TABLE)
    assert [(row.number, row.source) for row in found.mislabelled] == [(3, "training"), (18, "test")]
    assert "photo" not in found.mislabelled[0].content
    assert found.n_checked == 10


def test_the_table_is_not_read_for_nothing(manifest: Manifest, evaluation: Evaluation) -> None:
    ones = np.ones((4, 2), np.float32)
    given = Output(
        np.eye(2, dtype=np.float32)[LABELS], ones, ones
    )  # of an older bundle: there is no conflict
    right = replace(evaluation, given=given)

    def refuse() -> pl.DataFrame:
        raise AssertionError("read")

    found = find_notable_rows(manifest, make_part(), right, [], "test", refuse)
    assert (found.n_wrong, found.n_conflicted, found.n_mislabelled, found.n_checked) == (0, 0, 0, 4)


def test_without_a_table_rows_are_numbers_and_what_the_model_says(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    rows = find_notable_rows(manifest, make_part(), evaluation, [], "test", None)
    assert [(row.number, row.label, row.answer) for row in rows.hardest] == [(18, EVIL, "cat")]
    assert not any(row.content for row in (*rows.hardest, *rows.conflicted, *rows.mislabelled))
    html = report_html(manifest, evaluation, [], findings=Findings(rows=rows))
    section = html[html.index("Rows to look at") :]
    assert "Row 18" in section
    assert "left\nout of this file" in section
    assert "<img" not in section
    assert "note 17" not in html


def test_rows_that_know_no_table_have_no_number(manifest: Manifest, evaluation: Evaluation) -> None:
    part = replace(make_part(), rows=None)
    found = find_notable_rows(manifest, part, evaluation, [], "", lambda: TABLE)
    assert found.hardest[0].number is None
    assert found.hardest[0].content["note"].text == ""


def test_what_the_data_say_is_text_and_never_markup(manifest: Manifest, evaluation: Evaluation) -> None:
    rows = find_notable_rows(manifest, make_part(), evaluation, [], "test", lambda: TABLE)
    html = report_html(manifest, evaluation, [], evaluated_table=f"{EVIL}.csv", findings=Findings(rows=rows))
    assert "<script" not in html
    assert "onerror=alert(2)&gt;" in html
    assert "49" not in re.sub(r"base64,[^\"]*|\d+\.\d+", "", html[html.index("Rows to look at") :])
    sources = re.findall(r'<img src="(.*?)"', html)
    assert len(sources) == 3
    for source in sources:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.size == (48, 96)
    assert "img-src data:" in html


def test_a_hostile_table_gives_the_tags_of_a_harmless_one(manifest: Manifest, evaluation: Evaluation) -> None:
    """Names of the model, classes, columns, files, groups and spec; cells, paths and texts."""

    def render(name: str) -> list[tuple[str, list[str]]]:
        classes = (CLASSES[0], CLASSES[1].model_copy(update={"name": name}))
        number = NumberColumn(name=name, mean=0.0, scale=1.0)
        modalities = {
            "photo": manifest.modalities["photo"].model_copy(update={"column": name}),
            "note": TabularModality(columns=(number, number.model_copy(update={"name": "x"})), width=2),
        }
        spec = {
            "table": f"{name}.csv",
            "split": {"column": name, "group": name},
            "table_sha256": name,
            "k": [name],
        }
        named = manifest.model_copy(
            update={
                "name": name, "version": name, "label": name, "classes": classes, "modalities": modalities,
                "spec": spec, "built_with": {"torch": name},
            }
        )  # fmt: skip
        judged = replace(evaluation, classes=classes)
        table = pl.DataFrame({name: [name] * 20, "x": [name] * 20})
        rows = find_notable_rows(named, make_part(), judged, [], "test", lambda: table)
        findings = Findings(rows=rows, baselines=compare_baselines(named, judged, {name: LABELS}))
        history = [{"epoch": 0, "val_loss": 1.0, "loss": 1.0}]
        html = report_html(named, judged, history, evaluated_table=f"{name}.csv", findings=findings)
        return [(tag, list(attrs)) for tag, attrs in collect_tags(html).seen]

    harmless = render("harmless")
    hostile = [
        EVIL, "<svg onload=alert(1)>", "\" onclick=\"x", "&lt;b&gt;", "{% raw %}{{ 1 }}",
        "</style></title><h1>", "javascript:alert(1)", "-->", "]]>", "=1+1",
    ]  # fmt: skip
    for name in hostile:
        assert render(name) == harmless, name


def test_files_of_a_run_are_read_back_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "out-of-fold.npz"
    assert load_out_of_fold(path) is None
    save_out_of_fold(path, OutOfFold(np.array([17, 3]), np.eye(2, dtype=np.float32)))
    answers = load_out_of_fold(path)
    assert answers is not None
    (other,) = select_answered(answers, {"test": make_part()})
    assert other.part.rows is not None
    assert other.part.rows.tolist() == [17]  # row 3 is of another part
    assert other.probabilities.tolist() == [[1, 0]]
    for content in (b"", b"PK\x05\x06", path.read_bytes()[:-40]):
        path.write_bytes(content)
        with pytest.raises(RunError, match="is damaged; delete it"):
            load_out_of_fold(path)


def test_a_training_answers_every_row_out_of_fold(trained: Any) -> None:
    answers = load_out_of_fold(trained.run / "out-of-fold.npz")
    dataset = trained.dataset
    assert answers is not None
    assert sorted(answers.rows) == sorted([*dataset.val.rows, *dataset.train.rows])
    assert answers.probabilities.sum(axis=1) == pytest.approx(np.ones(len(answers.rows)), abs=1e-5)
    # They are of other networks than the final one, and know the classes.
    by_part = {each.source: each for each in select_answered(answers, {"train": dataset.train})}
    right = by_part["train"].probabilities.argmax(axis=1) == dataset.train.labels
    assert right.mean() > 0.5


@pytest.mark.slow
def test_a_training_checks_labels_by_the_answers_out_of_fold(trained: Any, tmp_path: Path) -> None:
    answers = load_out_of_fold(trained.run / OUT_OF_FOLD)
    assert answers is not None
    row = int(trained.dataset.train.rows[0])
    label = int(trained.dataset.train.labels[0])
    probabilities = answers.probabilities.copy()
    probabilities[answers.rows == row] = 0
    probabilities[answers.rows == row, (label + 1) % 3] = 1  # the final network learnt its label
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "trained.pt"):
        (run / name).write_bytes((trained.run / name).read_bytes())
    save_out_of_fold(run / OUT_OF_FOLD, OutOfFold(answers.rows, probabilities))
    bundle = export_run(run, trained.spec, trained.dataset, tmp_path / "bundle")
    html = (bundle / "report.html").read_text("utf-8")
    section = html[html.index("<h3>Probably mislabelled") :]
    first = section[section.index("<li>") : section.index("</li>")]
    assert f'<strong>Row {row + 1}</strong> <span class="muted">training</span>' in first
    assert "(100.0%)" in first
    assert f"on {len(answers.rows) + len(trained.dataset.test)} rows, each answered by a network" in section


@pytest.mark.slow
def test_an_older_run_is_exported_without_them(trained: Any, tmp_path: Path) -> None:
    older = tmp_path / "run"
    older.mkdir()
    for name in ("run.json", "trained.pt"):
        (older / name).write_bytes((trained.run / name).read_bytes())
    bundle = export_run(older, trained.spec, trained.dataset, tmp_path / "bundle")
    assert read_manifest(bundle).metrics == read_manifest(trained.bundle).metrics
    html = (bundle / "report.html").read_text("utf-8")
    assert "Training, by epoch" not in html
    assert "By class" in html


def test_cells_are_short() -> None:
    preview = preview_cells(
        {"a": b"123", "b": None, "c": 0.1 + 0.2, "d": "x" * 99, "e": [1], "f": 1, "g": 2, "h": 3}
    )
    assert preview.text == f"a: 3 bytes · c: 0.3 · d: {'x' * 60} … · e: [1] · f: 1 · g: 2 · 1 more"


def test_grey_and_tiny_images_are_shown() -> None:
    with Image.open(io.BytesIO(encode_png(np.zeros((1, 1, 300), np.uint8)))) as image:
        assert image.mode == "L"
        assert image.size == (96, 1)


def test_curves_stay_in_their_frame() -> None:
    """A flat one, one of a single step, and more channels and steps than are drawn."""
    for steps in (np.zeros((5, 1)), np.full((1, 1), 1e30), np.random.default_rng(0).normal(size=(999, 9))):
        curves = draw_curves(steps)
        assert len(curves) == min(3, steps.shape[1])
        points = np.array([[float(v) for v in point.split(",")] for line in curves for point in line.split()])
        assert points.min() >= 0
        assert points[:, 0].max() <= 120
        assert points[:, 1].max() <= 40
        assert len(points) <= 300
