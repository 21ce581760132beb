"""Frozen encoders in the bench: all methods get the same features, computed once."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.modalities.pretrained import Scale
from tailfuse.modalities.text.bert import SentenceBert, load_bert
from tailfuse.network.build import build_encoders
from tailfuse.network.frozen import add_frozen_features
from tailfuse.spec.schema import Spec, load_spec
from tailfuse_bench.methods import CONCAT, LATE_LOGISTIC, LOGISTIC
from tailfuse_bench.training import (
    find_frozen,
    make_preparation,
    measure_weights,
    train_columns,
    train_networks,
)
from torch import nn

from tests.support.reviews import WORDS, write_reviews
from tests.support.tiny_bert import write_bert
from tests.support.tiny_libraries import install_tiny_libraries, make_timm_net, make_weights

TEXT = "review: {kind: text, columns: review, encoder: weights/own}"
IMAGES = {
    "efficientnet_lite2": "{kind: image, column: image, size: 32, encoder: efficientnet_lite2}",
    "a local file": "{kind: image, column: image, size: 24, encoder: weights/net.pth, architecture: timmnet}",
    "its mirror images": (
        "{kind: image, column: image, size: 24, encoder: weights/net.pth, architecture: timmnet, "
        "flips: horizontal}"
    ),
}


@pytest.fixture(params=list(IMAGES.values()), ids=list(IMAGES))
def spec(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """Reviews with a BERT of their own, and images whose encoder is frozen."""
    install_tiny_libraries(monkeypatch)
    path = write_reviews(tmp_path, rows=120)
    table = pl.read_csv(tmp_path / "table.csv")
    names = [f"{at}.png" for at in range(len(table))]
    random = np.random.default_rng(0)
    for name in names:
        Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / name)
    table.with_columns(image=pl.Series(names)).write_csv(tmp_path / "table.csv")
    write_bert(tmp_path / "weights" / "own", [word for each in WORDS.values() for word in each.split()])
    torch.save(make_weights(make_timm_net()), tmp_path / "weights" / "net.pth")
    text = path.read_text().replace("review: {kind: text, columns: review}", TEXT)
    path.write_text(text.replace("network:", f"  image: {request.param}\nnetwork:"))
    return load_spec(path, ["training.epochs=1"])


def test_prepared_rows_are_the_features_that_methods_are_trained_on(spec: Spec) -> None:
    dataset = load_dataset(spec)
    encoders = build_encoders(spec, dataset)
    expected = add_frozen_features(dataset, encoders).test.inputs
    assert find_frozen(encoders) == ("review", "image")
    for texts in (False, True):  # a BERT's, unlike those of lsa, are for networks too
        prepared = make_preparation(encoders, texts=texts)(dataset.test).inputs
        for name in ("review", "image"):
            assert prepared[name].dtype == np.float32
            np.testing.assert_array_equal(prepared[name], expected[name])
        assert prepared["size"] is dataset.test.inputs["size"]


def test_no_method_computes_features_that_another_has_computed(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset(spec)
    concat = spec.model_copy(update={"network": spec.network.model_copy(update={"fusion": "concat"})})
    ((_, network),) = train_networks({CONCAT: concat}, dataset)
    expected = network.prepare(dataset.test)
    monkeypatch.setattr(SentenceBert, "forward", refuse)
    for method in (LOGISTIC, LATE_LOGISTIC):
        trained = train_columns(method, spec, dataset)
        prepared = trained.prepare(dataset.test)
        np.testing.assert_array_equal(prepared.inputs["review"], expected.inputs["review"])
        np.testing.assert_array_equal(prepared.inputs["image"], expected.inputs["image"])
        assert np.isfinite(trained.run(prepared.batch()).probabilities).all()
    assert network.run(expected.batch()).probabilities.shape == (len(dataset.test), 3)


def refuse(*_: Any) -> None:
    raise AssertionError("the texts are embedded a second time")


def test_an_encoder_that_is_trained_is_not_prepared(spec: Spec) -> None:
    image = spec.modalities["image"].model_copy(update={"trained": "last"})
    tuned = spec.model_copy(update={"modalities": {**spec.modalities, "image": image}})
    dataset: Dataset = load_dataset(tuned)
    assert find_frozen(build_encoders(tuned, dataset)) == ("review",)


def test_the_size_of_a_network_leaves_a_bert_out_and_not_its_scale(tmp_path: Path) -> None:
    network: Any = nn.ModuleDict({"head": nn.Linear(2, 2), "scale": Scale(12)})
    size = measure_weights(network)
    network["bert"] = load_bert(write_bert(tmp_path / "bert"), 40)
    assert measure_weights(network) == size
