"""Requests as they are sent: a form or JSON, and batches in pieces."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from tailfuse_client import requests
from tailfuse_client.requests import make_batch_requests, make_params, make_predict_request

ROW = {"age": 61, "site": "back"}


def test_without_a_file_it_is_json_without_what_is_absent() -> None:
    request = make_predict_request({"clinical": ROW, "notes": "dünn", "image": None}, {})
    assert json.loads(request.content or b"") == {"inputs": {"clinical": ROW, "notes": "dünn"}}
    assert request.params == {}


def test_with_a_file_it_is_a_form() -> None:
    request = make_predict_request({"image": b"\xff", "clinical": ROW, "notes": "dünn"}, make_params(2, True))
    assert request.content is None
    assert request.params == {"top_k": "2", "explain": "true"}
    assert request.files == {
        "image": ("image", b"\xff", "application/octet-stream"),
        "clinical": (None, b'{"age":61,"site":"back"}', "application/json"),
        "notes": (None, "dünn".encode(), "text/plain; charset=utf-8"),
    }


def test_a_text_in_columns_is_never_put_into_a_form() -> None:
    request = make_predict_request(
        {"image": b"\xff", "notes": {"title": "spot", "review": None}}, make_params(None, False)
    )
    assert json.loads(request.content or b"")["inputs"] == {
        "image": b64encode(b"\xff").decode(),
        "notes": {"title": "spot", "review": None},
    }


def sizes(items: list[dict[str, Any]], max_items: int) -> list[int]:
    found = list(make_batch_requests(items, {}, max_items))
    sent = [json.loads(request.content or b"")["items"] for request in found]
    assert [item["inputs"] for each in sent for item in each] == items
    assert [len(each) for each in sent] == [request.n_items for request in found]
    return [request.n_items for request in found]


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, [1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1])])
def test_a_batch_has_no_more_items_than_may_be(n: int, expected: list[int]) -> None:
    assert sizes([{"notes": str(i)} for i in range(n)], max_items=3) == expected


def test_a_batch_is_no_longer_than_may_be_and_an_item_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_BYTES", 110)
    texts = ["a" * 30, "b" * 30, "c" * 200, "d", "e"]
    assert sizes([{"notes": text} for text in texts], max_items=3) == [2, 1, 2]


def test_a_request_is_made_as_soon_as_it_is_full() -> None:
    def items() -> Any:
        yield {"notes": "1"}
        yield {"notes": "2"}
        raise AssertionError("nobody has asked for more")

    assert next(make_batch_requests(items(), {}, 2)).n_items == 2


def test_a_mistake_names_the_modality(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(TypeError, match=r"modality 'notes': a value of type object cannot be sent"):
        make_predict_request({"notes": object()}, {})
    for name in ("bad.json", "bad.txt"):
        with pytest.raises(ValueError, match=r"modality 'notes': "):
            make_predict_request({"notes": tmp_path / name}, {})
    with pytest.raises(ValueError, match="max_items"):
        list(make_batch_requests([], {}, 0))
