"""Baselines on the same rows: their answers, their intervals, and columns of a linear model."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation import logistic
from tailfuse.evaluation.baselines import bootstrap_recall, compare_baselines
from tailfuse.evaluation.evaluate import Evaluation, evaluate
from tailfuse.evaluation.logistic import predict_logistic
from tailfuse.modalities import KINDS
from tailfuse.modalities.ragged import keep_apart
from tailfuse_service.bundle import Batch, Manifest, Output
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import ImageModality, TabularModality, TextModality
from tailfuse_service.modalities.tabular import NumberColumn

CLASSES = (
    ClassInfo(name="common", train_count=9, shot="many"),
    ClassInfo(name="middling", train_count=4, shot="medium"),
    ClassInfo(name="rare", train_count=2, shot="few"),
)
LABELS = np.array([0] * 6 + [1] * 4 + [2] * 2)


def answer(batch: Batch) -> Output:
    """Each row's answer is the value of its first modality; without that, class 1."""
    predicted = np.ones(len(batch.presence), np.int64)
    for name in reversed(list(batch.rows)):
        predicted[batch.rows[name]] = batch.inputs[name][:, 0]
    weights = batch.presence / batch.presence.sum(axis=1, keepdims=True)
    return Output(np.eye(3, dtype=np.float32)[predicted], weights, batch.presence.astype(np.float32))


@pytest.fixture
def evaluation() -> Evaluation:
    """`a` is right but for one row, and absent in the last row; `b` always says class 2."""
    a = LABELS.copy()
    a[0] = 2
    position = {"a": np.arange(12), "b": np.arange(12)}
    position["a"][-1] = -1
    return evaluate(
        answer, SplitArrays({"a": a[:, None], "b": np.full((12, 1), 2)}, position, LABELS), CLASSES
    )


@pytest.fixture
def manifest(evaluation: Evaluation) -> Manifest:
    number = TabularModality(columns=(NumberColumn(name="x", mean=0.0, scale=1.0),), width=1)
    validation = {
        name: evaluation.overall.model_copy(update={"balanced_accuracy": value})
        for name, value in {"a+b": 0.9, "a": 0.8, "b": 0.3}.items()
    }
    return Manifest(
        name="m", version="1", label="y", classes=CLASSES, modalities={"a": number, "b": number},
        input_schema={}, calibration={}, metrics={}, validation_metrics=validation, reference={}, parity={},
        spec={}, built_with={}, files={},
    )  # fmt: skip


def test_the_model_is_compared_on_the_same_rows(manifest: Manifest, evaluation: Evaluation) -> None:
    other = np.array([0] * 6 + [1] * 6)
    model, majority, alone, logistic = compare_baselines(manifest, evaluation, {"other": other})
    assert model.gain is None
    assert model.balanced_accuracy.value == pytest.approx(evaluation.overall.balanced_accuracy)
    assert majority.name == "always “common”, the largest class"
    assert majority.balanced_accuracy.value == pytest.approx(1 / 3)
    assert majority.accuracy == 0.5
    # Where `a` is absent the majority class is answered, not a class of the test rows' choice.
    assert alone.name == "a alone, the best modality on validation rows"
    assert alone.balanced_accuracy.value == pytest.approx((5 / 6 + 1 + 1 / 2) / 3)
    assert alone.few == 0.5
    assert logistic.macro_f1 == pytest.approx(f1_score(LABELS, other, average="macro", zero_division=0))
    assert logistic.gain is not None
    assert logistic.gain.value == pytest.approx(
        model.balanced_accuracy.value - balanced_accuracy_score(LABELS, other)
    )


def test_validation_rows_choose_the_modality(manifest: Manifest, evaluation: Evaluation) -> None:
    swapped = {"a": manifest.validation_metrics["b"], "b": manifest.validation_metrics["a"]}
    other = manifest.model_copy(update={"validation_metrics": swapped})
    assert compare_baselines(other, evaluation, {})[2].name.startswith("b alone")


