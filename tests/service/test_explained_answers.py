"""What ?explain=true answers."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import jsonschema
import numpy as np
import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Batch, Bundle, Output, features_by_modality, input_schema
from tailfuse_service.modalities import Modality, TabularModality
from tailfuse_service.modalities.tabular import NumberColumn

from tests.support.bundles import FakeRuntime
from tests.support.clients import ClientOf, without_id
from tests.support.explained import CLINICAL, INPUTS, ask, with_picture


@pytest.fixture
def inputs(picture: bytes) -> dict[str, Any]:
    """All three modalities."""
    return with_picture(picture)


def answers_by_subset(client: TestClient, inputs: dict[str, Any]) -> dict[tuple[str, ...], Any]:
    """What the service says to each subset, asked one by one."""
    return {
        subset: ask(client, {name: inputs[name] for name in subset}, "")
        for n in range(1, len(inputs) + 1)
        for subset in combinations(inputs, n)
    }


# --- the answer ---


def test_an_explained_answer_is_the_answer_and_an_explanation(
    client: TestClient, inputs: dict[str, Any]
) -> None:
    answer = ask(client, inputs)
    explanation = answer.pop("explanation")
    assert without_id(answer) == without_id(ask(client, inputs, ""))
    assert list(explanation) == [
        "prior", "contributions", "method", "standard_errors", "without", "alone", "disagree",
    ]  # fmt: skip
    assert explanation["prior"] == 0.333333
    assert (explanation["method"], explanation["standard_errors"]) == ("exact", None)


def test_the_parts_are_answered_as_if_asked_for_and_contributions_are_theirs(
    client: TestClient, inputs: dict[str, Any]
) -> None:
    explained, answers = ask(client, inputs), answers_by_subset(client, inputs)
    label, explanation = explained["label"], explained["explanation"]
    values = {(): 1 / 3} | {subset: each["probabilities"][label] for subset, each in answers.items()}
    for name in inputs:
        others = tuple(other for other in inputs if other != name)
        for part, subset in ((explanation["alone"], (name,)), (explanation["without"], others)):
            assert part[name]["label"] == answers[subset]["label"]
            assert part[name]["probability"] == pytest.approx(answers[subset]["probability"], abs=2e-6)
            assert part[name]["probability_of_winner"] == pytest.approx(values[subset], abs=2e-6)
        one, other = others  # the orders in which the three may become known, by who comes before `name`
        first = values[(name,)] - values[()]
        second = [values[pair(inputs, name, each)] - values[(each,)] for each in (one, other)]
        third = values[tuple(inputs)] - values[others]
        contribution = first / 3 + sum(second) / 6 + third / 3
        assert explanation["contributions"][name] == pytest.approx(contribution, abs=1e-5)
    labels = {answers[(name,)]["label"] for name in inputs}
    assert explanation["disagree"] == (len(labels) > 1)


def pair(inputs: dict[str, Any], one: str, other: str) -> tuple[str, ...]:
    return tuple(name for name in inputs if name in (one, other))


@pytest.mark.parametrize("age", range(20, 80, 10))
def test_contributions_sum_to_the_difference_from_the_prior(client: TestClient, age: int) -> None:
    answer = ask(client, {"clinical": {"age": age}, "notes": "a spot"})
    explanation = answer["explanation"]
    whole = explanation["prior"] + sum(explanation["contributions"].values())
    assert whole == pytest.approx(answer["probability"], abs=1e-9)


def test_absent_modalities_are_not_explained(client: TestClient) -> None:
    explanation = ask(client, {**INPUTS, "image": None})["explanation"]
    for member in ("contributions", "without", "alone"):
        assert list(explanation[member]) == ["clinical", "notes"]


def test_the_only_modality_contributes_everything(client: TestClient) -> None:
    answer = ask(client, {"clinical": CLINICAL})
    explanation = answer["explanation"]
    assert explanation["contributions"] == {"clinical": round(answer["probability"] - 0.333333, 6)}
    assert explanation["without"] == {"clinical": None}
    assert explanation["alone"]["clinical"]["probability"] == answer["probability"]
    assert explanation["disagree"] is False


@pytest.mark.parametrize("query", ["?explain=false", "?explain=true&explain=false"])
def test_whoever_does_not_ask_gets_no_explanation(client: TestClient, query: str) -> None:
    assert without_id(ask(client, INPUTS, query)) == without_id(ask(client, INPUTS, ""))


def test_top_k_goes_with_it(client: TestClient) -> None:
    answer = ask(client, INPUTS, "?explain=true&top_k=1")
    assert len(answer["probabilities"]) == 1
    assert answer["explanation"] == ask(client, INPUTS)["explanation"]


def test_a_form_is_explained_like_json(client: TestClient, inputs: dict[str, Any], picture: bytes) -> None:
    files: Any = {
        "image": picture,
        "clinical": (None, '{"age": 61, "pulse": 70.5, "smoker": true, "site": "back"}'),
    }
    by_form = client.post("/predict?explain=true", files=files).json()
    by_json = ask(client, {name: inputs[name] for name in ("image", "clinical")})
    assert by_form["explanation"] == by_json["explanation"]


@pytest.mark.parametrize("value", ["yes", "1", "True", "", "²"])
@pytest.mark.parametrize("route", ["/predict", "/predict/batch"])
def test_any_other_value_is_refused(client: TestClient, route: str, value: str) -> None:
    response = client.post(route, params={"explain": value}, json={"inputs": INPUTS})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (422, "urn:tailfuse:problem:invalid-input")
    assert (problem["parameter"], problem["expected"]) == ("explain", "true or false")


def test_a_wrong_value_is_the_usual_problem(client: TestClient) -> None:
    response = client.post("/predict?explain=true", json={"inputs": {"clinical": {"age": "old"}}})
    assert (response.status_code, response.json()["column"]) == (422, "age")


def test_a_batch_is_explained_item_by_item(client: TestClient) -> None:
    good = [{"inputs": {"clinical": {"age": age}, "notes": "a spot"}} for age in (20, 40, 60)]
    items = [good[0], {"inputs": {"smell": 1}}, {"no": 1}, *good[1:]]
    results = client.post("/predict/batch?explain=true", json={"items": items}).json()["results"]
    assert [without_id(result) for result in (results[0], *results[3:])] == [
        without_id(ask(client, item["inputs"])) for item in good
    ]
    assert [result["type"].rpartition(":")[2] for result in results[1:3]] == [
        "unknown-modality", "invalid-input",
    ]  # fmt: skip


def test_explained_answers_fit_the_document(client: TestClient, inputs: dict[str, Any]) -> None:
    described = client.get("/openapi.json").json()
    shape = {"$ref": "#/components/schemas/Answer", "components": described["components"]}
    for names in (("image", "clinical", "notes"), ("notes",)):
        answer = ask(client, {name: inputs[name] for name in names})
        jsonschema.validate(answer, shape)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**answer, "explanation": {"prior": 0.1}}, shape)


# --- many modalities ---


@pytest.fixture
def wide(bundle: Bundle, runtime: FakeRuntime) -> Bundle:
    """A bundle of eight modalities, and a runtime whose first class gains by each of them."""
    names = [f"m{at}" for at in range(8)]
    column = NumberColumn(name="x", mean=0, scale=1)
    modalities: dict[str, Modality] = {name: TabularModality(columns=(column,), width=1) for name in names}
    features = features_by_modality(modalities)
    manifest = bundle.manifest.model_copy(
        update={"modalities": modalities, "input_schema": input_schema(modalities)}
    )

    def get_output(batch: Batch) -> Output:
        odds = np.zeros(batch.presence.shape)
        for at, name in enumerate(names):
            odds[batch.rows[name], at] = batch.inputs[name][:, 0]
        first = 1 / (1 + 2 * np.exp(-odds.sum(1, keepdims=True)))
        even = FakeRuntime.evenly(batch)
        return replace(even, probabilities=np.hstack([first, (1 - first) / 2, (1 - first) / 2]).astype("f4"))

    runtime.get_output = get_output
    return replace(bundle, manifest=manifest, features=features, runtime=runtime)


def test_more_than_six_modalities_are_sampled_and_say_how_far_off(
    make_client: ClientOf, wide: Bundle, runtime: FakeRuntime
) -> None:
    client = make_client(wide)
    inputs = {name: [value] for name, value in zip(wide.features, (3, 2, 2, 1, 1, 0, 0, -2), strict=True)}
    answer = ask(client, inputs)
    explanation = answer["explanation"]
    contributions, errors = explanation["contributions"], explanation["standard_errors"]
    assert explanation["method"] == "sampled"
    whole = explanation["prior"] + sum(contributions.values())
    assert whole == pytest.approx(answer["probability"], abs=1e-9)
    assert contributions["m0"] > contributions["m1"] > contributions["m3"] > 0 > contributions["m7"]
    assert contributions["m5"] == contributions["m6"] == errors["m5"] == 0
    assert 0 < errors["m0"] < 0.1
    assert max(runtime.sizes) <= 64
    assert ask(client, inputs)["explanation"] == explanation
    assert ask(client, {**inputs, "m0": [2.9]})["explanation"]["standard_errors"] != errors
