"""GET /metrics: what is counted, and what must not grow."""

from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.metrics import SHARES, Shares


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    client.post("/predict", json={"inputs": {"notes": "spot"}})
    client.post("/predict", json={"inputs": {"smell": "spot"}})
    client.get("/model")
    counted = samples(client)
    assert counted["tailfuse_requests_total", "/predict", "200"] == 1
    assert counted["tailfuse_requests_total", "/predict", "422"] == 1
    assert counted["tailfuse_requests_total", "/model", "200"] == 1
    assert counted["tailfuse_request_seconds_count", "/predict"] == 2
    assert counted["tailfuse_requests_in_flight",] == 1  # the one that asks
    assert counted["tailfuse_queue_depth",] == 0


def test_unknown_routes_share_one_series(client: TestClient) -> None:
    for path in ("/a", "/b", "/wp-login.php"):
        client.get(path)
    counted = samples(client)
    assert counted["tailfuse_requests_total", "other", "404"] == 3
    assert not any("/a" in key for key in counted)


def test_predictions_presence_and_weights_are_counted(client: TestClient) -> None:
    items = [{"inputs": {"clinical": {"age": 30}}}] * 2 + [
        {"inputs": {"clinical": {"age": 30}, "notes": "spot"}}
    ]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    counted = samples(client)
    assert counted["tailfuse_samples_total",] == 3
    assert counted["tailfuse_batch_size_sum",] == 3
    assert counted["tailfuse_batch_size_count",] == 1
    assert counted["tailfuse_run_seconds_count",] == 1
    present = [counted["tailfuse_modality_present_total", name] for name in ("image", "clinical", "notes")]
    assert present == [0, 3, 1]
    for name in ("nv", "mel", "bkl"):
        labels = [result["label"] for result in results]
        assert counted["tailfuse_predictions_total", name] == labels.count(name)
    # Absent modalities have weight 0, which says nothing: they are not in the histogram.
    assert counted["tailfuse_fusion_weight_count", "image"] == 0
    assert counted["tailfuse_fusion_weight_count", "clinical"] == 3
    weights = [result["modalities"]["clinical"]["weight"] for result in results]
    assert counted["tailfuse_fusion_weight_sum", "clinical"] == pytest.approx(sum(weights), abs=1e-5)
    confidence = results[2]["modalities"]["notes"]["confidence"]
    assert counted["tailfuse_confidence_sum", "notes"] == pytest.approx(confidence, abs=1e-5)


def test_problems_are_counted_by_their_reason_also_those_of_items(client: TestClient) -> None:
    client.post("/predict", content=b"{")
    client.post("/predict/batch", json={"items": [{"inputs": {"image": "AAAA"}}, {"inputs": {"notes": "x"}}]})
    counted = samples(client)
    assert counted["tailfuse_rejected_total", "bad-request"] == 1
    assert counted["tailfuse_rejected_total", "undecodable-image"] == 1


def test_the_model_is_named(client: TestClient) -> None:
    assert samples(client)["tailfuse_model_info", "cpu", "skin-lesions", "3"] == 1


def test_every_name_is_ours_or_the_processs(client: TestClient) -> None:
    assert all(key[0].startswith(("tailfuse_", "process_")) for key in samples(client))


def test_two_applications_fit_into_one_process(client_of: Any, bundle: Any) -> None:
    first, second = client_of(bundle), client_of(bundle)
    first.post("/predict", json={"inputs": {"notes": "spot"}})
    assert ("tailfuse_requests_total", "/predict", "200") not in samples(second)


def test_a_service_without_a_bundle_has_metrics(client_of: Any) -> None:
    client = client_of(None)
    client.post("/predict", json={"inputs": {"notes": "spot"}})
    assert samples(client)["tailfuse_rejected_total", "not-ready"] == 1


def test_shares_fall_into_the_buckets_that_the_library_would_put_them_in() -> None:
    shares = Shares("share", "A share.", ["a", "b"])
    values = np.array([[0.0, 0.01], [0.05, 0.5], [1.0, 0.951], [0.3, 0.7]], np.float32)
    presence = np.array([[True, True], [True, False], [True, True], [False, True]])
    shares.observe(values, presence)
    (family,) = shares.collect()
    found = {
        (sample.labels["modality"], sample.labels["le"]): sample.value
        for sample in family.samples
        if "le" in sample.labels
    }
    for column, name in enumerate("ab"):
        present = values[presence[:, column], column].astype(float)
        for edge in SHARES:
            assert found[name, str(edge)] == np.sum(present <= edge)
        assert found[name, "+Inf"] == len(present)
