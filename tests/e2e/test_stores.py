"""A real service whose bundles lie in a store: it starts from it, follows it, and outlives it."""

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import tailfuse

from tests.support.bundles import write_tiny_bundle
from tests.support.clouds import FOLDER_STORES, serve_mlflow
from tests.support.process import TIMEOUT_S, Service, ran, start_service, until
from tests.support.stores import serve_folder, serve_registry, serve_s3

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUICK = ("--store-poll-s", "0.2")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """A store of S3; to close it is to stop the server."""
    with ExitStack() as stack:
        for name, value in stack.enter_context(serve_s3("models")).items():
            monkeypatch.setenv(name, value)
        yield stack


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Serves an address, with a cache of its own."""
    running: list[Service] = []

    def start(address: str, *flags: str) -> Service:
        log = tmp_path / f"{len(running)}.log"
        running.append(start_service(address, *flags, "--store-cache", str(tmp_path / "cache"), log=log))
        return running[-1]

    yield start
    for service in running:
        service.process.kill()
        service.process.wait()


def ask(service: Service) -> str:
    """The version that answers."""
    request = urllib.request.Request(
        f"{service.url}/predict",
        json.dumps({"inputs": {"notes": "a dark spot"}}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: dict[str, Any] = json.load(answer)
    version: str = body["model"]["version"]
    return version


@pytest.mark.needs("moto_server")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_follows_s3_and_goes_on_without_it(
    variables: ExitStack, serve: Callable[..., Service], tmp_path: Path, workers: int
) -> None:
    address = f"s3://models/skin-{workers}"  # moto keeps what the test before has written
    tailfuse.push(write_tiny_bundle(tmp_path / "b1", version="1"), f"{address}/1")
    service = serve(address, *QUICK, "--workers", str(workers))
    assert ask(service) == "1"
    tailfuse.push(write_tiny_bundle(tmp_path / "b2", version="2"), f"{address}/2")
    until(lambda: ask(service) == "2", "the new version answers")
    variables.close()
    until(lambda: "store not followed; its bundles stay" in service.log.read_text(), "the failure is logged")
    assert ask(service) == "2"
    assert service.stop() == 0
    again = serve(address, *QUICK, "--store-timeout-s", "1")  # from the cache alone
    assert ask(again) == "2"
    assert again.stop() == 0


def test_a_bundle_that_changes_at_its_address_takes_over(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    write_tiny_bundle(site / "skin", version="1")
    with serve_folder(site) as url:
        service = serve(f"{url}/skin", *QUICK)
        assert ask(service) == "1"
        write_tiny_bundle(site / "next", version="2")
        (site / "skin").rename(site / "old")
        (site / "next").rename(site / "skin")
        until(lambda: ask(service) == "2", "the new version answers")
    assert service.stop() == 0


def test_a_start_from_nothing_is_one_sentence(tmp_path: Path) -> None:
    def start(address: str, *flags: str) -> str:
        done = ran(
            sys.executable, "-m", "tailfuse_service", address, "--store-cache", str(tmp_path / "c"), *flags
        )
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
        return done.stderr.strip().rpartition("\n")[2]

    with serve_folder(tmp_path) as url:
        assert start(f"{url}/skin") == f"tailfuse: {url}/skin: nothing is there"
        assert start(f"{url}/skin", "--workers", "2") == f"tailfuse: {url}/skin: nothing is there"
    assert "must not hold a user or a password" in start("https://me:hunter2@host/skin")
    assert "hunter2" not in start("https://me:hunter2@host/skin?token=hunter2")


def test_workers_stop_while_their_store_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/skin"
        command = [sys.executable, "-m", "tailfuse_service", address, "--port", "0", "--workers", "2"]
        command += ["--store-cache", str(tmp_path / "cache")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        silent.settimeout(TIMEOUT_S)
        connection, _ = silent.accept()
        process.terminate()
        _, printed = process.communicate(timeout=TIMEOUT_S)
        connection.close()
    assert process.returncode == 0
    assert [json.loads(line)["message"] for line in printed.splitlines()] == ["stopping", "stopped"]


@contextmanager
def serve_store(kind: str, folder: Path) -> Iterator[tuple[dict[str, str], str, list[str]]]:
    """Serve a store. The values are its variables, what is served, and where two versions are pushed to."""
    if kind == "oci":
        with serve_registry(folder) as host:
            yield {}, f"oci://{host}/skin", [f"oci://{host}/skin:1", f"oci://{host}/skin:2"]
    elif kind == "mlflow":
        with serve_mlflow(folder) as url:
            yield {"MLFLOW_TRACKING_URI": url}, "mlflow:models:/skin", ["mlflow:models:/skin"] * 2
    else:
        store = FOLDER_STORES[kind]
        with store.serve() as variables:
            yield variables, store.address, [f"{store.address}/1", f"{store.address}/2"]


def push(bundle: Path, address: str) -> None:
    done = ran(sys.executable, "-m", "tailfuse", "push", str(bundle), address, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["address"] == address


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.needs(program))
        for kind, program in {
            **{kind: store.program for kind, store in FOLDER_STORES.items()},
            "oci": "docker-registry",
            "mlflow": "flask",
        }.items()
    ],
)
def test_a_service_serves_and_follows_each_kind_of_store(
    kind: str, serve: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server").mkdir()
    with serve_store(kind, tmp_path / "server") as (variables, address, versions):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        push(write_tiny_bundle(tmp_path / "b1", version="1"), versions[0])
        service = serve(address, *QUICK)
        assert ask(service) == "1"
        push(write_tiny_bundle(tmp_path / "b2", version="2"), versions[1])
        until(lambda: ask(service) == "2", "the new version answers")
    assert service.stop() == 0
