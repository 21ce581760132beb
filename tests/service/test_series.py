"""A bundle with a series, served: in JSON, as files, among others, and in the document."""

import base64
import io
import json
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from openapi_spec_validator import validate
from starlette.testclient import TestClient
from tailfuse_service.bundle import (
    MANIFEST,
    OUTPUT_NAMES,
    Bundle,
    Manifest,
    input_schema,
    open_bundle,
    sha256,
)
from tailfuse_service.bundle.manifest import ClassInfo
from tailfuse_service.modalities import Modality, SeriesModality
from tailfuse_service.modalities.series import Channel

MODALITIES: dict[str, Modality] = {
    "motion": SeriesModality(
        columns=("x", "y"), channels=(Channel(mean=0, scale=1), Channel(mean=5, scale=2)), length=50
    )
}
STEPS = [[0.5, 7.0], [1.5, 5.0], [-1.0, None]]


def mean_graph() -> bytes:
    """Two classes by the mean of each channel over the steps that the mask says are there."""
    nodes = [
        helper.make_node("Split", ["motion", "sizes"], ["values", "mask"], axis=2),
        helper.make_node("Mul", ["values", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "one"], ["steps"], keepdims=0),
        helper.make_node("Max", ["steps", "least"], ["some"]),
        helper.make_node("Div", ["sum", "some"], ["mean"]),
        helper.make_node("Softmax", ["mean"], ["rows"], axis=1),
        helper.make_node("Shape", ["presence"], ["shape"]),
        helper.make_node("Slice", ["shape", "zero", "one"], ["B"]),
        helper.make_node("Concat", ["B", "two"], ["to"], axis=0),
        helper.make_node("ConstantOfShape", ["to"], ["blank"]),
        helper.make_node("Unsqueeze", ["motion.rows", "one"], ["index"]),
        helper.make_node("ScatterND", ["blank", "index", "rows"], ["probabilities"]),
        helper.make_node("Cast", ["presence"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["presence"], ["confidences"], to=TensorProto.FLOAT),
    ]
    numbers = {"sizes": [2, 1], "zero": [0], "one": [1], "two": [2]}
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()]
    constants.append(numpy_helper.from_array(np.ones(1, np.float32), "least"))

    def value(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes, "mean",
        [
            value("presence", TensorProto.BOOL, "B", 1),
            value("motion", TensorProto.FLOAT, "n", "time", 3),
            value("motion.rows", TensorProto.INT64, "n"),
        ],
        [
            value(name, TensorProto.FLOAT, "B", width)
            for name, width in zip(OUTPUT_NAMES, (2, 1, 1), strict=True)
        ],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with one series of two channels, opened."""
    folder = tmp_path_factory.mktemp("moving")
    (folder / "model.onnx").write_bytes(mean_graph())
    manifest = Manifest(
        name="moving", version="1", label="way",
        classes=tuple(ClassInfo(name=name, train_count=9, shot="many") for name in ("left", "right")),
        modalities=MODALITIES, input_schema=input_schema(MODALITIES),
        metrics={}, calibration={}, reference={}, parity={}, spec={}, built_with={},
        files={"model.onnx": sha256(folder / "model.onnx")},
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return open_bundle(folder)


@pytest.fixture
def client(make_client: Any, moving: Bundle) -> TestClient:
    started: TestClient = make_client(moving)
    return started


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(STEPS, np.float64))
    return file.getvalue()


def expected() -> list[float]:
    """By hand: the means of the standardised channels, where a missing value is 0, through a softmax."""
    means = np.array([(0.5 + 1.5 - 1) / 3, (1 + 0 + 0) / 3])
    answer: list[float] = (np.exp(means) / np.exp(means).sum()).tolist()
    return answer


def probabilities(response: Any) -> list[float]:
    answer = response.json()
    assert response.status_code == 200, answer
    return [answer["probabilities"][name] for name in ("left", "right")]


BY_COLUMN = {"x": [0.5, 1.5, -1], "y": [7, 5, None]}


@pytest.mark.parametrize(
    "raw", [STEPS, BY_COLUMN, base64.b64encode(npy()).decode()], ids=["lists", "columns", "npy"]
)
def test_a_series_is_answered_in_json(client: TestClient, raw: Any) -> None:
    response = client.post("/predict", json={"inputs": {"motion": raw}})
    assert probabilities(response) == pytest.approx(expected(), abs=1e-5)


@pytest.mark.parametrize(
    "part",
    [npy(), b"0.5,7\n1.5,5\n-1,\n", json.dumps(STEPS).encode(), json.dumps(BY_COLUMN).encode()],
    ids=["npy", "csv", "lists", "columns"],
)
def test_a_series_is_answered_as_a_file(client: TestClient, part: bytes) -> None:
    for file in (("x.bin", part, "application/octet-stream"), (None, part)):
        response = client.post("/predict", files={"motion": file})
        assert probabilities(response) == pytest.approx(expected(), abs=1e-5)


def test_an_answer_does_not_depend_on_longer_neighbours(client: TestClient) -> None:
    items = [{"inputs": {"motion": steps}} for steps in (STEPS, STEPS * 9, [[3, 3]], [[9, 9]] * 400)]
    alone = [client.post("/predict", json=item).json()["probabilities"] for item in items]
    together = client.post("/predict/batch", json={"items": items}).json()["results"]
    for one, among in zip(alone, together, strict=True):
        assert among["probabilities"] == pytest.approx(one, abs=1e-5)


def test_a_series_that_is_wrong_is_a_problem_and_its_neighbour_is_answered(client: TestClient) -> None:
    given: list[Any] = [[[1, 2, 3]], [[1, 2]], [[1, 1e99]], {"z": []}, []]
    items = [{"inputs": {"motion": raw}} for raw in given]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert [result.get("type", "").removeprefix("urn:tailfuse:problem:") for result in results] == [
        "invalid-input", "", "not-finite", "unknown-column", "missing-modality",
    ]  # fmt: skip
    assert results[0]["detail"] == "modality 'motion': 3 channels, 2 expected; a series is (time, channels)"
    assert (results[0]["expected"], results[0]["received"]) == (2, 3)


@pytest.mark.parametrize("name", ["\\ud800", "\\udfff" * 400, "x\\ud83d", "\\u0000"])
def test_a_file_with_half_a_character_is_a_problem_and_its_neighbour_is_answered(
    client: TestClient, name: str
) -> None:
    file = f'{{"{name}": [1, 2], "y": ["{name}"]}}'.encode()
    alone = client.post("/predict/motion", content=file)
    assert (alone.status_code, alone.json()["type"]) == (422, "urn:tailfuse:problem:unknown-column")
    wrong, right = base64.b64encode(file).decode(), BY_COLUMN
    items = [{"inputs": {"motion": raw}} for raw in (right, wrong, right)]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert ["label" in result for result in results] == [True, False, True]
    document = {
        "inputs": [{"name": "motion", "datatype": "BYTES", "shape": [1], "data": [wrong]}]
    }  # of the Open Inference Protocol
    answer = client.post("/v2/models/moving/infer", json=document)
    assert answer.status_code == 422
    assert "has no column" in answer.json()["error"]


def test_a_null_in_json_is_missing_and_so_is_nan(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    answers = [
        probabilities(client.post("/predict", content=body, headers=headers))
        for body in (b'{"inputs": {"motion": [[1, null]]}}', b'{"inputs": {"motion": [[1, NaN]]}}')
    ]
    assert answers[0] == answers[1]


def test_the_document_says_how_to_send_a_series(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    validate(described)
    content = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    part = described["components"]["schemas"]["PredictForm"]["properties"]["motion"]
    assert part == {"type": "string", "format": "binary", "description": "A .npy, .wav, .csv or JSON file."}
    schema = {**content["application/json"]["schema"], "components": described["components"]}
    right: list[Any] = [STEPS, BY_COLUMN, "UklGRg==", None]
    wrong: list[Any] = [[[1, 2, 3]], [1], {"z": [1]}, 3]
    for raw in right:
        jsonschema.validate({"inputs": {"motion": raw}}, schema)
    for raw in wrong:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"inputs": {"motion": raw}}, schema)
    for example in content["application/json"]["examples"].values():
        jsonschema.validate(example["value"], schema)
        assert client.post("/predict", json=example["value"]).status_code == 200
