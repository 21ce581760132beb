"""GET / and the files of the console: what a browser is told of them, and who gets them."""

import gzip
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle, open_bundle
from tailfuse_service.bundle.files import CARD, MAX_CARD_BYTES
from tailfuse_service.http.routes.console import FOLDER, FRAME, FRAME_POLICY, MEDIA_TYPES, POLICY

from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.clients import ClientOf
from tests.support.keys import KEY

MAX_BYTES = 150_000  # as they are sent


def list_addresses(client: TestClient) -> list[str]:
    """Return the addresses that the page loads."""
    return re.findall(r'(?:src|href)="(/[^"]+)"', client.get("/").text)


def test_the_page_loads_files_of_the_service_alone(client: TestClient) -> None:
    page = client.get("/").text
    assert "{files}" not in page
    assert re.findall(r'(?:src|href)="(?!/console/)([^"]+)"', page) == ["docs"]
    assert "<style" not in page
    assert " style=" not in page
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    for address in list_addresses(client):
        assert client.get(address).status_code == 200, address


def test_every_file_has_the_policy_and_its_own_type(client: TestClient) -> None:
    folder = list_addresses(client)[0].rpartition("/")[0]
    for path in FOLDER.rglob("*"):
        if path.suffix not in MEDIA_TYPES or path.name == "index.html":
            continue
        response = client.get(f"{folder}/{path.relative_to(FOLDER)}")
        assert response.content == path.read_bytes()
        assert response.headers["content-type"] == MEDIA_TYPES[path.suffix]
        policy = FRAME_POLICY if path == FOLDER / FRAME else POLICY
        assert response.headers["content-security-policy"] == policy
        assert response.headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY
    assert "script" not in FRAME_POLICY


def test_the_policy_of_the_page_is_this_one(client: TestClient) -> None:
    """Word by word, so that no change of it goes unseen."""
    assert client.get("/").headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )


def test_the_page_is_asked_again_and_its_files_are_kept(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    for known in (
        page.headers["etag"],
        f'"x", {page.headers["etag"]}',
        page.headers["etag"].removeprefix("W/"),
        "*",
    ):
        again = client.get("/", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == POLICY
    assert client.get("/", headers={"if-none-match": '"x"'}).status_code == 200
    script = next(each for each in list_addresses(client) if each.endswith("app.js"))
    assert "immutable" in client.get(script).headers["cache-control"]
    build = script.split("/")[2]
    other = client.get(script.replace(build, "000000000000"))
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")


def test_head_has_the_headers_alone(client: TestClient) -> None:
    for address in ("/", "/console/model.json", list_addresses(client)[0]):
        head, whole = client.head(address), client.get(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize(
    "name",
    ["nope.js", "types.d.ts", "index.html", "../app.py", "..%2f..%2fapp.py", "%2e%2e/app.py", "views/",
     "/etc/passwd"],
)  # fmt: skip
def test_anything_else_is_not_found(client: TestClient, name: str) -> None:
    response = client.get(f"/console/0123/{name}", follow_redirects=False)
    assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:not-found")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "gzip"), ("br;q=1, GZIP;q=0.5", "gzip"), ("gzip;q=0", None),
     ("gzip;q=0.000, br", None), ("", None), ("identity", None), ("xgzip", None),
     ("gzipped", None), ("br,gzip", "gzip")],
)  # fmt: skip
def test_files_are_compressed_for_those_who_take_that(
    client: TestClient, accepted: str, encoding: str | None
) -> None:
    response = client.get("/", headers={"accept-encoding": accepted})
    assert response.headers.get("content-encoding") == encoding
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.text == client.get("/").text


def test_all_files_are_small_together() -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in MEDIA_TYPES]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MAX_BYTES


