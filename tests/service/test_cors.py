"""Pages of other origins may ask only if a setting says so."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tailfuse_service.settings import Settings

PAGE = "https://app.example.org"
ASK = {"json": {"inputs": {"notes": "spot"}}}
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, x-api-key, x-request-id",
}


def cors_headers(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def test_by_default_no_page_is_let_in(client: Any) -> None:
    response = client.post("/predict", **ASK, headers={"Origin": PAGE})
    assert (response.status_code, cors_headers(response)) == (200, {})
    preflight = client.options("/predict", headers=PREFLIGHT)
    assert (preflight.status_code, cors_headers(preflight)) == (405, {})


@pytest.mark.parametrize("origins", [PAGE, f"http://localhost:3000, {PAGE}", "*"])
def test_a_page_of_the_setting_may_ask(make_client: Any, bundle: Any, origins: str) -> None:
    client = make_client(bundle, cors_origins=origins)
    preflight = client.options("/predict", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] in (PAGE, "*")
    response = client.post("/predict", **ASK, headers={"Origin": PAGE})
    assert response.headers["access-control-allow-origin"] in (PAGE, "*")
    assert response.headers["access-control-expose-headers"] == "Retry-After, X-Request-Id"
    assert "access-control-allow-credentials" not in response.headers
    problem = client.post("/predict", json={}, headers={"Origin": PAGE})
    assert problem.status_code == 422
    assert "access-control-allow-origin" in problem.headers


def test_another_page_may_not(make_client: Any, bundle: Any) -> None:
    client = make_client(bundle, cors_origins=PAGE)
    stranger = {"Origin": "https://app.example.org.evil.example"}
    assert client.options("/predict", headers={**PREFLIGHT, **stranger}).status_code == 400
    response = client.post("/predict", **ASK, headers=stranger)
    assert "access-control-allow-origin" not in response.headers


def test_a_preflight_needs_no_key_and_the_request_does(make_client: Any, bundle: Any, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("0123456789abcdef\n")
    client = make_client(bundle, cors_origins=PAGE, api_keys=tmp_path / "keys")
    assert client.options("/predict", headers=PREFLIGHT).status_code == 200
    refused = client.post("/predict", **ASK, headers={"Origin": PAGE})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == PAGE
    allowed = {"Origin": PAGE, "X-API-Key": "0123456789abcdef"}
    assert client.post("/predict", **ASK, headers=allowed).status_code == 200


@pytest.mark.parametrize("origin", ["app.example.org", "https://a.example/path", "null", "https://"])
def test_what_is_no_origin_is_no_setting(origin: str) -> None:
    with pytest.raises(ValidationError, match="is not an origin like"):
        Settings(bundle=Path("b"), cors_origins=f"{PAGE},{origin}")
