"""/v2: the parameter `prior` of a request, and of its response."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.support.asking import assert_problem
from tests.support.oip.tensors import INFER, INPUTS, ROWS


def infer(client: TestClient, **more: Any) -> Any:
    return client.post(INFER, json={"inputs": INPUTS, **more})


def test_rows_are_answered_as_by_predict(client: TestClient) -> None:
    answer = infer(client, parameters={"prior": "training"}).json()
    assert answer["parameters"] == {"prior": "training"}
    expected = [client.post("/predict?prior=training", json={"inputs": row}).json() for row in ROWS]
    labels, probabilities = (
        next(each["data"] for each in answer["outputs"] if each["name"] == name)
        for name in ("label", "probabilities")
    )
    assert labels == [each["label"] for each in expected]
    most = np.reshape(probabilities, (len(ROWS), -1)).max(axis=1)
    np.testing.assert_allclose(most, [each["probability"] for each in expected], atol=1e-6)


@pytest.mark.parametrize("more", [{}, {"parameters": {}}, {"parameters": {"prior": "uniform"}}], ids=repr)
def test_the_graphs_own_prior_is_not_mentioned(client: TestClient, more: dict[str, Any]) -> None:
    assert "parameters" not in infer(client, **more).json()


@pytest.mark.parametrize("value", ["Training", "", 1, True, ["training"]], ids=repr)
def test_another_value_is_refused(client: TestClient, value: Any) -> None:
    answer = infer(client, parameters={"prior": value})
    assert_problem(answer.json(), "invalid-input", 422)
    assert "prior" in answer.json()["detail"]
