"""The member `conflict` of an answer: of graphs that have it, for two or more modalities."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tailfuse_client.answers import parse_answer
from tailfuse_service.bundle import Batch, Bundle, Output

from tests.support.bundles import FakeRuntime
from tests.support.clients import ClientOf

CLINICAL = {"clinical": {"age": 61}}
BOTH = CLINICAL | {"notes": "an itching mole"}


@pytest.fixture
def client(make_client: ClientOf, fake_bundle: Bundle, runtime: FakeRuntime) -> TestClient:
    def answer(batch: Batch) -> Output:
        conflict = np.linspace(0.25, 0.75, len(batch.presence), dtype=np.float32)
        return replace(runtime.evenly(batch), conflict=conflict)

    runtime.get_output = answer
    return make_client(fake_bundle)


def ask(client: TestClient, inputs: Any, query: str = "") -> Any:
    return client.post(f"/predict{query}", json={"inputs": inputs}).json()


def test_it_is_there_for_two_modalities_and_not_for_one(client: TestClient) -> None:
    assert ask(client, BOTH)["conflict"] == 0.25
    assert "conflict" not in ask(client, CLINICAL)
    assert ask(client, BOTH, "?prior=training")["conflict"] == 0.25
    assert parse_answer(ask(client, BOTH)).conflict == 0.25
    assert parse_answer(ask(client, CLINICAL)).conflict is None


def test_each_row_of_a_batch_has_its_own(client: TestClient) -> None:
    body = {"items": [{"inputs": BOTH}, {"inputs": CLINICAL}, {"inputs": BOTH}]}
    results = client.post("/predict/batch", json=body).json()["results"]
    assert [each.get("conflict") for each in results] == [0.25, None, 0.75]


def test_older_bundles_have_none(make_client: ClientOf, bundle: Bundle, tiny_bundle: Path) -> None:
    assert "conflict" not in ask(make_client(bundle), BOTH)


def test_a_batch_that_is_taken_apart_keeps_it() -> None:
    empty = np.zeros((3, 1), np.float32)
    output = Output(empty, empty, empty, conflict=np.array([0.1, 0.2, 0.3], np.float32))
    taken = output.take([2, 0]).conflict
    assert taken is not None
    np.testing.assert_array_equal(taken, np.array([0.3, 0.1], np.float32))
