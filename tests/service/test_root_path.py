"""Behind a proxy that puts a prefix before the paths, /docs and all it loads are found."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from tailfuse_service.bundle import Bundle
from tailfuse_service.settings import Settings

PREFIX = "/ml/tailfuse"
BODY = {"inputs": {"notes": "spot"}}
Behind = Callable[..., TestClient]


def add_proxy(app: ASGIApp) -> ASGIApp:
    """Remove the prefix, as nginx does for `location /ml/tailfuse/ { proxy_pass http://service:8000/; }`."""

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not scope["path"].startswith(f"{PREFIX}/"):
                await send({"type": "http.response.start", "status": 502, "headers": []})
                await send({"type": "http.response.body", "body": b"outside the prefix"})
                return
            path = scope["path"].removeprefix(PREFIX)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return forward


@pytest.fixture
def behind(make_client: Any, bundle: Bundle) -> TestClient:
    client: TestClient = make_client(bundle, root_path=f"{PREFIX}/")
    return TestClient(add_proxy(client.app), base_url="https://example.org")


def test_the_docs_load_all_from_below_the_prefix(behind: TestClient) -> None:
    response = behind.get(f"{PREFIX}/docs")
    assert response.status_code == 200
    links = re.findall(r"""(?:src|href)="([^"]+)|url: '([^']+)""", response.text)
    found = [first or second for first, second in links]
    assert len(found) == 4  # script, style, icon, document
    for link in found:
        assert link.startswith(f"{PREFIX}/")  # no host and no scheme: a proxy has its own
        assert behind.get(link).status_code == 200


def test_the_document_says_where_to_send_requests(behind: TestClient) -> None:
    described = behind.get(f"{PREFIX}/openapi.json").json()
    assert described["servers"] == [{"url": PREFIX}]
    url = described["servers"][0]["url"] + "/predict"
    assert "/predict" in described["paths"]
    assert behind.post(url, json=BODY).status_code == 200


def test_without_a_prefix_the_server_is_the_document_s_own(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["servers"] == [{"url": "/"}]


@pytest.mark.parametrize("path", ["/docs", "/predict", "/admin/models", f"{PREFIX}/admin/models", "/model"])
def test_the_prefix_itself_is_no_route(make_client: Any, bundle: Bundle, tmp_path: Path, path: str) -> None:
    """The service itself knows no prefix, however often it is there: else a key check could be passed by."""
    keys, admin_keys = tmp_path / "keys", tmp_path / "admins"
    keys.write_text("me: 0123456789abcdef\n")
    admin_keys.write_text("boss: fedcba9876543210\n")
    client = make_client(bundle, root_path=PREFIX, api_keys=keys, admin_keys=admin_keys)
    key = {"x-api-key": "0123456789abcdef"}
    for method in ("GET", "POST"):
        response = client.request(method, PREFIX + path, headers=key)
        assert response.status_code == 404, response.text
    assert client.get("/admin/models", headers=key).status_code == 403


def test_a_client_cannot_choose_the_prefix(client: TestClient) -> None:
    """X-Forwarded-Prefix is not read: whoever sends it would choose what the page loads."""
    plain = client.get("/docs").text
    assert client.get("/docs", headers={"x-forwarded-prefix": "//evil.example"}).text == plain


@pytest.mark.parametrize(("given", "kept"), [("/a", "/a"), ("/a/b-c.d/", "/a/b-c.d"), ("/", ""), ("", "")])
def test_a_prefix_is_a_path(given: str, kept: str) -> None:
    assert Settings(bundle=Path("b"), root_path=given).root_path == kept


@pytest.mark.parametrize(
    "given", ["a", "//evil.example", "/a//b", "/a?b", "/a#b", "/../a", "/a b", "https://x.org/a", "/a'", '/"']
)
def test_what_is_no_path_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="not a path prefix"):
        Settings(bundle=Path("b"), root_path=given)
