"""The model card, on values worked out by hand."""

import json
import re

import numpy as np
import pytest
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.card import model_card
from tailfuse.evaluation.evaluate import Evaluation, evaluate
from tailfuse_service.bundle import Batch, Output
from tailfuse_service.bundle.manifest import ClassInfo, Manifest
from tailfuse_service.modalities import ImageModality, TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn

CLASSES = (
    ClassInfo(name="common", train_count=1500, shot="many"),
    ClassInfo(name="a | b\nc", train_count=300, shot="medium"),
    ClassInfo(name="rare", train_count=30, shot="few"),
)
CLINICAL = TabularModality(
    columns=(
        NumberColumn(name="age", mean=51.23456, scale=10.0),
        BooleanColumn(name="smoker"),
        CategoryColumn(name="sex", categories=("female", "male")),
        NumberColumn(name="height", mean=170.0, scale=10.0),
    ),
    width=5,
)


def evaluated(labels: list[int], answers: list[int]) -> Evaluation:
    """Rows with these labels, answered like this by both modalities."""

    def run(batch: Batch) -> Output:
        picked = np.zeros(len(batch.presence), np.int64)
        for name, rows in batch.rows.items():
            picked[rows] = batch.inputs[name][:, 0]
        weights = batch.presence / batch.presence.sum(axis=1, keepdims=True)
        probabilities = np.eye(3)[picked]
        return Output(*(array.astype(np.float32) for array in (probabilities, weights, batch.presence)))

    inputs = {name: np.array(answers)[:, None] for name in ("image", "clinical")}
    position = {name: np.arange(len(labels)) for name in inputs}
    return evaluate(run, SplitArrays(inputs, position, np.array(labels)), CLASSES)


def get_card(evaluation: Evaluation) -> str:
    manifest = Manifest(
        name="skin-lesions",
        version="3",
        label="dx",
        classes=CLASSES,
        modalities={
            "image": ImageModality(column="image", height=96, width=96, channels=3),
            "clinical": CLINICAL,
        },
        input_schema={},
        calibration={},
        metrics=evaluation.metrics,
        reference=evaluation.reference,
        parity={"onnx": 3.14e-7, "torchscript": 2e-7},
        spec={"table": "data/table.parquet"},
        built_with={"tailfuse": "0.1.0", "torch": "2.13.0"},
        files={},
    )
    return model_card(manifest, evaluation)


@pytest.fixture(scope="module")
def card() -> str:
    return get_card(evaluated([0] * 4 + [1] * 2 + [2] * 10, [0] * 4 + [1, 0] + [2] * 8 + [0] * 2))


def test_it_says_what_it_was_trained_on(card: str) -> None:
    assert "1,830 rows of table.parquet; imbalance ratio 50 (largest class / smallest)" in card
    assert "| common | many | 1,500 | 4 | 100.0% |" in card
    assert "| rare | few | 30 | 10 | 80.0% |" in card


def test_a_name_cannot_break_a_table(card: str) -> None:
    assert "| a \\| b c | medium | 300 | 2 | 50.0% |" in card


def test_the_few_shot_recall_has_its_interval(card: str) -> None:
    """The Wilson interval of 8 in 10 is 0.490 to 0.943."""
    assert "evaluated on 10 rows in all, as few as 10 of one class" in card
    assert "80.0% of the rows, with a 95 % Wilson interval from 49.0% to 94.3%" in card


def test_without_few_shot_rows_it_says_so() -> None:
    card = get_card(evaluated([0, 1], [0, 1]))
    assert "their recall is unknown" in card
    assert "Wilson" not in card
    assert "| rare | few | 30 | 0 | – |" in card


def test_every_table_has_as_many_cells_as_headings(card: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_every_subset_has_its_metrics(card: str) -> None:
    lines = [line for line in card.splitlines() if line.startswith(("| image", "| clinical"))]
    assert [line.split(" | ")[0] for line in lines] == [
        "| image", "| clinical", "| image + clinical", "| image", "| clinical",
    ]  # fmt: skip
    assert "| image + clinical | 16 | 76.7% | 100.0% | 50.0% | 80.0% |" in card


def test_the_example_is_a_request_the_service_reads(card: str) -> None:
    body = re.search(r"<<'JSON'\n(.*)\nJSON\n", card)
    assert body
    assert json.loads(body[1]) == {
        "inputs": {"image": "<base64>", "clinical": {"age": 51.23, "smoker": True, "sex": "female"}}
    }


def test_versions_and_parity_are_there_and_no_date(card: str) -> None:
    assert "Built with tailfuse 0.1.0, torch 2.13.0; bundle format 1." in card
    assert "onnx 3.1e-07, torchscript 2.0e-07" in card
    assert not re.search(r"\b20\d\d-\d\d", card)
