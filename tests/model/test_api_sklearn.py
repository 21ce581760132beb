"""scikit-learn's contract: its own checks, pipelines, cross-validation and search on tabular frames."""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import tailfuse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

QUICK = {"epochs": 12, "folds": 0, "learning_rate": 0.02, "batch_size": 32}
SMALL = {"width": 16, "dropout": 0.0, "input_dropout": 0.0}
# The checks that a multimodal estimator cannot pass, and why.
SKIPPED = {
    "check_estimators_pickle": "a pickle holds the bundle, whose graph agrees to 1e-5, not 1e-9",
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "tailfuse")


def make_classifier() -> "tailfuse.Classifier":
    return tailfuse.Classifier(training=QUICK, network=SMALL)


def list_checks() -> Iterator[Any]:
    for estimator, check in estimator_checks_generator(make_classifier()):
        name = getattr(check, "func", check).__name__
        marks = [pytest.mark.skip(reason=SKIPPED[name])] if name in SKIPPED else []
        yield pytest.param(estimator, check, id=name, marks=marks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(list_checks()))
def test_scikit_learn_s_checks_pass(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_what_is_skipped_is_a_check() -> None:
    assert SKIPPED.keys() <= {parameters.id for parameters in list_checks()}


def test_the_page_lists_the_checks_and_their_results() -> None:
    root = Path(__file__).parents[2]
    section = (root / "docs" / "PYTHON.md").read_text().partition("own estimator checks.")[2]
    section = section.partition("\n## ")[0]
    [pinned] = re.findall(r"^scikit-learn==(\S+)", (root / "constraints.txt").read_text(), re.MULTILINE)
    assert f"scikit-learn {pinned} pass but {['no', 'one'][len(SKIPPED)]}" in section
    for name, why in SKIPPED.items():
        assert f"| `{name.removeprefix('check_')}` | skipped: {why} |" in section
    if sklearn.__version__ == pinned:  # the oldest versions are tested, too
        run = {str(parameters.id).removeprefix("check_") for parameters in list_checks()}
        assert set(re.findall(r"`(\w+)`", section)) == run


def make_rows() -> tuple[pd.DataFrame, pd.Series]:
    """Rows whose columns tell the class, with gaps, a category and groups of two rows."""
    random = np.random.default_rng(0)
    y = pd.Series(random.permutation(["calm"] * 40 + ["windy"] * 20), name="weather")
    gusts = random.normal(size=60) + 4 * (y == "windy")
    sky = y.map({"windy": "clouds", "calm": "blue"}).where(random.random(60) < 0.8)
    return pd.DataFrame({"gusts": gusts, "sky": sky, "pressure": random.normal(size=60)}), y


def test_cross_validation_and_search() -> None:
    X, y = make_rows()
    scores = cross_val_score(
        make_classifier(), X, y, cv=GroupKFold(2), groups=np.arange(60) // 2, scoring="balanced_accuracy"
    )
    assert scores.shape == (2,)
    assert scores.min() > 0.7
    search = GridSearchCV(make_classifier(), {"training__epochs": [1, 12], "seed": [3]}, cv=2).fit(X, y)
    assert search.best_params_ == {"training__epochs": 12, "seed": 3}
    assert search.best_estimator_.training == {**QUICK, "epochs": 12}


def test_a_pipeline_gives_arrays() -> None:
    X, y = make_rows()
    pipeline = make_pipeline(StandardScaler(), make_classifier()).fit(X[["gusts", "pressure"]], y)
    assert pipeline.score(X[["gusts", "pressure"]], y) > 0.8
    assert pipeline[-1].n_features_in_ == 2


def test_parameters_are_the_keys_of_a_spec() -> None:
    classifier = make_classifier().set_params(training__epochs=3, network__width=8)
    assert classifier.training == {**QUICK, "epochs": 3}
    assert QUICK["epochs"] == 12
    both = make_classifier().set_params(training__epochs=7, training={"folds": 0})
    assert both.training == {"folds": 0, "epochs": 7}
    assert clone(classifier).get_params() == classifier.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'trainings'"):
        classifier.set_params(trainings__epochs=3)
    X, y = make_rows()
    for parameters, message in (
        ({"training": {"epoch": 3}}, "training.epoch: unknown key; did you mean 'epochs'"),
        ({"network": {"fusion": "confident"}}, "network.fusion: .*did you mean 'confidence'"),
        ({"modalities": "infr"}, "modalities: 'infr' is neither 'infer' nor"),
        (
            {"modalities": {"a": {"kind": "tabular", "columns": ["gust"]}}},
            "no column 'gust'; did you",
        ),
        ({"prior": {"calm": 1.0}}, "prior: no share is given for 'windy'"),
    ):
        with pytest.raises(ValueError, match=message):
            tailfuse.Classifier(**parameters).fit(X, y)
