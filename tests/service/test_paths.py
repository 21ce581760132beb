"""One grammar of paths: every door reads a path in the same way."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.bundle import Bundle
from tailfuse_service.http.paths import (
    CONSOLE_CARD,
    CONSOLE_FILES,
    CONSOLE_MODEL,
    CONSOLE_REPORT,
    ENDPOINTS,
    FIXED,
    GRPC_ROUTES,
    OTHER,
    ROUTES,
    Access,
    Endpoint,
    RouteMatch,
    match_path,
)
from tailfuse_service.settings import Settings

from tests.support.clients import ClientOf

MODEL = "skin-lesions"
BODY = {"inputs": {"notes": "spot"}}


@pytest.mark.parametrize("template", ROUTES)
@pytest.mark.parametrize("model", ["digits", "{name}", "versions", "a b:ü\n", "models"])
def test_every_route_is_matched_with_the_names_that_its_path_has(template: str, model: str) -> None:
    path = template.replace("{name}", model).replace("{version}", "2").replace("{modality}", model)
    route = match_path(path)
    assert route.label == template.removesuffix("/{modality}")
    assert route.endpoint == ENDPOINTS[template]
    assert route.modality == (model if "{modality}" in template else None)
    assert route.model == (model if "{name}" in template else None)
    assert route.version == ("2" if "{version}" in template else None)


@pytest.mark.parametrize(
    "path",
    [
        "", "/predict/", "/predict//batch", "/predict/image/", "/predict/a/b", "//predict",
        "/predictx", "/PREDICT", "/models/",
        "/models//predict", "/models/a/versions", "/models/a/versions/", "/models/a/versions//predict",
        "/models/a/b/predict",
        "/models/a/predict/", "/models/a/predict/batch/", "/models/a/infer", "/v20", "/v20/models/a", "/v2x",
        "/docs/", "grpc/ServerLive", "grpc/ModelInfer", "/grpc/ModelInfer", "/admin", "other",
    ],
)  # fmt: skip
def test_any_other_path_is_unknown_and_no_part_of_the_protocol(path: str) -> None:
    assert match_path(path) == RouteMatch(OTHER, Endpoint.API, Access.CLIENT)


@pytest.mark.parametrize(
    "path", ["/v2/x", "/v2//", "/v2/health", "/v2/models/a/predict", "/v2/models/a/infer/"]
)
def test_an_unknown_path_below_v2_is_the_protocol_s_to_refuse(path: str) -> None:
    assert match_path(path) == RouteMatch(OTHER, Endpoint.NO_METHOD, Access.CLIENT)


def test_health_checks_need_no_key_and_all_below_admin_needs_an_admin_s() -> None:
    routes: dict[str, RouteMatch] = dict([*ROUTES.items(), *GRPC_ROUTES.items()])
    opened = {template for template, route in routes.items() if route.access is Access.OPEN}
    assert opened == {
        "/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "ServerLive", "ServerReady",
    }  # fmt: skip
    for path in (
        "/admin/models",
        "/admin/models/a/roles",
        "/admin/",
        "/admin/nothing",
        "/admin/models/a/b/c",
    ):
        assert match_path(path).access is Access.ADMIN
    assert match_path("/administration").access is Access.CLIENT


def test_the_console_s_files_need_no_key_but_its_model_does() -> None:
    pages = {template for template, route in ROUTES.items() if route.access is Access.PAGE}
    assert pages == {"/", CONSOLE_FILES}
    assert match_path("/console/0123/views/try.js") == ROUTES[CONSOLE_FILES]
    for path in (CONSOLE_MODEL, CONSOLE_CARD, CONSOLE_REPORT):
        assert match_path(path).access is Access.CLIENT
    for path in ("/consoles/0123/views/try.js", "/console/try.js", f"{CONSOLE_MODEL}\n"):
        assert match_path(path).access is Access.CLIENT


def test_the_document_has_the_routes_of_the_grammar(tiny_bundle: Path) -> None:
    described = set(create_app(Settings(bundle=tiny_bundle)).api.openapi()["paths"])
    not_described = {
        "/docs",
        "/openapi.json",
        "/",
        CONSOLE_MODEL,
        CONSOLE_CARD,
        CONSOLE_REPORT,
        CONSOLE_FILES,
    }
    assert described == {route for route in ROUTES if not route.startswith("/v2")} - not_described


@pytest.mark.parametrize("prefix", ["", f"/models/{MODEL}", f"/models/{MODEL}/versions/3"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_post_that_reaches_fastapi_is_answered_like_any_other(
    client: TestClient, prefix: str, path: str
) -> None:
    body = BODY if path == "/predict" else {"items": [BODY]}
    direct = TestClient(RequestIds(client.app.api), raise_server_exceptions=False)  # type: ignore[attr-defined]
    expected, found = (each.post(prefix + path, json=body) for each in (client, direct))
    assert (expected.status_code, found.status_code) == (200, 200)
    if path == "/predict":
        assert {**found.json(), "request_id": ""} == {**expected.json(), "request_id": ""}
    else:
        assert found.json()["results"][0]["label"] == expected.json()["results"][0]["label"]


@pytest.mark.parametrize("path", ["/models/smell/predict", f"/models/{MODEL}/versions/9/predict/batch"])
def test_a_model_that_is_not_there_is_404_through_every_door(client: TestClient, path: str) -> None:
    direct = TestClient(RequestIds(client.app.api), raise_server_exceptions=False)  # type: ignore[attr-defined]
    for door in (client, direct):
        response = door.post(path, json=BODY if path.endswith("predict") else {"items": [BODY]})
        assert (response.status_code, response.json()["type"]) == (404, "urn:tailfuse:problem:unknown-model")


def count_requests(client: TestClient, route: str, status: int) -> float:
    """Return what /metrics has counted so far."""
    line = re.escape(f'tailfuse_requests_total{{route="{route}",status="{status}"}} ') + r"(\S+)"
    (value,) = re.findall(line, client.get("/metrics").text)
    return float(value)


class RequestIds:
    """The application behind the router, which gives every request its id."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "request_id": "id"}, receive, send)


