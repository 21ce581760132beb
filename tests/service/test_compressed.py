"""Compressed bodies are answered as plain ones at every route, and never unpacked beyond the limit."""

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle
from tailfuse_service.errors import BadRequest, PayloadTooLarge
from tailfuse_service.http.compression import INLINE_BYTES, unpack

INPUTS = {"notes": "spot", "clinical": {"age": 61}}
TENSORS = [{"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["spot"]}]
DOORS = {
    "/predict": {"inputs": INPUTS},
    "/predict/batch": {"items": [{"inputs": INPUTS}, {"inputs": {"notes": "spot"}}]},
    "/models/skin-lesions/predict": {"inputs": INPUTS},
    "/v2/models/skin-lesions/infer": {"inputs": TENSORS, "id": "same"},
}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "x-gzip": gzip.compress, "GZIP": gzip.compress,
    " gzip ": gzip.compress, "": bytes, "identity": bytes,
}  # fmt: skip


def drop_id(answer: Any) -> Any:
    text = json.dumps({name: value for name, value in answer.items() if name != "request_id"})
    for each in answer.get("results", ()):
        text = text.replace(each["request_id"], "")
    return json.loads(text)


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("door", DOORS)
def test_a_compressed_body_is_answered_as_a_plain_one(client: TestClient, door: str, encoding: str) -> None:
    body = json.dumps(DOORS[door]).encode()
    plain = client.post(door, content=body)
    packed = client.post(door, content=PACK[encoding](body), headers={"content-encoding": encoding})
    assert packed.status_code == 200, packed.text
    assert drop_id(packed.json()) == drop_id(plain.json())


def test_a_compressed_form_is_answered_as_a_plain_one(client: TestClient, picture: bytes) -> None:
    files: Any = {"image": ("x.png", picture), "notes": (None, "spot")}
    request = client.build_request("POST", "/predict", files=files)
    plain = client.send(request).json()
    headers = {"content-type": request.headers["content-type"], "content-encoding": "gzip"}
    packed = client.post("/predict", content=gzip.compress(request.read()), headers=headers).json()
    assert packed["probabilities"] == plain["probabilities"]
    assert packed["modalities"]["image"]["present"]


GOOD = gzip.compress(json.dumps(DOORS["/predict"]).encode())
WRONG: dict[str, tuple[bytes, str, int, str]] = {
    "no gzip": (b'{"inputs": {}}', "gzip", 400, "not gzip"),
    "cut short": (GOOD[:-9], "gzip", 400, "ends too early"),
    "without its checksum": (GOOD[:-4], "gzip", 400, "ends too early"),
    "a wrong checksum": (GOOD[:-8] + bytes(8), "gzip", 400, "not gzip"),
    "garbage behind it": (GOOD + b"garbage", "gzip", 400, "goes on after its end"),
    "two in one": (GOOD + GOOD, "gzip", 400, "goes on after its end"),
    "compressed twice": (gzip.compress(GOOD), "gzip", 400, "compress it once"),
    "not declared": (GOOD, "identity", 400, "Content-Encoding: gzip"),
    "empty": (b"", "gzip", 400, "ends too early"),
    "deflate without zlib's head": (zlib.compress(b"{}", wbits=-15), "deflate", 400, "not deflate"),
    "brotli": (b"\x0b\x02", "br", 415, "'br'"),
    "two encodings": (gzip.compress(GOOD), "gzip, gzip", 415, "'gzip, gzip'"),
    "a bomb": (gzip.compress(bytes(50_000_000)), "gzip", 413, "16777216 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("body", "encoding", "status", "says"), WRONG.values(), ids=WRONG)
def test_a_body_that_cannot_be_unpacked_is_explained(
    client: TestClient, door: str, body: bytes, encoding: str, status: int, says: str
) -> None:
    response = client.post(door, content=body, headers={"content-encoding": encoding})
    assert response.status_code == status
    assert says in response.json()["detail"]


def test_the_limit_holds_for_the_unpacked_body(make_client: Any, bundle: Bundle) -> None:
    client = make_client(bundle, max_body_bytes=100)
    body = json.dumps({"inputs": {"notes": "x"}}).encode()
    for length, status in ((100, 200), (101, 413)):
        packed = gzip.compress(body.ljust(length))
        answer = client.post("/predict", content=packed, headers={"content-encoding": "gzip"})
        assert answer.status_code == status


def unpack_now(body: bytes, max_bytes: int) -> bytes:
    return asyncio.run(unpack(body, "gzip", max_bytes))


@pytest.mark.parametrize("length", [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 300_000])
def test_every_length_is_unpacked_whole(length: int) -> None:
    data = bytes(range(256)) * (length // 256 + 1)
    assert unpack_now(gzip.compress(data[:length]), length) == data[:length]
    if length:
        with pytest.raises(PayloadTooLarge):
            unpack_now(gzip.compress(data[:length]), length - 1)


def test_much_is_unpacked_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also empty blocks, which are long and become nothing."""
    threads: list[tuple[threading.Thread, int, int]] = []
    make = zlib.decompressobj

    class Unpacker:
        def __init__(self, bits: int) -> None:
            self._inner = make(bits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def decompress(self, data: bytes, length: int) -> bytes:
            threads.append((threading.current_thread(), len(data), length))
            unpacked: bytes = self._inner.decompress(data, length)
            return unpacked

    monkeypatch.setattr(zlib, "decompressobj", Unpacker)
    head = gzip.compress(b"")[:10]
    with pytest.raises(BadRequest, match="too early"):
        unpack_now(head + b"\0\0\0\xff\xff" * 100_000, 1000)
    assert unpack_now(gzip.compress(bytes(1_000_000)), 1_000_000) == bytes(1_000_000)
    inline = [each for each in threads if each[0] is threading.main_thread()]
    assert len(threads) == 3
    assert [(size <= INLINE_BYTES, length <= INLINE_BYTES) for _, size, length in inline] == [(True, True)]
