"""`tailfuse evaluate`: its figures, its report, and that it replaces no file unless that is asked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from tailfuse.cli import main
from tailfuse.evaluation.report import LOGISTIC
from tailfuse_service.bundle import read_manifest


@pytest.fixture
def evaluate(trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(
            main, ["evaluate", str(trained.bundle), str(trained.spec.table), *arguments]
        )

    return run


def test_the_figures_and_the_report_are_of_the_same_rows(
    evaluate: Callable[..., Result], tmp_path: Path
) -> None:
    done = evaluate("--part", "test")
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "evaluation.json").read_text())["overall"]["rows"]
    assert f"evaluated on {rows} rows of table.csv, part test." in (tmp_path / "evaluation.html").read_text()
    assert "Report: evaluation.html" in done.stderr
    assert "without the noise of its bins" in done.stdout


def test_the_report_goes_where_it_is_asked(evaluate: Callable[..., Result], tmp_path: Path) -> None:
    assert evaluate("--out", "a.json", "--report", "b.html").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.html"]
    assert evaluate("--out", "c.json").exit_code == 0
    assert (tmp_path / "c.html").exists()


@pytest.mark.parametrize(("option", "numbers", "values"), [
    ((), True, False),
    (("--report-rows", "none"), False, False),
    (("--report-rows", "ids"), True, False),
    (("--report-rows", "all"), True, True),
])  # fmt: skip
def test_values_of_rows_are_in_the_report_only_if_asked(
    trained: Any, tmp_path: Path, option: tuple[str, ...], numbers: bool, values: bool
) -> None:
    (tmp_path / "pictures").symlink_to(trained.spec.table.parent / "pictures")
    other = {"oak": "elm", "elm": "oak"}  # so that there are mistakes
    table = tmp_path / "table.csv"
    pl.read_csv(trained.spec.table).with_columns(pl.col("label").replace(other)).write_csv(table)
    out = tmp_path / "evaluation.json"
    command = ["evaluate", str(trained.bundle), str(table), "--part", "test", "--out", str(out), *option]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    html = out.with_suffix(".html").read_text()
    assert ("<strong>Row " in html) == numbers
    assert ("data:image/png" in html) == ("round leaf" in html) == values


def test_logistic_regression_is_fitted_to_the_training_rows_if_they_are_given(
    evaluate: Callable[..., Result], trained: Any, tmp_path: Path
) -> None:
    assert evaluate("--part", "test").exit_code == 0
    assert "--trained-on" in find_baselines(tmp_path / "evaluation.html")
    done = evaluate("--part", "test", "--trained-on", str(trained.spec.table), "--overwrite")
    assert done.exit_code == 0, done.output
    page = find_baselines(tmp_path / "evaluation.html")
    assert f">{LOGISTIC}</th>" in page
    # The same rows as in the training's own report: the same answers.
    assert page == find_baselines(trained.bundle / "report.html")


def test_another_table_than_that_of_the_training_is_refused(
    evaluate: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "other.csv").write_text("label\noak\n")
    for given, said in (("other.csv", "is not the table that"), ("none.csv", "none.csv: no such file")):
        done = evaluate("--trained-on", given)
        assert done.exit_code == 1
        assert said in done.stderr
    assert not (tmp_path / "evaluation.json").exists()


def find_baselines(page: Path) -> str:
    """Return the section of a report that has the baselines."""
    begin = "<h2>Beside simpler ways to answer</h2>"
    return page.read_text().partition(begin)[2].partition("</section>")[0]


@pytest.mark.parametrize("existing", ["evaluation.json", "evaluation.html"])
def test_no_file_is_replaced_unless_asked(
    evaluate: Callable[..., Result], tmp_path: Path, existing: str
) -> None:
    (tmp_path / existing).write_text("precious")
    done = evaluate()
    assert done.exit_code == 1
    assert f"{existing}: exists already; --overwrite replaces it" in done.output
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"
    assert evaluate("--overwrite").exit_code == 0
    assert (tmp_path / existing).read_text() != "precious"


def test_the_table_and_its_own_figures_are_safe(
    evaluate: Callable[..., Result], trained: Any, tmp_path: Path
) -> None:
    table = trained.spec.table
    before = table.read_bytes()
    assert "is the table that is read" in evaluate("--out", str(table), "--overwrite").output
    assert "is the table that is read" in evaluate("--report", str(table), "--overwrite").output
    assert table.read_bytes() == before
    assert "--report names another file" in evaluate("--out", "x.html").output
    assert (
        "--report names another file"
        in evaluate("--out", "x.json", "--report", f"../{tmp_path.name}/x.json").output
    )


def test_neither_the_bundle_nor_the_table_of_the_training_is_replaced(
    evaluate: Callable[..., Result], trained: Any, tmp_path: Path
) -> None:
    before = read_manifest(trained.bundle)
    for name in ("report.html", "new.html"):
        done = evaluate("--report", str(trained.bundle / name), "--overwrite")
        assert f"{name}: is inside the bundle that is read" in done.output
    assert read_manifest(trained.bundle) == before
    (tmp_path / "training.csv").write_text("label\noak\n")
    done = evaluate("--trained-on", "training.csv", "--out", "training.csv", "--overwrite")
    assert "training.csv: is the table that is read" in done.output
    assert (tmp_path / "training.csv").read_text() == "label\noak\n"
