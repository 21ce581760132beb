"""The report: complete, safe with any name, and the same bytes for the same run."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.evaluate import Evaluation, evaluate
from tailfuse.evaluation.line_chart import curve, find_kept_epoch, line_charts, ticks
from tailfuse.evaluation.report import Findings, report_html, select_modalities, write_report
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import Manifest
from tailfuse_service.modalities import ImageModality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import NumberColumn

from tests.support.html_tags import collect_tags
from tests.support.reports import classes_named, evaluated, make_manifest, write_large_report

EVIL = "<script>alert('1')</script> & \"more\""
HISTORY = [
    {"epoch": 0, "loss": 2.0, "val_loss": 1.5, "val_balanced_accuracy": 0.4, "learning_rate": 0.002},
    {"epoch": 1, "loss": 1.0, "val_loss": 1.2, "val_balanced_accuracy": 0.7, "learning_rate": 0.001},
]
IMAGE = ImageModality(column="image", height=16, width=15, channels=1)
SHAPE = TabularModality(columns=(NumberColumn(name="area", mean=1.0, scale=2.0),), width=1)
NOTES = TextModality(columns=("title",), buckets=64, ngrams=2, max_tokens=8)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluated(classes_named("six", EVIL, "nine"), ["image", "shape"], lacking=True)


@pytest.fixture(scope="module")
def manifest(evaluation: Evaluation) -> Manifest:
    return make_manifest(evaluation, {"image": IMAGE, "shape": SHAPE}, name=EVIL)


def test_the_same_run_gives_the_same_bytes_on_one_day(
    tmp_path: Path, manifest: Manifest, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1785542400")
    write_report(tmp_path / "a.html", manifest, evaluation, HISTORY, Findings())
    write_report(tmp_path / "b.html", manifest, evaluation, HISTORY, Findings())
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_names_are_shown_and_never_run(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    tags = collect_tags(html)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &#34;more&#34;" in html


def test_the_page_is_well_formed_and_asks_for_nothing(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    tags = collect_tags(html)
    assert tags.open == []
    attributes = {name for _, attrs in tags.seen for name in attrs}
    assert not attributes & {"src", "href", "srcset", "data", "action", "xlink:href"}
    assert not re.search(r"url\(|@import|https?://", html)
    assert any("default-src 'none'" in (attrs.get("content") or "") for tag, attrs in tags.seen)


def test_a_screen_reader_and_the_keyboard_get_everywhere(manifest: Manifest, evaluation: Evaluation) -> None:
    tags = collect_tags(report_html(manifest, evaluation, HISTORY)).seen
    scrolled = [attrs for tag, attrs in tags if attrs.get("class") == "scroll"]
    assert len(scrolled) > 4
    for attrs in scrolled:
        assert (attrs["tabindex"], attrs["role"]) == ("0", "region")
        assert attrs["aria-label"]
    assert len({attrs["aria-label"] for attrs in scrolled}) == len(scrolled)
    assert all(attrs["role"] == "img" and attrs["aria-label"] for tag, attrs in tags if tag == "svg")
    assert all(attrs.get("class") != "hidden" for tag, attrs in tags if tag != "span")


def test_paper_and_the_dark_have_their_own_colours(manifest: Manifest, evaluation: Evaluation) -> None:
    """Every colour of the light page has another one in the dark, and on paper it is the light one again."""
    html = report_html(manifest, evaluation, HISTORY)
    style = html[html.index("<style>") : html.index("</style>")]
    light, dark, paper = (
        dict(re.findall(r"(--[a-z]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root {(.*?)}", style, re.DOTALL)
    )
    assert light.keys() == dark.keys() == paper.keys()
    assert all(light[name] != dark[name] for name in light)
    assert paper["--page"] == paper["--card"] == "#ffffff"
    assert style.index("prefers-color-scheme: dark") < style.index("@media print")


def test_the_headline_is_of_the_rows_as_given(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    assert "<b>75.0%</b><span>balanced accuracy</span>" in html
    assert "Trained on 183 rows of digits.parquet" in html  # 100 + 50 + 33
    assert "3.03 times the smallest" in html
    assert "evaluated on 12 rows" in html
    assert "/home/someone" not in html


def test_the_report_of_another_table_names_it(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, [], evaluated_table="<new>.csv, part test")
    assert collect_tags(html).open == []
    assert "evaluated on 12 rows of &lt;new&gt;.csv, part test." in html
    assert "not seen" not in html
    assert "test rows" not in html


def test_a_file_name_that_is_no_text_is_escaped(
    tmp_path: Path, manifest: Manifest, evaluation: Evaluation
) -> None:
    html = report_html(manifest, evaluation, [], evaluated_table="caf\udce9.csv")
    assert "of caf\\udce9.csv." in html
    (tmp_path / "page.html").write_text(html, encoding="utf-8")


def test_every_subset_class_and_modality_is_there(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    headings = re.findall(r'<th scope="row">(.*?)</th>', html)
    for name in ("image + shape", "as given", "image", "shape", "six", "nine"):
        assert name in headings
    assert "grey image, 16 × 15 (height × width)" in html
    assert "row of 1 number" in html


def test_a_mistake_is_a_cell_of_the_confusion_matrix(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    assert "<title>3 of six taken for six (75.0%)</title>" in html
    assert "<title>1 of nine taken for six (25.0%)</title>" in html


def test_without_history_there_is_no_curve(manifest: Manifest, evaluation: Evaluation) -> None:
    assert "Training, by epoch" in report_html(manifest, evaluation, HISTORY)
    assert "Training, by epoch" not in report_html(manifest, evaluation, [])


def test_the_curves_say_how_long_training_could_last(manifest: Manifest, evaluation: Evaluation) -> None:
    training = {"epochs": 64, "patience": 19, "folds": 2}
    chosen = manifest.model_copy(update={"spec": {**manifest.spec, "training": training}})
    html = report_html(chosen, evaluation, HISTORY)
    assert "At most 64 epochs; training stopped early if 19 epochs" in html
    # A bundle of an earlier version may not say.
    assert "At most" not in report_html(manifest, evaluation, HISTORY)


def test_the_date_is_that_of_source_date_epoch_or_of_today(
    manifest: Manifest,
    evaluation: Evaluation,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1785542400")
    assert "Report of 2026-08-01." in report_html(manifest, evaluation, HISTORY)
    for wrong in ("soon", "9" * 30, ""):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        before = datetime.now(UTC).date().isoformat()
        html = report_html(manifest, evaluation, HISTORY)
        assert {before, datetime.now(UTC).date().isoformat()} >= set(re.findall(r"Report of (.*?)\.", html))
        assert f"SOURCE_DATE_EPOCH is '{wrong}'" in caplog.text


def test_the_spec_and_the_split_are_told(manifest: Manifest, evaluation: Evaluation) -> None:
    spec = {
        "table": "/secret/a.csv",
        "split": {"val": 0.1, "test": 0.2, "group": EVIL},
        "table_sha256": "ab" * 32,
    }
    html = report_html(manifest.model_copy(update={"spec": spec}), evaluation, HISTORY)
    assert "10% of the rows for validation and 20% for test, drawn class by class; rows of one" in html
    assert "Rows: 183 for training, 12 for test." in html
    assert "sha256 <code>abababababab…</code>" in html
    assert "table: a.csv" in html
    assert "/secret" not in html
    assert "<script" not in html


def test_the_epoch_that_was_kept_is_marked(manifest: Manifest, evaluation: Evaluation) -> None:
    history = [{"epoch": at, "val_loss": loss} for at, loss in enumerate([3.0, 1.0, 2.0, 1.0, 4.0])]
    assert find_kept_epoch(history) == 4  # the last of equals, counted from 1
    assert find_kept_epoch([{"epoch": 0, "loss": 1.0, "val_loss": float("nan")}]) is None
    html = report_html(manifest, evaluation, history)
    assert "Epoch 4 of 5 was kept" in html
    assert html.count('class="marker"') == 1


def test_pairs_are_ordered_by_their_rows() -> None:
    evaluation = evaluated(classes_named("common", "rare"), ["notes"])
    counted = replace(evaluation, confusion=np.array([[90, 10], [2, 0]]))
    html = report_html(make_manifest(counted, {"notes": NOTES}), counted, [])
    assert html.index('<th scope="row">common</th><td>rare</td>') < html.index(
        '<th scope="row">rare</th><td>common</td>'
    )


def test_scores_by_class_have_intervals(manifest: Manifest, evaluation: Evaluation) -> None:
    html = report_html(manifest, evaluation, HISTORY)
    # Three of four rows: Wilson's interval is 30 to 95 %; F* is 3 of 5 (23 to 88 %), so F1 is 37 to 94 %.
    assert '<td class="number">75.0%<small>30–95</small></td>' in html
    assert '<td class="number">75.0%<small>37–94</small></td>' in html


def test_confidence_is_told_in_plain_words(manifest: Manifest, evaluation: Evaluation) -> None:
    words = " ".join(report_html(manifest, evaluation, HISTORY).split())
    assert (
        "the probability that it alone gives the right class and that its values are not corrupted," in words
    )
    assert "with classes counted alike: a rare class weighs as much as a common one." in words


def test_many_classes_have_a_matrix_without_names() -> None:
    evaluation = evaluated(classes_named(*(f"class {at}" for at in range(60))), ["notes"])
    html = report_html(make_manifest(evaluation, {"notes": NOTES}), evaluation, [])
    assert "1 of class 59 taken for class 0 (25.0%)" in html
    assert "class 7</text>" not in html
    assert "text of 1 column, word n-grams up to 2, 64 buckets" in html


def test_many_modalities_are_named_in_few_words_and_the_weightiest_have_columns(tmp_path: Path) -> None:
    html = write_large_report(tmp_path / "report.html", n_classes=3, n_modalities=40).read_text()
    headings = re.findall(r'<th scope="row">(.*?)</th>', html)
    assert "all modalities" in headings
    assert "all but modality_with_a_long_name_7" in headings
    assert html.count("The 12 of 40 modalities with the largest mean weight") == 2
    weights = html[html.index("Weights and confidences by class") : html.index("<h2>Modalities</h2>")]
    assert weights.count("heat weight") == weights.count("heat confidence") == 3 * 12
    assert collect_tags(html).open == []


def test_the_weightiest_modalities_stay_in_their_order() -> None:
    evaluation = evaluated(classes_named("six", "nine"), [f"m{at}" for at in range(20)])
    reference = {
        name: each.model_copy(
            update={"weight_mean": None if name == "m3" else 1.0 if name == "m19" else 0.01}
        )
        for name, each in evaluation.reference.items()
    }
    chosen = select_modalities(replace(evaluation, reference=reference))
    assert chosen == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 19]


def test_a_matrix_of_many_cells_shows_those_with_most_rows(
    manifest: Manifest, evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "cells with most rows" not in report_html(manifest, evaluation, [])
    monkeypatch.setattr("tailfuse.evaluation.report.MAX_CELLS", 2)
    html = report_html(manifest, evaluation, [])
    assert html.count(" taken for ") == 2
    assert "The 2 cells with most rows of 6 are drawn." in html


def test_what_has_no_rows_is_a_dash() -> None:
    classes = classes_named("six", "seven", "nine")
    some = evaluated(classes, ["image", "shape"])
    part = SplitArrays(
        {"image": np.zeros((1, 1)), "shape": np.zeros((1, 1))},
        {"image": np.array([0, -1]), "shape": np.array([-1, 0])},
        np.zeros(2, np.int64),
    )

    def run(batch: Batch) -> Output:
        answers = np.tile(np.array([1, 0, 0], np.float32), (len(batch.presence), 1))
        return Output(answers, batch.presence.astype(np.float32), batch.presence.astype(np.float32))

    evaluation = evaluate(run, part, classes)
    html = report_html(make_manifest(some, {"image": IMAGE, "shape": SHAPE}), evaluation, [])
    assert "<b>–</b><span>few-shot classes" in html
    assert not re.search(r"\bnan\b|None%|inf%", html)


def test_curves_leave_out_what_is_missing_and_not_finite() -> None:
    history: list[dict[str, float | str]] = [
        {"epoch": 0, "val_loss": "0.5"},
        {"epoch": 1, "val_loss": ""},
        {"epoch": 2, "val_loss": float("nan")},
        {"epoch": 3},
        {"epoch": 4, "val_loss": 0.25},
    ]
    assert curve(history, "val_loss") == [(1.0, 0.5), (5.0, 0.25)]


def test_one_epoch_is_enough_for_a_chart() -> None:
    charts = line_charts(HISTORY[:1])
    assert [chart.title for chart in charts] == ["Loss", "Balanced accuracy"]
    assert [line.name for line in charts[0].lines] == ["training", "validation"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1, 120, [0, 20, 40, 60, 80, 100, 120]),
        (0.42, 0.68, [0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7]),
        (3.0, 3.0, [3.0, 3.5]),
        (0.0, 0.0, [0.0, 0.2]),
    ],
)
def test_ticks_are_round_and_cover_the_values(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
