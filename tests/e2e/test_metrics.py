"""What /metrics counts is what was asked, and the document shows the bundle that is served."""

from collections import Counter
from typing import Any

import httpx2
import openapi_spec_validator
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_form, as_json, some
from tests.support.process import TIMEOUT_S, start_service

pytestmark = pytest.mark.e2e

# How often each subset is asked for.
ASKED = {("image",): 3, ("fourier", "shape"): 2, ("image", "fourier", "shape"): 4}


@pytest.fixture(scope="module")
def answers_and_metrics(
    bundle_folder: Any, samples: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """All answers of a new service, and its metrics after them, by name and labels."""
    service = start_service(bundle_folder, log=tmp_path_factory.mktemp("log") / "metrics.log")
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False) as client:
        every = [some(samples[i], subset) for subset, n in ASKED.items() for i in range(n)]
        answers = [client.post("/predict", files=as_form(inputs)).json() for inputs in every[::2]]
        answers += [client.post("/predict", json=as_json(inputs)).json() for inputs in every[1::2]]
        items = [as_json({"image": samples[0]["image"]}), {"inputs": {"smell": 1}}, as_json(samples[1])]
        results = client.post("/predict/batch", json={"items": items}).json()["results"]
        answers += [result for result in results if "label" in result]
        for _ in range(2):
            client.post("/predict", json={"inputs": {}})
        client.post("/predict", content=b"{")
        client.get("/some/where")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert service.stop() == 0
    families = text_string_to_metric_families(response.text)
    return answers, {make_key(each): each.value for family in families for each in family.samples}


def make_key(sample: Any) -> str:
    labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}" if labels else sample.name


def test_requests_are_counted_by_route_and_status(answers_and_metrics: Any) -> None:
    answers, metrics = answers_and_metrics
    counted = {key: value for key, value in metrics.items() if key.startswith("tailfuse_requests_total")}
    assert counted == {
        "tailfuse_requests_total{route=/predict,status=200}": len(answers) - 2,
        "tailfuse_requests_total{route=/predict,status=422}": 2,
        "tailfuse_requests_total{route=/predict,status=400}": 1,
        "tailfuse_requests_total{route=/predict/batch,status=200}": 1,
        "tailfuse_requests_total{route=other,status=404}": 1,
    }
    assert metrics["tailfuse_request_seconds_count{route=/predict}"] == len(answers) + 1
    assert metrics["tailfuse_requests_in_flight"] == 1  # the scrape itself


def test_problems_are_counted_by_their_reason(answers_and_metrics: Any) -> None:
    _, metrics = answers_and_metrics
    reasons = ("missing-modality", "unknown-modality", "bad-request", "not-found")
    assert [metrics[f"tailfuse_rejected_total{{reason={reason}}}"] for reason in reasons] == [2, 1, 1, 1]


def test_every_sample_was_in_one_run(answers_and_metrics: Any) -> None:
    answers, metrics = answers_and_metrics
    assert metrics["tailfuse_batch_size_sum"] == len(answers)
    # Requests one after another run alone; the two good items of the batch run together.
    assert metrics["tailfuse_batch_size_count"] == len(answers) - 1
    assert metrics["tailfuse_batch_size_bucket{le=1.0}"] == len(answers) - 2
    assert metrics["tailfuse_stage_seconds_count{stage=run}"] == len(answers) - 1
    for stage in ("decode", "queue"):
        assert metrics[f"tailfuse_stage_seconds_count{{stage={stage}}}"] == len(answers)


def test_samples_are_counted_by_their_subset(answers_and_metrics: Any) -> None:
    answers, metrics = answers_and_metrics
    subsets = Counter(
        "+".join(name for name, each in answer["modalities"].items() if each["present"]) for answer in answers
    )
    assert len(subsets) == len(ASKED)
    for subset, count in subsets.items():
        assert metrics[f"tailfuse_samples_total{{model=digits,subset={subset},version=1}}"] == count


def test_predictions_are_counted_by_their_label(answers_and_metrics: Any, digits: Bundle) -> None:
    answers, metrics = answers_and_metrics
    labels = Counter(answer["label"] for answer in answers)
    for name in digits.manifest.class_names:
        assert metrics[f"tailfuse_predictions_total{{label={name},model=digits,version=1}}"] == labels[name]


@pytest.mark.parametrize("modality", ["image", "fourier", "shape"])
def test_presence_weight_and_confidence_are_followed(answers_and_metrics: Any, modality: str) -> None:
    answers, metrics = answers_and_metrics
    present = [each for answer in answers if (each := answer["modalities"][modality])["present"]]
    label = f"{{modality={modality},model=digits,version=1}}"
    assert metrics[f"tailfuse_modality_present_total{label}"] == len(present)
    for name, key in (("tailfuse_fusion_weight", "weight"), ("tailfuse_confidence", "confidence")):
        assert metrics[f"{name}_count{label}"] == len(present)
        assert metrics[f"{name}_sum{label}"] == pytest.approx(sum(each[key] for each in present), abs=1e-4)
        for edge in ("0.1", "0.5", "0.9"):
            below = sum(each[key] <= float(edge) for each in present)
            assert metrics[f"{name}_bucket{{le={edge},modality={modality},model=digits,version=1}}"] == below


def test_the_model_is_named(answers_and_metrics: Any) -> None:
    _, metrics = answers_and_metrics
    assert (
        metrics[
            "tailfuse_model_info{device=cpu,model=digits,precision=float32,role=stable,runtime=onnx,version=1}"
        ]
        == 1
    )


def test_the_document_is_valid_and_shows_the_inputs(client: httpx2.Client, digits: Bundle) -> None:
    document = client.get("/openapi.json").json()
    openapi_spec_validator.validate(document)
    schemas = document["components"]["schemas"]
    assert schemas["Inputs"] == digits.manifest.input_schema
    assert list(schemas["PredictForm"]["properties"]) == list(digits.features)


def test_every_example_of_the_document_is_answered(client: httpx2.Client, digits: Bundle) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    examples = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) == 1 + len(digits.features)
    for example in examples.values():
        assert client.post("/predict", json=example["value"]).status_code == 200
    example = paths["/predict/batch"]["post"]["requestBody"]["content"]["application/json"]["example"]
    results = client.post("/predict/batch", json=example).json()["results"]
    assert all("label" in result for result in results)


def test_the_docs_can_be_read(client: httpx2.Client) -> None:
    response = client.get("/docs")
    assert response.status_code == 200
    assert "/openapi.json" in response.text


def test_alive_and_ready(client: httpx2.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
