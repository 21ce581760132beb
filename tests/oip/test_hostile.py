"""Requests that are wrong in every way that the protocol allows one to be: refused, and never with a 500."""

import gzip
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.support.oip.tensors import CLINICAL, INFER, INPUTS, packed

NUMBERS = np.zeros(8, "<f4").tobytes()


def binary(
    sections: bytes, *sizes: Any, length: Any = None, shape: Any = (2, 4), datatype: str = "BYTES"
) -> Any:
    """A request whose inputs say that they have these sizes: its body, and what it says of its JSON."""
    head = orjson.dumps({"inputs": [
        {"name": f"clinical{'' if at == 0 else at}", "datatype": datatype, "shape": list(shape),
         "parameters": {"binary_data_size": size}} for at, size in enumerate(sizes)
    ]})  # fmt: skip
    return head + sections, str(len(head) if length is None else length)


ROW = packed([each.encode() for each in CLINICAL])
BINARY = {
    "too few bytes": binary(ROW[:-3], len(ROW)),
    "a size that is too small": binary(ROW, len(ROW) - 1),
    "bytes that belong to nobody": binary(ROW + b"more", len(ROW)),
    "a negative size": binary(ROW, -1),
    "a size that is no number": binary(ROW, "9"),
    "a size that is a boolean": binary(ROW, True),
    "sizes that overlap": binary(ROW, len(ROW), len(ROW)),
    "a huge size": binary(ROW, 2**63),
    "elements that go beyond the end": binary(struct.pack("<I", 2**32 - 1) * 8, 32),
    "elements too many": binary(ROW, len(ROW), shape=(2, 3)),
    "bad UTF-8": binary(packed([b"\xff\xfe"] * 8), 48),
    "numbers too short": binary(NUMBERS[:-1], 31, datatype="FP32"),
    "numbers of a huge shape": binary(NUMBERS, 32, shape=(2**62, 2**62), datatype="FP32"),
    "a huge shape with a zero": binary(b"", 0, shape=(0, 2**62), datatype="FP32"),
    "elements of a huge shape": binary(ROW, len(ROW), shape=(2**40,)),
    "a BOOL that is 2": binary(b"\2" * 8, 8, datatype="BOOL"),
    "a header that is longer than the body": binary(ROW, len(ROW), length=10**9),
    "a header that is no number": binary(ROW, len(ROW), length="ten"),
    "a header that is negative": binary(ROW, len(ROW), length=-1),
    "a header of a thousand digits": binary(ROW, len(ROW), length="9" * 1000),
    "a header that ends within the JSON": binary(ROW, len(ROW), length=20),
    "a header of nothing": binary(ROW, len(ROW), length=0),
}
ONE = {"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["a"]}
JSON: dict[str, Any] = {
    "no object": [],
    "no inputs": {},
    "empty inputs": {"inputs": []},
    "inputs that are no array": {"inputs": {"notes": "a"}},
    "an input that is no object": {"inputs": ["notes"]},
    "no name": {"inputs": [{**ONE, "name": None}]},
    "an unknown name": {"inputs": [{**ONE, "name": "sound"}]},
    "an unknown column": {"inputs": [{**ONE, "name": "clinical.height"}]},
    "a column of a picture": {"inputs": [{**ONE, "name": "image.red"}]},
    "an empty name": {"inputs": [{**ONE, "name": ""}]},
    "a name twice": {"inputs": [ONE, ONE]},
    "a whole and its columns": {"inputs": [
        {"name": "clinical", "datatype": "BYTES", "shape": [1, 4], "data": ["1"] * 4},
        {"name": "clinical.age", "datatype": "BYTES", "shape": [1], "data": ["1"]}]},
    "an unknown datatype": {"inputs": [{**ONE, "datatype": "BF16"}]},
    "a datatype that is no string": {"inputs": [{**ONE, "datatype": ["BYTES"]}]},
    "a shape of nothing": {"inputs": [{**ONE, "shape": []}]},
    "a shape of text": {"inputs": [{**ONE, "shape": "1"}]},
    "a negative dimension": {"inputs": [{**ONE, "shape": [-1]}]},
    "a dimension that is a fraction": {"inputs": [{**ONE, "shape": [1.0]}]},
    "a dimension that is a boolean": {"inputs": [{**ONE, "shape": [True]}]},
    "a dimension beyond 64 bits": {"inputs": [{**ONE, "shape": [2**63]}]},
    "too many dimensions": {"inputs": [{**ONE, "shape": [1] * 1000}]},
    "no rows": {"inputs": [{**ONE, "shape": [0], "data": []}]},
    "too many rows": {"inputs": [{**ONE, "shape": [1000], "data": ["a"] * 1000}]},
    "rows that differ": {"inputs": [ONE, {**ONE, "name": "image", "shape": [2], "data": ["", ""]}]},
    "too little data": {"inputs": [{**ONE, "shape": [2]}]},
    "ragged data": {"inputs": [{"name": "clinical", "datatype": "BYTES", "shape": [2, 4],
                                "data": [["1", "2", "3"], ["1", "2", "3", "4", "5"]]}]},
    "data too deep": {"inputs": [{**ONE, "data": [[["a"]]]}]},
    "data of objects": {"inputs": [{**ONE, "data": [{}]}]},
    "data that is no array": {"inputs": [{**ONE, "data": "a"}]},
    "no data": {"inputs": [{key: value for key, value in ONE.items() if key != "data"}]},
    "data and bytes": {"inputs": [{**ONE, "parameters": {"binary_data_size": 0}}]},
    "text as numbers": {"inputs": [
        {"name": "clinical.age", "datatype": "FP32", "shape": [1], "data": ["61"]}]},
    "booleans as numbers": {"inputs": [
        {"name": "clinical.age", "datatype": "FP32", "shape": [1], "data": [True]}]},
    "a number beyond its datatype": {"inputs": [
        {"name": "clinical.age", "datatype": "INT8", "shape": [1], "data": [1000]}]},
    "a number that becomes infinite": {"inputs": [
        {"name": "clinical.age", "datatype": "FP32", "shape": [1], "data": [1e300]}]},
    "an infinite number": {"inputs": [
        {"name": "clinical.age", "datatype": "BYTES", "shape": [1], "data": ["inf"]}]},
    "a number with underscores": {"inputs": [
        {"name": "clinical.age", "datatype": "BYTES", "shape": [1], "data": ["1_0"]}]},
    "a boolean of 2": {"inputs": [
        {"name": "clinical.smoker", "datatype": "INT8", "shape": [1], "data": [2]}]},
    "presence alone": {"inputs": [
        {"name": "presence", "datatype": "BOOL", "shape": [1, 3], "data": [True] * 3}]},
    "presence of the wrong shape": {"inputs": [
        ONE, {"name": "presence", "datatype": "BOOL", "shape": [1, 2], "data": [True] * 2}]},
    "presence of the wrong type": {"inputs": [
        ONE, {"name": "presence", "datatype": "INT8", "shape": [1, 3], "data": [1] * 3}]},
    "presence of nothing": {"inputs": [
        ONE, {"name": "presence", "datatype": "BOOL", "shape": [1, 3], "data": [False] * 3}]},
    "a picture that is none": {"inputs": [{**ONE, "name": "image", "data": ["bm8="]}]},
    "a picture that is not base64": {"inputs": [{**ONE, "name": "image", "data": ["?"]}]},
    "a picture of numbers": {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1], "data": [1]}]},
    "an unknown output": {"inputs": [ONE], "outputs": [{"name": "logits"}]},
    "an output that is no string": {"inputs": [ONE], "outputs": [{"name": ["label"]}]},
    "an output twice": {"inputs": [ONE], "outputs": [{"name": "label"}, {"name": "label"}]},
    "outputs that are no array": {"inputs": [ONE], "outputs": "label"},
    "an output that is no object": {"inputs": [ONE], "outputs": ["label"]},
    "a classification": {"inputs": [ONE], "outputs": [
        {"name": "label", "parameters": {"classification": 1}}]},
    "shared memory": {"inputs": [{**ONE, "parameters": {"shared_memory_region": "a"}}]},
    "parameters that are no object": {"inputs": [ONE], "parameters": 1},
    "a flag that is no boolean": {"inputs": [ONE], "parameters": {"binary_data_output": "yes"}},
    "an id that is no string": {"inputs": [ONE], "id": 1},
}  # fmt: skip


