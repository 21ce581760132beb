"""Training in memory: the same as a run with files, and stages that serve several ways of fitting."""

import copy
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tailfuse.data.dataset import load_dataset
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.export.graphs import run_eagerly
from tailfuse.network.baselines.fused import Baseline
from tailfuse.network.build import AnyNetwork, build_network
from tailfuse.network.frozen import add_frozen_features
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training import fit as module
from tailfuse.training import train as training
from tailfuse.training.fit import calibrate_network, fit, train_stages
from tailfuse.training.hardware import Hardware
from tailfuse.training.loop import fit_network
from tailfuse.training.objective import Objective
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.train import Listener, train

pytestmark = pytest.mark.slow

QUICK = ("training.epochs=3", "network.width=8", "training.folds=2")
SILENT = Listener(lambda *_: None, lambda *_: None, lambda _: None)


@pytest.fixture(scope="module")
def leaves(leaves_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`leaves(*overrides)` is a spec and its dataset."""
    path = leaves_in(tmp_path_factory.mktemp("leaves"))

    def load(*overrides: str) -> Any:
        spec = load_spec(path, [*QUICK, *overrides])
        return spec, load_dataset(spec)

    return load


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_keys(spec: Spec, section: str, **keys: Any) -> Spec:
    changed = getattr(spec, section).model_copy(update=keys)
    return spec.model_copy(update={section: changed})


@pytest.mark.parametrize("fusion", ["confidence", "concat"])
def test_in_memory_and_with_files_the_network_is_the_same(
    leaves: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fusion: str
) -> None:
    spec, dataset = leaves(f"network.fusion={fusion}")
    monkeypatch.setattr(training, "export_run", lambda run, spec, dataset, target: target)
    train(spec, tmp_path / "run", Hardware("cpu"), SILENT)
    network = fit(spec, dataset)
    written = build_network(spec, dataset)
    written.load_state_dict(torch.load(tmp_path / "run" / TRAINED))
    assert not network.training
    assert same(network, written)


def test_nothing_is_written(leaves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a checkpoint")

    monkeypatch.setattr("tailfuse.training.checkpoint.atomic_file", refuse)
    heard = []
    spec, dataset = leaves()
    fit(spec, dataset, on_epoch=lambda stage, epoch, n_stages: heard.append((stage.name, n_stages)))
    assert set(heard) == {("final", 3), ("fold-0", 3), ("fold-1", 3)}


def test_stages_are_trained_once_and_fitted_in_several_ways(leaves: Any) -> None:
    spec, dataset = leaves()
    stages = train_stages(spec, dataset)
    before = copy.deepcopy(stages.network.state_dict())
    variants = [
        spec,
        with_keys(spec, "network", fusion="uniform"),
        with_keys(spec, "training", damage=False),
        with_keys(spec, "training", calibrate=False),
    ]
    fitted = [calibrate_network(stages, each) for each in variants]
    assert all(torch.equal(value, before[name]) for name, value in stages.network.state_dict().items())
    assert same(calibrate_network(stages, spec), fitted[0])
    assert not any(same(fitted[0], each) for each in fitted[1:])
    assert same(fitted[1], fit(variants[1], dataset))


def test_uniform_weights_are_equal_and_ours_are_not(leaves: Any) -> None:
    spec, dataset = leaves()
    stages = train_stages(spec, dataset)
    part = dataset.test.only(["veins", "note"])
    for fusion, equal in (("uniform", True), ("confidence", False)):
        network = calibrate_network(stages, with_keys(spec, "network", fusion=fusion))
        weights = predict_part(partial(run_eagerly, network), part).weights
        assert np.allclose(weights, [0, 0.5, 0.5], atol=1e-6) == equal


def temperature(network: AnyNetwork) -> float:
    assert isinstance(network, Baseline)
    return float(network.temperature)


@pytest.mark.parametrize("fusion", ["concat", "late"])
def test_a_baseline_needs_no_folds_and_may_keep_its_temperature(leaves: Any, fusion: str) -> None:
    spec, dataset = leaves(f"network.fusion={fusion}")
    stages = train_stages(spec, dataset)
    assert stages.folds == []
    assert temperature(calibrate_network(stages, spec)) != 1.0
    assert temperature(calibrate_network(stages, with_keys(spec, "training", calibrate=False))) == 1.0


@pytest.mark.parametrize("fusion", ["confidence", "concat"])
def test_every_loss_trains_any_fusion(leaves: Any, fusion: str) -> None:
    for loss in ("cross_entropy", "focal", "ldam_drw", "logit_adjustment", "abc", "reslt", "ace"):
        spec, dataset = leaves(f"network.fusion={fusion}", f"network.loss={loss}")
        output = predict_part(partial(run_eagerly, fit(spec, dataset)), dataset.test)
        assert np.isfinite(output.probabilities).all(), loss


def test_the_loss_hears_how_far_training_is(leaves: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    spec, dataset = leaves("network.fusion=concat", "training.epochs=4")

    def spy(self: Any, inputs: Any, rows: Any, presence: Any, labels: Any, drawn: Any, progress: Any) -> Any:
        heard.append(progress)
        return forward(self, inputs, rows, presence, labels, drawn, progress)

    forward = Objective.forward
    monkeypatch.setattr(Objective, "forward", spy)
    fit(spec, dataset)
    assert sorted(set(heard)) == [0.0, 0.25, 0.5, 0.75]


def test_smote_makes_the_classes_of_every_stage_alike_and_not_those_of_its_held_out_rows(
    leaves: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, dataset = leaves("training.smote=true")
    only = {name: each for name, each in spec.modalities.items() if name == "veins"}
    spec = spec.model_copy(update={"modalities": only})
    dataset = load_dataset(spec)
    seen = {}

    def spy(fabric: Any, network: Any, stage: Any, *rest: Any) -> Any:
        seen[stage.name] = np.bincount(stage.train.labels)
        return fit_network(fabric, network, stage, *rest)

    monkeypatch.setattr(module, "fit_network", spy)
    stages = train_stages(spec, dataset)
    assert set(seen) == {"final", "fold-0", "fold-1"}
    assert all(counts.min() == counts.max() for counts in seen.values())
    held = np.sort(np.concatenate([rows.position["veins"] for _, rows in stages.folds]))
    np.testing.assert_array_equal(held, np.sort(dataset.train.position["veins"]))


def test_a_frozen_encoder_learns_from_features_and_answers_pictures(
    leaves: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec, dataset = leaves(
            "modalities.picture.encoder=efficientnet_lite0", "modalities.picture.size=32",
            "network.fusion=concat",
        )  # fmt: skip
        seen = []

        def spy(fabric: Any, network: Any, stage: Any, *rest: Any) -> Any:
            seen.append((stage.train.inputs["picture"].ndim, stage.augmentations))
            return fit_network(fabric, network, stage, *rest)

        monkeypatch.setattr(module, "fit_network", spy)
        network = fit(spec, dataset)
    assert seen == [(2, {})]
    part = dataset.test.only(["picture"])
    featured = add_frozen_features(dataset, dict(zip(network.modalities, network.encoders, strict=True)))
    expected = predict_part(partial(run_eagerly, network), featured.test.only(["picture"]))
    output = predict_part(partial(run_eagerly, network), part)
    np.testing.assert_allclose(output.probabilities, expected.probabilities, atol=1e-5)
