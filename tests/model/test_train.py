"""Runs: what stops one before it begins, unusual tables, and hardware."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import RunError, SpecError, TableError, UserError
from tailfuse.spec.schema import load_spec
from tailfuse.training import families
from tailfuse.training import fit as fitting
from tailfuse.training import train as module
from tailfuse.training.hardware import Hardware
from tailfuse.training.loop import fit_network
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.state import read_log
from tailfuse.training.train import RUN, Listener, export_run, find_differences, read_spec, train

QUICK = ("training.epochs=3", "network.width=8", "training.folds=2")
SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end with the trained network: exporting takes longer than training on a handful of rows."""
    monkeypatch.setattr(module, "export_run", lambda run, spec, dataset, target: target)


def begin(lesions: Any, *overrides: str, resume: bool = False, run: Path | None = None) -> Path:
    run = run or lesions.folder / "run"
    train(load_spec(lesions.write(), [*QUICK, *overrides]), run, Hardware("cpu"), SILENT, resume=resume)
    return run


def said(kind: type[Exception], lesions: Any, *overrides: str, resume: bool = False) -> str:
    """What the error says, with the folder's name cut out."""
    with pytest.raises(kind) as raised:
        begin(lesions, *overrides, resume=resume)
    return str(raised.value).replace(f"{lesions.folder}/", "")


@pytest.mark.usefixtures("no_export")
def test_a_run_is_not_begun_twice(lesions: Any) -> None:
    begin(lesions)
    assert said(RunError, lesions) == (
        "run holds a run already; continue it with --resume, replace it with --overwrite, or choose another "
        "--out"
    )


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("fold-9.csv", "is the table that is read; write to another file"),
        ("bundle/rows.csv", "is read, and --overwrite removes the bundle that it is in; move it first"),
    ],
)
@pytest.mark.usefixtures("no_export")
def test_a_table_in_the_run_that_is_replaced_is_kept(lesions: Any, place: str, why: str) -> None:
    run = begin(lesions)
    (run / "bundle").mkdir()
    spec = load_spec(lesions.write(), QUICK)
    table = spec.table.rename(run / place)
    before = sorted(run.rglob("*"))
    moved = spec.model_copy(update={"table": table})
    with pytest.raises(UserError, match=f"{place}: {why}"):
        train(moved, run, Hardware("cpu"), SILENT, overwrite=True)
    assert sorted(run.rglob("*")) == before


@pytest.mark.usefixtures("no_export")
@pytest.mark.filterwarnings("ignore")
def test_a_frozen_encoder_is_heard_of_while_it_looks_at_pictures(lesions: Any) -> None:
    heard: list[tuple[str, int, int]] = []
    overrides = (
        "modalities.image.encoder=efficientnet_lite0", "modalities.image.size=32", "network.fusion=concat"
    )  # fmt: skip
    spec = load_spec(lesions.write(), [*QUICK, *overrides])
    listener = Listener(lambda *seen: heard.append(seen), lambda *_: None, lambda _: None)
    train(spec, lesions.folder / "run", Hardware("cpu"), listener)
    assert [seen for seen in heard if seen[0] == "features of image"] == [
        ("features of image", done, 24) for done in (8, 16, 24)
    ]


@pytest.mark.usefixtures("no_export")
def test_a_run_is_resumed_with_the_same_spec_only(lesions: Any) -> None:
    begin(lesions)
    begin(lesions, resume=True)
    assert said(RunError, lesions, "training.mixup=0.1", resume=True) == (
        "run was started with another training.mixup; resume with the same spec, replace the run with "
        "--overwrite, or choose another --out"
    )
    lesions.spec = lesions.spec.replace("[age, sex, smoker]", "[age, sex]")
    assert said(RunError, lesions, resume=True).startswith(
        "run was started with another modalities.clinical.columns;"
    )


@pytest.mark.usefixtures("no_export")
def test_a_run_of_an_older_version_lacks_new_keys_and_has_their_defaults(lesions: Any) -> None:
    run = begin(lesions)
    written = json.loads((run / RUN).read_text())
    del written["spec"]["network"]["forest"], written["spec"]["report"], written["spec"]["prior"]
    (run / RUN).write_text(json.dumps(written))
    begin(lesions, resume=True)
    assert not read_spec(run).network.forest
    assert "another network.forest;" in said(RunError, lesions, "network.forest=true", resume=True)
    written["spec"]["network"]["gone"] = 1
    (run / RUN).write_text(json.dumps(written))
    assert "another network.gone;" in said(RunError, lesions, resume=True)


