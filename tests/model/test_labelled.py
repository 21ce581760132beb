"""A bundle meets a table again: the rows of a part, codes that look like numbers, and what does not fit."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.data.labelled import labelled_part
from tailfuse.errors import TableError
from tailfuse.spec.schema import load_spec
from tailfuse_service.bundle import read_manifest, sha256
from tailfuse_service.bundle.manifest import Manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def manifest(trained: Any) -> Manifest:
    return read_manifest(trained.bundle)


def test_a_part_is_the_rows_that_were_held_out(trained: Any, manifest: Manifest) -> None:
    part = labelled_part(manifest, trained.spec.table, "test")
    assert part.labels.tolist() == trained.dataset.test.labels.tolist()


def test_a_part_by_fractions_is_drawn_again_as_it_was(
    trained: Any, manifest: Manifest, tmp_path: Path
) -> None:
    by_fractions = manifest.model_copy(
        update={"spec": {**manifest.spec, "split": {"column": None, "val": 0.2, "test": 0.3, "group": None}}}
    )
    parts = [labelled_part(by_fractions, trained.spec.table, name) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(pl.read_csv(trained.spec.table))
    again = labelled_part(by_fractions, trained.spec.table, "test")
    assert again.labels.tolist() == parts[2].labels.tolist()
    other = tmp_path / "other.csv"
    shutil.copytree(trained.spec.table.parent / "pictures", tmp_path / "pictures")
    other.write_text(trained.spec.table.read_text().replace("round leaf", "blunt leaf"))
    with pytest.raises(
        TableError, match=r"--part: rows were split by fractions, and .*other\.csv is not the"
    ):
        labelled_part(by_fractions, other, "test")


def test_val_rows_that_were_drawn_from_train_rows_are_drawn_again(lesions: Any) -> None:
    for row in lesions.rows:
        row["split"] = {"val": "train"}.get(row["split"], row["split"])
    spec, dataset = load_spec(lesions.write()), lesions.load()
    written = {"split": spec.split, "seed": spec.seed, "table_sha256": sha256(spec.table)}
    manifest = Manifest.model_construct(
        label="label", classes=dataset.classes, modalities=dataset.modalities, spec=written
    )
    for part in ("train", "val", "test"):
        found = labelled_part(manifest, spec.table, part).inputs["clinical"]
        np.testing.assert_array_equal(found, getattr(dataset, part).batch().inputs["clinical"])


def test_a_table_without_any_modality_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    pl.DataFrame({"label": ["oak", "elm"]}).write_csv(tmp_path / "bare.csv")
    with pytest.raises(TableError, match=r"no row has any modality of this model: picture, veins, note"):
        labelled_part(manifest, tmp_path / "bare.csv")


@pytest.mark.parametrize("command", ["evaluate", "predict", "init"])
def test_a_file_that_cannot_be_written_is_named(command: str, trained: Any, tmp_path: Path) -> None:
    table, nowhere = str(trained.spec.table), str(tmp_path / "none" / "out")
    arguments = [table] if command == "init" else [str(trained.bundle), table]
    done = CliRunner().invoke(main, [command, *arguments, "--out", nowhere])
    assert done.exit_code == 1
    assert f"Error: {nowhere}: cannot be written: No such file or directory" in done.output


def test_an_input_given_twice_is_refused(trained: Any) -> None:
    given = ["--input", "note=round leaf", "--input", "note=long leaf"]
    done = CliRunner().invoke(main, ["predict", str(trained.bundle), *given])
    assert done.exit_code == 1
    assert "--input note: given twice" in done.output


def test_export_refuses_a_table_that_has_changed(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a run can be exported from anywhere
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    done = CliRunner().invoke(main, ["export", str(run), "--out", "again"])
    assert done.exit_code == 0, done.output
    again, before = (read_manifest(each).model_dump() for each in (tmp_path / "again", trained.bundle))
    # The bytes are promised between processes; a second export in the same one was seen to differ.
    assert {key for key in again if again[key] != before[key]} <= {"files"}
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"table_sha256": "', '"table_sha256": "0'))
    done = CliRunner().invoke(main, ["export", str(run), "--out", "other"])
    assert done.exit_code == 1
    assert "was started with another table.csv" in done.output
    assert not (tmp_path / "other").exists()
