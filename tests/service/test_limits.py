"""Every limit has a setting, and an error of its own: what just fits is taken, the first beyond it is not."""

import asyncio
import gc
import json
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle, Limits, open_bundle
from tailfuse_service.errors import TooManyPixels, UndecodableImage
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.image.features import MAX_SCANS
from tailfuse_service.settings import Settings

from tests.support.calls import Call
from tests.support.sized import encoded

COLOUR = ImageModality(column="image", height=8, width=6, channels=3)
FEATURES = COLOUR.features("image")


def get_slug(response: Any) -> str:
    return response.json().get("type", "none").rpartition(":")[2]  # type: ignore[no-any-return]


def deep(depth: int) -> bytes:
    """A request whose deepest array is inside depth - 1 others."""
    return b'{"inputs": {"notes": ' + b"[" * (depth - 2) + b"]" * (depth - 2) + b"}}"


@pytest.mark.parametrize("limit", [6, 32])
def test_json_may_be_as_deep_as_the_setting_says(make_client: Any, bundle: Bundle, limit: int) -> None:
    client = make_client(bundle, max_json_depth=limit)
    assert get_slug(client.post("/predict", content=deep(limit))) == "invalid-input"  # an array is no text
    refused = client.post("/predict", content=deep(limit + 1))
    assert (refused.status_code, get_slug(refused)) == (400, "too-deep")
    assert refused.json()["expected"] == limit
    batch = b'{"items": [' + deep(limit - 1) + b"]}"
    assert get_slug(client.post("/predict/batch", content=batch)) == "too-deep"
    row = b"[" * (limit + 1) + b"]" * (limit + 1)
    assert get_slug(client.post("/predict", files={"clinical": row})) == "too-deep"


def test_a_request_as_wide_as_can_be_is_not_deep(client: Any) -> None:
    items = [{"inputs": {"clinical": {"age": age}, "notes": '[[{"'}} for age in range(100)]
    results = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert all("label" in result for result in results)


def test_json_may_have_as_many_values_as_the_setting_says(make_client: Any, bundle: Bundle) -> None:
    """They are counted before anything is parsed, also in a part of a form."""
    client = make_client(bundle, max_json_values=1000)
    infer = f"/v2/models/{bundle.manifest.name}/infer"
    for values in (b"[],", b'{"a":1},', b"1,", b'"",'):
        body = b'{"inputs": {"notes": [' + values * 1000 + b"1]}}"
        refused = client.post("/predict", content=body)
        assert (refused.status_code, get_slug(refused)) == (400, "too-many-values")
        assert refused.json()["expected"] == 1000
        assert refused.json()["received"] > 1000
        assert get_slug(client.post("/predict/batch", content=body)) == "too-many-values"
        assert get_slug(client.post(infer, content=body)) == "too-many-values"
    row = b"[" + b"1," * 1000 + b"1]"
    assert get_slug(client.post("/predict", files={"clinical": row})) == "too-many-values"
    text = b'{"inputs": {"notes": "' + b"spot, [], {:}, " * 1000 + b'"}}'
    assert client.post("/predict", content=text).status_code == 200
    fits = b'{"inputs": {"notes": [' + b"1," * 990 + b"1]}}"
    assert get_slug(client.post("/predict", content=fits)) == "invalid-input"


