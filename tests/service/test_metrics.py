"""GET /metrics: what is counted, and what must not grow."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import Histogram
from starlette.testclient import TestClient
from tailfuse_service.bundle import Batch, Bundle, Output
from tailfuse_service.metrics import Metrics, SharedCounters, make_file
from tailfuse_service.metrics.families import SECONDS, SHARES, make_key, read_labels

from tests.support.samples import LABELS, samples

MODEL = "skin-lesions", "3"  # values of the labels `model` and `version`, in a row where none is between


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
    assert counted["tailfuse_samples_total", "skin-lesions", "clinical", "3"] == 2
    assert counted["tailfuse_samples_total", "skin-lesions", "clinical+notes", "3"] == 1
    assert counted["tailfuse_batch_size_sum",] == 3
    assert counted["tailfuse_batch_size_count",] == 1
    modalities = ("image", "clinical", "notes")
    present = [counted["tailfuse_modality_present_total", name, *MODEL] for name in modalities]
    assert present == [0, 3, 1]
    for name in ("nv", "mel", "bkl"):
        labels = [result["label"] for result in results]
        assert counted["tailfuse_predictions_total", name, *MODEL] == labels.count(name)
    # Absent modalities have weight 0, which says nothing: they are not in the histogram.
    assert counted["tailfuse_fusion_weight_count", "image", *MODEL] == 0
    assert counted["tailfuse_fusion_weight_count", "clinical", *MODEL] == 3
    weights = [result["modalities"]["clinical"]["weight"] for result in results]
    assert counted["tailfuse_fusion_weight_sum", "clinical", *MODEL] == pytest.approx(sum(weights), abs=1e-5)
    confidence = results[2]["modalities"]["notes"]["confidence"]
    assert counted["tailfuse_confidence_sum", "notes", *MODEL] == pytest.approx(confidence, abs=1e-5)


def test_problems_are_counted_by_their_reason_also_those_of_items(client: TestClient) -> None:
    client.post("/predict", content=b"{")
    client.post("/predict/batch", json={"items": [{"inputs": {"image": "AAAA"}}, {"inputs": {"notes": "x"}}]})
    counted = samples(client)
    assert counted["tailfuse_rejected_total", "bad-request"] == 1
    assert counted["tailfuse_rejected_total", "undecodable-image"] == 1


def test_the_model_is_named(client: TestClient) -> None:
    assert (
        samples(client)["tailfuse_model_info", "cpu", "skin-lesions", "float32", "stable", "onnx", "3"] == 1
    )


def test_every_name_is_ours_or_the_process_s(client: TestClient) -> None:
    assert all(key[0].startswith(("tailfuse_", "process_")) for key in samples(client))


def test_two_applications_fit_into_one_process(make_client: Any, bundle: Any) -> None:
    first, second = make_client(bundle), make_client(bundle)
    first.post("/predict", json={"inputs": {"notes": "spot"}})
    assert ("tailfuse_requests_total", "/predict", "200") not in samples(second)


def test_a_service_without_a_bundle_has_metrics(make_client: Any) -> None:
    client = make_client(None)
    client.post("/predict", json={"inputs": {"notes": "spot"}})
    assert samples(client)["tailfuse_rejected_total", "not-ready"] == 1


def get_value(metrics: Metrics, sample: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(sample, labels)


def make_batch(presence: NDArray[np.bool_]) -> Batch:
    """What is counted of a batch is its presence alone."""
    return Batch({}, {}, presence)


def get_output(weights: NDArray[np.float32]) -> Output:
    """An answer for each row of weights, all of the first class; confidences are 1 - weights."""
    probabilities = np.tile(np.array([0.5, 0.3, 0.2], np.float32), (len(weights), 1))
    return Output(probabilities, weights, 1 - weights)


def test_values_fall_into_the_buckets_that_the_library_would_put_them_in(bundle: Bundle) -> None:
    metrics = Metrics()
    weights = np.array([[0.0, 0.01, 0.5], [0.05, 0.5, 0.3], [1.0, 0.951, 0], [0.3, 0.7, 0.01]], np.float32)
    presence = np.array([[True, True, True], [True, False, True], [True, True, False], [False, True, True]])
    library = {
        name: Histogram(name, name, ["modality"], buckets=SHARES, registry=None)
        for name in ("fusion_weight", "confidence")
    }
    output = get_output(weights)
    metrics.serve(bundle).observe_batch(make_batch(presence), output, 0.002)
    for column, modality in enumerate(bundle.manifest.modalities):
        for name, values in (("fusion_weight", output.weights), ("confidence", output.confidences)):
            for value in values[presence[:, column], column]:
                library[name].labels(modality).observe(float(value))
    for histogram in library.values():
        (family,) = histogram.collect()
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found = get_value(metrics, f"tailfuse_{sample.name}", **LABELS, **sample.labels)
                assert found == pytest.approx(sample.value), sample


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0011, 0.3, 10, 1e9])
def test_the_time_of_a_request_falls_into_its_bucket(seconds: float) -> None:
    metrics = Metrics()
    metrics.observe_request("/model", 200, seconds)
    for edge in SECONDS:
        found = get_value(metrics, "tailfuse_request_seconds_bucket", route="/model", le=str(float(edge)))
        assert found == (seconds <= edge)
    assert get_value(metrics, "tailfuse_request_seconds_bucket", route="/model", le="+Inf") == 1
    assert get_value(metrics, "tailfuse_request_seconds_sum", route="/model") == seconds


@pytest.fixture
def files() -> Iterator[list[int]]:
    """Files for the cells of three processes."""
    made = [make_file() for _ in range(3)]
    yield made
    for file in made:
        os.close(file)


def find_workers(files: list[int]) -> list[Metrics]:
    """The metrics of two workers; the last file is their supervisor's."""
    return [
        Metrics(
            counters=SharedCounters(files[i]),
            others=[SharedCounters(file) for file in files if file != files[i]],
        )
        for i in range(2)
    ]


