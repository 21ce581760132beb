"""The report of a bench, from a synthetic table."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tailfuse_bench.methods import ADAPTED, CONCAT, OURS, SPECIALIST
from tailfuse_bench.records import RELIABILITY, RESULTS, Bin, Result, write_tables
from tailfuse_bench.report import SECTIONS, make_sections, write_report
from tailfuse_bench.scores import Scores, read_scores
from tailfuse_bench.sections.calibration import expected_bin_noise, pool_bins
from tailfuse_bench.sections.section import Section, Target
from tailfuse_bench.sections.weights import UNIFORM

from tests.support.bench_report import (
    WHOLE,
    is_clean,
    raise_accuracy,
    read_sections,
    write_bench,
)
from tests.support.html_tags import Tags
from tests.support.known import known
from tests.support.made_bench import DATASETS


def targets(section: Section) -> list[Target]:
    return section.targets


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = write_bench(tmp_path_factory.mktemp("bench"))
    write_report(out)
    return out


def test_the_same_tables_give_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    write_report(write_bench(tmp_path))
    for name in ("report.html", "report.md"):
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {RESULTS, RELIABILITY, "report.html", "report.md"}


def test_the_page_is_well_formed_and_asks_for_nothing(whole: Path) -> None:
    html = (whole / "report.html").read_text()
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert "script" not in {tag for tag, _ in tags.seen}
    attributes = {name for _, attrs in tags.seen for name in attrs}
    assert not attributes & {"src", "href", "srcset", "data", "action", "xlink:href"}
    assert not re.search(r"url\(|@import|https?://", html)


def test_every_row_of_a_table_is_as_wide_as_its_head(whole: Path) -> None:
    for section in make_sections(read_scores(whole)):
        for table in section.tables:
            widths = {len(row.cells) + 1 for row in table.rows if row.cells}
            assert widths == {len(table.head)}, table.caption


def test_every_section_says_what_was_aimed_at_and_whether_it_is_reached(whole: Path) -> None:
    html = (whole / "report.html").read_text()
    found = make_sections(read_scores(whole))
    assert len(found) == len(SECTIONS) == 11
    for at, section in enumerate(found):
        assert f'<section id="s{at}">' in html
        assert section.targets
        assert all(target.outcome.endswith(".") for target in section.targets)


def test_the_headline_is_the_mean_and_standard_deviation_over_seeds(whole: Path) -> None:
    values = [
        known(row.balanced_accuracy)
        for row in WHOLE[0]
        if is_clean(row) and (row.set, row.ir, row.method, row.subset) == ("wiki", 50, CONCAT, "image+text")
    ]
    assert len(values) == 5
    expected = f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"
    table = make_sections(read_scores(whole))[0].tables[0]
    cells = {row.name: row.cells for row in table.rows}
    assert cells[CONCAT][table.head.index("wiki") - 1].text == expected
    line = next(
        line for line in (whole / "report.md").read_text().splitlines() if line.startswith("| concat |")
    )
    assert f"| {expected} |" in line


def test_a_set_with_its_own_tail_stands_for_the_ratio_asked(whole: Path) -> None:
    scores = read_scores(whole)
    assert scores.headline == dict.fromkeys(DATASETS, 50) | {"ham10000": 0, "rosmap": 0}
    assert "rosmap (original ratio)" in make_sections(scores)[0].tables[0].head


def test_first_everywhere_is_reached_and_one_set_behind_is_not(tmp_path: Path) -> None:
    better = raise_accuracy(0.1, lambda row: is_clean(row) and row.method == OURS)
    reached = targets(read_sections(tmp_path, change=better)[0])
    assert [target.status for target in reached] == ["reached"] * 3
    assert reached[0].outcome.startswith("First on 8 of 8 sets.")
    worse = raise_accuracy(-0.2, lambda row: is_clean(row) and row.method == OURS and row.set == "wiki")
    missed = targets(read_sections(tmp_path, change=worse)[0])
    assert missed[0].status == missed[2].status == "not reached"
    assert "First on 7 of 8 sets. Not first on wiki (single" in missed[0].outcome
    assert "Below it on wiki (" in missed[2].outcome


@pytest.mark.parametrize("by", [0.1, -0.3])
def test_a_few_sets_of_the_protocol_have_figures_and_no_badges(tmp_path: Path, by: float) -> None:
    moved = raise_accuracy(by, lambda row: is_clean(row) and row.method == OURS)
    found = read_sections(tmp_path, keep=lambda row: row.set in ("cub", "pie"), change=moved)
    assert {target.status for section in found for target in section.targets} == {None}
    outcome = found[0].targets[0].outcome
    assert f"First on {2 if by > 0 else 0} of 2 sets (the full benchmark has 8)." in outcome
    write_report(tmp_path)
    html, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert 'class="status' not in html
    assert not re.search(r"^- \*\*", text, re.MULTILINE)
    for page in (html, text):
        assert "The full benchmark has 8 datasets: with fewer no target counts as reached or missed." in page


def test_a_baseline_that_is_better_is_a_loss(tmp_path: Path) -> None:
    better = raise_accuracy(0.3, lambda row: row.method == CONCAT and row.set == "pie")
    section = read_sections(tmp_path, change=better)[1]
    assert "1 lost of 40 comparisons" in section.targets[0].outcome  # 8 sets, 5 baselines
    assert "Significantly worse than concat on pie." in section.targets[0].outcome
    cells = {row.name: row.cells for row in section.tables[0].rows}
    assert cells[CONCAT][section.tables[0].head.index("pie") - 1].tone == "loss"


def test_uniform_weights_that_do_as_well_are_a_missed_aim(tmp_path: Path) -> None:
    ours = {
        (row.set, row.ir, row.seed, row.subset): row
        for row in WHOLE[0]
        if is_clean(row) and row.method == OURS
    }

    def same(row: Result) -> Result:
        if not is_clean(row) or row.method != UNIFORM:
            return row
        return ours[row.set, row.ir, row.seed, row.subset]._replace(method=UNIFORM)

    section = read_sections(tmp_path, change=same)[2]
    assert [target.status for target in section.targets] == ["not reached", "not reached"]
    assert "over sets p none" in section.targets[0].outcome


def test_a_damaged_modality_that_keeps_its_weight_is_named(tmp_path: Path) -> None:
    def heavy(row: Result) -> Result:
        bad = (row.set, row.condition, row.modality) == ("cub", "noise_1", "text")
        return row._replace(weight=0.4) if bad else row

    assert (
        read_sections(tmp_path)[3].targets[0].status == "reached"
    )  # 0.3 for another row's values is not judged
    target = read_sections(tmp_path, change=heavy)[3].targets[0]
    assert target.status == "not reached"
    assert "Above: cub text, N(0, 1) noise (0.40)." in target.outcome


def test_damage_is_held_against_the_remaining_modalities_alone(tmp_path: Path) -> None:
    """Every row is set: 60 with the noise, 62 of the picture alone."""

    def fixed(row: Result) -> Result:
        if row.set != "cub" or row.method != OURS:
            return row
        if (row.condition, row.modality) == ("noise_3", "text"):
            return row._replace(balanced_accuracy=0.60)
        return row._replace(balanced_accuracy=0.62) if is_clean(row) and row.subset == "image" else row

    target = read_sections(tmp_path, change=fixed)[3].targets[1]
    assert target.status == "not reached"
    assert "cub text, N(0, 3) noise (−2.0)" in target.outcome


def test_a_subset_far_behind_its_own_model_is_a_missed_aim(tmp_path: Path) -> None:
    assert read_sections(tmp_path)[4].targets[0].status == "reached"
    better = raise_accuracy(0.05, lambda row: row.method == SPECIALIST and row.set == "cub")
    target = read_sections(tmp_path, change=better)[4].targets[0]
    assert target.status == "not reached"
    assert "further behind on cub (−" in target.outcome


def test_a_subset_with_a_large_calibration_error_is_named(tmp_path: Path) -> None:
    def off(row: Result) -> Result:
        bad = is_clean(row) and (row.set, row.subset, row.method) == ("pie", "v1+v3", OURS)
        return row._replace(ece=0.0812) if bad else row

    target = read_sections(tmp_path, change=off)[5].targets[0]
    assert target.status == "not reached"
    assert "Above: pie v1+v3 (0.081)." in target.outcome


def test_bins_are_pooled_over_seeds_by_their_rows(tmp_path: Path) -> None:
    results = [row for row in WHOLE[0] if row.set == "cub"]
    bins = [
        Bin("cub", 50, 0, OURS, "image+text", 10, 0.4, 0.5),
        Bin("cub", 50, 0, OURS, "image+text", 10, 0.8, 0.9),
        Bin("cub", 50, 1, OURS, "image+text", 30, 0.6, 0.1),
        Bin("cub", 50, 1, OURS, "image", 30, 0.0, 0.0),
        Bin("cub", 10, 1, OURS, "image+text", 30, 0.0, 0.0),
    ]
    write_tables(tmp_path, results, bins)
    points = pool_bins(read_scores(tmp_path), "cub")
    assert points == [pytest.approx((0.55, 0.2)), pytest.approx((0.8, 0.9))]


def test_cost_is_a_ratio_to_concatenation(whole: Path) -> None:
    section = make_sections(read_scores(whole))[6]
    assert "Parameters 2.0 to 2.0 times" in section.targets[0].outcome
    assert [cell.text for cell in section.tables[0].rows[0].cells[:3]] == ["100,000", "50,000", "2.0×"]


def test_harm_on_uniform_rows_is_a_missed_aim(tmp_path: Path) -> None:
    worse = raise_accuracy(
        -0.05,
        lambda row: (row.method, row.condition, row.set) == (ADAPTED, "shift_uniform", "leaf99"),
    )
    helps, harms = read_sections(tmp_path, change=worse)[8].targets
    assert helps.status == "reached"
    assert harms.status == "not reached"
    assert "leaf99 (−" in harms.outcome


def test_every_brief_table_is_a_table_of_github(whole: Path) -> None:
    """All lines of a table have as many cells as its head."""
    text = (whole / "report.md").read_text()
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| ")]
    assert len(tables) == sum(
        table.brief for each in make_sections(read_scores(whole)) for table in each.tables
    )
    for lines in tables:
        widths = {len(next(csv.reader([line], delimiter="|"))) for line in lines}
        assert len(widths) == 1


def test_a_perfect_models_calibration_error_by_hand() -> None:
    # Two bins of 25 answers: sqrt(2 p (1 - p) / (pi 25)) with p = 0.5 and 0.8, and the mean of the two.
    bins = pl.DataFrame(
        {
            "set": ["pie"] * 2, "ir": [50] * 2, "seed": [0] * 2, "method": [OURS] * 2,
            "subset": ["v1+v2"] * 2, "bin_rows": [25, 25], "confidence": [0.5, 0.8], "accuracy": [0.4, 0.9],
        }
    )  # fmt: skip
    scores = Scores(
        measurements={}, bins=bins, full={"pie": "v1+v2"}, headline={"pie": 50}, headline_ir=50, subsets={},
        conditions=[], methods=[OURS],
    )  # fmt: skip
    expected = (math.sqrt(0.5 / (math.pi * 25)) + math.sqrt(0.32 / (math.pi * 25))) / 2
    assert expected_bin_noise(scores, "pie") == pytest.approx(expected)


def test_every_measure_of_every_method_is_in_a_table_of_its_set_and_condition(tmp_path: Path) -> None:
    def change(row: Result) -> Result:
        """Rename a baseline to a rival; its cost has a size."""
        if row.method != CONCAT:
            return row
        return row._replace(method="CatBoost", size_bytes=2_500_000 if row.condition == "cost" else None)

    incomplete = [
        row._replace(condition="missing_30", size_bytes=1_000_000, predict_microseconds=7.0)
        for row in WHOLE[0]
        if is_clean(row) and row.set == "wiki" and row.ir == 50 and row.subset == "image+text"
    ]
    write_tables(tmp_path, [*map(change, WHOLE[0]), *incomplete], WHOLE[1])
    write_report(tmp_path)
    section = make_sections(read_scores(tmp_path))[10]
    assert [table.caption for table in section.tables] == [
        *(f"{name}, all modalities" for name in DATASETS),
        "wiki, 30 % of the modalities missing in training and test rows",
    ]
    assert section.targets[0].outcome == (
        "Rivals: CatBoost. Not installed or not run: AutoGluon, LightGBM and TabM; bench.json has the "
        "installed versions."
    )
    wiki = next(table for table in section.tables if table.caption == "wiki, all modalities")
    rows = {row.name: [cell.text for cell in row.cells] for row in wiki.rows}
    assert rows["CatBoost"][wiki.head.index("size, MB") - 1] == "2.5"
    assert "rivals" in rows
    assert ADAPTED not in rows
    missing = {row.name: [cell.text for cell in row.cells] for row in section.tables[-1].rows}
    assert missing[OURS][-2:] == ["1", "7"]
    assert "wiki, 30 % of the modalities missing" in (tmp_path / "report.md").read_text()


def test_missing_modalities_alone_are_a_table_too(tmp_path: Path) -> None:
    rows = [
        row._replace(condition="missing_30")
        for row in WHOLE[0]
        if is_clean(row) and row.set == "wiki" and row.ir == 50 and row.subset == "image+text"
    ]
    write_tables(tmp_path, rows, [])
    write_report(tmp_path)
    [table] = make_sections(read_scores(tmp_path))[10].tables
    assert table.caption.startswith("wiki, 30 %")
