"""`tailfuse.compare_bundles` and its command: paired tests, rows that differ, bundles that do not fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
from click.testing import CliRunner
from scipy.stats import binomtest
from tailfuse.api.compare_bundles import compute_mcnemar
from tailfuse.cli import main
from tailfuse.errors import UserError
from tailfuse_service.bundle import Batch, Output

from tests.support.bundles import FakeRuntime, write_tiny_bundle

ROWS: Mapping[str, list[str]] = {"title": ["x"] * 4, "review": ["a", "b", "c", "d"]}
LABELS = ["nv", "nv", "mel", "bkl"]
ANSWERS = {"first": [0, 0, 0, 0], "other": [0, 1, 1, 2]}  # classes by bundle


def open_fake(folder: Path, name: str, answers: list[int], **changes: Any) -> tailfuse.Model:
    """Open a bundle that puts the rows into given classes, with the probability 0.8."""
    model = tailfuse.load(write_tiny_bundle(folder / name, name=name, **changes))
    runtime = FakeRuntime()

    def answer(batch: Batch) -> Output:
        even = FakeRuntime.evenly(batch)
        chosen = np.resize(np.array(answers), len(batch.presence))
        return Output(0.1 + 0.7 * np.eye(3, dtype=np.float32)[chosen], even.weights, even.confidences)

    runtime.get_output = answer
    object.__setattr__(model.bundle, "runtime", runtime)
    return model


def test_bundles_are_compared_on_the_same_rows(tmp_path: Path) -> None:
    first, other = (open_fake(tmp_path, name, answers) for name, answers in ANSWERS.items())
    result = tailfuse.compare_bundles(iter([first, other]), ROWS, LABELS)
    one, two = result.summary.iter_rows(named=True)
    assert (one["bundle"], two["bundle"]) == ("first 3", "other 3")
    assert one["p_value"] is None
    assert two["difference"] == pytest.approx((-0.5 + 1 + 1) / 3)
    assert two["low"] <= two["difference"] <= two["high"]
    assert (two["only_first_right"], two["only_this_right"]) == (1, 2)
    assert two["p_value"] == pytest.approx(1.0)
    assert result.by_class["recall.other 3"].to_list() == [0.5, 1.0, 1.0]
    assert result.by_class["rows"].to_list() == [2, 1, 1]
    given = result.by_subset.filter(pl.col("subset") == "as given").row(0, named=True)
    assert given["balanced_accuracy.first 3"] == pytest.approx(1 / 3)
    assert result.differing["row"].to_list() == [2, 3, 4]
    assert result.differing["label"].to_list() == ["nv", "mel", "bkl"]
    assert result.differing["predicted.other 3"].to_list() == ["mel", "mel", "bkl"]
    assert "3 rows with different answers" in repr(result)
    assert "<td>other 3</td>" in result._repr_html_()


def test_rows_without_a_modality_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundles = [open_fake(tmp_path, name, [0]) for name in ("first", "other")]
    rows = {"title": [*ROWS["title"], None], "review": [*ROWS["review"], None]}
    result = tailfuse.compare_bundles(bundles, rows, [*LABELS, "nv"])
    assert result.summary["rows"].to_list() == [4, 4]
    assert "1 labelled rows have no modality and are left out" in caplog.text


def test_the_p_value_is_exact() -> None:
    labels = np.zeros(12, np.int64)
    right, wrong = np.eye(2)[labels], np.eye(2)[1 - labels]
    assert compute_mcnemar(right, right, labels) == (0, 0, 1.0)
    assert compute_mcnemar(right, wrong, labels) == (12, 0, binomtest(12, 12).pvalue)
    assert compute_mcnemar(right, wrong, labels)[2] == pytest.approx(2 * 0.5**12)


def test_bundles_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    first = open_fake(tmp_path, "first", [0])
    manifest = first.manifest
    renamed = tuple(each.model_copy(update={"name": each.name.upper()}) for each in manifest.classes)
    fewer = dict(list(manifest.modalities.items())[1:])
    for name, changes, message in (
        ("classes", {"classes": renamed}, "different classes; not in both: BKL"),
        ("label", {"label": "other"}, "different label"),
        ("merged", {"merged_labels": {"x": "nv"}}, "different merged classes; not in both: x"),
    ):
        other = open_fake(tmp_path, name, [0], **changes)
        with pytest.raises(UserError, match=message):
            tailfuse.compare_bundles([first, other], ROWS, LABELS)
    other = open_fake(tmp_path, "columns", [0])
    object.__setattr__(
        other.bundle, "manifest", manifest.model_copy(update={"name": "columns", "modalities": fewer})
    )
    with pytest.raises(UserError, match="different columns"):
        tailfuse.compare_bundles([first, other], ROWS, LABELS)
    for bundles in ([first], first, "bundle", []):
        with pytest.raises(UserError, match="two bundles or more"):
            tailfuse.compare_bundles(bundles, ROWS, LABELS)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="named twice"):
        tailfuse.compare_bundles([first, first], ROWS, LABELS)


def test_the_command_compares_and_writes_the_rows(tmp_path: Path) -> None:
    bundles = [str(write_tiny_bundle(tmp_path / name)) for name in ("a", "b")]
    label = tailfuse.load(bundles[0]).manifest.label
    pl.DataFrame({**ROWS, label: LABELS}).write_csv(tmp_path / "table.csv")
    arguments = ["compare", *bundles, "--data", str(tmp_path / "table.csv")]
    done = CliRunner().invoke(main, [*arguments, "--json", "--out", str(tmp_path / "rows.csv")])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [each["bundle"] for each in printed["bundles"]] == bundles
    assert printed["differing_rows"] == 0
    assert (tmp_path / "rows.csv").read_text().startswith("row,label,predicted.")
    done = CliRunner().invoke(main, arguments)
    assert "McNemar" in done.stdout
    assert "subset" in done.stdout
    done = CliRunner().invoke(main, [*arguments[:2], *arguments[3:]])
    assert done.exit_code == 1
    assert "two bundles or more" in done.stderr


def test_the_command_writes_each_row_with_different_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = {name: open_fake(tmp_path, name, answers) for name, answers in ANSWERS.items()}
    monkeypatch.setattr("tailfuse.api.compare_bundles.load", lambda path: opened[Path(path).name])
    label = opened["first"].manifest.label
    pl.DataFrame({**ROWS, label: LABELS}).write_csv(tmp_path / "table.csv")
    out = tmp_path / "rows.csv"
    arguments = [
        "compare",
        *(str(tmp_path / name) for name in ANSWERS),
        "--data",
        str(tmp_path / "table.csv"),
    ]
    done = CliRunner().invoke(main, [*arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "3 rows with different answers" in done.stdout
    written = pl.read_csv(out)
    assert written["row"].to_list() == [2, 3, 4]
    assert written[f"predicted.{tmp_path / 'other'}"].to_list() == ["mel", "mel", "bkl"]
    assert written[f"predicted.{tmp_path / 'first'}"].to_list() == ["nv"] * 3