@pytest.mark.parametrize("request_", BINARY.values(), ids=list(BINARY))
def test_bytes_that_are_wrong_are_refused(client: TestClient, request_: tuple[bytes, str]) -> None:
    body, length = request_
    refused(client.post(INFER, content=body, headers={"inference-header-content-length": length}))


@pytest.mark.parametrize("document", JSON.values(), ids=list(JSON))
def test_json_that_is_wrong_is_refused(client: TestClient, document: Any) -> None:
    refused(client.post(INFER, json=document))


def test_compression_that_is_wrong_is_refused(client: TestClient) -> None:
    good = gzip.compress(orjson.dumps({"inputs": INPUTS}))
    bad = {"cut short": good[:-9], "with more behind": good + b"more", "none": b"{}", "empty": b"",
           "damaged": good[:20] + b"\xff" * 8 + good[28:]}  # fmt: skip
    for body in bad.values():
        refused(client.post(INFER, content=body, headers={"content-encoding": "gzip"}))
    refused(client.post(INFER, content=good, headers={"content-encoding": "zstd"}))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TENSOR = st.fixed_dictionaries({}, optional={
    "name": st.sampled_from(["image", "clinical", "notes", "clinical.age", "notes.title", "presence"]) | ANY,
    "datatype": st.sampled_from(["BYTES", "FP32", "INT64", "BOOL", "FP16"]) | ANY,
    "shape": st.lists(st.integers(-1, 4) | ANY, max_size=3),
    "data": st.lists(ANY, max_size=6) | ANY,
    "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), st.integers(-2, 40) | ANY),
})  # fmt: skip


@settings(
    max_examples=300, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.lists(TENSOR, max_size=3), st.binary(max_size=40), st.integers(-3, 3))
def test_noise_never_becomes_a_500(client: TestClient, inputs: Any, tail: bytes, off: int) -> None:
    try:
        head = orjson.dumps({"inputs": inputs})
    except TypeError:  # more than 64 bits
        return
    headers = {"inference-header-content-length": str(len(head) + off)}
    answer = client.post(INFER, content=head + tail, headers=headers)
    assert answer.status_code < 500, answer.text


def refused(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    problem = answer.json()
    assert problem["error"] == problem["detail"]
    assert len(answer.content) < 4000
