"""`encoder: auto` of series: the candidate with the lowest loss on rows held out of it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from tailfuse.data.dataset import load_dataset
from tailfuse.modalities import KINDS
from tailfuse.modalities.series import choose_encoder as module
from tailfuse.modalities.series.choose_encoder import ENCODERS, FOLDS, MIN_CLASS_ROWS, Trial, draw_trial
from tailfuse.modalities.series.encoder import Conv
from tailfuse.modalities.series.fixed import FixedSeries
from tailfuse.network.build import build_encoders
from tailfuse.spec.schema import load_spec
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import Channel

KIND = KINDS["series"]
SPEEDS = {"slow": 0.04, "fast": 0.2}
SPEC = """\
name: waves
table: table.parquet
label: label
split: split
modalities:
  trace: {kind: series, column: trace, length: 32, encoder: auto}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec of 150 waves whose speed is the class; 110 of them are training rows."""
    monkeypatch.setattr(module, "STEPS", 50)
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    labels = random.permutation(["slow"] * 100 + ["fast"] * 50).tolist()
    traces = [
        np.sin(2 * np.pi * (SPEEDS[label] * np.arange(32) + random.random())) + random.normal(0, 0.3, 32)
        for label in labels
    ]
    split = ["train"] * 110 + ["val"] * 20 + ["test"] * 20
    table = pl.DataFrame({"label": labels, "split": split, "trace": [each.tolist() for each in traces]})
    table.write_parquet(tmp_path / "table.parquet")
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def read_modality(path: Path) -> SeriesModality:
    modality = load_dataset(load_spec(path)).modalities["trace"]
    assert isinstance(modality, SeriesModality)
    return modality


def test_the_choice_and_its_losses_are_in_the_manifest_and_the_report(path: Path) -> None:
    modality = read_modality(path)
    losses = modality.trial_losses
    assert losses is not None
    assert losses.keys() == set(ENCODERS)
    assert modality.encoder == min(losses, key=losses.__getitem__)
    assert losses[modality.encoder] < np.log(2)  # better than a guess
    said = KIND.describe(modality)
    assert f"encoder {modality.encoder}, chosen by the loss on left-out rows" in said
    assert all(f"{name} {loss:.3f}" in said for name, loss in losses.items())


@pytest.mark.parametrize(("best", "kind"), [("fixed", FixedSeries), ("logmel", Conv), ("conv", Conv)])
def test_the_best_on_held_out_rows_is_built(
    path: Path, monkeypatch: pytest.MonkeyPatch, best: str, kind: type
) -> None:
    monkeypatch.setattr(module, "measure_fold", lambda name, *_: 0.4 if name == best else 0.5)
    spec = load_spec(path)
    dataset = load_dataset(spec)
    encoder = build_encoders(spec, dataset)["trace"]
    assert isinstance(encoder, kind)
    assert getattr(encoder, "front", None) is None or best == "logmel"


def test_an_encoder_that_is_far_behind_leaves_after_the_first_fold(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds: dict[str, list[int]] = {name: [] for name in ENCODERS}

    def measure(name: str, _modality: object, _build: object, _trial: object, fold: int, _seed: int) -> float:
        folds[name].append(fold)
        # Two classes: a guess has 0.69. In the later folds the order is another.
        return {"fixed": [0.1, 0.9, 0.9], "logmel": [0.4, 0.2, 0.3], "conv": [0.5, 0.0, 0.0]}[name][fold]

    monkeypatch.setattr(module, "measure_fold", measure)
    modality = read_modality(path)
    assert folds == {"fixed": [0, 1, 2], "logmel": [0, 1, 2], "conv": [0]}
    assert modality.encoder == "logmel"
    assert modality.trial_losses == {"fixed": 0.6333, "logmel": 0.3, "conv": 0.5}


def test_the_same_rows_are_not_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_modality(path)
    monkeypatch.setattr(module, "measure_fold", lambda *_: pytest.fail("another trial"))
    assert read_modality(path) == first
    path.write_text(path.read_text() + "seed: 1\n")
    with pytest.raises(pytest.fail.Exception, match="another trial"):
        read_modality(path)


def test_an_encoder_that_is_named_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measure_fold", lambda *_: pytest.fail("a trial"))
    for name in ENCODERS:
        path.write_text(SPEC.replace("auto", name))
        modality = read_modality(path)
        assert (modality.encoder, modality.trial_losses) == (name, None)
        assert KIND.describe(modality).endswith(f"encoder {name}")


def draw(labels: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> Trial | None:
    """A trial of rows that hold their own number."""
    rows = np.arange(len(labels), dtype=np.float32)[:, None, None]
    return draw_trial(rows, labels, np.arange(len(labels)) if groups is None else groups, 0)


def test_every_row_judges_once_and_every_class_in_each_fold() -> None:
    trial = draw(np.array([0] * 60 + [1] * 20 + [2] * (MIN_CLASS_ROWS - 1)))
    assert trial is not None
    assert set(trial.codes) == {0, 1}  # few rows neither train nor judge
    assert (np.sum(trial.judges, axis=0) == 1).all()
    assert all(set(trial.codes[judges]) == {0, 1} for judges in trial.judges)


def test_rows_of_one_group_are_on_one_side() -> None:
    groups = np.arange(120) // 10
    trial = draw(np.arange(120) % 3, groups)
    assert trial is not None
    assert len(trial.judges) == FOLDS
    at = trial.rows[:, 0, 0].astype(int)
    for judges in trial.judges:
        assert not set(groups[at[judges]]) & set(groups[at[~judges]])


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        (np.arange(40) % 2, None),
        (np.zeros(200, np.int64), None),
        (np.arange(200) % 100, None),  # no class has enough
        (np.arange(200) % 2, np.arange(200) // 100),  # two people
        (np.zeros(0, np.int64), None),
    ],
    ids=["few rows", "one class", "small classes", "two groups", "no rows"],
)
def test_too_little_to_compare_is_not_tried(
    labels: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> None:
    assert draw(labels, groups) is None


def test_of_very_long_series_fewer_rows_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", 100)
    trial = draw(np.arange(300) % 2)
    assert trial is not None
    assert len(trial.rows) == 100


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 1e30, -1e30])
def test_series_that_say_nothing_have_finite_losses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: float
) -> None:
    monkeypatch.setattr(module, "STEPS", 50)
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path))
    rows = np.full((80, 16, 2), value, np.float32)
    rows[:, :, 1] = 1
    modality = SeriesModality(columns=("s",), channels=(Channel(mean=0, scale=1),), length=16)
    spec = KIND.spec.model_construct(encoder="auto")
    fitted = KIND.fit_to_labels(spec, modality, rows, np.arange(80) % 2, np.arange(80), 0)
    assert fitted.trial_losses is not None
    # At most the loss of a guess.
    assert all(0 < loss <= 0.6932 for loss in fitted.trial_losses.values())


def test_few_rows_get_fixed_features(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_ROWS", 111)
    modality = read_modality(path)
    assert (modality.encoder, modality.trial_losses) == ("fixed", None)
