"""The folder of a run: replaced when that is asked for, held by one training, whole after Ctrl-C."""

import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tailfuse.errors import RunError, TableError
from tailfuse.evaluation.out_of_fold import OUT_OF_FOLD
from tailfuse.export import bundle as export
from tailfuse.files.lock import lock_folder
from tailfuse.spec.schema import load_spec
from tailfuse.training import train as module
from tailfuse.training.hardware import Hardware
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.train import RUN, Listener, train

QUICK = ("training.epochs=2", "network.width=8", "training.folds=2")
SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end with the trained network: exporting takes longer than training on a handful of rows."""
    monkeypatch.setattr(module, "export_run", lambda run, spec, dataset, target: target)


def begin(lesions: Any, *overrides: str, **options: Any) -> Path:
    run: Path = lesions.folder / "run"
    train(load_spec(lesions.write(), [*QUICK, *overrides]), run, Hardware("cpu"), SILENT, **options)
    return run


def contents(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for file in run.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("no_export")
@pytest.mark.slow
def test_an_overwritten_run_is_that_of_a_new_folder(lesions: Any) -> None:
    begin(lesions, "training.folds=2", "network.width=8")
    wanted = contents(begin(lesions, "training.folds=0", "network.width=4", overwrite=True))
    shutil.rmtree(lesions.folder / "run")
    assert contents(begin(lesions, "training.folds=0", "network.width=4")) == wanted
    assert "fold-0.pt" not in wanted


@pytest.mark.usefixtures("no_export")
def test_overwriting_removes_the_old_bundle_and_no_file_of_the_user(lesions: Any) -> None:
    run = begin(lesions)
    (run / "bundle").mkdir()
    (run / "bundle" / "manifest.json").touch()
    (run / "answers.csv").write_text("row,label\n")
    begin(lesions, "seed=1", overwrite=True)
    assert not (run / "bundle").exists()
    assert (run / "answers.csv").read_text() == "row,label\n"


@pytest.mark.usefixtures("no_export")
def test_overwriting_replaces_a_damaged_run(lesions: Any) -> None:
    run = lesions.folder / "run"
    run.mkdir()
    (run / RUN).write_text("{")
    begin(lesions, overwrite=True)
    assert (run / TRAINED).exists()


@pytest.mark.usefixtures("no_export")
def test_a_mistake_in_the_table_does_not_cost_the_old_run(lesions: Any) -> None:
    before = contents(begin(lesions))
    with pytest.raises(TableError):
        begin(lesions, "label=kind", overwrite=True)
    assert contents(lesions.folder / "run") == before


def test_what_is_no_run_is_not_overwritten(lesions: Any) -> None:
    run = lesions.folder / "run"
    run.mkdir()
    (run / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="holds something else"):
        begin(lesions, overwrite=True)
    assert contents(run) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_a_second_training_of_one_folder_stops(lesions: Any, options: dict[str, bool]) -> None:
    in_use = pytest.raises(RunError, match="run is in use by another training; wait until it ends")
    with lock_folder(lesions.folder / "run"), in_use:
        begin(lesions, **options)
    assert not (lesions.folder / "run").exists()


@pytest.mark.slow
def test_ctrl_c_during_the_export_leaves_nothing_half_written(
    lesions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export, "check_parity", interrupt)
        with pytest.raises(KeyboardInterrupt):
            begin(lesions)
    stages = {f"{stage}.{kind}" for stage in ("final", "fold-0", "fold-1") for kind in ("pt", "csv")}
    assert set(contents(lesions.folder / "run")) == {RUN, TRAINED, OUT_OF_FOLD, *stages}
    assert (begin(lesions, resume=True) / "bundle" / "manifest.json").exists()
