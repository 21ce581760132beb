"""The answer that docs/EXPLAIN.md works by hand: its numbers follow from each other, and from the code."""

import json
import re
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse_service.bundle import Prediction
from tailfuse_service.bundle.shapley import PAIRS
from tailfuse_service.inference.explanations import make_explanation, make_plan

TEXT = (Path(__file__).parents[2] / "docs" / "EXPLAIN.md").read_text()
MODALITIES = ("image", "fourier", "shape")
LABELS = [str(digit) for digit in range(10)]


def rows_under(head: str) -> list[list[str]]:
    """The cells of the table whose first column is called so."""
    [table] = re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


@pytest.fixture(scope="module")
def answer() -> Any:
    [text] = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    return json.loads(text)


@pytest.fixture(scope="module")
def told() -> dict[frozenset[str], Prediction]:
    """The answer to each subset, of the winning class and the one that is most probable."""
    answers = {}
    for subset, label, probability, of_nine in rows_under("subset")[1:]:
        given = {label: float(probability)} | {"9": float(of_nine)}
        prediction = Prediction(list(given), list(given.values()), [], [], [])
        answers[frozenset(subset.split(" + "))] = prediction
    return answers


def test_the_answer_is_what_its_subsets_make_it(answer: Any, told: dict[frozenset[str], Prediction]) -> None:
    plan = make_plan({name: np.zeros(1) for name in MODALITIES}, MODALITIES)
    predictions = [told[frozenset(row)] for row in plan.rows()]
    assert (
        make_explanation(plan, predictions, dict.fromkeys(LABELS, 0.1)).explanation == answer["explanation"]
    )
    assert (answer["label"], answer["probability"]) == ("9", told[frozenset(MODALITIES)].probabilities[0])
    assert answer["probabilities"]["9"] == answer["probability"]


def test_the_table_of_orders_is_worked_right(answer: Any, told: dict[frozenset[str], Prediction]) -> None:
    values = {
        subset: dict(zip(each.labels, each.probabilities, strict=True))["9"] for subset, each in told.items()
    }
    values[frozenset()] = 0.1
    *orders, (last, *means) = rows_under("order")
    assert [tuple(order.split(", ")) for order, *_ in orders] == list(permutations(MODALITIES))
    for order, *added in orders:
        known: frozenset[str] = frozenset()
        for name in order.split(", "):
            gain = values[known | {name}] - values[known]
            assert float(added[MODALITIES.index(name)]) == pytest.approx(gain, abs=1e-9)
            known |= {name}
    assert last == "mean"
    columns = np.array([[float(each) for each in added] for _, *added in orders])
    assert columns.mean(axis=0) == pytest.approx([float(mean) for mean in means], abs=1e-6)
    assert dict(zip(MODALITIES, map(float, means), strict=True)) == answer["explanation"]["contributions"]


def test_the_sum_in_it_is_right() -> None:
    [(sum_, whole)] = re.findall(r"^(0\.1 [-+ .\d]+) = ([.\d]+)\.", TEXT, re.MULTILINE)
    assert sum(float(each) for each in sum_.replace(" ", "").replace("-", "+-").split("+")) == pytest.approx(
        float(whole), abs=1e-9
    )


def test_it_names_the_number_of_orders_and_of_rows() -> None:
    assert f"{PAIRS} orders are drawn" in TEXT
    assert f"means of {PAIRS} pairs" in TEXT
    for n in range(7, 40):
        plan = make_plan({f"m{at}": np.zeros(1) for at in range(n)}, [f"m{at}" for at in range(n)])
        assert len(plan.subsets) <= (2 * PAIRS + 2) * n
