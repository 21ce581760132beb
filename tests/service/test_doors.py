"""One rule at every door: however a cell is spelled and sent, it has the same answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from tailfuse_client import ModelInfo, inputs_of_row
from tailfuse_client.requests import make_batch_requests, make_predict_request
from tailfuse_service.bundle import Bundle, open_bundle
from tailfuse_service.errors import ClientError
from tailfuse_service.modalities import TabularModality
from tailfuse_service.modalities.limits import Limits
from tailfuse_service.modalities.tabular import BooleanColumn, CategoryColumn, NumberColumn
from tailfuse_service.modalities.tensor import to_shortest_floats
from tailfuse_service.oip.grpc_infer import read_tensors
from tailfuse_service.oip.inputs import make_rows
from tailfuse_service.oip.messages import message
from tailfuse_service.oip.tensors import DTYPES

from tests.support.bundles import MODALITIES, write_tiny_bundle
from tests.support.oip.tensors import INFER, packed

COLUMNS = (
    NumberColumn(name="age", mean=2.0, scale=4.0, indicator=True),
    NumberColumn(name="pulse", mean=70.0, scale=5.0),
    BooleanColumn(name="smoker"),
    CategoryColumn(name="site", categories=("1", "0.1")),
)
ROW = {"age": "3", "pulse": "70.5", "smoker": "true", "site": "0.1"}


class Typed:
    """A cell that is sent as a tensor of this datatype."""

    def __init__(self, datatype: str, value: Any) -> None:
        self.datatype, self.value = datatype, value

    def __repr__(self) -> str:
        return f"{self.datatype}({self.value!r})"


TRUE_AS_NUMBER = [Typed("BOOL", True), Typed("INT8", 1), Typed("UINT64", 1), Typed("FP16", 1.0)]
# Column, and the cells that mean the same; None is a value that is missing.
SAME: dict[str, tuple[str, list[Any]]] = {
    "the number 1": (
        "age",
        ["1", 1, 1.0, "1.0", " 1.0 ", "1e0", "1E0", "+1", "01", "1.", "\t1\n", "10e-1", True,
         Typed("FP64", 1.0), *TRUE_AS_NUMBER],
    ),
    "the number 0.1": ("age", ["0.1", 0.1, ".1", "1e-1", "0.10", Typed("FP64", 0.1), Typed("FP32", 0.1)]),
    "the number -0": ("age", ["-0.0", -0.0, "0", 0, False, Typed("INT32", 0), Typed("BOOL", False)]),
    "no number": ("age", [None, "", " ", "NA", " NA ", "-", Typed("FP32", float("nan"))]),
    "true": (
        "smoker",
        ["true", True, "True", "TRUE", " tRuE ", "1", 1, 1.0, "1.0", *TRUE_AS_NUMBER],
    ),
    "false": ("smoker", ["false", False, "False", "0", 0, "0.0", Typed("BOOL", False), Typed("FP32", 0.0)]),
    "no truth value": ("smoker", [None, "", "NA", "-", Typed("FP64", float("nan"))]),
    "the category 1": (
        "site",
        ["1", 1, 1.0, "1.0", " 1 ", "1e0", "+1", Typed("INT64", 1), Typed("FP64", 1.0), Typed("FP16", 1.0)],
    ),
    "the category 0.1": (
        "site",
        ["0.1", 0.1, ".1", "0.10", "1e-1", " 0.1",
         Typed("FP64", 0.1), Typed("FP32", 0.1), Typed("FP16", 0.1)],
    ),
    "an unseen category": ("site", ["01", "7", 7, "elsewhere", "1,0", True, "TRUE", Typed("BOOL", True)]),
    "no category": ("site", [None, "", "NA", " - ", Typed("FP32", float("nan"))]),
    "no number at all": ("age", ["abc", "1,0", "0x1", "1_0", "TRUE", "nan", "inf", "\u0661"]),
    "a number that is too large": ("age", [1e300, Typed("FP64", 1e300), Typed("FP32", float("inf"))]),
    "no truth value at all": ("smoker", ["yes", "2", 2, 0.5, Typed("INT64", 2), Typed("FP32", 0.5)]),
}  # fmt: skip
REFUSED = {
    "no number at all": "invalid-input",
    "a number that is too large": "not-finite",
    "no truth value at all": "invalid-input",
}

Answer = dict[str, float] | str  # the probabilities, or the slug of a problem
Door = Callable[[TestClient, str, Any], Answer]


def read_answer(answer: Any) -> Answer:
    found: Answer = answer["type"].rpartition(":")[2] if "type" in answer else answer["probabilities"]
    return found


def by_column(client: TestClient, column: str, cell: Any) -> Answer:
    inputs = {"clinical": {**ROW, column: cell}}
    return read_answer(client.post("/predict", json={"inputs": inputs}).json())


def in_order(client: TestClient, column: str, cell: Any) -> Answer:
    cells = list({**ROW, column: cell}.values())
    return read_answer(client.post("/predict", json={"inputs": {"clinical": cells}}).json())


def as_form(client: TestClient, column: str, cell: Any) -> Answer:
    part: Any = (None, json.dumps({**ROW, column: cell}))
    return read_answer(client.post("/predict", files={"clinical": part}).json())


def as_batch(client: TestClient, column: str, cell: Any) -> Answer:
    items = [{"inputs": {"clinical": {**ROW, column: each}}} for each in (ROW[column], cell)]
    return read_answer(client.post("/predict/batch", json={"items": items}).json()["results"][1])


def by_client(client: TestClient, column: str, cell: Any) -> Answer:
    """What `tailfuse call` sends of one row of a table."""
    inputs = inputs_of_row({**ROW, column: cell}, describe(client))
    request = make_predict_request(inputs, {})
    return read_answer(client.post(request.url, content=request.content, files=request.files).json())


def by_client_in_batch(client: TestClient, column: str, cell: Any) -> Answer:
    inputs = inputs_of_row({**ROW, column: cell}, describe(client))
    [request] = make_batch_requests([inputs], {}, 8)
    return read_answer(client.post(request.url, content=request.content).json()["results"][0])


def describe(client: TestClient) -> ModelInfo:
    described = client.get("/model").json()
    return ModelInfo("m", "1", "label", (), described["modalities"], {}, {}, "onnx", "cpu")


def infer(client: TestClient, *tensors: Any, binary: bytes = b"") -> Answer:
    document = json.dumps({"inputs": tensors}).encode()
    headers = {"inference-header-content-length": str(len(document))} if binary else {}
    answer = client.post(INFER, content=document + binary, headers=headers).json()
    if "outputs" not in answer:
        return read_answer(answer)
    data = {output["name"]: output["data"] for output in answer["outputs"]}
    return dict(zip(("nv", "mel", "bkl"), data["probabilities"], strict=True))


def as_tensor(client: TestClient, column: str, cell: Any) -> Answer:
    cells = list({**ROW, column: cell}.values())
    return infer(client, {"name": "clinical", "datatype": "BYTES", "shape": [1, 4], "data": cells})


def as_binary_tensor(client: TestClient, column: str, cell: Any) -> Answer:
    cells = packed([(each or "").encode() for each in {**ROW, column: cell}.values()])
    size = {"binary_data_size": len(cells)}
    tensor = {"name": "clinical", "datatype": "BYTES", "shape": [1, 4], "parameters": size}
    return infer(client, tensor, binary=cells)


def as_column(client: TestClient, column: str, cell: Any) -> Answer:
    cells = {**ROW, column: cell}
    return infer(client, *(
        {"name": f"clinical.{name}", "datatype": "BYTES", "shape": [1], "data": [each]}
        for name, each in cells.items()
    ))  # fmt: skip


def as_typed_column(client: TestClient, column: str, cell: Typed) -> Answer:
    tensors = [
        {"name": f"clinical.{name}", "datatype": "BYTES", "shape": [1], "data": [each]}
        for name, each in ROW.items()
        if name != column
    ]
    data = np.array([cell.value], DTYPES[cell.datatype]).tobytes()
    size = {"binary_data_size": len(data)}
    typed = {"name": f"clinical.{column}", "datatype": cell.datatype, "shape": [1], "parameters": size}
    return infer(client, *tensors, typed, binary=data)


def by_grpc(client: TestClient, column: str, cell: Any) -> Answer:
    """A gRPC message, read as the server reads it."""
    tensors = [
        {
            "name": f"clinical.{name}", "datatype": "BYTES", "shape": [1],
            "contents": {"bytes_contents": [(each or "").encode()]},
        }
        for name, each in {**ROW, column: cell}.items()
    ]  # fmt: skip
    app: Any = client.app
    bundle: Bundle = app.registry.engine.bundle
    request = message("ModelInferRequest")(model_name="m", inputs=tensors)
    try:
        [row] = make_rows(read_tensors(request, Limits()), bundle.manifest, Limits(), 8)
        probabilities = bundle.run([bundle.sample(row)]).probabilities[0]
    except ClientError as error:
        return error.slug
    return dict(zip(("nv", "mel", "bkl"), probabilities.tolist(), strict=True))


JSON_DOORS: list[Door] = [by_column, in_order, as_form, as_batch, by_client, by_client_in_batch]
TEXT_DOORS: list[Door] = [as_tensor, as_binary_tensor, as_column, by_grpc]


@pytest.fixture(scope="module")
def spelled_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle with a column of each type, and texts that are missing."""
    clinical = TabularModality(columns=COLUMNS, width=6, missing=("NA", "-"))
    modalities = {**MODALITIES, "clinical": clinical}
    folder: Path = tmp_path_factory.mktemp("bundles") / "spelled"
    return open_bundle(write_tiny_bundle(folder, modalities=modalities))


