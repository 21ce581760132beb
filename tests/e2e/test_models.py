"""A real service and a folder of bundles: swaps under load, several workers, memory that comes back."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from serving_bench.process import read_memory

from tests.support.bundles import tiny_graph, write_tiny_bundle
from tests.support.process import TIMEOUT_S, Service, start_service, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAME = "skin-lesions"
BODY = json.dumps({"inputs": {"notes": "a spot"}})
KEY = "root.0123456789~abcdef"
SWAPS, CALLERS = 20, 4
LARGE_MIB = 96


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundles"
    folder.mkdir()
    return folder


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service on the folder; those left running are killed."""
    (tmp_path / "keys").write_text(KEY)
    started: list[Service] = []

    def begin(*flags: str) -> Service:
        log = tmp_path / f"service-{len(started)}.log"
        started.append(start_service(folder, "--admin-keys", str(tmp_path / "keys"), *flags, log=log))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def put(folder: Path, name: str, version: str, graph: bytes | None = None) -> None:
    """A bundle that is there at once, in the place of the one that was."""
    beside = write_tiny_bundle(folder / f".{name}", graph, version=version)
    if (folder / name).exists():
        (folder / name).rename(folder / f".{name}.old")
    beside.rename(folder / name)
    shutil.rmtree(folder / f".{name}.old", ignore_errors=True)


def call(service: Service, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """On a connection of its own, which any worker may get."""
    connection = HTTPConnection(*service.address, timeout=TIMEOUT_S)
    named = {"x-api-key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, None if body is None else json.dumps(body), named)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200, answer
    return answer


def roles(service: Service) -> dict[str, str]:
    models = call(service, "GET", "/models")["models"]
    return {each["version"]: each["role"] for model in models for each in model["versions"]}


def answering(service: Service, user: str) -> str:
    """The version that answers a caller."""
    answer = call(service, "POST", "/predict", json.loads(BODY), x_routing_key=user)
    return str(answer["model"]["version"])


def n_lines(service: Service, message: str) -> int:
    return sum(line["message"] == message for line in service.log_lines())


def test_twenty_swaps_under_load_lose_no_request(folder: Path, start: Callable[..., Service]) -> None:
    put(folder, "served", "0")
    service = start()
    seen: list[list[str]] = [[] for _ in range(CALLERS)]
    failures: list[BaseException] = []
    enough = threading.Event()

    def load(mine: list[str]) -> None:
        try:
            connection = HTTPConnection(*service.address, timeout=TIMEOUT_S)
            while not enough.is_set():
                connection.request("POST", "/predict", BODY, {"content-type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert response.status == 200, answer
                mine.append(answer["model"]["version"])
            connection.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=load, args=[mine]) for mine in seen]
    for thread in threads:
        thread.start()
    for version in map(str, range(1, SWAPS + 1)):
        put(folder, "served", version)
        call(service, "POST", "/admin/reload")  # the folder is looked at by itself too
        until(lambda version=version: failures or all(mine[-1:] == [version] for mine in seen), "it answers")
    enough.set()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not failures
    for mine in seen:
        assert mine == sorted(mine, key=int)  # never back to an older one
        assert set(mine) >= set(map(str, range(1, SWAPS + 1)))
    assert n_lines(service, "bundle loaded") == SWAPS + 1
    assert service.stop() == 0


def test_what_one_worker_is_told_all_of_them_do(folder: Path, start: Callable[..., Service]) -> None:
    for version in ("1", "2", "3"):
        put(folder, f"v{version}", version)
    service = start("--workers", "2")
    until(lambda: n_lines(service, "worker started") == 2, "both workers answer")

    def everywhere(expected: dict[str, str]) -> bool:
        return all(roles(service) == expected for _ in range(20))  # one worker alone once in a million

    wanted = {"stable": "1", "canary": {"version": "2", "share": 0.5}, "shadow": {"version": "3"}}
    call(service, "PUT", f"/admin/models/{NAME}/roles", wanted)
    until(lambda: everywhere({"1": "stable", "2": "canary", "3": "shadow"}), "all know the roles")
    users = {str(user): answering(service, str(user)) for user in range(30)}
    assert set(users.values()) == {"1", "2"}
    for user, version in users.items():  # whichever worker it is
        assert {answering(service, user) for _ in range(4)} == {version}
    call(service, "POST", f"/admin/models/{NAME}/promote")
    until(lambda: everywhere({"1": "none", "2": "stable", "3": "shadow"}), "all know the new stable version")
    call(service, "POST", "/admin/unload", {"name": NAME, "version": "1"})
    until(lambda: everywhere({"2": "stable", "3": "shadow"}), "all have unloaded it")
    call(service, "POST", "/admin/load", {"path": "v1"})
    put(folder, "v4", "4")
    until(
        lambda: everywhere({"1": "none", "2": "stable", "3": "shadow", "4": "none"}),
        "all have loaded it again, and a new one",
    )
    assert service.stop() == 0


def test_a_signal_looks_at_the_folder_at_once_and_a_bad_bundle_leaves_the_old_one(
    folder: Path, start: Callable[..., Service]
) -> None:
    put(folder, "served", "1")
    service = start()
    put(folder, "served", "2", b"no graph")
    service.process.send_signal(signal.SIGHUP)
    refused = "bundle not loaded; the old one stays"
    until(lambda: n_lines(service, refused), "it is refused")
    assert roles(service) == {"1": "stable"}
    put(folder, "served", "3")
    service.process.send_signal(signal.SIGHUP)
    until(lambda: roles(service) == {"3": "stable"}, "it is taken")
    assert service.stop() == 0


def large_graph() -> bytes:
    """As the tiny one, with a table of LARGE_MIB that every run reads a cell of."""
    model = onnx.load_model_from_string(tiny_graph())
    graph = model.graph
    graph.node[-1].output[0] = "small"
    rows = LARGE_MIB * 1024 * 1024 // 4
    graph.initializer.append(numpy_helper.from_array(np.zeros((rows, 1), np.float32), "table"))
    graph.node.append(onnx.helper.make_node("Gather", ["table", "B"], ["cell"]))
    graph.node.append(onnx.helper.make_node("Add", ["small", "cell"], ["probabilities"]))
    return bytes(model.SerializeToString())


def test_the_memory_of_an_unloaded_bundle_comes_back(
    folder: Path, start: Callable[..., Service], capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, "small", "9")
    service = start()

    def rss_mib() -> float:
        return read_memory(service.process.pid).rss / 2**20

    before = rss_mib()
    put(folder, "large", "1", large_graph())
    until(lambda: "1" in roles(service), "it is loaded")
    call(service, "POST", f"/models/{NAME}/versions/1/predict", json.loads(BODY))
    with_it = rss_mib()
    call(service, "POST", "/admin/unload", {"name": NAME, "version": "1"})
    until(lambda: call(service, "GET", "/admin/models")["unloading"] == 0, "it has answered")
    after = rss_mib()
    with capsys.disabled():
        print(f"\nRSS: {before:.0f} MiB, with {LARGE_MIB} MiB more {with_it:.0f}, without them {after:.0f}")
    assert with_it - before > 0.9 * LARGE_MIB
    assert after - before < 0.25 * LARGE_MIB
    assert service.stop() == 0
