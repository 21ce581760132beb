"""The linear expert of columns: logistic regression, fitted without the rows that it scores."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tailfuse.calibration import fit_linear
from tailfuse.calibration.fit_linear import choose_inverse, make_trial, select_rows
from tailfuse.data.dataset import load_dataset
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.network.linear import MAX_DEVIATIONS, LinearExpert, fit_regression
from tailfuse.network.network import Network
from tailfuse.spec.schema import Spec
from tailfuse.training.families import Stages
from tailfuse.training.fit import calibrate_network, train_stages

RANDOM = np.random.default_rng(0)


def make_columns(n: int) -> tuple[torch.Tensor, np.ndarray]:
    labels = np.arange(n) % 3
    columns = RANDOM.normal(size=(n, 4)) + np.eye(3, 4)[labels]
    return torch.from_numpy(columns).float(), labels


@pytest.mark.parametrize("classes", [[0, 1, 2], [0, 1], [0, 2]])
def test_it_is_logistic_regression_less_the_log_prior(classes: list[int]) -> None:
    columns, labels = make_columns(300)
    kept = np.isin(labels, classes) & ((labels > 0) | (np.arange(300) < 60))
    columns, labels = columns[torch.from_numpy(kept)], labels[kept]
    expert = LinearExpert(4, 3)
    expert.fit(columns, labels, 0.1)
    regression = LogisticRegression(C=0.1, max_iter=200, tol=1e-3).fit(columns.double().numpy(), labels)
    prior = np.log(np.bincount(labels)[classes] / len(labels))
    expected = torch.from_numpy(regression.predict_log_proba(columns.double().numpy()) - prior).log_softmax(
        -1
    )
    found = expert(columns)[:, classes].log_softmax(-1)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)


def test_rows_of_one_class_teach_it_nothing() -> None:
    assert fit_regression(np.ones((5, 2)), np.ones(5, np.int64), 1.0) is None
    expert = LinearExpert(2, 3)
    expert.fit(torch.ones(5, 2), np.ones(5, np.int64), 1.0)
    assert not expert.weights.any()


def test_a_number_far_from_all_others_does_not_decide_alone() -> None:
    columns, labels = make_columns(90)
    expert = LinearExpert(4, 3)
    expert.fit(columns, labels, 1.0)
    far, limit = (torch.tensor([[value, 0.0, 0.0, 0.0]]) for value in (1e6, MAX_DEVIATIONS))
    torch.testing.assert_close(expert(far), expert(limit))


SPEC = {
    "name": "m", "label": "label", "training": {"epochs": 3, "folds": 2},
    "modalities": {
        "wide": {"kind": "tabular", "columns": "w*"},
        "binned": {"kind": "tabular", "columns": "b*", "encoder": "piecewise"},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Spec:
    """Of `wide` a sum tells the class, on few rows of many columns; of `binned` the range of a number."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [90, 60, 30])
    wide = random.normal(size=(180, 60)) + 0.4 * (labels[:, None] - 1)
    binned = random.normal(size=(180, 2))
    binned[:, 0] = np.where(labels == 1, 0.3 * binned[:, 0], 2 * np.sign(binned[:, 0]) + 0.3 * binned[:, 1])
    columns = {f"w{at}": wide[:, at] for at in range(60)} | {f"b{at}": binned[:, at] for at in range(2)}
    path = tmp_path_factory.mktemp("linear") / "table.parquet"
    pl.DataFrame({**columns, "label": [f"class {each}" for each in labels]}).write_parquet(path)
    return Spec.model_validate(SPEC | {"table": path})


@pytest.fixture(scope="module")
def stages(spec: Spec) -> Stages[Network]:
    return train_stages(spec, load_dataset(spec))


@pytest.mark.parametrize("name", ["wide", "binned"])
def test_the_expert_of_a_fold_is_fitted_without_the_rows_that_it_scores(
    stages: Stages[Network], name: str
) -> None:
    (first, held), (second, _) = stages.folds
    weights = [each.linear_expert(name).weights for each in (stages.network, first, second)]
    assert all(each.any() for each in weights)
    rows, labels = select_rows(stages.dataset.train, name)
    known = {row.tobytes() for row in select_rows(held, name)[0]}
    others = np.array([row.tobytes() not in known for row in rows])
    inverses = fit_linear.COLUMN_INVERSES
    trial = make_trial(first, name)
    before = weights[1].clone()
    apart = []
    for inverse in inverses:
        trial.fit(rows[others], labels[others], inverse)
        apart.append(float((first.linear_expert(name).weights - before).abs().max()))
    with torch.no_grad():
        first.linear_expert(name).weights.copy_(before)
    assert min(apart) == pytest.approx(0, abs=1e-3)


def test_bins_are_columns_of_the_expert_and_rows_alone_are_not(stages: Stages[Network]) -> None:
    wide, binned = stages.network.encoders
    assert isinstance(wide, Mlp)
    assert isinstance(binned, Mlp)
    assert (wide.n_columns, binned.n_columns) == (60, 2 + 2 * 16)
    rows = torch.from_numpy(stages.dataset.test.inputs["binned"])
    spread = binned.spread_columns(rows)
    assert spread.shape[1] == binned.n_columns
    assert spread[:, 2:].min() >= 0
    assert spread[:, 2:].max() <= 1
    score = make_trial(stages.network, "binned").score
    test_rows, labels = select_rows(stages.dataset.test, "binned")
    assert ((score(test_rows).argmax(1).numpy() == 1) == (labels == 1)).mean() > 0.9


def test_rows_without_a_gain_keep_the_default(stages: Stages[Network]) -> None:
    trial = make_trial(stages.network, "wide")
    held = stages.folds[0][1]
    assert choose_inverse(trial, held.first(0), held, "wide") == trial.default
    assert choose_inverse(trial, held, held, "wide") == max(trial.inverses)  # rows that it has seen


def test_few_rows_of_many_columns_are_answered_by_the_linear_expert(
    stages: Stages[Network], spec: Spec
) -> None:
    network = calibrate_network(stages, spec)
    assert network.posteriors.pool_weights.shape == (2, 3)
    assert (network.posteriors.pool_weights[:, 2] > 0.1).any()


def test_of_very_many_numbers_rows_of_frequent_classes_are_left_out(
    stages: Stages[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(stages.network, "wide")
    rows, labels = select_rows(stages.dataset.train, "wide")
    rare = np.bincount(labels).min()
    monkeypatch.setattr(fit_linear, "MAX_NUMBERS", 60 * 3 * rare)
    counted: list[np.ndarray] = []
    monkeypatch.setattr(LinearExpert, "fit", lambda self, columns, labels, inverse: counted.append(labels))
    trial.fit(rows, labels, 1.0)
    assert np.bincount(counted[0]).tolist() == [rare] * 3
