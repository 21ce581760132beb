"""What the bench of the service asks for is answered alike by the service and by a peer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving_bench.peers import fastapi_app
from serving_bench.round_robin import compute_expected
from serving_bench.servers import OURS, SERVERS, list_answers
from serving_bench.workloads import Workload, make_request, make_workloads
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

NAMES = (
    "tabular", "image", "image+tabular", "mix", "large", "png", "webp", "photo", "value",
    "multipart", "batch",
)  # fmt: skip


@pytest.fixture(scope="module")
def ours(bundle: Bundle, tiny_bundle: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundle=tiny_bundle), bundle)) as client:
        yield client


@pytest.fixture(scope="module")
def peer(bundle: Bundle) -> Iterator[TestClient]:
    with TestClient(fastapi_app.create_app(bundle)) as client:
        yield client


def answered(client: TestClient, path: str, workload: Workload, at: int) -> list[dict[str, Any]]:
    """The answers to one request, without what no two answers share."""
    kind, body = make_request(workload.shape, workload.requests[at])
    response = client.post(path, content=body, headers={"content-type": kind})
    assert response.status_code == 200, response.text
    return [{**answer, "request_id": ""} for answer in list_answers(response.json())]


@pytest.mark.parametrize("name", NAMES)
def test_the_service_and_a_fastapi_app_answer_a_workload_alike(
    ours: TestClient, peer: TestClient, workloads: dict[str, Workload], bundle: Bundle, name: str
) -> None:
    workload = workloads[name]
    shape = workload.shape
    for at, samples in enumerate(workload.requests[:3]):
        answers = answered(ours, SERVERS[OURS].paths[shape], workload, at)
        if shape in SERVERS["fastapi"].paths:
            assert answers == answered(peer, SERVERS["fastapi"].paths[shape], workload, at)
        expected = compute_expected(bundle, workload._replace(requests=[samples]))
        assert [answer["probabilities"] for answer in answers] == [
            pytest.approx(probabilities, abs=1e-5) for probabilities in expected
        ]


def test_all_workloads_are_there_and_the_same_each_time(
    bundle: Bundle, workloads: dict[str, Workload]
) -> None:
    assert tuple(workloads) == NAMES
    assert make_workloads(bundle) == workloads


def test_the_mix_has_every_subset_as_often(workloads: dict[str, Workload]) -> None:
    subsets = [tuple(sorted(sample)) for sample in workloads["mix"].samples]
    assert {subsets.count(each) for each in subsets} == {len(subsets) // 3}
    assert len(set(subsets)) == 3