@pytest.mark.usefixtures("no_export")
def test_a_run_is_resumed_with_the_same_table_only(lesions: Any) -> None:
    begin(lesions)
    lesions.rows[0]["age"] = 99
    assert said(RunError, lesions, resume=True) == (
        "run was started with another table.csv; replace the run with --overwrite, or choose another --out"
    )


@pytest.mark.usefixtures("no_export")
def test_a_run_and_its_table_may_be_moved(lesions: Any, tmp_path: Path) -> None:
    run = begin(lesions)
    lesions.folder = lesions.folder.rename(tmp_path.parent / f"{tmp_path.name} moved")
    assert begin(lesions, resume=True, run=lesions.folder / run.name)


def test_a_folder_that_holds_something_else_is_left_alone(lesions: Any) -> None:
    run = lesions.folder / "run"
    run.mkdir()
    (run / "thesis.tex").write_text("years of work")
    message = "run holds something else; choose another folder with --out"
    assert said(RunError, lesions) == said(RunError, lesions, resume=True) == message
    assert [file.name for file in run.iterdir()] == ["thesis.tex"]
    (run / "thesis.tex").unlink()
    run.rmdir()
    run.write_text("a file")
    assert said(RunError, lesions) == "run is a file; choose another folder with --out"


def test_a_damaged_record_of_a_run_is_named(lesions: Any) -> None:
    run = lesions.folder / "run"
    run.mkdir()
    for corrupted in ("", "{}", "[]", '{"spec": 3}'):
        (run / RUN).write_text(corrupted)
        assert said(RunError, lesions, resume=True) == (
            "run/run.json is damaged; replace the run with --overwrite, or choose another --out"
        )


def test_what_is_wrong_with_spec_or_table_is_found_before_a_run_is_begun(lesions: Any) -> None:
    assert said(TableError, lesions, "table=none.csv") == "table: none.csv: no such file or directory"
    assert "the table has no column 'kind'" in said(TableError, lesions, "label=kind")
    assert "'vit' is no encoder" in said(SpecError, lesions, "modalities.image.encoder=vit")
    assert not (lesions.folder / "run").exists()


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        (Hardware("cpu", precision="bf16-true"),
         "--precision: 'bf16-true' is none of 32-true, bf16-mixed, 16-mixed"),
        (Hardware("abacus"), "cannot train on this hardware: You selected an invalid accelerator name"),
        (Hardware("tpu"), "cannot train on this hardware: "),
    ],
)  # fmt: skip
def test_hardware_that_is_not_there_is_named(lesions: Any, hardware: Hardware, said: str) -> None:
    with pytest.raises(RunError) as raised:
        train(load_spec(lesions.write()), lesions.folder / "run", hardware, SILENT)
    assert str(raised.value).startswith(said)
    assert not (lesions.folder / "run").exists()


def test_a_run_that_was_not_trained_cannot_be_exported(lesions: Any) -> None:
    spec = load_spec(lesions.write())
    with pytest.raises(
        RunError,
        match=r"holds no trained network yet; finish it with: tailfuse train SPEC --out \S* --resume",
    ):
        export_run(lesions.folder, spec, lesions.load(), lesions.folder / "bundle")


def test_differing_keys_are_dotted_paths() -> None:
    before = {"a": 1, "b": {"c": [1], "d": 2}, "table": "x", "old": 0}
    now = {"a": 1, "b": {"c": [2], "d": 2}, "table": "y", "new": {"e": 1}}
    assert find_differences(before, now) == ["b.c", "old", "new"]


def test_a_run_goes_on_whatever_its_report_shows() -> None:
    """Older runs do not say; a modality of that name is compared as any other."""
    shown: dict[str, Any] = {"report": {"rows": "all"}}
    assert find_differences({}, shown) == find_differences({"report": {"rows": "none"}}, shown) == []
    assert find_differences({"modalities": {"report": 1}}, {"modalities": {"report": 2}}) == [
        "modalities.report"
    ]


@pytest.mark.usefixtures("no_export")
def test_the_listener_hears_of_everything_and_the_log_is_kept(lesions: Any) -> None:
    heard: list[tuple[Any, ...]] = []
    listener = Listener(
        lambda modality, done, total: heard.append((modality, done, total)),
        lambda stage, epoch, stages: heard.append((stage.name, epoch.epoch, stages)),
        lambda what: heard.append((what,)),
    )
    run = lesions.folder / "run"
    train(load_spec(lesions.write(), QUICK), run, Hardware("cpu"), listener)
    assert [each for each in heard if each[0] in ("image", "clinical", "notes")] == [
        ("image", 24, 24), ("clinical", 24, 24), ("notes", 24, 24),
    ]  # fmt: skip
    assert [each for each in heard if each[0] == "final"] == [("final", epoch, 3) for epoch in range(3)]
    assert {each[0] for each in heard} >= {"fold-0", "fold-1"}
    log = read_log(run / "final.csv")
    assert [line["epoch"] for line in log] == [0.0, 1.0, 2.0]
    assert all(np.isfinite(line["val_loss"]) for line in log)


