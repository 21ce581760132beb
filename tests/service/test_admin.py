"""Admin calls: who may, what they change, what they refuse; and what hostile ones get."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.http.paths import match_path
from tailfuse_service.http.router import RequestRecord
from tailfuse_service.metrics import Metrics, make_file
from tailfuse_service.models import reconciler
from tailfuse_service.models.desired_state import DesiredStateStore
from tailfuse_service.models.repository import Repository
from tailfuse_service.settings import Settings

from tests.support.bundles import write_tiny_bundle
from tests.support.trials import pass_all

ADMIN = {"X-API-Key": "root.0123456789~abcdef"}
NAME = "skin-lesions"
ROLES, PROMOTE = f"/admin/models/{NAME}/roles", f"/admin/models/{NAME}/promote"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three versions, under names of their own."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    for version in ("1", "2", "10"):
        write_tiny_bundle(folder / f"v{version}", version=version)
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "admins"
    path.write_text(f"root: {ADMIN['X-API-Key']}\n")
    return path


Start = Callable[..., TestClient]


@pytest.fixture
def start(folder: Path, keys: Path) -> Iterator[Start]:
    """Starts a worker; `file` is what it shares with others."""
    clients: list[TestClient] = []

    def begin(file: int | None = None, **changes: Any) -> TestClient:
        settings = Settings(**{"bundle": folder, "admin_keys": keys, **changes})
        desired_state = DesiredStateStore(settings.roles, file)
        repository = Repository(settings, pass_all())
        bundles = repository.open(desired_state.read().unloaded)
        app = create_app(
            settings, *bundles, metrics=Metrics(), repository=repository, desired_state=desired_state
        )
        client = TestClient(app, headers=ADMIN, raise_server_exceptions=False).__enter__()
        clients.append(client)
        return client

    yield begin
    for client in clients:
        client.__exit__()


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


def get_roles(client: TestClient) -> dict[str, str]:
    """By version, as callers see them."""
    models = client.get("/models").json()["models"]
    return {each["version"]: each["role"] for model in models for each in model["versions"]}


def problem(response: Any, status: int, slug: str) -> str:
    assert (response.status_code, response.json()["type"]) == (status, f"urn:tailfuse:problem:{slug}")
    detail: str = response.json()["detail"]
    return detail


def answering(client: TestClient, path: str = "/predict", **headers: str) -> str:
    response = client.post(path, json={"inputs": {"notes": "x"}}, headers=headers)
    assert response.status_code == 200, response.text
    version: str = response.json()["model"]["version"]
    return version


CALLS = [
    ("GET", "/admin/models"), ("PUT", ROLES), ("POST", PROMOTE),
    ("POST", "/admin/load"), ("POST", "/admin/unload"), ("POST", "/admin/reload"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_admins_keys_nobody_may(make_client: Any, bundle: Any, method: str, path: str) -> None:
    """Not even on this machine, where all else is open."""
    said = problem(make_client(bundle).request(method, path, content=b"{"), 403, "forbidden")
    assert "--admin-keys" in said


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_only_admins_may(client: TestClient, method: str, path: str) -> None:
    problem(client.request(method, path, headers={"X-API-Key": "x"}), 401, "unauthorized")


def test_all_that_is_loaded_is_told(client: TestClient) -> None:
    told = client.get("/admin/models").json()
    assert told["default"] == NAME
    assert told["unloading"] == 0
    (model,) = told["models"]
    assert model["roles"] == {"stable": None, "canary": None, "shadow": None}
    assert {each["version"]: (each["role"], each["path"]) for each in model["versions"]} == {
        "1": ("none", "v1"), "10": ("stable", "v10"), "2": ("none", "v2"),
    }  # fmt: skip
    assert all(each["in_flight"] == 0 and each["load_seconds"] > 0 for each in model["versions"])
    assert told["bundles"][0] == {
        "path": "v1", "name": NAME, "version": "1", "problem": None, "unloaded": False,
    }  # fmt: skip


def test_roles_are_given_and_a_canary_is_promoted(client: TestClient) -> None:
    wanted = {"stable": "1", "canary": {"version": "2", "share": 0.5}, "shadow": {"version": "10"}}
    told = client.put(ROLES, json=wanted).json()
    assert told["roles"] == {**wanted, "shadow": {"version": "10", "share": 1.0}}
    assert get_roles(client) == {"1": "stable", "2": "canary", "10": "shadow"}
    users = {key: answering(client, **{"X-Routing-Key": key}) for key in map(str, range(40))}
    assert set(users.values()) == {"1", "2"}
    for key, version in users.items():
        assert answering(client, **{"X-Routing-Key": key}) == version
        assert answering(client, f"/models/{NAME}/predict", **{"X-Routing-Key": key}) == version
    told = client.post(PROMOTE).json()
    assert told["roles"] == {"stable": "2", "canary": None, "shadow": {"version": "10", "share": 1.0}}
    assert {answering(client) for _ in range(20)} == {"2"}
    client.post(PROMOTE, json={"version": "10"})
    assert get_roles(client) == {"1": "none", "2": "none", "10": "stable"}


def test_a_version_that_is_not_there_yet_may_be_canary_or_shadow_but_not_stable(
    client: TestClient, folder: Path
) -> None:
    said = problem(client.put(ROLES, json={"stable": "11"}), 409, "conflict")
    assert said == "version '11' is not loaded, so it cannot become the stable one"
    told = client.put(ROLES, json={"stable": "10", "canary": {"version": "11", "share": 0.5}}).json()
    assert told["waiting"] == ["11"]
    write_tiny_bundle(folder / "v11", version="11")
    client.post("/admin/reload")
    assert get_roles(client)["11"] == "canary"
    problem(client.post(PROMOTE, json={"version": "12"}), 409, "conflict")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "slug"),
    [
        ("PUT", ROLES, "{", 400, "bad-request"),
        ("PUT", ROLES, "[" * 100, 400, "too-deep"),
        ("PUT", ROLES, "[]", 422, "invalid-input"),
        ("PUT", ROLES, '{"stable": 1}', 422, "invalid-input"),
        ("PUT", ROLES, '{"stabel": "1"}', 422, "invalid-input"),
        ("PUT", ROLES, '{"canary": {"version": "2", "share": NaN}}', 422, "invalid-input"),
        ("PUT", ROLES, '{"canary": {"version": "2", "share": 1}}', 422, "invalid-input"),
        ("PUT", ROLES, '{"stable": "1", "shadow": {"version": "1"}}', 422, "invalid-input"),
        ("PUT", ROLES, " " * 70_000, 413, "payload-too-large"),
        ("PUT", "/admin/models/digits/roles", '{"stable": "1"}', 404, "unknown-model"),
        ("PUT", "/admin/models/%2e%2e%2fadmin/roles", "{}", 404, "not-found"),
        ("PUT", "/admin/models/%00/roles", "{}", 404, "unknown-model"),
        ("POST", PROMOTE, "", 409, "conflict"),
        ("POST", PROMOTE, '{"version": null, "more": 1}', 422, "invalid-input"),
        ("POST", "/admin/load", "", 422, "invalid-input"),
        ("POST", "/admin/load", '{"path": "../bundles/v1"}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": "/etc/passwd"}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": "v1/"}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": "."}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": ""}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": "v1\\u0000"}', 404, "unknown-bundle"),
        ("POST", "/admin/load", '{"path": "' + "x" * 60_000 + '"}', 404, "unknown-bundle"),
        ("POST", "/admin/unload", '{"name": "digits", "version": "1"}', 404, "unknown-model"),
        ("POST", "/admin/unload", f'{{"name": "{NAME}", "version": "latest"}}', 404, "unknown-model"),
        ("DELETE", "/admin/models", "", 405, "method-not-allowed"),
        ("POST", "/admin/nothing", "", 404, "not-found"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    client: TestClient, method: str, path: str, body: str, status: int, slug: str
) -> None:
    before = client.get("/admin/models").json()
    response = client.request(method, path, content=body)
    problem(response, status, slug)
    assert len(response.content) < 2500
    assert client.get("/admin/models").json() == before


def test_a_version_is_unloaded_stays_out_and_is_loaded_again(client: TestClient) -> None:
    told = client.post("/admin/unload", json={"name": NAME, "version": "10"}).json()
    assert [each["path"] for each in told["bundles"] if each["unloaded"]] == ["v10"]
    assert get_roles(client) == {"1": "none", "2": "stable"}
    client.post("/admin/reload")
    assert "10" not in get_roles(client)
    problem(client.get(f"/models/{NAME}/versions/10"), 404, "unknown-model")
    loaded = client.post("/admin/load", json={"path": "v10"}).json()
    assert loaded == {"path": "v10", "name": NAME, "version": "10", "problem": None, "unloaded": False}
    assert get_roles(client)["10"] == "stable"


def test_a_version_with_a_role_is_not_unloaded(client: TestClient) -> None:
    client.put(ROLES, json={"canary": {"version": "10", "share": 0.5}})
    for version, role in (("10", "canary"), ("2", "stable")):
        refused = client.post("/admin/unload", json={"name": NAME, "version": version})
        assert f"version '{version}' is the {role} one" in problem(refused, 409, "conflict")
    assert client.post("/admin/unload", json={"name": NAME, "version": "1"}).status_code == 200


def test_a_bad_bundle_is_told_of_and_the_old_one_stays(client: TestClient, folder: Path) -> None:
    with (folder / "v1" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    said = problem(client.post("/admin/load", json={"path": "v1"}), 422, "unusable-bundle")
    assert "model.onnx is damaged" in said
    told = {each["path"]: each for each in client.get("/admin/models").json()["bundles"]}
    assert told["v1"]["version"] == "1"
    assert "is damaged" in told["v1"]["problem"]
    assert answering(client, f"/models/{NAME}/versions/1/predict") == "1"


def test_a_single_bundle_is_only_opened_again(start: Start, tiny_bundle: Path) -> None:
    client = start(bundle=tiny_bundle)
    before = client.get("/admin/models").json()["models"][0]["versions"][0]["loaded_at"]
    for path, body in (("load", {"path": "x"}), ("unload", {"name": NAME, "version": "3"})):
        assert "single bundle" in problem(client.post(f"/admin/{path}", json=body), 409, "conflict")
    after = client.post("/admin/reload").json()["models"][0]["versions"][0]["loaded_at"]
    assert after > before


def test_all_workers_follow_and_so_do_those_that_start_later(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "POLL_S", 0.001)
    file = make_file(0)
    one, other = start(file), start(file)
    one.put(ROLES, json={"stable": "1"})
    other.post("/admin/unload", json={"name": NAME, "version": "10"})
    for client in (one, other, start(file)):
        until(lambda client=client: get_roles(client) == {"1": "stable", "2": "none"})  # type: ignore[misc]
    other.post("/admin/load", json={"path": "v10"})
    until(lambda: "10" in get_roles(one))


def test_the_folder_is_followed_without_a_call(
    start: Start, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "POLL_S", 0.001)
    client = start()
    write_tiny_bundle(folder / ".v11", version="11").rename(folder / "v11")
    until(lambda: get_roles(client).get("11") == "stable")
    shutil.rmtree(folder / "v11")
    until(lambda: get_roles(client).get("10") == "stable")


def test_roles_in_a_file_survive_and_may_be_edited(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "POLL_S", 0.001)
    path = tmp_path / "roles.json"
    client = start(roles=path)
    client.post(PROMOTE, json={"version": "2"})
    assert get_roles(start(roles=path))["2"] == "stable"
    path.write_text(f'{{"{NAME}": {{"stable": "1"}}}}')
    until(lambda: get_roles(client)["1"] == "stable")
    path.write_text("{")
    said = problem(client.post(PROMOTE, json={"version": "2"}), 409, "conflict")
    assert "correct it first" in said
    assert get_roles(client)["1"] == "stable"


def test_roles_that_cannot_be_written_are_refused(start: Start, tmp_path: Path) -> None:
    client = start(roles=tmp_path / "none" / "roles.json")
    said = problem(client.put(ROLES, json={"stable": "1"}), 409, "conflict")
    assert "cannot be written: No such file" in said
    assert get_roles(client)["10"] == "stable"


def test_an_admin_is_let_in_when_there_are_too_many_requests(start: Start) -> None:
    client = start(max_concurrency=1)
    app: Any = client.app
    app.begin_request(RequestRecord({"headers": []}, match_path("/predict")), "192.0.2.1")
    problem(client.get("/models"), 429, "too-many-requests")
    assert client.get("/admin/models").status_code == 200


def until(met: Callable[[], bool]) -> None:
    """Each try is a request, which takes a while."""
    assert any(met() for _ in range(5000)), "waited in vain"