def test_without_the_console_the_root_leads_to_the_docs(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(bundle, no_console=True)
    response = client.get("/", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (307, "/docs")
    for path in ("/console/model.json", "/console/0123/app.js"):
        assert client.get(path).status_code == 404


def test_behind_a_prefix_the_files_are_below_it(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(bundle, root_path="/tailfuse")
    addresses = list_addresses(client)
    assert addresses
    assert all(each.startswith("/tailfuse/console/") for each in addresses)


def test_with_keys_the_page_is_open_and_the_model_is_not(
    make_client: ClientOf, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    client = make_client(bundle, api_keys=tmp_path / "keys")
    assert client.get("/").status_code == 200
    assert client.get("/console/model.json").status_code == 401
    assert client.get("/console/model.json", headers={"x-api-key": KEY}).status_code == 200
    assert "skin-lesions" not in client.get("/").text


def test_a_service_without_a_model_has_the_page_too(make_client: ClientOf) -> None:
    client = make_client(None)
    assert client.get("/").status_code == 200
    assert client.get("/console/model.json").status_code == 503


def test_the_model_is_described_with_its_limits_and_plausible_values(client: TestClient) -> None:
    described = client.get("/console/model.json").json()
    assert {key: described[key] for key in client.get("/model").json()} == client.get("/model").json()
    assert (described["examples_are_rows"], described["example_labels"]) == (False, [])
    [inputs] = described["examples"]
    assert client.post("/predict", json={"inputs": inputs}).status_code == 200
    assert described["limits"] == {"max_body_bytes": 2**24, "max_items": 256, "max_pixels": 50_000_000}


def test_rows_of_the_bundle_are_the_examples(make_client: ClientOf, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"notes": "a spot"}, {"clinical": {"age": 30}}]
    refused = {"clinical": {"age": "old"}}
    folder = write_tiny_bundle(tmp_path / "rows", examples=(rows[0], refused, rows[1]))
    client = make_client(open_bundle(folder))
    described = client.get("/console/model.json").json()
    assert (described["examples"], described["examples_are_rows"]) == (rows, True)
    assert described["example_labels"] == [None, None]
    labels = ("nv", "mel", "bkl")
    folder = write_tiny_bundle(
        tmp_path / "named", examples=(rows[0], refused, rows[1]), example_labels=labels
    )
    named = make_client(open_bundle(folder)).get("/console/model.json").json()
    assert (named["examples"], named["example_labels"]) == (rows, ["nv", "bkl"])


def test_a_version_can_be_named(client: TestClient) -> None:
    query = {"name": "skin-lesions", "version": "3"}
    assert client.get("/console/model.json", params=query).json()["version"] == "3"
    for wrong in ({**query, "version": "9"}, {"name": "smell"}):
        response = client.get("/console/model.json", params=wrong)
        assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:unknown-model")


def test_the_model_card_is_sent_as_text_with_the_policy(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(replace(bundle, card="# Card <script>\n"))
    for query in ({}, {"name": "skin-lesions"}, {"name": "skin-lesions", "version": "3"}):
        card = client.get("/console/card.md", params=query)
        assert (card.status_code, card.text) == (200, "# Card <script>\n")
        assert card.headers["content-type"] == "text/markdown; charset=utf-8"
        assert card.headers["content-security-policy"] == POLICY
    assert client.get("/console/card.md", params={"name": "smell"}).status_code == 404


def test_a_bundle_without_a_card_says_so(client: TestClient) -> None:
    response = client.get("/console/card.md")
    assert (response.status_code, response.json()["detail"]) == (404, "the bundle has no model card")


@pytest.mark.parametrize(
    ("content", "kept"),
    [(b"# Card \xff", "# Card \ufffd"), (b"", ""), (b"x" * (MAX_CARD_BYTES + 1), None)],
    ids=["not UTF-8", "empty", "too long"],
)
def test_the_card_of_a_bundle_is_kept_when_it_is_opened(
    tmp_path: Path, content: bytes, kept: str | None
) -> None:
    folder = add_file(write_tiny_bundle(tmp_path / "card"), CARD, content)
    assert open_bundle(folder).card == kept


def test_with_keys_the_card_needs_one(make_client: ClientOf, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    client = make_client(replace(bundle, card="# Card\n"), api_keys=tmp_path / "keys")
    assert client.get("/console/card.md").status_code == 401
    assert client.get("/console/card.md", headers={"x-api-key": KEY}).status_code == 200
