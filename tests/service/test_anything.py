"""Whatever is sent: an answer or the sender's mistake, never a failure of ours."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
named = st.dictionaries(
    st.sampled_from(["image", "clinical", "notes", "inputs", "smell"]), values, max_size=4
)
documents = values | st.fixed_dictionaries({"inputs": named})
forms = st.lists(
    st.sampled_from([
        b"--x", b"--x--", b"\r\n", b"\r\n\r\n", b"\n", b"--", b"x", b"spot", b"\xff", b'{"age": 1}', b":",
        b"Content-Disposition: form-data; name=notes",
        b'Content-Disposition: form-data; name="image"; filename="a"',
        b"Content-Disposition: attachment", b"Content-Transfer-Encoding: base64", b"Content-Type: text/plain",
        b'--x\r\nContent-Disposition: form-data; name="clinical"\r\n\r\n',
        b'--x\r\nContent-Disposition: form-data; name="notes"\r\nContent-Transfer-Encoding: base64\r\n\r\n',
    ]),
    max_size=12,
).map(b"".join)  # fmt: skip
generous = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(documents)
@generous
def test_any_json_is_answered_or_refused(client: TestClient, document: Any) -> None:
    body = json.dumps(document).encode()
    for path in ("/predict", "/predict/batch"):
        assert client.post(path, content=body).status_code in (200, 400, 422)


@given(st.lists(documents, max_size=4))
@generous
def test_a_batch_of_anything_is_answered_item_by_item(client: TestClient, items: Any) -> None:
    response = client.post("/predict/batch", content=json.dumps({"items": items}).encode())
    assert response.status_code in (200, 400, 422)
    if response.status_code == 200:
        results = response.json()["results"]
        assert len(results) == len(items)
        assert all(result.get("status", 422) == 422 for result in results)


@given(st.binary(max_size=200) | forms)
@generous
def test_any_bytes_are_answered_or_refused(client: TestClient, body: bytes) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        response = client.post("/predict", content=body, headers={"content-type": kind})
        assert response.status_code in (200, 400, 422), response.text


@given(st.binary(max_size=60))
@generous
def test_any_content_type_and_query_are_answered_or_refused(client: TestClient, value: bytes) -> None:
    scope_value = bytes(byte for byte in value if byte not in b"\r\n\0")
    response = client.post("/predict", content=b"{}", headers={b"content-type": scope_value})
    assert response.status_code in (400, 415, 422), response.text
    response = client.post("/predict", params={"top_k": value.decode("latin-1")}, content=b"{}")
    assert response.status_code == 422