@pytest.mark.parametrize("path", ["/v20", "/v20/models/a/infer", "/predict/", "/v2/nothing", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_unknown_paths_are_404_by_any_method_and_counted_as_other(
    client: TestClient, method: str, path: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 404
    protocol = path.startswith("/v2/")
    assert response.headers["content-type"] == f"application/{'json' if protocol else 'problem+json'}"
    assert count_requests(client, OTHER, 404) == 1


@pytest.mark.parametrize("end", ["%0A", "%0D", "%0A%0A", "%00", "%20", "%85", "/", "%2F", ";a"])
@pytest.mark.parametrize("path", [each for each in FIXED if each not in ("/", "/v2", "/v2/")])
def test_a_path_is_no_other_one_and_a_little_more(
    make_client: ClientOf, bundle: Bundle, tmp_path: Path, path: str, end: str
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    client = make_client(bundle, api_keys=keys, admin_keys=keys)
    assert client.get(path + end).status_code in (401, 404)
    key = {"X-API-Key": "0123456789abcdef"}
    assert client.get(path + end, headers=key).status_code in (404, 405)
    assert client.post(path + end, headers=key, json=BODY).status_code in (404, 405, 422)


@pytest.mark.parametrize("path", ["/predict", f"/models/{MODEL}/predict/batch", f"/v2/models/{MODEL}/infer"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_method_is_refused_and_counted_under_its_route(
    client: TestClient, method: str, path: str
) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert count_requests(client, path.replace(MODEL, "{name}"), 405) == 1


def test_a_path_is_percent_decoded_once_for_routes_keys_and_metrics(
    make_client: ClientOf, bundle: Bundle, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    client = make_client(bundle, api_keys=keys, admin_keys=keys)
    key = {"X-API-Key": "0123456789abcdef"}
    assert client.get("/healt%68z").status_code == 200  # no key
    assert client.get("/%61dmin/models").status_code == 401
    assert client.post("/models/skin%2Dlesions/predict", json=BODY, headers=key).status_code == 200
    assert client.post("/models%2Fskin-lesions/predict", json=BODY, headers=key).status_code == 200
    assert count_requests(client, "/models/{name}/predict", 200) == 2
    assert match_path("/models/skin%2Dlesions/predict").model == "skin%2Dlesions"  # not once more


def test_the_grammar_imports_nothing_heavy() -> None:
    script = (
        "import sys; import tailfuse_service.http.paths; "
        "print(sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for heavy in ("fastapi", "starlette", "uvicorn", "numpy", "pydantic", "orjson", "prometheus_client"):
        assert f"'{heavy}'" not in done.stdout
