"""The prior of a service and of a request: in answers, batches, forms, explanations and metrics."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle, make_prior
from tailfuse_service.inference.requested import add_prior, apply_priors
from tailfuse_service.models.repository import Repository
from tailfuse_service.settings import Settings

from tests.support.asking import assert_problem
from tests.support.clients import ClientOf, without_id

CLINICAL = {"clinical": {"age": 61, "pulse": 70.5, "smoker": True, "site": "back"}}
NOTES = {"notes": "an itching mole"}
COUNTS = {"nv": 90, "mel": 40, "bkl": 3}
SHARES = {"nv": 0.2, "mel": 0.3, "bkl": 0.5}


def ask(client: TestClient, query: str = "", inputs: Any = CLINICAL) -> Any:
    answer = client.post(f"/predict{query}", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    return answer.json()


def weigh(answer: Any, shares: Any) -> dict[str, float]:
    """The probabilities of an answer for equal shares, times these."""
    products = {name: probability * shares[name] for name, probability in answer["probabilities"].items()}
    total = sum(products.values())
    return {name: product / total for name, product in products.items()}


@pytest.fixture
def skewed(make_client: ClientOf, bundle: Bundle) -> TestClient:
    """A service that answers for the training shares."""
    return make_client(replace(bundle, prior=make_prior(bundle.manifest, "training")))


def test_a_request_names_its_prior(client: TestClient) -> None:
    plain = ask(client)
    answer = ask(client, "?prior=training")
    assert answer["prior"] == "training"
    assert answer["probabilities"] == pytest.approx(weigh(plain, COUNTS), abs=1e-5)
    assert answer["label"] == next(iter(answer["probabilities"]))
    assert list(answer["probabilities"].values()) == sorted(answer["probabilities"].values(), reverse=True)
    assert answer["modalities"] == plain["modalities"]
    tempered = ask(client, "?prior=tempered")
    assert tempered["prior"] == "tempered"
    power = {name: count**0.25 for name, count in COUNTS.items()}
    assert tempered["probabilities"] == pytest.approx(weigh(plain, power), abs=1e-5)


def test_an_answer_for_the_graphs_own_prior_is_as_before(client: TestClient) -> None:
    plain = ask(client)
    assert "prior" not in plain
    assert without_id(ask(client, "?prior=uniform")) == without_id(plain)


def test_a_service_has_a_prior_and_a_request_may_name_another_one(
    client: TestClient, skewed: TestClient
) -> None:
    plain = ask(client)
    answer = ask(skewed)
    assert answer["prior"] == "training"
    assert answer["probabilities"] == pytest.approx(weigh(plain, COUNTS), abs=1e-5)
    assert without_id(ask(skewed, "?prior=uniform")) == without_id(plain)
    assert without_id(ask(skewed, "?prior=tempered")) == without_id(ask(client, "?prior=tempered"))


def test_rows_of_one_run_keep_their_own_priors(bundle: Bundle) -> None:
    """Requests with and without a prior share a batch."""
    training, uniform = (make_prior(bundle.manifest, name) for name in ("training", "uniform"))
    assert training.factors is not None
    sample = bundle.sample(CLINICAL)
    samples = [sample, add_prior(sample, training), add_prior(sample, uniform)]
    graph = bundle.run(samples)
    weighted = graph.probabilities[0] * training.factors
    weighted /= weighted.sum()
    for default, first in ((None, graph.probabilities[0]), (training, weighted)):
        answered = apply_priors(graph, samples, replace(bundle, prior=default)).probabilities
        np.testing.assert_allclose(answered, [first, weighted, graph.probabilities[0]], atol=1e-6)


def test_batches_and_forms_take_the_prior_too(client: TestClient) -> None:
    expected = [without_id(ask(client, "?prior=training", inputs)) for inputs in (CLINICAL, NOTES)]
    body = {"items": [{"inputs": CLINICAL}, {"inputs": {"smell": 1}}, {"inputs": NOTES}]}
    first, problem, last = client.post("/predict/batch?prior=training", json=body).json()["results"]
    assert [without_id(first), without_id(last)] == expected
    assert problem["status"] == 422
    form = client.post("/predict?prior=training", files={"notes": (None, NOTES["notes"], "text/plain")})
    assert without_id(form.json()) == expected[1]


def test_an_explanation_starts_from_the_named_prior(client: TestClient, skewed: TestClient) -> None:
    both = CLINICAL | NOTES
    answer = ask(client, "?prior=training&explain=true", both)
    explanation = answer["explanation"]
    assert explanation["prior"] == pytest.approx(COUNTS[answer["label"]] / 133, abs=1e-6)
    total = explanation["prior"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(answer["probability"], abs=2e-6)
    assert without_id(ask(skewed, "?explain=true", both)) == without_id(answer)
    alone = ask(client, "?prior=training", CLINICAL)
    assert explanation["alone"]["clinical"]["probability"] == alone["probability"]
    body = {"items": [{"inputs": both}]}
    (item,) = client.post("/predict/batch?prior=training&explain=true", json=body).json()["results"]
    assert without_id(item) == without_id(answer)


@pytest.mark.parametrize("value", ["", "Training", "given", "shares.yaml", "0.5", "trainin%20g"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_an_unknown_prior_is_refused(client: TestClient, value: str, path: str) -> None:
    body = {"inputs": CLINICAL, "items": [{"inputs": CLINICAL}]}
    answer = client.post(f"{path}?prior={value}", json=body)
    assert_problem(answer.json(), "invalid-input", 422)
    assert "prior must be uniform, training or tempered, not" in answer.json()["detail"]
    assert answer.json()["parameter"] == "prior"


def test_a_prior_that_the_bundle_cannot_have_is_a_problem(make_client: ClientOf, bundle: Bundle) -> None:
    classes = tuple(info.model_copy(update={"train_count": 0}) for info in bundle.manifest.classes)
    client = make_client(replace(bundle, manifest=bundle.manifest.model_copy(update={"classes": classes})))
    answer = client.post("/predict?prior=training", json={"inputs": CLINICAL})
    assert_problem(answer.json(), "invalid-input", 422)
    assert "does not say how many training rows class 'nv' had" in answer.json()["detail"]


def test_metrics_count_what_was_answered(client: TestClient) -> None:
    answers = [ask(client, query) for query in ("", "?prior=training")]
    text = client.get("/metrics").text
    for label in COUNTS:
        line = rf'tailfuse_probability_total{{[^}}]*label="{label}"[^}}]*}} (\S+)'
        found = re.search(line, text)
        assert found is not None
        expected = sum(each["probabilities"][label] for each in answers)
        assert float(found[1]) == pytest.approx(expected, abs=1e-5)


def test_the_setting_is_checked_at_the_start(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "shares.json"
    path.write_text(json.dumps(SHARES))
    assert Settings(bundle=tiny_bundle, prior=str(path)).prior == str(path)
    with pytest.raises(ValueError, match="prior 'trainin'"):
        Settings(bundle=tiny_bundle, prior="trainin")


def test_a_service_answers_for_the_shares_of_a_file(
    make_client: ClientOf, client: TestClient, tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shares.json"
    path.write_text(json.dumps(SHARES))
    settings = Settings(bundle=tiny_bundle, prior=str(path))
    (opened,) = Repository(settings).open({})
    answer = ask(make_client(opened, prior=str(path)))
    assert answer["prior"] == "given"
    assert answer["probabilities"] == pytest.approx(weigh(ask(client), SHARES), abs=1e-5)
