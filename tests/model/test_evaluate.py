"""Evaluation by subset, with answers that are known beforehand."""

import json

import numpy as np
import pytest
from rich.console import Console
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.evaluate import (
    AS_GIVEN,
    Evaluation,
    evaluate,
    evaluation_json,
    subset_name,
    subset_table,
    subsets,
)
from tailfuse.evaluation.predict_part import predict_part
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo

CLASSES = (
    ClassInfo(name="six", train_count=90, shot="many"),
    ClassInfo(name="seven", train_count=30, shot="medium"),
    ClassInfo(name="nine", train_count=9, shot="few"),
)


def answer(batch: Batch) -> Output:
    """Each modality's value is the class it votes for; `image` outvotes `shape`, weights 3 to 1.

    The confidence of `image` is 0.9, that of `shape` 0.7 for class 1 and 0.4 for the others.
    """
    votes = np.full(batch.presence.shape, -1)
    for column, name in enumerate(batch.inputs):
        votes[batch.rows[name], column] = batch.inputs[name][:, 0]
    share = batch.presence * np.array([3.0, 1.0])
    weights = share / share.sum(axis=1, keepdims=True)
    winner = np.where(batch.presence[:, 0], votes[:, 0], votes[:, 1])
    probabilities = 0.1 + 0.7 * np.eye(3)[winner]
    shape = np.where(votes[:, 1] == 1, 0.7, 0.4)
    confidences = batch.presence * np.stack([np.full(len(votes), 0.9), shape], axis=1)
    return Output(*(array.astype(np.float32) for array in (probabilities, weights, confidences)))


def part(image: list[int | None], shape: list[int | None], labels: list[int]) -> SplitArrays:
    inputs, position = {}, {}
    for name, values in (("image", image), ("shape", shape)):
        present = np.array([value is not None for value in values])
        inputs[name] = np.array([value for value in values if value is not None], np.float32).reshape(-1, 1)
        position[name] = np.where(present, np.cumsum(present) - 1, -1)
    return SplitArrays(inputs, position, np.array(labels, np.int64))


@pytest.fixture
def complete() -> SplitArrays:
    """The picture is always right; the shape takes every 6 and 9 for a 6."""
    return part([0, 0, 1, 2], [0, 0, 1, 0], [0, 0, 1, 2])


@pytest.fixture
def lacking() -> SplitArrays:
    return part([0, None, 1, None], [0, 0, None, 0], [0, 0, 1, 2])


def test_subsets_are_all_of_them_largest_first() -> None:
    assert subsets(["a", "b", "c"]) == [
        ("a", "b", "c"), ("a", "b"), ("a", "c"), ("b", "c"), ("a",), ("b",), ("c",),
    ]  # fmt: skip


def test_of_many_modalities_all_all_but_one_and_each_alone_are_judged() -> None:
    names = list("abcdefg")
    judged = subsets(names)
    assert len(judged) == 1 + 7 + 7
    assert judged[0] == tuple(names)
    assert judged[1] == tuple("abcdef")
    assert judged[-1] == ("g",)


def test_a_single_modality_has_one_subset() -> None:
    assert subsets(["a"]) == [("a",)]


def test_a_subset_is_named_by_its_modalities() -> None:
    assert subset_name(("image", "fourier")) == "image+fourier"


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_answers_come_in_the_order_of_the_rows_whatever_the_batch(
    lacking: SplitArrays, batch_size: int
) -> None:
    output = predict_part(answer, lacking, batch_size)
    assert output.probabilities.argmax(axis=1).tolist() == [0, 0, 1, 0]
    assert output.weights.tolist() == [[0.75, 0.25], [0, 1], [1, 0], [0, 1]]


def test_every_subset_is_judged_on_its_own_answers(complete: SplitArrays) -> None:
    evaluation = evaluate(answer, complete, CLASSES)
    assert list(evaluation.metrics) == ["image+shape", "image", "shape"]
    assert evaluation.metrics["image"].balanced_accuracy == 1.0
    assert evaluation.metrics["shape"].balanced_accuracy == pytest.approx(2 / 3)
    assert evaluation.metrics["shape"].few == 0.0
    assert evaluation.overall == evaluation.metrics["image+shape"]
    assert evaluation.confusion.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert evaluation.recall.tolist() == [1, 1, 1]


