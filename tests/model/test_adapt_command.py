"""`tailfuse adapt`: it says what its change costs, and asks before few-shot recall falls."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from tailfuse.cli import adapt as cli
from tailfuse.cli import main
from tailfuse.evaluation.prior import Prior
from tailfuse.export import adapt as module
from tailfuse_service.bundle import open_bundle, read_manifest
from tailfuse_service.bundle.manifest import Adaptation, AdaptationCheck

# ash is the few-shot class.
AGAINST_ASH, FOR_ASH = np.array([1e-20, 0.3, 0.7]), np.array([0.8, 0.1, 0.1])


def find_shares(monkeypatch: pytest.MonkeyPatch, shares: Any) -> None:
    monkeypatch.setattr(module, "estimate_prior", lambda *_: Prior(shares, 0.0))


def adapt(trained: Any, out: Path, *options: str, table: Path | None = None, typed: str = "") -> Result:
    arguments = [
        "adapt",
        str(trained.bundle),
        "--unlabelled",
        str(table or trained.spec.table),
        "--out",
        str(out),
    ]
    return CliRunner().invoke(main, [*arguments, *options], input=typed, prog_name="tailfuse")


@pytest.fixture
def unlabelled(trained: Any) -> Path:
    path: Path = trained.spec.table.parent / "unlabelled.csv"
    pl.read_csv(trained.spec.table).drop("label").write_csv(path)
    return path


def test_without_a_terminal_a_fall_is_refused_unless_it_is_allowed(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_shares(monkeypatch, AGAINST_ASH)
    out = tmp_path / "new"
    refused = adapt(trained, out)
    assert refused.exit_code == 1
    assert "few-shot recall falls from " in refused.stderr
    assert (
        " to 0.0% (by the labels of 120 rows); no bundle was written. Add --yes to write it" in refused.stderr
    )
    assert "recall of classes" in refused.stdout  # what it costs is shown before
    assert list(tmp_path.iterdir()) == []
    assert adapt(trained, out, "--yes").exit_code == 0
    assert open_bundle(out).manifest.adaptation is not None


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, status: int
) -> None:
    find_shares(monkeypatch, AGAINST_ASH)
    monkeypatch.setattr(cli, "is_terminal", lambda: True)
    done = adapt(trained, tmp_path / "new", typed=typed)
    assert done.exit_code == status, done.output
    assert "Write the bundle? [y/N]" in done.stderr
    assert (tmp_path / "new").exists() == (status == 0)


def test_where_few_shot_recall_does_not_fall_nobody_is_asked(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_shares(monkeypatch, FOR_ASH)
    assert adapt(trained, tmp_path / "new").exit_code == 0


def test_without_labels_the_fall_is_estimated(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlabelled: Path
) -> None:
    find_shares(monkeypatch, np.array([1e-12, 0.3, 0.7]))
    printed = adapt(trained, tmp_path / "new", "--json", "--yes", table=unlabelled)
    found = json.loads(printed.stdout)
    before, after = found["estimated_before"]["few"], found["estimated_after"]["few"]
    assert found["before"] is None
    assert after < before - 0.01
    refused = adapt(trained, tmp_path / "other", table=unlabelled)
    assert f"falls from {before:.1%} to {after:.1%} (estimated without labels)" in refused.stderr


def test_rows_without_a_few_shot_class_are_named(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlabelled: Path
) -> None:
    find_shares(monkeypatch, AGAINST_ASH)
    refused = adapt(trained, tmp_path / "new", table=unlabelled)
    assert refused.exit_code == 1
    assert "falls by an unknown amount: these rows have no few-shot class" in refused.stderr
    assert "multiplied by 0.00 to 0.00" in refused.stderr


@pytest.mark.parametrize(
    ("check", "asked"),
    [
        (AdaptationCheck(rows=900, simulated=False, before=0.812, after=0.786), True),
        (AdaptationCheck(rows=900, simulated=True, before=0.812, after=0.786), True),
        (AdaptationCheck(rows=900, simulated=True, before=0.812, after=0.809), False),
        (AdaptationCheck(rows=900, simulated=True, before=0.812, after=0.9), False),
        (None, False),
    ],
    ids=repr,
)
def test_a_change_that_held_out_rows_speak_against_is_refused(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: AdaptationCheck | None, asked: bool
) -> None:
    find_shares(monkeypatch, FOR_ASH)
    monkeypatch.setattr(module, "cross_validate", lambda *_: check)
    monkeypatch.setattr(module, "simulate", lambda *_: None)
    done = adapt(trained, tmp_path / "new")
    assert done.exit_code == asked, done.output
    assert (tmp_path / "new").exists() != asked
    if check is not None:
        assert f"Accuracy {check.before:.3f} → {check.after:.3f}" in done.stdout
    if check is not None and asked:
        how = "the shift simulated on 900 rows" if check.simulated else "cross-validated on the labels of 900"
        assert f"accuracy falls from 81.2% to 78.6% ({how}" in done.stderr
        assert "no bundle was written. Add --yes" in done.stderr
        assert adapt(trained, tmp_path / "new", "--yes").exit_code == 0
        written = open_bundle(tmp_path / "new").manifest.adaptation
        assert written is not None
        assert written.check == check


def test_without_labels_the_shift_is_simulated(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlabelled: Path
) -> None:
    find_shares(monkeypatch, FOR_ASH)
    printed = adapt(trained, tmp_path / "new", "--json", "--yes", table=unlabelled)
    assert json.loads(printed.stdout)["check"]["simulated"] is True
    labelled = adapt(trained, tmp_path / "other", "--json", "--yes")
    assert json.loads(labelled.stdout)["check"]["simulated"] is False


@pytest.mark.parametrize("name", ["[unknown]", "[b]bold", "a[/b]", ":dog:", "[red]"])
def test_the_name_of_a_class_is_no_markup(tiny_bundle: Path, name: str) -> None:
    manifest = read_manifest(tiny_bundle)
    first, *others = manifest.classes
    classes = (first.model_copy(update={"name": name}), *others)
    adaptation = Adaptation(
        prior={info.name: 1 / 3 for info in classes},
        shifted=True, p_value=0.0, rows=9, table_sha256="0", before=None, after=None,
    )  # fmt: skip
    console = Console(width=80)
    with console.capture() as capture:
        console.print(cli.make_shares_table(manifest.model_copy(update={"classes": classes}), adaptation))
    assert f" {name} " in capture.get()


def test_the_version_is_that_of_the_option(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_shares(monkeypatch, FOR_ASH)
    assert adapt(trained, tmp_path / "one", "--version", "2026-06").exit_code == 0
    assert read_manifest(tmp_path / "one").version == "2026-06"
    for wrong in ("latest", "a/b", " ", "", ".."):
        done = adapt(trained, tmp_path / "two", "--version", wrong)
        assert done.exit_code == 2
        assert f"'{wrong}' cannot be a version, which is a part of a URL" in done.stderr