@pytest.mark.parametrize("meaning", SAME)
def test_a_cell_means_the_same_at_every_door(make_client: Any, spelled_bundle: Bundle, meaning: str) -> None:
    client = make_client(spelled_bundle)
    column, cells = SAME[meaning]
    expected = REFUSED.get(meaning) or by_column(client, column, cells[0])
    for cell in cells:
        if isinstance(cell, Typed):
            doors: list[Door] = [as_typed_column]
        elif cell is None or isinstance(cell, str):
            doors = [*JSON_DOORS, *TEXT_DOORS]
        else:
            doors = JSON_DOORS
        for door in doors:
            answer = door(client, column, cell)
            if isinstance(expected, dict) and isinstance(answer, dict):
                assert answer == pytest.approx(expected, abs=2e-6), (door.__name__, cell)
            else:
                assert answer == expected, (door.__name__, cell)


@pytest.mark.parametrize(
    ("datatype", "value", "same"),
    [("<f4", 0.1, 0.1), ("<f2", 0.1, 0.1), ("<f4", 1e-05, 1e-05), ("<f4", 250.25, 250.25),
     ("<f2", 65504, 65504), ("<f4", 2**24 - 1, 2**24 - 1), ("<f4", -0.0, 0.0), ("<i8", 2**62 + 1, 2**62 + 1)],
)  # fmt: skip
def test_a_short_float_is_the_decimal_that_it_was_made_of(datatype: str, value: float, same: float) -> None:
    assert to_shortest_floats(np.array([value], datatype)).tolist() == [same]


def test_no_number_is_left_as_it_is() -> None:
    values = to_shortest_floats(np.array([np.nan, np.inf, -np.inf], np.float32))
    assert np.array_equal(values, [np.nan, np.inf, -np.inf], equal_nan=True)


def test_the_meanings_differ(make_client: Any, spelled_bundle: Bundle) -> None:
    """Else the test above would show nothing."""
    client = make_client(spelled_bundle)
    for column in ("age", "smoker", "site"):
        answers = [
            by_column(client, of, cells[0])
            for name, (of, cells) in SAME.items()
            if of == column
            and name not in REFUSED
            and name != "no category"  # it has the slots of an unseen one
        ]
        assert len({json.dumps(answer) for answer in answers}) == len(answers)
