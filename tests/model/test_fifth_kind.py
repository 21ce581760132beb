"""A fifth kind of modality, of two files outside the packages, is trained, exported, served and described."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient
from tailfuse import modalities as training
from tailfuse.cli.inputs import parse_inputs
from tailfuse.errors import SpecError
from tailfuse.spec.schema import load_spec
from tailfuse_service import modalities as service
from tailfuse_service.app import create_app
from tailfuse_service.bundle import BundleError, open_bundle, read_manifest
from tailfuse_service.settings import Settings

from tests.support.geo_service import GeoModality
from tests.support.geo_training import GeoKind

SPEC = """\
name: birds
table: table.csv
label: bird
split: {val: 0.2, test: 0.2}
modalities:
  where: {kind: geo, latitude: lat, longitude: lon}
  size: {kind: tabular, columns: [wing, leg]}
network: {width: 16}
training: {epochs: 8, batch_size: 32, folds: 2}
"""
BIRDS = {"penguin": (-70.0, 0.0), "gull": (52.0, 1.0), "finch": (0.0, 2.0)}


@pytest.fixture(scope="module", autouse=True)
def geo() -> Iterator[None]:
    """The kind is registered on both sides, in the same way as the four of the packages."""
    service.register(GeoModality)
    training.register(GeoKind())
    yield
    del service.KINDS["geo"], training.KINDS["geo"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, trained_by: Callable[..., Any]) -> Path:
    """A bundle trained on places and sizes, either of which is missing at times."""
    folder = tmp_path_factory.mktemp("birds")
    random = np.random.default_rng(0)
    rows = []
    for number, bird in enumerate(random.permutation(["penguin"] * 70 + ["gull"] * 40 + ["finch"] * 20)):
        latitude, size = BIRDS[bird]
        row = {"bird": bird, "lat": None, "lon": None, "wing": None, "leg": None}
        if number % 5:
            row |= {"lat": random.normal(latitude, 5), "lon": random.uniform(-180, 180)}
        if number % 5 != 1:
            row |= {"wing": random.normal(size, 0.5), "leg": random.normal(-size, 0.5)}
        rows.append(row)
    pl.DataFrame(rows).write_csv(folder / "table.csv")
    (folder / "spec.yaml").write_text(SPEC)
    path: Path = trained_by(folder / "spec.yaml", folder / "run").bundle
    return path


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundle=bundle), open_bundle(bundle))) as started:
        yield started


def test_it_is_trained(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.modalities["where"] == GeoModality(latitude="lat", longitude="lon")
    assert (manifest.metrics["where"].balanced_accuracy or 0) > 0.8
    assert [each.name for each in manifest.reference["where"].inputs] == ["latitude"]
    assert manifest.parity.keys() == {"onnx", "torchscript"}


def test_report_and_card_describe_it(bundle: Path) -> None:
    assert "a place on the globe" in (bundle / "report.html").read_text("utf-8")
    card = (bundle / "MODEL_CARD.md").read_text("utf-8")
    assert "a place on the globe" in card
    assert '"where": {"lat": 52.5, "lon": 13.4}' in card
    assert "`lat` and `lon` are in degrees." in card


def test_json_and_a_form_are_answered_alike(client: TestClient) -> None:
    place = {"lat": -75.0, "lon": 100.0}
    by_json = client.post("/predict", json={"inputs": {"where": place}}).json()
    by_form = client.post("/predict", files={"where": (None, json.dumps(place))}).json()
    assert by_json["label"] == by_form["label"] == "penguin"
    assert by_json["probabilities"] == by_form["probabilities"]
    assert by_json["modalities"]["where"] == by_form["modalities"]["where"]


def test_a_wrong_place_is_named(client: TestClient) -> None:
    response = client.post("/predict", json={"inputs": {"where": {"lat": 91, "lon": 0}}})
    assert response.status_code == 422
    assert response.json()["detail"] == "modality 'where', 'lat': expected degrees within ±90, not 91"
    for raw in (None, {"lat": None, "lon": 3}):
        missing = client.post("/predict", json={"inputs": {"where": raw}})
        assert missing.json()["type"] == "urn:tailfuse:problem:missing-modality"


def test_the_open_inference_protocol_has_its_tensor(client: TestClient) -> None:
    tensor = client.get("/v2/models/birds").json()["inputs"][0]
    assert tensor == {
        "name": "where", "datatype": "FP64", "shape": [-1, 2],
        "parameters": {"columns": ["lat", "lon"], "kind": "geo", "optional": True},
    }  # fmt: skip
    data = {"name": "where", "datatype": "FP64", "shape": [2, 2], "data": [[-75, 100], [52, 9]]}
    outputs = client.post("/v2/models/birds/infer", json={"inputs": [data]}).json()["outputs"]
    assert next(each["data"] for each in outputs if each["name"] == "label") == ["penguin", "gull"]
    by_column = {"inputs": [{"name": "where.lat", "datatype": "FP64", "shape": [1], "data": [1]}]}
    assert (
        "of kind geo is one tensor" in client.post("/v2/models/birds/infer", json=by_column).json()["error"]
    )


def test_the_documents_describe_it(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    validate(document)
    assert document["components"]["schemas"]["GeoModality"]["properties"]["latitude"]["type"] == "string"
    form = document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["encoding"]["where"] == {"contentType": "application/geo+json"}
    part = document["components"]["schemas"]["PredictForm"]["properties"]["where"]
    assert part["anyOf"][1]["required"] == ["lat", "lon"]
    model = client.get("/model").json()
    assert model["modalities"]["where"] == {"kind": "geo", "latitude": "lat", "longitude": "lon"}
    assert model["input_schema"]["properties"]["where"]["description"] == "A place, in degrees."


def test_the_command_line_reads_it() -> None:
    assert parse_inputs({"where": "geo"}, ['where={"lat": 1, "lon": 2}']) == {"where": {"lat": 1, "lon": 2}}


def test_without_its_registration_it_is_unknown(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = bundle.parent.parent / "spec.yaml"
    assert load_spec(spec).modalities["where"].kind == "geo"
    monkeypatch.delitem(service.KINDS, "geo")
    monkeypatch.delitem(training.KINDS, "geo")
    with pytest.raises(BundleError, match=r"modalities\.where.*'geo'.*'image', 'tabular', 'text', 'series'"):
        open_bundle(bundle)
    with pytest.raises(SpecError, match="'geo' is none of image, tabular, text, series"):
        load_spec(spec)