def test_a_large_body_is_parsed_off_the_event_loop(
    client: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without collections of garbage, each of which would look at all that has been parsed so far."""
    parsed: list[tuple[str, bool]] = []
    loads = orjson.loads

    def note(data: bytes) -> Any:
        parsed.append((threading.current_thread().name.partition("_")[0], gc.isenabled()))
        return loads(data)

    monkeypatch.setattr(orjson, "loads", note)
    item = b'{"inputs": {"notes": "' + b"a " * 150_000 + b'"}}'
    batch = b'{"items": [' + item + b"]}"
    infer = orjson.dumps({
        "inputs": [{"name": "notes", "datatype": "BYTES", "shape": [1], "data": ["a " * 150_000]}]
    })  # fmt: skip
    assert client.post("/predict", content=item).status_code == 200
    assert client.post("/predict/batch", content=batch).status_code == 200
    assert client.post(f"/v2/models/{bundle.manifest.name}/infer", content=infer).status_code == 200
    assert parsed == [("large-body", False)] * 3
    assert gc.isenabled()


def test_a_form_may_have_as_many_parts_as_the_setting_says(make_client: Any, bundle: Bundle) -> None:
    client = make_client(bundle, max_parts=2)
    two = {"notes": (None, "spot"), "clinical": (None, "[1, 2, true, null]")}
    assert client.post("/predict", files=two).status_code == 200
    three = client.post("/predict", files={**two, "image": (None, "")})
    assert (three.status_code, get_slug(three)) == (400, "too-many-parts")
    # In another order of a part's headers, which is read by another parser.
    odd = b'--x\r\nA: b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n'
    body = b"".join(odd % n for n in range(3)) + b"--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert get_slug(client.post("/predict", content=body, headers=kind)) == "too-many-parts"


def limited(make_client: Any, tiny_bundle: Path, **limits: Any) -> Any:
    return make_client(open_bundle(tiny_bundle, limits=Limits(**limits)))


TEXTS: dict[str, Callable[[int], Any]] = {
    "a text": lambda n: {"notes": "x" * n},
    "a text of two columns": lambda n: {"notes": {"title": "x" * 4, "review": "y" * (n - 5)}},
    "a text of wide characters": lambda n: {"notes": "ü" * n},
    "a cell": lambda n: {"clinical": {"site": "x" * n, "age": 3}},
}


@pytest.mark.parametrize("inputs", TEXTS.values(), ids=TEXTS)
def test_a_text_may_be_as_long_as_the_limit(make_client: Any, tiny_bundle: Path, inputs: Any) -> None:
    client = limited(make_client, tiny_bundle, max_text_chars=50)
    assert client.post("/predict", json={"inputs": inputs(50)}).status_code == 200
    refused = client.post("/predict", json={"inputs": inputs(51)})
    assert (refused.status_code, get_slug(refused)) == (422, "text-too-long")
    assert (refused.json()["expected"], refused.json()["received"]) == (50, 51)


def test_a_limit_that_one_item_breaks_spares_the_others(make_client: Any, tiny_bundle: Path) -> None:
    client = limited(make_client, tiny_bundle, max_text_chars=50)
    items = [{"inputs": {"notes": "x" * n}} for n in (50, 51, 50)]
    first, second, third = client.post("/predict/batch", json={"items": items}).json()["results"]
    assert second["type"] == "urn:tailfuse:problem:text-too-long"
    assert first["probabilities"] == third["probabilities"]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_a_picture_may_have_as_many_pixels_as_the_limit(kind: str) -> None:
    features = COLOUR.features("image", Limits(max_pixels=30 * 40))
    assert features.apply(encoded((30, 40), kind)) is not None
    with pytest.raises(TooManyPixels, match="30 x 41 pixels, at most 1,200") as refusal:
        features.apply(encoded((30, 41), kind))
    assert refusal.value.members["received"] == 30 * 41


def with_size(kind: str) -> bytes:
    """A tiny picture whose header says 60,000 x 60,000: decoding it would fail, not succeed."""
    data = bytearray(encoded((16, 16), kind))
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", 60_000, 60_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        data[6:10] = struct.pack("<HH", 60_000, 60_000)
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("JPEG", "60000 x 60000"), ("PNG", "more than 178,956,970"), ("GIF", "more than 178,956,970")],
)
def test_the_header_is_enough_to_refuse_a_bomb(kind: str, said: str) -> None:
    with pytest.raises(TooManyPixels, match=f"{said} pixels, at most 50,000,000"):
        FEATURES.apply(with_size(kind))


def test_the_settings_reach_the_decoder(tiny_bundle: Path) -> None:
    settings = Settings(bundle=tiny_bundle, max_pixels=7, max_text_chars=8, max_json_depth=9, max_parts=10)
    assert settings.limits == Limits(max_pixels=7, max_text_chars=8, max_json_depth=9, max_parts=10)
    assert Settings(bundle=tiny_bundle).limits == Limits()
    opened = open_bundle(tiny_bundle, limits=settings.limits)
    with pytest.raises(TooManyPixels, match="at most 7"):
        opened.sample({"image": encoded((3, 3), "PNG")})


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    """A hundred bytes more are a pass over all pixels more."""
    data = encoded((2000, 2000), "JPEG", progressive=True)
    assert FEATURES.apply(data) is not None
    last = data[data.rindex(b"\xff\xda") : -2]
    bomb = data[:-2] + last * 2_000 + b"\xff\xd9"
    with pytest.raises(UndecodableImage, match=f"scans, at most {MAX_SCANS}"):
        FEATURES.apply(bomb)


def test_pictures_of_floats_are_refused_by_name() -> None:
    with pytest.raises(UndecodableImage, match="its pixels are floats"):
        FEATURES.apply(encoded((9, 9), "TIFF", "F"))


def test_more_requests_at_once_than_the_setting_says_are_told_when_to_come_back(
    tiny_bundle: Path, fake_bundle: Any, runtime: Any
) -> None:
    async def scenario() -> None:
        runtime.hold()
        app = create_app(Settings(bundle=tiny_bundle, max_concurrency=2), fake_bundle)
        running = [Call(app), Call(app)]
        await asyncio.sleep(0)
        for path in ("/predict", "/predict/batch"):
            refused = Call(app, path)
            assert await refused.status() == 429
            assert (b"retry-after", b"1") in refused.sent[0]["headers"]
            assert refused.problem()["type"] == "urn:tailfuse:problem:too-many-requests"
        health = Call(app, "/healthz", [b""])
        assert await health.status() != 429  # asked with POST: 405
        runtime.release()
        assert [await call.status() for call in running] == [200, 200]
        assert await Call(app).status() == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("depth", [5, 1001])
def test_a_depth_that_cannot_be_kept_is_no_setting(depth: int) -> None:
    with pytest.raises(ValueError, match="max_json_depth"):
        Settings(bundle=Path("b"), max_json_depth=depth)


def test_the_longest_body_is_read_whole(make_client: Any, bundle: Bundle) -> None:
    body = json.dumps({"inputs": {"notes": "x"}}).encode()
    client = make_client(bundle, max_body_bytes=len(body))
    assert client.post("/predict", content=body).status_code == 200
    assert get_slug(client.post("/predict", content=body + b" ")) == "payload-too-large"