def test_an_older_bundle_and_one_modality_have_no_best_one(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    for known in ({}, {"a": manifest.validation_metrics["a"]}):
        older = manifest.model_copy(update={"validation_metrics": known})
        assert len(compare_baselines(older, evaluation, {})) == 2


def test_no_rows_have_no_baselines(manifest: Manifest) -> None:
    empty = SplitArrays({"a": np.zeros((0, 1))}, {"a": np.zeros(0, np.int64)}, np.zeros(0, np.int64))
    assert compare_baselines(manifest, evaluate(answer, empty, CLASSES), {}) == []


def test_the_bootstrap_draws_whole_rows_of_each_class() -> None:
    """Against drawing the rows one by one, and a gain without doubt has an interval above 0."""
    random = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], [200, 40, 9])
    right, model = random.random((2, len(labels))) < np.array([[0.5], [0.8]])
    own, gain = bootstrap_recall(right, model, labels)
    drawn = []
    for _ in range(2000):
        rows = np.concatenate(
            [random.choice(np.flatnonzero(labels == c), (labels == c).sum()) for c in range(3)]
        )
        by_class = [(model[rows] * 1.0 - right[rows])[labels[rows] == c].mean() for c in range(3)]
        drawn.append(np.mean(by_class))
    assert (gain.low, gain.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    assert own.low < own.value < own.high
    assert bootstrap_recall(np.zeros(9, bool), np.ones(9, bool), np.arange(9) % 3)[1] == (1.0, 1.0, 1.0)


def test_logistic_regression_learns_from_every_kind(lesions: Any) -> None:
    dataset: Dataset = lesions.load()
    predicted = predict_logistic(dataset)
    assert predicted.shape == dataset.test.labels.shape
    assert set(predicted) <= set(range(len(dataset.classes)))


def test_logistic_regression_finds_what_is_linear() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    values = np.stack([labels + 0.1 * random.normal(size=300), np.full(300, 1e30)], axis=1)
    position = np.arange(300)
    position[:20] = -1  # of some of the rows that train
    part = SplitArrays({"a": values}, {"a": position}, labels)
    x, z = (NumberColumn(name=name, mean=0.0, scale=1.0) for name in "xz")
    dataset = Dataset(
        CLASSES[:2], {"a": TabularModality(columns=(x, z), width=2)},
        part.take(np.arange(200)), part.take(np.arange(200, 250)), part.take(np.arange(250, 300)), position,
    )  # fmt: skip
    assert (predict_logistic(dataset) == dataset.test.labels).mean() > 0.95


def test_many_rows_of_text_are_not_left_out_for_their_many_empty_columns(
    lesions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row has a few of the 8,192 columns of text: what counts are those that it has."""
    dataset = lesions.load()
    numbers = logistic.count_numbers(dataset)
    assert 3 < numbers < 1000
    monkeypatch.setattr(logistic, "MAX_NUMBERS", numbers * len(dataset.classes) * len(dataset.train))
    fitted: list[int] = []
    fit_paths = logistic.fit_paths

    def count(columns: Any, labels: Any) -> Any:
        fitted.append(len(labels))
        return fit_paths(columns, labels)

    monkeypatch.setattr(logistic, "fit_paths", count)
    predict_logistic(dataset)
    assert fitted == [len(dataset.train)]


def test_images_shrink_to_means() -> None:
    image = ImageModality(column="image", height=40, width=10, channels=1)
    rows = np.zeros((2, 1, 40, 10), np.uint8)
    rows[1] = 200
    columns = KINDS["image"].linear_columns(image, rows)
    assert columns.shape == (2, 16 * 10)
    assert columns[1] == pytest.approx(np.full(160, 200.0))


def test_texts_are_sparse_and_of_length_1() -> None:
    text = TextModality(columns=("note",), buckets=64, ngrams=1, max_tokens=8)
    columns = KINDS["text"].linear_columns(text, keep_apart([np.array([3, 3, 9]), np.array([1])]))
    assert columns.shape[0] == 2
    assert columns.nnz == 3
    assert pytest.approx([1.0, 1.0]) == np.sqrt(columns.multiply(columns).sum(axis=1)).A1
    assert columns[0, 3] / columns[0, 9] == pytest.approx(1 + np.log(2))


def test_rows_of_different_lengths_have_a_fixed_width() -> None:
    rows = keep_apart([np.arange(6.0).reshape(3, 2), np.ones((1, 2))])
    columns = KINDS["series"].linear_columns(None, rows)
    assert columns.tolist()[1] == [1, 1, 0, 0, 1, 1, 1, 1]
    assert columns[0, :2].tolist() == [2, 3]


@pytest.mark.slow
def test_the_report_of_a_training_has_all_of_them(trained: Any) -> None:
    html = (trained.bundle / "report.html").read_text("utf-8")
    section = html[html.index("Beside simpler ways") : html.index("By subset of modalities")]
    named = re.findall(r'<th scope="row">(.*?)</th>', section)
    assert named[0] == "this model"
    assert named[-1] == "logistic regression on all modalities"
    assert len(named) == 4


def test_a_modality_without_training_rows_is_left_out(lesions: Any) -> None:
    dataset: Dataset = lesions.load()
    position = {**dataset.train.position, "notes": np.full(len(dataset.train), -1)}
    without = SplitArrays(dataset.train.inputs, position, dataset.train.labels)
    assert len(predict_logistic(replace(dataset, train=without))) == len(dataset.test)
