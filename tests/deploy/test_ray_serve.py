"""Replicas on Ray Serve, by deploy/ray/serve.yaml: their answers, and one of them killed under load."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.support.bundles import write_tiny_bundle
from tests.support.on_ray.start import make_command, make_variables
from tests.support.ports import find_free_ports
from tests.support.process import is_overdue

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 400  # a cluster takes half a minute to start on idle cores
CLIENTS = 8
KEY = "a-key-of-this-test"
WITH_KEY = {"X-API-Key": KEY}
ATTEMPTS = 5
PORTS = (
    "node-manager", "object-manager", "dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent",
    "metrics-export",
)  # fmt: skip
SMALL = ("--include-dashboard=false", "--object-store-memory=100000000", "--node-ip-address=127.0.0.1")
MARK, MARKED = "TAILFUSE_TEST_OF_RAY", str(os.getpid())  # a variable of all processes of this cluster

pytestmark = [pytest.mark.slow, pytest.mark.needs("ray")]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of one machine with two replicas."""

    url: str
    metrics_port: int

    def find_replicas(self) -> set[int]:
        """Return the process ids of the replicas, which have this cluster's variables."""
        return {int(each.name) for each in Path("/proc").glob("[0-9]*") if self._is_replica(each)}

    def _is_replica(self, process: Path) -> bool:
        try:
            name, variables = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:  # it has ended
            return False
        return name.startswith(b"ray::ServeReplica") and f"{MARK}={MARKED}\0".encode() in variables


@pytest.fixture(scope="module")
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Ray, which gives up after 15 seconds if a busy machine has not started its processes by then."""
    folder = tmp_path_factory.mktemp("ray")
    for _ in range(ATTEMPTS):
        port, *others = find_free_ports(1 + len(PORTS))
        told = [f"--{name}-port={other}" for name, other in zip(PORTS, others, strict=True)]
        command = ["start", "--head", "--block", f"--port={port}", *told, "--num-cpus=4", *SMALL]
        with run("ray.scripts.scripts", *command, folder=folder) as (log, process):
            while process.poll() is None and "Ray runtime started" not in log.read_text():
                time.sleep(0.2)
            if process.poll() is None:
                yield f"127.0.0.1:{port}"
                return
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, ray_address: str) -> Iterator[Cluster]:
    """Serve with two replicas on it."""
    folder = tmp_path_factory.mktemp("serve")
    port, metrics_port = find_free_ports(2)
    config = yaml.safe_load((ROOT / "deploy/ray/serve.yaml").read_text())
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    [application] = config["applications"]
    (folder / "keys").write_text(f"{KEY}\n")
    application["args"] |= {
        "bundle": str(write_tiny_bundle(folder / "bundle")),
        "api_keys": str(folder / "keys"),
        "metrics_port": metrics_port,
    }
    application["deployments"][0]["autoscaling_config"] |= {"min_replicas": 2, "max_replicas": 2}
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    started = Cluster(f"http://127.0.0.1:{port}", metrics_port)
    with run("ray.serve.scripts", "run", "serve.yaml", "--address", ray_address, folder=folder) as (
        log,
        process,
    ):
        wait_until(lambda: is_ready(started, log), log.read_text, process)
        yield started


@contextmanager
def run(module: str, *arguments: str, folder: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Run one of Ray's programs until the block ends, and yield its log."""
    log = folder / "log"
    command, variables = (
        make_command(module, arguments),
        make_variables(RAY_raylet_start_wait_time_s="60", **{MARK: MARKED}),
    )
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, env=variables)
    try:
        yield log, process
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def wait_until(
    condition: Callable[[], bool], explain: Callable[[], str], process: subprocess.Popen[bytes] | None = None
) -> None:
    """Wait; fail if it takes very long, or if the process that should bring it about has ended."""
    begun = time.monotonic()
    while not condition():
        assert process is None or process.poll() is None, explain()
        assert not is_overdue(begun, TIMEOUT_S), explain()
        time.sleep(0.2)


def is_ready(cluster: Cluster, log: Path) -> bool:
    assert "failed with exception" not in log.read_text(), log.read_text()
    try:
        return httpx2.get(f"{cluster.url}/readyz").is_success and len(cluster.find_replicas()) == 2
    except httpx2.HTTPError:
        return False


@dataclass(frozen=True, slots=True)
class Load:
    """Clients that ask one request after the other until they are told to stop."""

    cluster: Cluster
    request: dict[str, Any]
    statuses: list[int] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        with httpx2.Client(base_url=self.cluster.url, headers=WITH_KEY, timeout=TIMEOUT_S) as client:
            while not self.stopped.is_set():
                self.statuses.append(client.post("/predict", json=self.request).status_code)


def make_request(cluster: Cluster) -> dict[str, Any]:
    """Return the document's example of a request."""
    document = httpx2.get(f"{cluster.url}/openapi.json", headers=WITH_KEY).json()
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    example: dict[str, Any] = (
        next(iter(body["examples"].values()))["value"] if "examples" in body else body["example"]
    )
    return example


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # in Ray Serve itself
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bundle": "b", "workers": "2"}, "workers: on Ray this is set in the configuration of Ray Serve"),
        ({"allow_anonymous": "true"}, "no bundle given"),
        ({"bundle": "b"}, "other machines can reach 0.0.0.0: set a file of keys"),
        (
            {"bundle": "b", "allow_anonymous": "true", "threads": "many"},
            "--threads .TAILFUSE_THREADS.: Input",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(given: dict[str, str], message: str) -> None:
    from tailfuse_service.ray import read_settings

    with pytest.raises(ValueError, match=message):
        read_settings(given)


def test_it_is_the_whole_service(cluster: Cluster) -> None:
    request = make_request(cluster)
    assert httpx2.post(f"{cluster.url}/predict", json=request).status_code == 401
    answer = httpx2.post(f"{cluster.url}/predict", json=request, headers=WITH_KEY)
    assert answer.status_code == 200
    assert sum(answer.json()["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    problem = httpx2.post(f"{cluster.url}/predict", json={"inputs": {}}, headers=WITH_KEY)
    assert problem.headers["content-type"] == "application/problem+json"


def test_each_replica_has_a_metrics_port(cluster: Cluster) -> None:
    for port in (cluster.metrics_port, cluster.metrics_port + 1):
        assert "tailfuse_ready 1" in httpx2.get(f"http://127.0.0.1:{port}/metrics").text
    assert httpx2.get(f"{cluster.url}/metrics").status_code == 404


def test_a_replica_that_is_killed_under_load_costs_at_most_what_it_was_answering(cluster: Cluster) -> None:
    load = Load(cluster, make_request(cluster))
    clients = [threading.Thread(target=load.ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    wait_until(lambda: len(load.statuses) > 20 * CLIENTS, lambda: f"{len(load.statuses)} answers")
    old = cluster.find_replicas()
    os.kill(min(old), signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: len(cluster.find_replicas() - {min(old)}) == 2, lambda: "no replica took its place")
    answered, took_s = len(load.statuses), time.monotonic() - killed
    wait_until(lambda: len(load.statuses) > answered + 20 * CLIENTS, lambda: "no answers since")
    load.stopped.set()
    for client in clients:
        client.join()
    failed = [status for status in load.statuses if status != 200]
    print(f"{len(load.statuses)} answers, {len(failed)} failed; another replica after {took_s:.0f} s")
    assert len(failed) <= CLIENTS
    assert all(status >= 500 for status in failed)