def test_each_worker_answers_for_all_of_them(bundle: Bundle, files: list[int]) -> None:
    first, second = find_workers(files)
    first.observe_request("/predict", 200, 0.01)
    second.observe_request("/predict", 200, 0.01)
    second.observe_request("/predict", 418, 0.01)  # a status that the first has never seen
    second.count_problem("teapot")
    for metrics in (first, second):
        output = get_output(np.full((2, 3), 0.25, np.float32))
        metrics.serve(bundle).observe_batch(make_batch(np.ones((2, 3), bool)), output, 0.002)
    first.in_flight.set_function(lambda: 3)
    second.queue_depth.set_function(lambda: 5)
    second.in_flight.set_function(lambda: 4)
    second.publish()
    first.publish()
    for metrics in (first, second):
        assert get_value(metrics, "tailfuse_requests_total", route="/predict", status="200") == 2
        assert get_value(metrics, "tailfuse_requests_total", route="/predict", status="418") == 1
        assert get_value(metrics, "tailfuse_rejected_total", reason="teapot") == 1
        assert get_value(metrics, "tailfuse_request_seconds_count", route="/predict") == 3
        assert get_value(metrics, "tailfuse_samples_total", **LABELS, subset="image+clinical+notes") == 4
        assert get_value(metrics, "tailfuse_predictions_total", **LABELS, label="nv") == 4
        assert get_value(metrics, "tailfuse_fusion_weight_sum", **LABELS, modality="notes") == 1.0
        assert get_value(metrics, "tailfuse_requests_in_flight") == 7
        assert get_value(metrics, "tailfuse_queue_depth") == 5
        info = {"runtime": "onnx", "device": "cpu", "precision": "float32", "role": "stable"}
        assert get_value(metrics, "tailfuse_model_info", **LABELS, **info) == 1


def test_who_takes_the_place_of_a_dead_worker_counts_on(files: list[int]) -> None:
    first, second = find_workers(files)
    second.observe_request("/predict", 200, 0.01)
    second.count_problem("overloaded")
    second.publish()
    cpu = get_value(first, "process_cpu_seconds_total")
    assert cpu is not None
    _, successor = find_workers(files)
    successor.observe_request("/predict", 200, 0.01)
    successor.observe_request("/model", 200, 0.01)
    assert get_value(first, "tailfuse_requests_total", route="/predict", status="200") == 2
    assert get_value(first, "tailfuse_requests_total", route="/model", status="200") == 1
    assert get_value(first, "tailfuse_rejected_total", reason="overloaded") == 1
    after = get_value(first, "process_cpu_seconds_total")
    assert after is not None
    assert after >= cpu


def test_a_key_that_was_half_written_when_its_worker_died_is_no_key(files: list[int]) -> None:
    counters = SharedCounters(files[0])
    counters.block("whole")[0] = 1.0
    os.pwrite(files[0], b'[1, 1, "half', os.fstat(files[0]).st_size)
    successor = SharedCounters(files[0])
    successor.block("next")[0] = 2.0
    assert dict(SharedCounters(files[0]).items()) == {("whole",): [1.0], ("next",): [2.0]}


def test_one_process_is_one_worker(client: TestClient) -> None:
    counted = samples(client)
    assert counted["tailfuse_workers",] == 1
    assert counted["tailfuse_worker_restarts_total",] == 0
    assert counted["process_resident_memory_bytes",] > 0
    assert counted["process_start_time_seconds",] > 0


def test_head_has_the_headers_and_no_body(client: TestClient) -> None:
    head = client.head("/metrics")
    assert head.status_code == 200
    assert head.headers["content-type"].startswith("text/plain")
    assert head.content == b""


def test_a_series_is_named_by_its_labels_in_any_order_and_by_no_others() -> None:
    key = make_key("shadow_disagreements", {"shadow_label": "c", "label": "b", "version": "1", "model": "a"})
    assert key == ("shadow_disagreements", "a", "1", "b", "c")
    assert read_labels(key) == {"model": "a", "version": "1", "label": "b", "shadow_label": "c"}
    for labels in ({"route": "/predict"}, {"route": "/predict", "status": "200", "slug": "x"}):
        with pytest.raises(ValueError, match="has the labels"):
            make_key("requests", labels)
