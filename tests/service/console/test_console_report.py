"""The report of a bundle: sent only if the operator says so, and never able to run a script."""

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tailfuse_service.bundle import Bundle, BundleError, open_bundle
from tailfuse_service.bundle.files import MAX_REPORT_BYTES, REPORT
from tailfuse_service.http.routes.console import REPORT_POLICY

from tests.support.bundles import add_file, write_tiny_bundle
from tests.support.clients import ClientOf
from tests.support.keys import KEY

HTML = b"<!doctype html><title>Report</title><h1>Skin lesions</h1>"
ADDRESS = "/console/report.html"


@pytest.fixture
def sharing(make_client: ClientOf, bundle: Bundle) -> TestClient:
    return make_client(replace(bundle, report=gzip.compress(HTML)), share_report=True)


def test_a_report_is_not_sent_unless_it_is_shared(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(replace(bundle, report=gzip.compress(HTML)))
    response = client.get(ADDRESS)
    assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:not-found")
    assert "--share-report" in response.json()["detail"]
    assert client.get("/console/model.json").json()["shares_report"] is False


@pytest.mark.parametrize("encoding", ["gzip", None])
def test_a_shared_report_is_the_file_in_a_sandbox(sharing: TestClient, encoding: str | None) -> None:
    for query in ({}, {"name": "skin-lesions"}, {"name": "skin-lesions", "version": "3"}):
        response = sharing.get(ADDRESS, params=query, headers={"accept-encoding": encoding or "identity"})
        assert (response.status_code, response.content) == (200, HTML)
        assert response.headers.get("content-encoding") == encoding
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["content-security-policy"] == REPORT_POLICY
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert REPORT_POLICY.startswith("sandbox; default-src 'none'")
    assert not any(word in REPORT_POLICY for word in ("allow", "script", "http"))
    assert sharing.head(ADDRESS).content == b""
    assert sharing.get("/console/model.json").json()["shares_report"] is True


def test_a_bundle_without_a_report_says_so(make_client: ClientOf, bundle: Bundle) -> None:
    response = make_client(bundle, share_report=True).get(ADDRESS)
    assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:not-found")
    assert response.json()["detail"] == "the bundle has no report.html, or one above 16 MiB"


@pytest.mark.parametrize(
    "address",
    [f"{ADDRESS}?name=../skin-lesions", f"{ADDRESS}?name=skin-lesions&version=../3", f"{ADDRESS}/",
     f"{ADDRESS}?name=%2e%2e%2fmanifest.json", "/console/manifest.json", "/console/x/../../report.html",
     "/console/0123/report.html", "/console/%2e%2e/report.html", "/console/REPORT.HTML"],
)  # fmt: skip
def test_no_address_leads_to_another_file(sharing: TestClient, address: str) -> None:
    response = sharing.get(address, follow_redirects=False)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_with_keys_a_report_needs_one(make_client: ClientOf, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"tests: {KEY}\n")
    shared = replace(bundle, report=gzip.compress(HTML))
    client = make_client(shared, share_report=True, api_keys=tmp_path / "keys")
    assert client.get(ADDRESS).status_code == 401
    assert client.get(ADDRESS, headers={"x-api-key": KEY}).content == HTML


def test_without_the_console_no_report_is_sent(make_client: ClientOf, bundle: Bundle) -> None:
    client = make_client(replace(bundle, report=gzip.compress(HTML)), share_report=True, no_console=True)
    assert client.get(ADDRESS).status_code == 404


def test_a_report_is_kept_if_that_is_asked_for(tmp_path: Path) -> None:
    folder = add_file(write_tiny_bundle(tmp_path / "bundle"), REPORT, HTML)
    kept = open_bundle(folder, keep_report=True).report
    assert kept is not None
    assert gzip.decompress(kept) == HTML
    assert open_bundle(folder).report is None
    assert open_bundle(write_tiny_bundle(tmp_path / "without"), keep_report=True).report is None
    shutil.rmtree(folder)
    assert gzip.decompress(kept) == HTML


def test_a_report_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    folder = add_file(write_tiny_bundle(tmp_path / "bundle"), REPORT, b"x" * (MAX_REPORT_BYTES + 1))
    assert open_bundle(folder, keep_report=True).report is None


def test_a_report_that_is_replaced_after_its_check_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_file(write_tiny_bundle(tmp_path / "bundle"), REPORT, HTML)

    def replace_report(*_: object) -> None:
        (folder / REPORT).write_bytes(b"other")

    monkeypatch.setattr("tailfuse_service.bundle.bundle.read_card", replace_report)
    with pytest.raises(BundleError, match=r"report\.html was replaced while the bundle was opened"):
        open_bundle(folder, keep_report=True)