@pytest.mark.usefixtures("no_export")
def test_mixed_precision_trains_about_the_same(lesions: Any) -> None:
    spec, losses = load_spec(lesions.write(), QUICK), []
    for precision in ("32-true", "bf16-mixed"):
        run = lesions.folder / precision
        train(spec, run, Hardware("cpu", precision=precision), SILENT)
        losses.append([line["loss"] for line in read_log(run / "final.csv")])
        assert all(value.isfinite().all() for value in torch.load(run / TRAINED).values())
        assert all(value.dtype != torch.bfloat16 for value in torch.load(run / TRAINED).values())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


def without(name: str, *parts: str) -> Any:
    """Takes the column away from all rows of these parts."""

    def change(lesions: Any) -> None:
        for row in lesions.rows:
            if row["split"] in parts:
                row[name] = None

    return change


def few(label: str, keep: int) -> Any:
    """Leaves so many training rows of a class."""

    def change(lesions: Any) -> None:
        rows = [row for row in lesions.rows if row["label"] == label and row["split"] == "train"]
        lesions.rows = [row for row in lesions.rows if row not in rows[keep:]]

    return change


def rarely_a_note(lesions: Any) -> None:
    """One training row has the modality, so that the rows of one fold, and most batches, lack it."""
    rows = [row for row in lesions.rows if row["split"] == "train"]
    for row in rows[1:]:
        row["note"] = None


def two_classes(lesions: Any) -> None:
    lesions.rows = [row for row in lesions.rows if row["label"] != "df"]


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("change", "overrides"),
    [
        (lambda lesions: None, ["training.folds=0"]),
        (without("note", "val"), []),
        (without("note", "val"), ["training.folds=0"]),
        (without("note", "val", "test"), []),
        (few("df", 1), []),
        (few("df", 1), ["training.folds=5"]),
        (two_classes, []),
        (rarely_a_note, ["training.batch_size=4"]),
        (lambda lesions: None, ["training.batch_size=1"]),
        (lambda lesions: None, ["training.folds=13"]),
        (lambda lesions: None, ["split={group: lesion_id}", "training.folds=4"]),
        (lambda lesions: None, ["network.experts=[1]", "training.mixup=0", "training.modality_dropout=0"]),
        (lambda lesions: None, ["training.epochs=1"]),
    ],
    ids=[
        "no folds", "a modality absent in val", "and no folds", "in val and test", "a class with one row",
        "and more folds than rows of it", "two classes", "a modality of one row", "batches of one row",
        "more folds than rows", "groups", "one expert, nothing random", "one epoch",
    ],
)  # fmt: skip
def test_unusual_tables_and_specs_train(lesions: Any, change: Any, overrides: Any) -> None:
    change(lesions)
    run = begin(lesions, *overrides)
    state = torch.load(run / TRAINED)
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.usefixtures("no_export")
def test_what_is_held_out_was_not_trained_on(lesions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, calibration_set = [], []

    def spy_on(fabric: Any, network: Any, stage: Any, *rest: Any) -> Any:
        trained.append((network, collect_rows(stage.train)))
        return fit_network(fabric, network, stage, *rest)

    def collect_rows(part: SplitArrays) -> set[int]:
        return set(part.position["clinical"].tolist())

    monkeypatch.setattr(fitting, "fit_network", spy_on)
    monkeypatch.setattr(
        families, "fit_confidence", lambda network, given, *_, **__: calibration_set.extend(given)
    )
    monkeypatch.setattr(families, "fit_fusion", lambda *_, **__: None)
    begin(lesions)
    assert len(calibration_set) == len(trained) == 3
    for (network, part), (own, seen) in zip(calibration_set, trained, strict=True):
        assert not collect_rows(part) & seen
        assert torch.equal(network.joint.project, own.joint.project)
    folds = [collect_rows(part) for _, part in calibration_set[1:]]
    assert set.union(*folds) == collect_rows(lesions.load().train)


def test_the_record_of_a_run_is_plain_json(lesions: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "export_run", lambda run, spec, dataset, target: target)
    record = json.loads((begin(lesions) / RUN).read_text())
    assert record["spec"]["name"] == "lesions"
    assert len(record["table_sha256"]) == 64
