"""`tailfuse.tune` and its command: no test row, early stops, resumption, the best spec."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
from click.testing import CliRunner
from optuna.trial import TrialState
from tailfuse.api import study, tuning_score
from tailfuse.api.search_space import make_default_space, make_space, read_space
from tailfuse.api.study import list_finished, make_study
from tailfuse.api.tuning_score import OnStep, Score, Scorer
from tailfuse.cli import main
from tailfuse.data.dataset import make_dataset
from tailfuse.errors import RunError, SpecError, UserError
from tailfuse.spec.schema import Spec, load_spec, make_spec

SPACE = {"training.learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}, "network.width": [4, 8]}
SPEC = """\
name: leaves
version: "1.10"
table: leaves.csv
label: species
split: part
modalities:
  size: {kind: tabular, columns: [length, width]}
network: {width: 8}
training: {epochs: 2, folds: 0}
"""


def write_spec(folder: Path) -> Path:
    random = np.random.default_rng(0)
    species = ["oak", "oak", "elm"] * 20
    frame = pl.DataFrame(
        {
            "species": species,
            "length": random.normal(size=60) + [3 * (name == "elm") for name in species],
            "width": random.normal(size=60),
            "part": ["train"] * 36 + ["val"] * 12 + ["test"] * 12,
        }
    )
    frame.write_csv(folder / "leaves.csv")
    (folder / "spec.yaml").write_text(SPEC)
    return folder / "spec.yaml"


def score_by_rate(self: Scorer, spec: Spec, on_step: OnStep) -> Score:
    """Score a spec without training: the loss is 100 times the learning rate."""
    for epoch in range(10):
        on_step(epoch, spec.training.learning_rate * 100)
    return Score(spec.training.learning_rate * 100, 0.5, 0.5)


@pytest.mark.parametrize("folds", [None, 2])
def test_no_test_row_is_made_into_an_array(
    folds: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: set[int] = set()

    def note_rows(spec: Spec, table: pl.DataFrame, labels: pl.Series, split: Any) -> Any:
        for rows in (split.train, split.val, split.test):
            used.update(rows.tolist())
        return make_dataset(spec, table, labels, split)

    monkeypatch.setattr(tuning_score, "make_dataset", note_rows)
    result = tailfuse.tune(write_spec(tmp_path), tmp_path / "search", trials=2, folds=folds, space=SPACE)
    assert used == set(range(48))  # the test rows are the last twelve
    assert result.trials["state"].to_list()[0] == "complete"
    assert result.trials["loss"].is_not_null().any()


def test_a_search_goes_on_with_the_trials_that_were_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[float] = []

    def stop_at_the_third(self: Scorer, spec: Spec, on_step: OnStep) -> Score:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(spec.training.learning_rate)
        return score_by_rate(self, spec, on_step)

    spec = write_spec(tmp_path)
    monkeypatch.setattr(Scorer, "score", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        tailfuse.tune(spec, tmp_path / "search", trials=6, space=SPACE)
    make_study(tmp_path / "search", 0, None).ask()  # a trial that was killed leaves this behind
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    result = tailfuse.tune(spec, tmp_path / "search", trials=6, space=SPACE)
    assert len(result.trials) == 6
    rates = result.trials["training.learning_rate"].to_list()
    assert rates[:2] == [None, scored[1]]  # the first trial is the spec as it is
    assert len(set(rates)) == 6  # no value is drawn again after the start
    again = tailfuse.tune(spec, tmp_path / "search", trials=6, space=SPACE)
    assert again.trials.equals(result.trials)


def test_a_trial_worse_than_the_median_is_stopped_and_the_best_spec_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    result = tailfuse.tune(write_spec(tmp_path), tmp_path / "search", trials=14, space=SPACE)
    assert {*result.trials["state"]} == {"complete", "pruned"}
    assert result.best_trial["loss"] == result.trials["loss"].min()
    written = load_spec(tmp_path / "search" / "best.yaml")
    assert written.training.learning_rate == result.best_trial["training.learning_rate"]
    assert written.version == "1.10"
    assert written.table.resolve() == (tmp_path / "leaves.csv").resolve()
    assert written == result.best.model_copy(update={"table": written.table})
    report = (tmp_path / "search" / "report.md").read_text()
    assert "| as it is |" in report
    assert f"trial {result.best_trial['trial']}" in repr(result)


@pytest.mark.parametrize(
    "trackers", ["[csv, tensorboard]", "{mlflow: {experiment: leaves}}", "{wandb: {offline: true}}"]
)
def test_the_best_spec_keeps_the_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trackers: str
) -> None:
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    overrides = [f"training.trackers={trackers}"]
    spec = write_spec(tmp_path)
    result = tailfuse.tune(spec, tmp_path / "search", trials=3, space=SPACE, overrides=overrides)
    given = load_spec(spec, overrides).training.trackers
    assert result.best.training.trackers == given
    assert load_spec(tmp_path / "search" / "best.yaml").training.trackers == given


@pytest.mark.parametrize(("folds", "steps"), [(None, 12), (2, 2)])
def test_training_ends_early_where_a_trial_does_worse_than_the_median(
    folds: int | None, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "MIN_TRIALS", 1)
    out, settings = tmp_path / "search", ("training.epochs=12", "training.learning_rate=0.05")
    bad = {"network.fusion": ["concat"], "training.learning_rate": [1e-9]}  # a baseline that learns nothing
    told: list[float | None] = []
    tailfuse.tune(
        write_spec(tmp_path), out, trials=2, folds=folds, space=bad, overrides=settings,
        on_trial=lambda _, loss: told.append(loss),
    )  # fmt: skip
    as_it_is, pruned = list_finished(make_study(out, 0, folds))
    assert (as_it_is.state, pruned.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert list(as_it_is.intermediate_values) == list(range(steps))
    assert 0 < len(pruned.intermediate_values) < steps
    assert told == [as_it_is.value, None]


def test_the_spec_as_it_is_wins_where_nothing_is_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "score", lambda *_: Score(1.0, 0.5, 0.5))
    result = tailfuse.tune(write_spec(tmp_path), tmp_path / "search", trials=3, space=SPACE)
    assert result.best_trial["trial"] == 0
    assert result.best == result.spec


def test_another_search_is_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    spec, out = write_spec(tmp_path), tmp_path / "search"
    tailfuse.tune(spec, out, trials=1, space=SPACE)
    for changes, named in (
        ({"overrides": ("training.epochs=3",)}, "training.epochs"),
        ({"space": {"network.width": [4, 8]}}, "space"),
        ({"folds": 2}, "folds"),
    ):
        with pytest.raises(RunError, match=f"another {named}"):
            tailfuse.tune(spec, out, **{"trials": 1, "space": SPACE, **changes})  # type: ignore[arg-type]
    result = tailfuse.tune(spec, out, trials=2, space={"network.width": [4, 8]}, overwrite=True)
    assert result.trials.columns[-1] == "network.width"
    assert len(result.trials) == 2
    with (tmp_path / "leaves.csv").open("a") as table:
        table.write("elm,1,1,train\n")
    with pytest.raises(RunError, match="another table"):
        tailfuse.tune(spec, out, trials=2, space={"network.width": [4, 8]})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(RunError, match="holds something else"):
        tailfuse.tune(spec, tmp_path / "full", trials=1)


def test_no_file_that_a_search_reads_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    spec, out = write_spec(tmp_path), tmp_path / "search"
    tailfuse.tune(spec, out, trials=1, space=SPACE)
    best = (out / "best.yaml").read_bytes()
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"best\.yaml: is a file that is read"):
            tailfuse.tune(out / "best.yaml", out, trials=1, space=SPACE, overwrite=overwrite)
    (out / "tune.json").write_text("network.width: [4, 8]")  # as a space, which may have any name
    with pytest.raises(UserError, match=r"tune\.json: is a file that is read"):
        tailfuse.tune(out / "best.yaml", out, trials=1, space=out / "tune.json", overwrite=True)
    assert (out / "best.yaml").read_bytes() == best
    assert (out / "tune.json").read_text() == "network.width: [4, 8]"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.learning_rat", ["1"], "unknown key; did you mean 'learning_rate'"),
        ("trainin.epochs", ["1"], "cannot be tuned.*did you mean 'training'"),
        ("label", ["species"], "cannot be tuned"),
        ("network", ["x"], "expected a key of network, training, modalities$"),
        ("split.val", ["0.2"], "cannot be tuned"),
        ("modalities.sise.encoder", ["mlp"], "no modality 'sise'; did you mean 'size'"),
        ("modalities.size.encoder", ["mlp", "mpl"], "mpl"),
        ("modalities.size.kind", ["text"], "cannot be tuned"),
        ("training.mixup", {"low": "-1", "high": "1"}, "greater than or equal to 0"),
        ("training.epochs", {"low": "1.5", "high": "3"}, "takes integers"),
        ("training.mixup", {"low": "1", "high": "0.5"}, "expected low < high"),
        ("training.mixup", {"low": "0", "high": "1", "log": "true"}, "above 0"),
        ("training.mixup", {"low": "0"}, "high: Field required"),
        ("training.mixup", {"low": "0", "high": "1", "step": "2"}, "step"),
        ("training.mixup", "0.5", "expected a list of values, or low and high"),
        ("training.mixup", [], "expected a list of values, or low and high"),
        ("network.width", ["8", "8"], "named twice"),
    ],
)
def test_a_wrong_space_is_refused(key: str, value: object, message: str, tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path))
    with pytest.raises(SpecError, match=message):
        make_space({key: value}, spec)


def test_a_mistake_in_the_file_of_a_space_has_its_line(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path))
    (tmp_path / "space.yaml").write_text("network.width: [4, 8]\ntraining.mixup: {low: 2, high: 1}\n")
    with pytest.raises(SpecError, match=r"space\.yaml:2: 'training\.mixup': low is 2"):
        read_space(tmp_path / "space.yaml", spec)


def test_the_default_space_suits_the_spec(tmp_path: Path) -> None:
    one = make_default_space(load_spec(write_spec(tmp_path)))
    assert "training.modality_dropout" not in one
    assert "modalities.size.encoder" in one
    image = {"kind": "image", "column": "path"}
    text = {"kind": "text", "columns": "note", "encoder": "minilm"}
    spec = make_spec(
        {"name": "a", "table": "t.csv", "label": "y", "modalities": {"image": image, "text": text}}
    )
    two = make_default_space(spec)
    assert "training.modality_dropout" in two
    assert not [key for key in two if key.startswith("modalities.")]  # an encoder that was chosen stays


def test_the_command_prints_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "score", score_by_rate)
    (tmp_path / "space.yaml").write_text("training.learning_rate: {low: 1e-3, high: 1e-2, log: true}\n")
    arguments = [
        "tune",
        write_spec(tmp_path),
        "--out",
        tmp_path / "search",
        "--space",
        tmp_path / "space.yaml",
    ]
    done = CliRunner().invoke(main, [*map(str, arguments), "--trials", "3", "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["spec"] == str(tmp_path / "search" / "best.yaml")
    assert len(printed["trials"]) == 3
    done = CliRunner().invoke(main, [*map(str, arguments), "--trials", "3"])
    assert "tailfuse train" in done.stdout
    done = CliRunner().invoke(main, [*map(str, arguments), "--folds", "3"])
    assert done.exit_code == 1
    assert "another folds" in done.stderr


def test_where_every_trial_diverges_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> Score:
        raise RunError("final: the loss is not finite")

    monkeypatch.setattr(Scorer, "score", diverge)
    spec = write_spec(tmp_path)
    with pytest.raises(RunError, match="no trial is complete; final: the loss is not finite"):
        tailfuse.tune(spec, tmp_path / "search", trials=2, space=SPACE)
    with pytest.raises(RunError, match="cannot train on this hardware"):
        tailfuse.tune(spec, tmp_path / "other", trials=2, space=SPACE, accelerator="gup")
    assert not (tmp_path / "other").exists()


def test_the_key_that_decides_has_the_largest_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Scorer, "score", lambda self, spec, on_step: Score(spec.training.learning_rate * 100, 0.5, 0.5)
    )
    result = tailfuse.tune(write_spec(tmp_path), tmp_path / "search", trials=12, space=SPACE)
    assert result.variance_shares.keys() == SPACE.keys()
    assert max(result.variance_shares, key=result.variance_shares.__getitem__) == "training.learning_rate"
    assert "## Which keys decide" in (tmp_path / "search" / "report.md").read_text()
