"""`encoder: auto` of texts: the candidate with the lowest loss on held-out rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tailfuse.data.dataset import load_dataset
from tailfuse.modalities import KINDS
from tailfuse.modalities.text import TextSpec
from tailfuse.modalities.text.choose_encoder import draw_trial
from tailfuse.modalities.text.kind import TextKind
from tailfuse.network.build import build_network
from tailfuse.spec.schema import load_spec
from tailfuse_service.modalities import TextModality

from tests.support.reviews import WORDS, write_reviews
from tests.support.tiny_bert import write_bert

pytestmark = pytest.mark.slow

KIND = KINDS["text"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The spec of a table whose texts have the encoder auto."""
    path = write_reviews(tmp_path, rows=400)
    path.write_text(path.read_text().replace("columns: review}", "columns: review, encoder: auto}"))
    return path


@pytest.fixture
def no_minilm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailfuse.modalities.text.kind.has_minilm", lambda: False)


def read_modality(path: Path) -> TextModality:
    modality = load_dataset(load_spec(path)).modalities["review"]
    assert isinstance(modality, TextModality)
    return modality


@pytest.mark.usefixtures("no_minilm")
def test_the_choice_and_its_losses_are_in_the_manifest_and_the_report(path: Path) -> None:
    modality = read_modality(path)
    assert modality.encoder == "lsa"
    losses = modality.trial_losses
    assert losses is not None
    assert losses.keys() == {"lsa", "bag"}
    assert all(0 < loss < np.log(3) for loss in losses.values())  # better than a guess
    assert f"lsa {losses['lsa']:.3f}, bag {losses['bag']:.3f}" in KIND.describe(modality)
    assert read_modality(path).trial_losses == losses  # the seed decides


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({"lsa": 1.0, "bag": 0.98, "minilm": 0.99}, "lsa"),  # not by as much as it costs
        ({"lsa": 1.0, "bag": 0.9, "minilm": 0.95}, "bag"),
        ({"lsa": 1.0, "bag": 1.2, "minilm": 0.8}, "bert"),
    ],
)
def test_lsa_gives_way_to_what_is_clearly_better(
    path: Path, monkeypatch: pytest.MonkeyPatch, losses: dict[str, float], chosen: str
) -> None:
    folder = write_bert(path.parent / "bert", [word for each in WORDS.values() for word in each.split()])
    monkeypatch.setattr("tailfuse.modalities.text.kind.has_minilm", lambda: True)
    monkeypatch.setattr("tailfuse.modalities.text.bert_files.find_minilm", lambda: folder)
    by_encoder = losses | {"bert": losses["minilm"]}
    monkeypatch.setattr(
        "tailfuse.modalities.text.choose_encoder.measure_loss",
        lambda modality, *_: by_encoder[modality.encoder],
    )
    spec = load_spec(path)
    dataset = load_dataset(spec)
    modality = dataset.modalities["review"]
    assert isinstance(modality, TextModality)
    assert modality.encoder == chosen
    assert modality.trial_losses == losses
    build_network(spec, dataset)


def test_minilm_is_judged_by_its_own_features(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bert(path.parent / "bert", [word for each in WORDS.values() for word in each.split()])
    monkeypatch.setattr("tailfuse.modalities.text.kind.has_minilm", lambda: True)
    monkeypatch.setattr("tailfuse.modalities.text.bert_files.find_minilm", lambda: folder)
    losses = read_modality(path).trial_losses
    assert losses is not None
    assert 0 < losses["minilm"] < np.log(3)


@pytest.mark.usefixtures("no_minilm")
def test_few_texts_are_not_tried() -> None:
    table = pl.DataFrame({"t": [f"word{at % 7} other{at % 3}" for at in range(60)]})
    rows, labels = np.arange(60), np.arange(60) % 2
    spec = TextSpec(kind="text", columns=("t",), encoder="auto")
    fitted = TextKind().fit("m", spec, table, rows, Path())
    chosen = TextKind().choose_encoder("m", spec, fitted, table, rows, labels, Path(), 0)
    assert (chosen.encoder, chosen.trial_losses) == ("lsa", None)


def test_the_judges_are_of_every_class_that_takes_part() -> None:
    labels = np.array([0] * 300 + [1] * 40 + [2] * 3)
    trial = draw_trial([f"text {at}" for at in range(len(labels))], labels, 0)
    assert trial is not None
    assert set(trial.codes) == {0, 1}  # three texts neither train nor judge
    assert np.bincount(trial.codes[trial.judges]).tolist() == [75, 10]
    assert draw_trial(["x"] * 500, np.zeros(500, np.int64), 0) is None
