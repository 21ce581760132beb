"""The report of an incomplete bench: results, seeds, methods or columns are missing."""

import re
from pathlib import Path

import polars as pl
import pytest
from tailfuse.errors import RunError
from tailfuse_bench.methods import CONCAT, METHODS, OURS, SPECIALIST
from tailfuse_bench.records import RELIABILITY, RESULTS, Result
from tailfuse_bench.report import make_sections, write_report
from tailfuse_bench.scores import BASELINE_GROUPS, read_scores
from tailfuse_bench.sections.headline import SINGLE
from tailfuse_bench.sections.section import Target
from tailfuse_bench.sections.weights import UNIFORM

from tests.support.bench_report import WHOLE, Keep, is_clean, read_sections, write_bench
from tests.support.made_bench import DATASETS

PARTS: dict[str, Keep] = {
    "one seed": lambda row: row.seed == 0,
    "one set": lambda row: row.set == "wiki",
    "ours alone": lambda row: row.method == OURS,
    "no ours": lambda row: row.method != OURS,
    "one baseline": lambda row: row.method in (OURS, "cross-entropy"),
    "one ratio, not that of the headline": lambda row: row.ir == 10,
    "a baseline on one set": lambda row: row.method != CONCAT or row.set == "cub",
    "a seed of one method": lambda row: row.method == OURS or row.seed == 3,
    "no subsets": lambda row: row.subset in ("", "+".join(DATASETS[row.set])),
    "clean rows": lambda row: is_clean(row),
    "damage alone": lambda row: not is_clean(row),
    "nothing": lambda row: False,
}


@pytest.mark.parametrize("keep", PARTS.values(), ids=PARTS)
def test_a_part_of_the_table_gives_a_report_that_says_what_is_missing(tmp_path: Path, keep: Keep) -> None:
    write_report(write_bench(tmp_path, keep))
    html, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    for page in (html, text):
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page)
        assert re.search(r"Not in this table|Missing: |No test is possible", page)


def test_one_seed_is_never_significant(tmp_path: Path) -> None:
    found = read_sections(tmp_path, keep=lambda row: row.seed == 0)
    assert found[0].targets[1] == Target(
        found[0].targets[1].text, "No test is possible: one seed, or equal differences.", "open"
    )
    assert "0 won, 40 tied, 0 lost of 40" in found[1].targets[0].outcome
    assert "seeds (1 of 5)" in found[9].targets[0].outcome


def test_holes_at_other_ratios_are_counted(tmp_path: Path) -> None:
    def keep(row: Result) -> bool:
        return not (row.method == CONCAT and row.set == "pie" and row.ir == 10 and row.seed > 1)

    whole, holed = read_sections(tmp_path)[9], read_sections(tmp_path, keep)[9]
    assert "at ratio 10" not in whole.targets[0].outcome
    assert re.search(r"\b3 of \d+ combinations of method, set and seed at ratio 10", holed.targets[0].outcome)


def test_holes_are_listed(tmp_path: Path) -> None:
    def keep(row: Result) -> bool:
        return not (row.method == CONCAT and row.set == "pie" and row.seed > 1)

    table = read_sections(tmp_path, keep)[9].tables[0]
    assert [[row.name, *(cell.text for cell in row.cells)] for row in table.rows] == [
        [CONCAT, "pie", "2 of 5"]
    ]


def test_a_method_that_is_not_known_is_a_baseline_and_its_name_is_never_run(tmp_path: Path) -> None:
    evil = "<script>alert('1')</script> | & \"more\""

    def renamed(row: Result) -> Result:
        return row._replace(method=evil) if row.method == CONCAT else row

    write_report(write_bench(tmp_path, change=renamed))
    assert read_scores(tmp_path).baselines[-1] == evil
    html = (tmp_path / "report.html").read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; | &amp; &#34;more&#34;" in html
    assert "\\<script\\>" in (tmp_path / "report.md").read_text()


def test_the_methods_that_the_report_singles_out_are_methods() -> None:
    assert {OURS, SPECIALIST, SINGLE, CONCAT, UNIFORM} <= METHODS.keys()
    assert {method.group for method in METHODS.values()} <= {"ours", *BASELINE_GROUPS, "ablation"}


def test_without_the_table_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"results\.csv does not exist: run `tailfuse bench` first"):
        write_report(tmp_path)
    (tmp_path / RESULTS).write_text("")
    with pytest.raises(RunError, match=r"results\.csv is empty"):
        write_report(tmp_path)


def test_without_reliability_there_is_no_diagram(tmp_path: Path) -> None:
    write_bench(tmp_path)
    (tmp_path / RELIABILITY).unlink()
    assert make_sections(read_scores(tmp_path))[5].figures == []


def test_a_missing_column_and_a_value_that_is_no_number_are_named(tmp_path: Path) -> None:
    table = pl.DataFrame([WHOLE[0][0]._asdict()])
    table.drop("ece").write_csv(tmp_path / RESULTS)
    with pytest.raises(RunError, match="column 'ece' is missing"):
        write_report(tmp_path)
    table.with_columns(pl.lit("much").alias("ece")).write_csv(tmp_path / RESULTS)
    with pytest.raises(RunError, match=r"results\.csv: .*ece.*much"):
        write_report(tmp_path)
