"""What a network learns: the modality that determines the class gets the weight."""

from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.export.graphs import run_eagerly
from tailfuse.network.build import build_network
from tailfuse.spec.schema import load_spec
from tailfuse.training import train as training
from tailfuse.training.hardware import Hardware
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.train import Listener, train

SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)
SPEC = """\
name: two
table: table.csv
label: label
split: split
modalities:
  told: {kind: tabular, columns: "a*"}
  noise: {kind: tabular, columns: "b*"}
network: {width: 32}
training: {epochs: 120, folds: 2}
"""


@pytest.fixture(scope="module")
def trained_on_two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A network trained where one modality tells the class and the other is noise."""
    folder = tmp_path_factory.mktemp("two")
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [220, 110, 70])
    columns = {f"a{i}": random.normal(1.2 * (labels == i % 3), 1.0) for i in range(12)}
    columns |= {f"b{i}": random.normal(size=len(labels)) for i in range(3)}
    split = np.resize(["train", "train", "val", "test"], len(labels))
    pl.DataFrame({"label": labels, "split": split, **columns}).write_csv(folder / "table.csv")
    (folder / "spec.yaml").write_text(SPEC)
    spec = load_spec(folder / "spec.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "export_run", lambda run, spec, dataset, target: target)
        train(spec, folder / "run", Hardware("cpu"), SILENT)
    dataset = load_dataset(spec)
    network = build_network(spec, dataset)
    network.load_state_dict(torch.load(folder / "run" / TRAINED))
    return network.eval(), dataset


def predict_rows(network: Any, part: SplitArrays) -> Any:
    return predict_part(partial(run_eagerly, network), part)


def test_the_modality_that_tells_the_class_gets_the_weight(trained_on_two: Any) -> None:
    network, dataset = trained_on_two
    output = predict_rows(network, dataset.test)
    assert output.weights[:, 0].mean() > 0.6
    assert output.confidences[:, 0].mean() > output.confidences[:, 1].mean() + 0.2
    right = output.probabilities.argmax(1) == dataset.test.labels
    assert right.mean() > 0.8


def test_noise_in_place_of_it_costs_it_weight_and_confidence(trained_on_two: Any) -> None:
    network, dataset = trained_on_two
    noise = np.random.default_rng(1).normal(0, 3, dataset.test.inputs["told"].shape).astype(np.float32)
    corrupted = SplitArrays(
        {**dataset.test.inputs, "told": noise}, dataset.test.position, dataset.test.labels
    )
    clean, output = predict_rows(network, dataset.test), predict_rows(network, corrupted)
    assert clean.weights[:, 0].mean() > output.weights[:, 0].mean() + 0.03
    assert clean.confidences[:, 0].mean() > output.confidences[:, 0].mean() + 0.06


def test_leaving_the_noise_out_costs_nothing(trained_on_two: Any) -> None:
    network, dataset = trained_on_two
    alone = predict_rows(network, dataset.test.only(["told"]))
    both = predict_rows(network, dataset.test)
    right = [(each.probabilities.argmax(1) == dataset.test.labels).mean() for each in (alone, both)]
    assert right[1] > right[0] - 0.05
