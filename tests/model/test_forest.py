"""The forest of columns: trees of scikit-learn that have not seen the rows they score, where they help."""

import copy
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score
from tailfuse.calibration import fit_forests
from tailfuse.calibration.fit_forests import fit_forest
from tailfuse.calibration.fit_linear import FoldNetwork, select_rows
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.pages import facts
from tailfuse.export.bundle import make_manifest
from tailfuse.export.graphs import check_parity, export_graphs, make_example
from tailfuse.network.forest import COLUMNS_SHARE, DEPTH, FLOOR, TREES, ForestExpert, round_down
from tailfuse.network.network import Network
from tailfuse.network.tensors import make_tensors
from tailfuse.spec.schema import NetworkSpec, Spec, TrainingSpec
from tailfuse.training import checkpoint
from tailfuse.training import train as module
from tailfuse.training.families import Stages
from tailfuse.training.fit import calibrate_network, train_stages
from tailfuse.training.hardware import Hardware
from tailfuse.training.remove_run import TRAINED
from tailfuse.training.train import Listener, export_run, train
from tailfuse_service.bundle import GRAPHS, open_bundle

RANDOM = np.random.default_rng(0)
N_CLASSES = 4


def make_rows(n: int, classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose second column has ties, and labels that no linear model knows."""
    rows = RANDOM.normal(size=(n, 5)).astype(np.float32)
    rows[:, 1] = rows[:, 1].round()
    code = (rows[:, 0] > 0) ^ (rows[:, 1] > 0)
    labels = np.array(classes)[(code + (rows[:, 2] > 1)) % len(classes)]
    return rows, labels


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 2], [3]])
@pytest.mark.parametrize("n", [1, 9, 700])
def test_it_answers_as_the_trees_of_scikit_learn_divided_by_the_class_shares(
    classes: list[int], n: int
) -> None:
    rows, labels = make_rows(n, classes)
    expert = ForestExpert(N_CLASSES)
    expert.fit(rows, labels)
    trees = ExtraTreesClassifier(TREES, max_depth=DEPTH, max_features=COLUMNS_SHARE, random_state=0)
    trees.fit(rows, labels)
    others = np.concatenate([rows, make_rows(500, classes)[0], 1e6 * make_rows(50, classes)[0]])
    expected = np.zeros((len(others), N_CLASSES))
    expected[:, trees.classes_] = trees.predict_proba(others)
    shares = np.maximum(np.bincount(labels, minlength=N_CLASSES), 1) / n
    expected = ((1 - FLOOR) * expected + FLOOR / N_CLASSES) / shares
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expert(torch.from_numpy(others)).exp(), expected, atol=1e-6)


def test_an_unfitted_forest_prefers_no_class_and_no_rows_have_no_answer() -> None:
    expert = ForestExpert(N_CLASSES)
    torch.testing.assert_close(expert(torch.randn(3, 5)).exp(), torch.full((3, N_CLASSES), 0.25))
    assert expert(torch.zeros(0, 5)).shape == (0, N_CLASSES)


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 1.0, -2.5e-9])
def test_a_rounded_threshold_has_the_same_numbers_above_it(threshold: float) -> None:
    rounded = round_down(np.array([threshold]))
    near = np.float32(threshold)
    for number in (np.nextafter(near, np.float32(-9)), near, np.nextafter(near, np.float32(9))):
        assert (number > rounded[0]) == (float(number) > threshold)


def make_spec(folder: Path, n: int = 900) -> Spec:
    """Write a table with a modality of bands, which trees learn, and one of slopes, which a line does."""
    labels = np.tile(np.arange(3), n // 3)
    bands = np.stack([3 * RANDOM.integers(0, 4, n) + labels + RANDOM.random(n), RANDOM.random(n)], axis=1)
    slopes = RANDOM.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    columns = {f"band_{at}": bands[:, at] for at in range(2)}
    columns |= {f"slope_{at}": slopes[:, at] for at in range(3)}
    pl.DataFrame({"label": [f"c{each}" for each in labels]} | columns).write_csv(folder / "table.csv")
    return Spec.model_validate(
        {
            "name": "f", "label": "label", "table": folder / "table.csv",
            "training": {"epochs": 8, "folds": 2}, "network": {"forest": True},
            "modalities": {
                "bands": {"kind": "tabular", "columns": ["band_*"], "encoder": "mlp"},
                "slopes": {"kind": "tabular", "columns": ["slope_*"], "encoder": "mlp"},
            },
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    return make_spec(tmp_path_factory.mktemp("forest"))


@pytest.fixture(scope="module")
def stages(spec: Spec) -> Stages[Network]:
    return train_stages(spec, load_dataset(spec))


@pytest.fixture(scope="module")
def network(stages: Stages[Network], spec: Spec) -> Network:
    return calibrate_network(stages, spec)


def predict(network: Network, part: SplitArrays) -> np.ndarray:
    with torch.no_grad():
        probabilities: np.ndarray = network(*make_tensors(part.batch())).probabilities.numpy()
    return probabilities


def test_a_modality_has_a_forest_where_it_helps_and_only_there(
    network: Network, stages: Stages[Network], spec: Spec
) -> None:
    assert list(network.forest_experts) == ["0"]
    weights = network.posteriors.pool_weights
    assert weights.shape == (2, 4)
    assert weights[0, 3] > 0
    assert weights[1, 3] == 0
    alone = stages.dataset.test.only(["bands"])
    assert balanced_accuracy_score(alone.labels, predict(network, alone).argmax(axis=1)) > 0.85
    manifest = make_manifest(network, spec, stages.dataset)
    assert facts(manifest)["forests"] == ["bands"]
    assert manifest.calibration["forest"] == weights[:, 3].tolist()


@pytest.mark.parametrize("wanted", [None, True, False])
@pytest.mark.parametrize("names", [["bands"], ["bands", "slopes"]])
def test_unless_the_spec_says_so_the_only_modality_has_one_and_no_other(
    spec: Spec, names: list[str], wanted: bool | None
) -> None:
    modalities = {name: spec.modalities[name] for name in names}
    asked = spec.model_copy(
        update={
            "modalities": modalities,
            "network": NetworkSpec(forest=wanted),
            "training": TrainingSpec(epochs=1, folds=2),
        }
    )
    stages = train_stages(asked, load_dataset(asked))
    is_fitted = len(names) == 1 if wanted is None else wanted
    for network in (stages.network, *(fold for fold, _ in stages.folds)):
        assert len(network.forest_experts) == is_fitted * len(names)
        assert network.posteriors.pool_weights.shape == (len(names), 3 + is_fitted)


def test_the_forest_of_a_fold_has_not_seen_the_rows_that_it_scores(stages: Stages[Network]) -> None:
    (first, held), (second, _) = stages.folds
    rows, labels = select_rows(stages.dataset.train, "bands")
    known = {row.tobytes() for row in select_rows(held, "bands")[0]}
    others = np.array([row.tobytes() not in known for row in rows])
    expected = ForestExpert(3)
    expected.fit(rows[others], labels[others])
    found = first.forest_expert("bands")
    assert torch.equal(found.leaves, expected.leaves)
    assert not torch.equal(found.leaves, second.forest_expert("bands").leaves)
    assert torch.equal(found.lower_thresholds, expected.lower_thresholds)


def test_both_graphs_have_the_forest(
    network: Network, stages: Stages[Network], spec: Spec, tmp_path: Path
) -> None:
    example = make_example(stages.dataset.train, 24)
    export_graphs(network, example, tmp_path)
    parity = check_parity(network, tmp_path, make_manifest(network, spec, stages.dataset), example)
    assert max(parity.values()) < 1e-5
    graph = onnx.load(tmp_path / GRAPHS["onnx"]).graph
    assert [node.op_type for node in graph.node].count("TreeEnsembleRegressor") == 1
    assert not [each.name for each in graph.initializer if "thresholds" in each.name or "leaves" in each.name]


def test_forests_without_weight_are_dropped(network: Network) -> None:
    network = copy.deepcopy(network)
    network.posteriors.pool_weights[:, 3] = 0.0
    network.drop_unused_forests()
    assert not network.forest_experts
    assert network.posteriors.pool_weights.shape == (2, 3)
    assert "forest" not in network.describe_calibration()


def test_tables_of_very_many_classes_have_none_and_of_many_numbers_the_frequent_classes_give_less(
    stages: Stages[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_rows = stages.dataset.train
    rare = int(np.bincount(train_rows.labels).min())
    monkeypatch.setattr(fit_forests, "MAX_NUMBERS", 2 * 3 * rare)
    counted: list[np.ndarray] = []
    monkeypatch.setattr(ForestExpert, "fit", lambda self, rows, labels: counted.append(labels))
    fitted = FoldNetwork(stages.network, train_rows, None)
    fit_forest(fitted, "bands")
    assert np.bincount(counted.pop()).tolist() == [rare] * 3
    fit_forest(fitted._replace(train=train_rows.first(0)), "bands")
    monkeypatch.setattr(fit_forests, "MAX_CLASSES", 2)
    fit_forests.fit_forests([fitted])
    assert not counted


def test_who_asks_for_a_forest_and_gets_none_is_told(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "export_run", lambda run, spec, dataset, target: target)
    silent = Listener(lambda *_: None, lambda *_: None, lambda *_: None)
    alone = {"slopes": spec.modalities["slopes"]}
    for name, modalities, is_told in (("alone", alone, True), ("both", spec.modalities, False)):
        caplog.clear()
        asked = spec.model_copy(update={"modalities": modalities})
        train(asked, tmp_path / name, Hardware("cpu"), silent)
        assert ("so the network has none" in caplog.text) == is_told, name


@pytest.mark.slow
def test_a_run_keeps_its_forest_and_its_bundle_answers_as_the_network(
    network: Network, stages: Stages[Network], spec: Spec, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    listener = Listener(lambda *_: None, lambda *_: None, lambda *_: None)
    bundle = train(spec, run, Hardware(), listener)
    assert bundle is not None
    assert any(key.startswith("forest_experts.0.") for key in checkpoint.load(run / TRAINED) or {})
    again = export_run(run, spec, load_dataset(spec), tmp_path / "again")
    expected = predict(network, stages.dataset.test)
    for folder in (bundle, again):
        answers = open_bundle(folder).runtime.run(stages.dataset.test.batch())
        np.testing.assert_allclose(answers.probabilities, expected, atol=1e-5)
    assert "a forest" in (bundle / "MODEL_CARD.md").read_text()