def test_rows_that_lack_modalities_are_judged_as_given_too(lacking: SplitArrays) -> None:
    evaluation = evaluate(answer, lacking, CLASSES)
    assert list(evaluation.metrics) == ["image+shape", AS_GIVEN, "image", "shape"]
    assert {name: metrics.rows for name, metrics in evaluation.metrics.items()} == {
        "image+shape": 1, AS_GIVEN: 4, "image": 2, "shape": 3,
    }  # fmt: skip
    assert evaluation.overall == evaluation.metrics[AS_GIVEN]
    assert evaluation.overall.balanced_accuracy == pytest.approx(2 / 3)
    assert evaluation.confusion.tolist() == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_a_subset_that_no_row_has_is_none() -> None:
    evaluation = evaluate(answer, part([0, None], [None, 0], [0, 0]), CLASSES)
    assert evaluation.metrics["image+shape"].rows == 0
    assert evaluation.metrics["image+shape"].balanced_accuracy is None
    assert evaluation.weights["image+shape"] == {"image": None, "shape": None}
    assert evaluation.overall.balanced_accuracy == 1.0


def test_reference_histograms_hold_the_present_rows_only(lacking: SplitArrays) -> None:
    reference = evaluate(answer, lacking, CLASSES).reference
    assert reference["image"].presence == 0.5
    assert reference["shape"].presence == 0.75
    assert len(reference["image"].weight.edges) == 21
    weights = reference["image"].weight.counts
    assert (weights[15], weights[19], sum(weights)) == (1, 1, 2)  # 0.75 starts bin 15; 1.0 is in the last
    confidences = reference["shape"].confidence.counts
    assert (confidences[8], sum(confidences)) == (3, 3)  # 0.4 as float32 is just above its edge


def test_values_just_above_one_are_counted() -> None:
    def rounded_up(batch: Batch) -> Output:
        output = answer(batch)
        return Output(output.probabilities, output.weights * np.float32(1.0000002), output.confidences)

    reference = evaluate(rounded_up, part([0], [None], [0]), CLASSES).reference
    assert reference["image"].weight.counts[19] == 1


def test_weights_and_confidences_are_means_over_present_rows(lacking: SplitArrays) -> None:
    evaluation = evaluate(answer, lacking, CLASSES)
    assert evaluation.weights["image+shape"] == pytest.approx({"image": 0.75, "shape": 0.25})
    assert evaluation.weights["shape"] == {"image": None, "shape": 1.0}
    assert evaluation.weights[AS_GIVEN] == pytest.approx({"image": 0.875, "shape": 0.75})
    assert evaluation.confidences[AS_GIVEN] == pytest.approx({"image": 0.9, "shape": 0.4})


def test_confidence_by_class_shows_what_a_modality_cannot_tell_apart(complete: SplitArrays) -> None:
    evaluation = evaluate(answer, complete, CLASSES)
    assert evaluation.class_confidences[:, 0] == pytest.approx([0.9, 0.9, 0.9])
    assert evaluation.class_confidences[:, 1] == pytest.approx([0.4, 0.7, 0.4])


def test_confidence_by_class_is_nan_where_the_class_lacks_the_modality(lacking: SplitArrays) -> None:
    confidences = evaluate(answer, lacking, CLASSES).class_confidences
    assert np.isnan(confidences).tolist() == [[False, False], [False, True], [True, False]]


def test_confidence_is_held_against_its_own_modality_alone(complete: SplitArrays) -> None:
    """The shape is right on 0.4, 0.4, 0.7 and wrong on 0.4: two ties and a win in three pairs."""
    evaluation = evaluate(answer, complete, CLASSES)
    assert evaluation.confidence_auroc["shape"] == pytest.approx(2 / 3)
    assert evaluation.confidence_auroc["image"] is None  # it is never wrong


def test_json_has_null_and_no_nan(lacking: SplitArrays) -> None:
    text = json.dumps(evaluation_json(evaluate(answer, lacking, CLASSES)), allow_nan=False)
    read = json.loads(text)
    assert read["subsets"]["image+shape"]["few"] is None
    assert read["subsets"]["image"]["weights"] == {"image": 1.0, "shape": None}
    assert read["classes"][1]["confidences"] == {"image": pytest.approx(0.9), "shape": None}
    six = read["classes"][0]
    intervals = six.pop("intervals")
    assert intervals["recall"] == [pytest.approx(0.342, abs=1e-3), 1.0]  # Wilson's, of 2 of 2 rows
    assert intervals.keys() == {"precision", "recall", "f1"}
    assert six == {
        "name": "six", "train_count": 90, "shot": "many", "rows": 2,
        "recall": 1.0, "precision": pytest.approx(2 / 3), "f1": pytest.approx(0.8),
        "confidences": {"image": pytest.approx(0.9), "shape": pytest.approx(0.4)},
        "weights": {"image": 0.75, "shape": 0.625},
    }  # fmt: skip


def test_the_table_has_percentages_and_dashes(lacking: SplitArrays) -> None:
    lines = printed(evaluate(answer, lacking, CLASSES))
    image = next(line.split() for line in lines if line.startswith(" image "))
    assert image == ["image", "2", "100.0%", "100.0%", "100.0%", "–", "100.0%", "100.0%", "0.223", "0.200"]


def printed(evaluation: Evaluation) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(subset_table(evaluation.metrics))
    return capture.get().splitlines()
